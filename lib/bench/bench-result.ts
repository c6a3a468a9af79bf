// Owns what a bench run found: its fields, their units, the one way each kind of number is written,
// and the sentence that sums a run up.knows nothing of how a run is made, and nothing of
// the terminal or the page that shows it.

/** How long a set of requests took, each from its write to the last byte of its answer. */
export interface Latency {
  /** Requests measured. */
  count: number;
  /** Fastest request, microseconds. */
  minUs: number;
  /** Time within which 50 % of the requests were answered, microseconds. */
  p50Us: number;
  /** Time within which 90 % were answered, microseconds. */
  p90Us: number;
  /** Time within which 99 % were answered, microseconds. */
  p99Us: number;
  /** Time within which 99.9 % were answered, microseconds. */
  p999Us: number;
  /** Slowest request, microseconds. */
  maxUs: number;
  /**
   * The distribution, in ascending order of `upToUs`. A bucket begins where the one before it ends
   * (the first at 0), holds its own requests only, and may be left out when it holds none, provided
   * that every bucket that does hold requests is preceded by its true neighbour.
   */
  buckets: {
    /** Upper end of the bucket, inclusive, microseconds. */
    upToUs: number;
    /** Requests in this bucket alone: not cumulative. */
    count: number;
  }[];
}

/** The ramp: from the first connect to the end of the last one. */
export interface Ramp {
  /** Duration, seconds. */
  seconds: number;
  /** Connections opened, divided by `seconds`. */
  connectionsPerSecond: number;
  /** Progress, in ascending order of time. */
  curve: {
    /** Time since the first connect, seconds. */
    seconds: number;
    /** Connections opened so far. */
    opened: number;
    /** Connections that had failed so far. */
    failed: number;
  }[];
}

/** The time in which the connections were kept and nothing was sent. */
export interface Hold {
  /** Duration, seconds. */
  seconds: number;
  /** Connections that ended although the bench had not closed them. */
  lost: number;
  /** Processor time of the server meanwhile, as a share of one core (0.01 is 1 %), or null. */
  serverCpuShare?: number | null;
}

/** The round in which every open connection was asked once: each must answer what it was sent. */
export interface Verify {
  /** Connections asked; equals `answered + wrong + unanswered`. */
  asked: number;
  /** Connections that answered what they were sent. */
  answered: number;
  /** Connections that answered something else. */
  wrong: number;
  /** Connections that had not answered in full at the deadline. */
  unanswered: number;
  /** Duration of the round, seconds. */
  seconds: number;
  /** Time to answer, of the connections that answered. */
  latency: Latency;
}

/** The phase in which some of the connections sent messages without pause. */
export interface Active {
  /** Connections that sent; the others stayed open and idle. */
  connections: number;
  /** Payload of one message, bytes. */
  messageBytes: number;
  /** Duration, seconds. */
  seconds: number;
  /** Messages sent and answered. */
  messages: number;
  /** Messages sent and answered, divided by `seconds`. */
  messagesPerSecond: number;
  /** Processor time of the server for each message, microseconds, or null. */
  serverCpuMicrosecondsPerMessage?: number | null;
  /** Time to answer, of these messages. */
  latency: Latency;
}

/** One message on its way to many subscribers. */
export interface Broadcast {
  /** Subscribers that got it. */
  reached: number;
  /** First and last arrival, nanoseconds of CLOCK_MONOTONIC. */
  firstNs: number;
  lastNs: number;
  /** Time between the two, seconds. */
  seconds: number;
  /** How it spread, in ascending order of time. */
  curve: {
    /** Time since the first arrival, seconds. */
    seconds: number;
    /** Subscribers that had it by then. */
    reached: number;
  }[];
}

/** The messages that came to subscribers until the end of the hold. */
export interface Fanout {
  /** How they were subscribed: `sse`, `websocket`, `poll` or `stream`. */
  transport: string;
  /** Messages, each counted once for every subscriber that got it. */
  received: number;
  /** How often a subscriber was told that messages are gone. */
  gaps: number;
  /** The latest messages that went to more than one subscriber, at most 64, in their order. */
  broadcasts: Broadcast[];
}

