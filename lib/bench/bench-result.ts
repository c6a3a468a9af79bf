// The result of a bench run: its fields and their units, the format of each kind of number, and the
// verdict. Both reports use it.

/** The latencies of a set of requests, of which most last from a write to the end of the answer. */
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
   * The distribution, in ascending order of `upToUs`. A bucket starts at the end of the previous
   * one, the first at 0, and counts only its own requests. An empty bucket may be missing unless
   * the next one has requests.
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
  /**
   * Time to open, with a TLS handshake and the answer to a subscription: with a rate from the moment
   * at which the connect was due, else from the connect. Absent if the run ended while it opened
   * connections, and in results of older versions.
   */
  latency?: Latency;
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

/** The time in which the connections were open and nothing was sent. */
export interface Hold {
  /** Duration, seconds; less than requested if every connection was lost. */
  seconds: number;
  /** Connections that ended meanwhile although the bench did not close them. */
  lost: number;
  /** Processor time of the server meanwhile, as a share of one core (0.01 is 1 %), or null. */
  serverCpuShare?: number | null;
}

/** The phase in which every open connection was sent a byte and had to return it. */
export interface Verify {
  /** Connections that were sent a byte; equals `answered + wrong + unanswered`. */
  asked: number;
  /** Connections that returned the byte that they were sent. */
  answered: number;
  /** Connections that returned something else. */
  wrong: number;
  /** Connections that had not answered in full at the deadline. */
  unanswered: number;
  /** Duration of the phase, seconds. */
  seconds: number;
  /** Time to answer, of the connections that answered. */
  latency: Latency;
}

/** The phase in which some of the connections sent messages continuously. */
export interface Active {
  /** Connections that sent; the others stayed open and idle. */
  connections: number;
  /** Of these, connections that were lost before an echo was complete, or had no echo at all. */
  failed: number;
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

/** One message to many subscribers. */
export interface Broadcast {
  /** Subscribers that received it. */
  reached: number;
  /** First and last delivery, nanoseconds of CLOCK_MONOTONIC. */
  firstNs: number;
  lastNs: number;
  /** Time between the two, seconds. */
  seconds: number;
  /** The progress of the deliveries, in ascending order of time. */
  curve: {
    /** Time since the first delivery, seconds. */
    seconds: number;
    /** Subscribers that had received it. */
    reached: number;
  }[];
}

/** The messages that subscribers received until the end of the hold. */
export interface Fanout {
  /** The transport of the subscribers: `sse`, `websocket`, `poll` or `stream`. */
  transport: string;
  /** Messages, each counted once for every subscriber that received it. */
  received: number;
  /** Reports to a subscriber that messages are gone. */
  gaps: number;
  /** The latest messages to more than one subscriber, at most 64, in their order. */
  broadcasts: Broadcast[];
}

/** The cost of the run for the server; present only if the bench could measure the server. */
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
  /** Memory while the connections opened, in ascending order of time. */
  memoryCurve: {
    /** Time since the first connect, seconds. */
    seconds: number;
    /** Connections open on the server at that time. */
    connections: number;
    /** Growth of the workers' memory after the start of the run, bytes. */
    userBytes: number;
    /** Growth of the kernel's memory after the start of the run, bytes. */
    kernelBytes: number;
  }[];
}

