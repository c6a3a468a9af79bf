// Every option once: name, kind, range, default, help; parsing and the messages for mistakes.
// Level 1. The command line, the environment, the config file and the library all read this table.
import { MegacometError } from './errors.js';

/** How a value is read. `seconds` and `rate` are numbers that may have a fraction. */
export type OptionKind = 'choice' | 'flag' | 'integer' | 'list' | 'seconds' | 'text';

export interface OptionSpec {
  /** Name on the command line, without the dashes. */
  readonly name: string;
  readonly commands: readonly string[];
  readonly kind: OptionKind;
  /** Placeholder in the help text. */
  readonly value?: string;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  /** A word that is allowed besides numbers. */
  readonly word?: string;
  readonly default?: boolean | number | string | readonly string[];
  /** Only the command line has it, createServer() has not. */
  readonly isCommandLineOnly?: boolean;
  /** May change while the server runs (SIGHUP). */
  readonly reloadable?: boolean;
  readonly help: string;
}

const SERVE = ['serve'];
const STATUS = ['status'];
const BENCH = ['bench'];
/** Deadlines are signed 16-bit ticks of a second: nine hours, see native/bounds.h. */
const SECONDS_MAX = 32_400;
const COUNT_MAX = 100_000_000;

export const OPTIONS = [
  {
    name: 'config',
    commands: SERVE,
    isCommandLineOnly: true,
    kind: 'text',
    value: 'FILE',
    help: 'JSON file with options; keys are the long names, such as "max-connections".',
  },
  {
    name: 'host',
    commands: SERVE,
    kind: 'text',
    value: 'ADDRESS',
    default: '::',
    help: 'Numeric address to listen on; :: takes IPv4 peers too.',
  },
  {
    name: 'port',
    commands: SERVE,
    kind: 'integer',
    value: 'N',
    min: 0,
    max: 65_535,
    default: 8000,
    help: 'Port to listen on; 0 lets the kernel choose.',
  },
  {
    name: 'listen',
    commands: SERVE,
    kind: 'list',
    value: 'ADDRESS',
    help: 'HOST:PORT, [V6]:PORT or unix:PATH, instead of --host and --port; repeatable.',
  },
  {
    name: 'workers',
    commands: SERVE,
    kind: 'integer',
    value: 'N',
    min: 1,
    max: 512,
    word: 'auto',
    default: 'auto',
    help: 'Worker processes; auto takes one per core, more where the file limit asks for it.',
  },
  {
    name: 'max-connections',
    commands: SERVE,
    kind: 'integer',
    value: 'N',
    min: 1,
    max: COUNT_MAX,
    reloadable: true,
    help: 'Connections that the server holds at most; by default what the machine allows.',
  },
  {
    name: 'protocol',
    commands: SERVE,
    kind: 'choice',
    choices: ['echo'],
    default: 'echo',
    help: 'What is spoken on the connections.',
  },
  {
    name: 'backlog',
    commands: SERVE,
    kind: 'integer',
    value: 'N',
    min: 1,
    max: 65_535,
    default: 4096,
    help: 'Connections that may wait to be accepted, per worker; net.core.somaxconn caps it.',
  },
  {
    name: 'idle-timeout',
    commands: SERVE,
    kind: 'integer',
    value: 'S',
    min: 0,
    max: SECONDS_MAX,
    default: 0,
    reloadable: true,
    help: 'Seconds without a byte until a connection is closed, up to a quarter later; 0 never.',
  },
  {
    name: 'accept-rate',
    commands: SERVE,
    kind: 'integer',
    value: 'N',
    min: 0,
    max: 1_000_000,
    default: 0,
    reloadable: true,
    help: 'Connections accepted per second, split evenly over the workers; 0 is no limit.',
  },
  {
    name: 'keepalive',
    commands: SERVE,
    kind: 'integer',
    value: 'S',
    min: 0,
    max: SECONDS_MAX,
    default: 240,
    help: 'Seconds of silence until TCP keep-alive probes look for the peer; 0 sends none.',
  },
  {
    name: 'heartbeat-limit',
    commands: SERVE,
    kind: 'integer',
    value: 'S',
    min: 4,
    max: 600,
    default: 10,
    help: 'Seconds without a beat of its loop after which a worker is replaced.',
  },
  {
    name: 'admin-host',
    commands: SERVE,
    kind: 'text',
    value: 'ADDRESS',
    default: '127.0.0.1',
    help: 'Numeric address of the admin server: health, readiness, stats, metrics.',
  },
  {
    name: 'admin-port',
    commands: SERVE,
    kind: 'integer',
    value: 'N',
    min: 0,
    max: 65_535,
    default: 9001,
    help: 'Port of the admin server; 0 lets the kernel choose.',
  },
  {
    name: 'drain',
    commands: SERVE,
    isCommandLineOnly: true,
    kind: 'seconds',
    value: 'S',
    min: 0,
    max: SECONDS_MAX,
    default: 10,
    reloadable: true,
    help: 'Seconds over which SIGTERM closes the connections, evenly.',
  },
  {
    name: 'user',
    commands: SERVE,
    kind: 'text',
    value: 'NAME',
    help: 'User to become after binding, when started as root.',
  },
  {
    name: 'log-level',
    commands: SERVE,
    isCommandLineOnly: true,
    kind: 'choice',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    default: 'info',
    reloadable: true,
    help: 'Least important log lines that are written.',
  },
  {
    name: 'log-format',
    commands: SERVE,
    isCommandLineOnly: true,
    kind: 'choice',
    choices: ['json', 'pretty'],
    help: 'Log lines as JSON or for people; by default pretty on a terminal.',
  },
  {
    name: 'admin',
    commands: STATUS,
    kind: 'text',
    value: 'HOST:PORT',
    default: '127.0.0.1:9001',
    help: 'Address of the admin server to ask.',
  },
  {
    name: 'json',
    commands: STATUS,
    kind: 'flag',
    help: 'Print the answer of /stats as JSON.',
  },
  {
    name: 'watch',
    commands: STATUS,
    kind: 'flag',
    help: 'Draw the table again in place every second, with rates.',
  },
  {
    name: 'target',
    commands: BENCH,
    kind: 'list',
    value: 'HOST:PORT',
    help: 'Address to connect to, numeric; repeatable.',
  },
  {
    name: 'connections',
    commands: BENCH,
    kind: 'integer',
    value: 'N',
    min: 1,
    max: COUNT_MAX,
    default: 1000,
    help: 'Connections to open.',
  },
  {
    name: 'rate',
    commands: BENCH,
    kind: 'integer',
    value: 'N',
    min: 0,
    max: 1_000_000,
    default: 0,
    help: 'Connections opened per second over all processes; 0 is as fast as it goes.',
  },
  {
    name: 'processes',
    commands: BENCH,
    kind: 'integer',
    value: 'N',
    min: 1,
    max: 512,
    word: 'auto',
    default: 'auto',
    help: 'Processes that dial; auto takes as many as cores or descriptors need.',
  },
  {
    name: 'source',
    commands: BENCH,
    kind: 'list',
    value: 'ADDRESS',
    help: 'Source address, repeatable; by default 127.0.0.0/8 on loopback, else any.',
  },
  {
    name: 'hold',
    commands: BENCH,
    kind: 'seconds',
    value: 'S',
    min: 0,
    max: 604_800,
    default: 0,
    help: 'Seconds to hold all connections idle after the ramp.',
  },
  {
    name: 'verify',
    commands: BENCH,
    kind: 'flag',
    help: 'Send a byte on every connection and want it back.',
  },
  {
    name: 'active',
    commands: BENCH,
    kind: 'integer',
    value: 'N',
    min: 0,
    max: COUNT_MAX,
    default: 0,
    help: 'Connections that then exchange messages; 0 is none.',
  },
  {
    name: 'message-size',
    commands: BENCH,
    kind: 'integer',
    value: 'B',
    min: 1,
    max: 16_777_216,
    default: 32,
    help: 'Bytes of each message.',
  },
  {
    name: 'duration',
    commands: BENCH,
    kind: 'seconds',
    value: 'S',
    min: 0.1,
    max: 86_400,
    default: 10,
    help: 'Seconds that the active connections exchange messages.',
  },
  {
    name: 'connect-timeout',
    commands: BENCH,
    kind: 'integer',
    value: 'S',
    min: 1,
    max: 3600,
    default: 30,
    help: 'Seconds after which a connect, or an unanswered byte, counts as failed.',
  },
  {
    name: 'admin',
    commands: BENCH,
    kind: 'text',
    value: 'HOST:PORT',
    default: '127.0.0.1:9001',
    help: 'Admin server of a local target, for its memory and CPU figures.',
  },
  {
    name: 'json',
    commands: BENCH,
    kind: 'text',
    value: 'FILE',
    help: 'Write the result as JSON; - is standard output.',
  },
  {
    name: 'report',
    commands: BENCH,
    kind: 'text',
    value: 'FILE.html',
    help: 'Write a report with plots, one self-contained HTML file.',
  },
] as const satisfies readonly OptionSpec[];