/** What the server's side of the run cost; present only when the bench could ask the server. */
export interface ServerCost {
  /** Version of megacomet-ts that served. */
  version: string;
  /** Worker processes. */
  workers: number;
  /** Growth of the workers' own memory for each connection, bytes; null when not measured. */
  userBytesPerConnection: number | null;
  /** Growth of the kernel's memory for each connection, bytes; null when not measured. */
  kernelBytesPerConnection: number | null;
  /** Processor time of the workers for each accepted connection, microseconds, or null. */
  cpuMicrosecondsPerAccept: number | null;
  /** Memory as the connections came, in ascending order of time. */
  memoryCurve: {
    /** Time since the first connect, seconds. */
    seconds: number;
    /** Connections open on the server at that time. */
    connections: number;
    /** Memory of the workers beyond what they used before the run, bytes. */
    userBytes: number;
    /** Memory of the kernel beyond what it used before the run, bytes. */
    kernelBytes: number;
  }[];
}

/** Everything a bench run found. A phase that did not run has no field. */
export interface BenchResult {
  /** Version of megacomet-ts that ran the bench. */
  version: string;
  /** Start of the run, ISO 8601. */
  startedAt: string;
  /** Kernel of the machine that ran the bench, as `uname -sr` gives it. */
  kernel: string;
  /** Node.js that ran the bench, as `process.version` gives it. */
  node: string;
  /** Processors of that machine. */
  cpus: number;
  /** Memory of that machine, bytes. */
  memoryBytes: number;
  /** The command line that repeats the run. */
  command: string;
  /** Address that was connected to, `host:port`. */
  target: string;
  /** Connections asked for. */
  requested: number;
  /** Connections opened. */
  opened: number;
  /** Connections that could not be opened. */
  failed: number;
  /** Client processes. */
  processes: number;
  /** Addresses that connections came from. */
  sourceAddresses: number;
  /** Name of an errno, such as `ECONNRESET`, or `HTTP 503`, to the connections that failed so. */
  failures: Record<string, number>;
  /** Sentences about the run, such as what was changed on the machine to make it possible. */
  notes: string[];
  /** The ramp. */
  ramp: Ramp;
  /** What came to subscribers, if connections subscribed. */
  fanout?: Fanout;
  /** The hold, if one was asked for. */
  hold?: Hold;
  /** The verification, if one was asked for. */
  verify?: Verify;
  /** The active phase, if one was asked for. */
  active?: Active;
  /** The server's cost, if the server could be asked. */
  server?: ServerCost;
}

/** What stands in place of a number that was not measured. */
export const NOT_MEASURED = 'not measured';