/** The result of a bench run. A phase that did not run has no field. */
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
  /** Address of the server, `host:port`. */
  target: string;
  /** Connections that the run had to open. */
  requested: number;
  /** Connections opened. */
  opened: number;
  /** Connections that did not open. */
  failed: number;
  /** Client processes. */
  processes: number;
  /** Source addresses of the connections. */
  sourceAddresses: number;
  /**
   * Connections that did not open, by cause: the name of an errno, such as `ECONNRESET`, or
   * `HTTP 503`, or `TLS: ` and the words of OpenSSL. The sum is `failed`. `EBADMSG` is a wrong
   * answer.
   */
  failures: Record<string, number>;
  /**
   * Opened connections that ended although the bench did not close them, in any phase. Absent in
   * results of older versions.
   */
  lost?: number;
  /** These by cause, as in `failures`. The sum is `lost`. */
  losses?: Record<string, number>;
  /** Why the run ended early, such as a signal; absent if it ran to its end. */
  incomplete?: string;
  /** Remarks about the run, such as a setting of the machine that it changed. */
  notes: string[];
  /** The ramp. */
  ramp: Ramp;
  /** The messages of the subscribers, if connections subscribed. */
  fanout?: Fanout;
  /** The hold, if requested. */
  hold?: Hold;
  /** The verification, if requested. */
  verify?: Verify;
  /** The active phase, if requested. */
  active?: Active;
  /** The cost for the server, if it was measured. */
  server?: ServerCost;
}

/** The text for a number that was not measured. */
export const NOT_MEASURED = 'not measured';

function grouped(value: number, digits: number): string {
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

// JSON writes Infinity as null, so any number of a result that was read from a file can be null.
function isMeasured(value: number | null): value is number {
  return value !== null && Number.isFinite(value);
}

/** Writes a count or a rate as a whole number: `1,000,000`. */
export function formatCount(value: number | null): string {
  return isMeasured(value) ? grouped(Math.round(value), 0) : NOT_MEASURED;
}

/** Writes a count with its noun: `1 worker`, `8 workers`, `2 addresses`. */
export function formatCounted(value: number, one: string, many = `${one}s`): string {
  return `${formatCount(value)} ${value === 1 ? one : many}`;
}

/** Writes a duration in seconds: `0.25 s`, `15.0 s`, `3,600 s`; a short one in ms: `4.21 ms`. */
export function formatSeconds(seconds: number | null): string {
  if (!isMeasured(seconds)) return NOT_MEASURED;
  if (seconds > 0 && seconds < 0.0995) return formatMicroseconds(seconds * 1e6);
  return `${grouped(seconds, seconds < 1 ? 2 : seconds < 1000 ? 1 : 0)} s`;
}

/** Writes a latency with three digits, in µs, ms or s: `84.0 µs`, `4.21 ms`. */
export function formatMicroseconds(us: number | null): string {
  if (!isMeasured(us)) return NOT_MEASURED;
  // 999.5 and not 1000, because a value that rounds to 1000 belongs to the next unit.
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

/** Writes a cost per connection, always in bytes: `2,312 bytes`. */
export function formatCost(bytes: number | null): string {
  return isMeasured(bytes) ? `${grouped(Math.round(bytes), 0)} bytes` : NOT_MEASURED;
}

/** The broadcast with the longest time from its first delivery to its last. */
export function slowestBroadcast({ broadcasts }: Fanout): Broadcast | undefined {
  return broadcasts.reduce<Broadcast | undefined>(
    (slowest, one) => (slowest === undefined || one.seconds > slowest.seconds ? one : slowest),
    undefined,
  );
}

/** Writes a time to the second, in UTC. Returns a text that is not a time unchanged. */
export function formatMoment(iso: string): string {
  const time = Date.parse(iso);
  if (Number.isNaN(time)) return iso;
  return new Date(time)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}

/** The sum of user and kernel memory of a connection, bytes; null unless both are known. */
export function totalBytesPerConnection(server: ServerCost): number | null {
  const { userBytesPerConnection: user, kernelBytesPerConnection: kernel } = server;
  // The reports show the parts as whole bytes beside this sum, and the sum must match them.
  return isMeasured(user) && isMeasured(kernel) ? Math.round(user) + Math.round(kernel) : null;
}

/** Lists causes and their counts, most frequent first. A wrong answer is named in words. */
export function byCount(
  causes: Readonly<Record<string, number>>,
): [cause: string, count: number][] {
  return Object.entries(causes)
    .sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1))
    .map(([cause, count]) => [cause === 'EBADMSG' ? 'wrong answer' : cause, count]);
}

