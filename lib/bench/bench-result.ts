// The result of a bench run: its fields and their units. Both reports use it.
import { isMeasured } from './measured-text.js';

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

/** The broadcast with the longest time from its first delivery to its last. */
export function slowestBroadcast({ broadcasts }: Fanout): Broadcast | undefined {
  return broadcasts.reduce<Broadcast | undefined>(
    (slowest, one) => (slowest === undefined || one.seconds > slowest.seconds ? one : slowest),
    undefined,
  );
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