function grouped(value: number, digits: number): string {
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

// Null is what JSON makes of Infinity, so a result read back from a file may hold one anywhere.
function isMeasured(value: number | null): value is number {
  return value !== null && Number.isFinite(value);
}

/** Writes a count or a rate as a whole number: `1,000,000`. */
export function formatCount(value: number | null): string {
  return isMeasured(value) ? grouped(Math.round(value), 0) : NOT_MEASURED;
}

/** Writes a count with what it counts: `1 worker`, `8 workers`, `2 addresses`. */
export function formatCounted(value: number, one: string, many = `${one}s`): string {
  return `${formatCount(value)} ${value === 1 ? one : many}`;
}

/** Writes a duration with its unit: `0.25 s`, `15.0 s`, `3,600 s`. */
export function formatSeconds(seconds: number | null): string {
  if (!isMeasured(seconds)) return NOT_MEASURED;
  return `${grouped(seconds, seconds < 1 ? 2 : seconds < 1000 ? 1 : 0)} s`;
}

/** Writes a latency with three digits and a unit that suits it: `84.0 µs`, `4.21 ms`. */
export function formatMicroseconds(us: number | null): string {
  if (!isMeasured(us)) return NOT_MEASURED;
  // 999.5 and not 1000: a value that rounding lifts to 1000 belongs to the next unit.
  const unit = us < 999.5 ? 'µs' : us < 999_500 ? 'ms' : 's';
  const value = us / { µs: 1, ms: 1e3, s: 1e6 }[unit];
  const digits = value === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${grouped(value, digits)} ${unit}`;
}

/** Writes a size with three digits and a binary unit: `512 bytes`, `3.50 MiB`, `7.75 GiB`. */
export function formatBytes(bytes: number | null): string {
  if (!isMeasured(bytes)) return NOT_MEASURED;
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let step = 0;
  while (Math.abs(value) >= 1023.5 && step < units.length - 1) {
    value /= 1024;
    step += 1;
  }
  const digits = step === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${grouped(value, digits)} ${units[step] ?? ''}`;
}

/** Writes a cost for each connection in bytes, never in a larger unit: `2,312 bytes`. */
export function formatCost(bytes: number | null): string {
  return isMeasured(bytes) ? `${grouped(Math.round(bytes), 0)} bytes` : NOT_MEASURED;
}

/** The broadcast that took the longest from its first arrival to its last. */
export function slowestBroadcast({ broadcasts }: Fanout): Broadcast | undefined {
  return broadcasts.reduce<Broadcast | undefined>(
    (slowest, one) => (slowest === undefined || one.seconds > slowest.seconds ? one : slowest),
    undefined,
  );
}

/** Writes a moment to the second, in UTC; a text that names no moment stays as it is. */
export function formatMoment(iso: string): string {
  const time = Date.parse(iso);
  if (Number.isNaN(time)) return iso;
  return new Date(time)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}

/** Adds what a connection costs in user and in kernel memory, bytes; null unless both are known. */
export function totalBytesPerConnection(server: ServerCost): number | null {
  const { userBytesPerConnection: user, kernelBytesPerConnection: kernel } = server;
  // The parts are shown as whole bytes next to this sum, and a reader adds them up.
  return isMeasured(user) && isMeasured(kernel) ? Math.round(user) + Math.round(kernel) : null;
}

/** Lists the causes of failure, most frequent first. */
export function failuresByCount(result: BenchResult): [errno: string, count: number][] {
  return Object.entries(result.failures).sort(
    ([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1),
  );
}

/** Says in one line how many connections the run opened, and how fast. */
export function headline(result: BenchResult): string {
  const opened = formatCount(result.opened);
  const complete = result.opened === result.requested;
  const count = complete ? opened : `${opened} of ${formatCount(result.requested)}`;
  return `${count} connections in ${formatSeconds(result.ramp.seconds)}`;
}

/** What became of a run. */
export interface Verdict {
  /** Whether every connection opened, stayed and answered, as far as the run looked. */
  isClean: boolean;
  /** One sentence: what was proved, or everything that went wrong. */
  text: string;
}

function counted(count: number, one: string, many = one): string[] {
  return count > 0 ? [formatCounted(count, one, many)] : [];
}

/** Judges a run. Claims nothing about a phase that did not run. */
export function verdict(result: BenchResult): Verdict {
  const { hold, verify, fanout } = result;
  const problems = [
    ...counted(result.requested - result.opened, 'was not opened', 'were not opened'),
    ...counted(hold?.lost ?? 0, 'was lost while held', 'were lost while held'),
    ...counted(fanout?.gaps ?? 0, 'was told of lost messages', 'were told of lost messages'),
    ...counted(verify?.wrong ?? 0, 'answered wrongly'),
    ...counted(verify?.unanswered ?? 0, 'did not answer'),
  ];
  if (problems.length > 0) return { isClean: false, text: `${sentence(problems)}.` };
  const proofs = ['Every connection opened'];
  if (hold !== undefined) proofs.push(`none was lost in ${formatSeconds(hold.seconds)}`);
  if (fanout !== undefined && fanout.broadcasts.length > 0)
    proofs.push(fanoutProof(result, fanout));
  if (verify !== undefined) {
    const isWhole = verify.asked === result.opened;
    const who = isWhole ? 'every one' : `each of the ${formatCount(verify.asked)} asked`;
    proofs.push(`${who} answered what it was sent`);
  }
  return { isClean: true, text: `${sentence(proofs)}.` };
}

function fanoutProof({ opened }: BenchResult, { broadcasts }: Fanout): string {
  const least = Math.min(...broadcasts.map(({ reached }) => reached));
  const who = least === opened ? 'every one' : `at least ${formatCount(least)}`;
  const what = broadcasts.length === 1 ? 'the' : `each of ${formatCount(broadcasts.length)}`;
  return `${who} got ${what} ${broadcasts.length === 1 ? 'broadcast' : 'broadcasts'}`;
}

function sentence(parts: string[]): string {
  const last = parts.at(-1) ?? '';
  return parts.length < 2 ? last : `${parts.slice(0, -1).join(', ')} and ${last}`;
}