/** One line: the number of connections and the time to open them. */
export function headline(result: BenchResult): string {
  const opened = formatCount(result.opened);
  const complete = result.opened === result.requested;
  const count = complete ? opened : `${opened} of ${formatCount(result.requested)}`;
  const noun = result.requested === 1 ? 'connection' : 'connections';
  return `${count} ${noun} in ${formatSeconds(result.ramp.seconds)}`;
}

/** The summary of a run. */
export interface Verdict {
  /** Whether every phase that ran has no failure. */
  isClean: boolean;
  /** One sentence with the proofs of the run, or with every failure. */
  text: string;
}

function counted(count: number, one: string, many = one): string[] {
  return count > 0 ? [formatCounted(count, one, many)] : [];
}

/** What went wrong in a run, a phrase each. */
function problemsOf(result: BenchResult): string[] {
  const { hold, verify, fanout, active, lost = 0, incomplete } = result;
  const wrong = verify?.wrong ?? 0;
  const unanswered = verify?.unanswered ?? 0;
  const exchanges = active?.failed ?? 0;
  // Each of these connections was closed, so it is counted in `lost` too.
  const counts = (hold?.lost ?? 0) + wrong + unanswered + exchanges;
  const isSilent = active?.messages === 0 && exchanges === 0;
  return [
    ...(incomplete === undefined ? [] : [`the run ended early (${incomplete})`]),
    ...counted(result.requested - result.opened, 'was not opened', 'were not opened'),
    ...counted(hold?.lost ?? 0, 'was lost while held', 'were lost while held'),
    ...counted(lost - counts, 'was lost', 'were lost'),
    ...counted(fanout?.gaps ?? 0, 'gap was reported', 'gaps were reported'),
    ...counted(wrong, 'answered wrongly'),
    ...counted(unanswered, 'did not answer'),
    ...(exchanges > 0 ? [exchangesFailed(exchanges, active?.connections ?? 0)] : []),
    ...(isSilent ? ['no message was exchanged'] : []),
  ];
}

function exchangesFailed(failed: number, all: number): string {
  if (failed === all)
    return all === 1 ? 'the exchange failed' : `all ${formatCount(all)} exchanges failed`;
  return `${formatCount(failed)} of ${formatCounted(all, 'exchange')} failed`;
}

/** Summarises a run. Claims nothing about a phase that did not run. */
export function verdict(result: BenchResult): Verdict {
  const { hold, verify, fanout } = result;
  const problems = problemsOf(result);
  if (problems.length > 0) return { isClean: false, text: `${sentence(problems)}.` };
  const proofs = ['Every connection opened'];
  if (hold !== undefined) proofs.push(`none was lost in ${formatSeconds(hold.seconds)}`);
  if (fanout !== undefined && fanout.broadcasts.length > 0)
    proofs.push(fanoutProof(result, fanout));
  if (verify !== undefined) {
    const isWhole = verify.asked === result.opened;
    const who = isWhole ? 'every one' : `each of the ${formatCount(verify.asked)} verified`;
    proofs.push(`${who} returned the byte that it was sent`);
  }
  return { isClean: true, text: `${sentence(proofs)}.` };
}

function fanoutProof({ opened }: BenchResult, { broadcasts }: Fanout): string {
  const fewest = Math.min(...broadcasts.map(({ reached }) => reached));
  const who = fewest === opened ? 'every one' : `at least ${formatCount(fewest)}`;
  const what = broadcasts.length === 1 ? 'the' : `each of ${formatCount(broadcasts.length)}`;
  return `${who} received ${what} ${broadcasts.length === 1 ? 'broadcast' : 'broadcasts'}`;
}

function sentence(parts: string[]): string {
  const last = parts.at(-1) ?? '';
  return parts.length < 2 ? last : `${parts.slice(0, -1).join(', ')} and ${last}`;
}
