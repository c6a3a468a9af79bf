// Every option once, and how its text is parsed; the messages for mistakes.
// The command line, the environment, the config file and the library all read these tables.
import { isIP } from 'node:net';

import { MegacometError } from '../base/errors.js';
import { COUNT_MAX, PORTS_MAX, type OptionSpec } from './option-spec.js';
import { SERVE_OPTIONS } from './serve-options.js';
import { TOOL_OPTIONS } from './tool-options.js';

export type { OptionKind, OptionSpec } from './option-spec.js';

export const OPTIONS: readonly OptionSpec[] = [...SERVE_OPTIONS, ...TOOL_OPTIONS];

export type OptionValue = boolean | number | string | readonly string[];

/** The options of one command. */
export function optionsOf(command: string): readonly OptionSpec[] {
  return OPTIONS.filter((spec) => spec.commands.includes(command));
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

/** A port as a number, or a range of them as its text. */
function parsePorts(label: string, raw: unknown): number | string {
  const [, first = '', last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(raw)) ?? [];
  const isText = typeof raw === 'string' || typeof raw === 'number';
  const low = isText && first !== '' ? Number(first) : NaN;
  const high = last === undefined ? low : Number(last);
  if (last === undefined && low <= 65_535) return low;
  if (low > 0 && high >= low && high <= 65_535 && high - low < PORTS_MAX) return `${low}-${high}`;
  const range = `a range such as 8000-8007 of at most ${PORTS_MAX}`;
  throw invalid(label, raw, `a whole number from 0 to 65535, or ${range}`);
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
    case 'ports':
      return parsePorts(label, raw);
    case 'address':
      if (typeof raw === 'string' && isIP(raw) !== 0) return raw;
      throw invalid(label, raw, 'a numeric address');
    case 'choice':
      if (typeof raw === 'string' && (spec.choices ?? []).includes(raw)) return raw;
      throw invalid(label, raw, `one of ${(spec.choices ?? []).join(', ')}`);
    case 'text':
      if (typeof raw === 'string' && raw !== '' && !raw.includes('\0')) return raw;
      throw invalid(label, spec.isSecret === true ? '…' : raw, 'a text');
  }
}