export type OptionValue = boolean | number | string | readonly string[];

/** The options of one command. */
export function optionsOf(command: string): readonly OptionSpec[] {
  return (OPTIONS as readonly OptionSpec[]).filter((spec) => spec.commands.includes(command));
}

/** The options of `serve` that createServer() takes too. */
export function libraryOptions(): readonly OptionSpec[] {
  return optionsOf('serve').filter((spec) => spec.isCommandLineOnly !== true);
}

/** `max-connections` as `maxConnections`. */
export function keyOf(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** `max-connections` as `MEGACOMET_MAX_CONNECTIONS`. */
export function environmentNameOf(name: string): string {
  return `MEGACOMET_${name.toUpperCase().replaceAll('-', '_')}`;
}

/** Letters to insert, drop or change; two neighbours that are swapped count as one. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? (before[j - 2] ?? 0) + 1 : Infinity;
      next.push(Math.min(change, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}

/** The candidate that is nearest to a misspelled name, if any is near. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 2));
  for (const candidate of candidates) {
    const candidateDistance = distance(name.toLowerCase(), candidate.toLowerCase());
    if (candidateDistance < bestDistance) [best, bestDistance] = [candidate, candidateDistance];
  }
  return best;
}

/** The error for a name that is no option, with the nearest that is. */
export function unknownOption(
  where: string,
  name: string,
  candidates: readonly string[],
): MegacometError {
  const guess = nearest(name.replaceAll('"', ''), candidates);
  const hint = guess === undefined ? '' : ` (did you mean ${guess}?)`;
  return new MegacometError('ERR_OPTION_UNKNOWN', `${where}: ${name} is no option${hint}`);
}

function invalid(label: string, raw: unknown, rule: string): MegacometError {
  const shown = typeof raw === 'string' ? `"${raw}"` : JSON.stringify(raw);
  return new MegacometError('ERR_OPTION_INVALID', `${label}: ${shown} is not ${rule}`);
}

function parseNumber(spec: OptionSpec, label: string, raw: unknown): number {
  const noun = spec.kind === 'integer' ? 'a whole number' : 'a number';
  const rule =
    `${noun} from ${spec.min ?? 0} to ${spec.max ?? COUNT_MAX}` +
    (spec.word === undefined ? '' : `, or ${spec.word}`);
  // Number('') is 0, and Number('0x10') is 16: only plain decimal text is taken.
  const isDecimal = typeof raw === 'string' && /^-?\d+(\.\d+)?$/.test(raw);
  const value = typeof raw === 'number' ? raw : isDecimal ? Number(raw) : NaN;
  const isInRange = value >= (spec.min ?? 0) && value <= (spec.max ?? COUNT_MAX);
  if (!isInRange || (spec.kind === 'integer' && !Number.isInteger(value))) {
    throw invalid(label, raw, rule);
  }
  return value;
}

function parseFlag(label: string, raw: unknown): boolean {
  if (raw === true || raw === 'true' || raw === '1') return true;
  if (raw === false || raw === 'false' || raw === '0') return false;
  throw invalid(label, raw, 'true or false');
}

function parseList(label: string, raw: unknown): readonly string[] {
  const list: unknown[] = typeof raw === 'string' ? raw.split(',') : Array.isArray(raw) ? raw : [];
  if (list.length === 0 || !list.every((item) => typeof item === 'string' && item !== '')) {
    throw invalid(label, raw, 'a list of names');
  }
  return list as string[];
}

/**
 * Reads one value, from text or from JSON.
 *
 * @param label - How the user wrote the option (`--port`, `MEGACOMET_PORT`, `port`), for messages.
 * @throws MegacometError `ERR_OPTION_INVALID`, naming the option, the value and the rule.
 */
export function parseOption(spec: OptionSpec, label: string, raw: unknown): OptionValue {
  switch (spec.kind) {
    case 'flag':
      return parseFlag(label, raw);
    case 'list':
      return parseList(label, raw);
    case 'integer':
    case 'seconds':
      if (spec.word !== undefined && raw === spec.word) return raw;
      return parseNumber(spec, label, raw);
    case 'choice':
      if (typeof raw === 'string' && (spec.choices ?? []).includes(raw)) return raw;
      throw invalid(label, raw, `one of ${(spec.choices ?? []).join(', ')}`);
    case 'text':
      if (typeof raw === 'string' && raw !== '' && !raw.includes('\0')) return raw;
      throw invalid(label, raw, 'a text');
  }
}
