// The stats of a server: counters of the shared segment, of the manager and of the kernel, and
// memory.
import { logLinesDropped } from '../base/log-sink.js';
import { readPrivateBytes, type MetricValue, type Reader } from '../system/kernel.js';
import type { LogStatus } from './log-status.js';
import { readHeadrooms, type Headroom } from './headroom.js';
import { kernelStats } from './kernel-metrics.js';
import { addon, camelCase, packageVersion, type Segment } from '../system/native.js';

/** An exact counter: a bigint above 2^53, so that no value is rounded. */
export type Count = bigint | number;

/** The stats of one worker. */
export interface WorkerStats {
  /** Its slot, from 0. */
  readonly slot: number;
  /** Process id, null while the slot has no process. */
  readonly pid: number | null;
  /** `waiting`, `starting`, `serving`, `late`, `hung`, `draining` or `gone`. */
  readonly state: string;
  /** Processes of this slot before the present one. */
  readonly restarts: number;
  /** Milliseconds since the worker's last heartbeat; null without a worker. */
  readonly heartbeatAgeMs: number | null;
  /** Longest loop iteration of the last 10 to 20 seconds, in milliseconds. */
  readonly loopLagMaxMs: number;
  /** Loop iterations by length: entry b counts those below 2^b microseconds. */
  readonly loopLagHistogram: readonly Count[];
  /** Sum of the lengths of all loop iterations, in microseconds. */
  readonly loopLagSumUs: Count;
  /** Private memory of this process, in bytes. */
  readonly privateBytes: MetricValue;
  /** Every counter of native/ipc/segment.h in camel case, such as `acceptedTotal`. */
  readonly [counter: string]: Count | MetricValue | string | readonly Count[];
}

/** The stats of a server at one moment, as stats() and `/stats` report them. */
export interface Stats {
  /** Version of this package. */
  readonly version: string;
  /** Whole seconds after the start. */
  readonly uptimeSeconds: number;
  /** The value of `--protocol`. */
  readonly protocol: string;
  /** Addresses, as `HOST:PORT`, `[V6]:PORT` or `unix:PATH`. */
  readonly listen: readonly string[];
  /** Connections that the server may hold. */
  readonly maxConnections: number;
  /** Whether close() has begun. */
  readonly isDraining: boolean;
  /** Log lines of the manager that were dropped, because their reader was too slow. */
  readonly logLinesDroppedTotal: number;
  /** Workers that were replaced because they wrote or sent invalid data. */
  readonly workerFaultsTotal: number;
  /** Sums over the workers, in camel case; totals include workers that died. */
  readonly totals: Readonly<Record<string, Count>>;
  /** One entry for each slot, in order. */
  readonly workers: readonly WorkerStats[];
  /**
   * Metrics of publishing, history and subscriptions by their field (docs/metrics.md); null unless
   * the protocol is comet.
   */
  readonly messages: Readonly<Record<string, number>> | null;
  /** Metrics of the mailboxes of `/ID.js`; null unless the protocol is comet. */
  readonly mailboxes: Readonly<Record<string, number>> | null;
  /** Metrics of the applications at `--ingest`; null without that option. */
  readonly ingest: Readonly<Record<string, number>> | null;
  /** Metrics of the admin server; null without one. */
  readonly admin: Readonly<Record<string, number>> | null;
  /**
   * Responses of the admin server by endpoint and class of status, such as
   * `{"/publish":{"2xx":5,"4xx":0,"5xx":0}}`; other paths are `other`. Null without one.
   */
  readonly adminResponses: Readonly<Record<string, Readonly<Record<string, number>>>> | null;
  /** Metrics of asking the application about clients; null without `--hook-url` and `authorize`. */
  readonly hook: Readonly<Record<string, number>> | null;
  /** Metrics of the log of the messages; null without `historyDir` and `engine`. */
  readonly log: Readonly<Record<string, number>> | null;
  /** Metrics of the cluster; null without `engine`. */
  readonly cluster: Readonly<Record<string, number>> | null;
  /** The state of that log; null without one. */
  readonly logState: LogStatus | null;
  /** Whole days until each certificate expires, by its file; null without TLS. */
  readonly tlsCertificateDaysLeft: Readonly<Record<string, number>> | null;
  /** Limits that this kernel shows, with their use and headroom (1 to 0). */
  readonly limits: readonly Headroom[];
  /** Values of the kernel; null where it does not show one here. */
  readonly kernel: Readonly<Record<string, MetricValue>>;
  /** Private memory, in bytes. */
  readonly memory: {
    /** Of all workers. */
    readonly privateBytes: number;
    /** The manager's own. */
    readonly managerPrivateBytes: MetricValue;
    /** Private memory above that of workers without connections, per connection; null with none. */
    readonly userBytesPerConnection: number | null;
  };
}

/** The state of a slot, for its stats. */
export interface SlotView {
  readonly slot: number;
  readonly pid: number | null;
  readonly state: string;
  readonly generation: number;
}

const NAMES = addon.counters.map((counter) => camelCase(counter.name));
/** Gauges whose sum has no meaning. */
const NOT_SUMMED = new Set(['loopLagMaxUs', 'connectionsMax']);
const WORDS = addon.sizes.blockWords;
const FIRST_COUNTER = 1;
const FIRST_LAG = FIRST_COUNTER + NAMES.length;
const LAG_SUM = FIRST_LAG + addon.sizes.lagBuckets;

/** Private memory is read again after this long at the earliest: 0.3 ms a worker. */
const MEMORY_AGE_MS_MAX = 1000;

function exact(value: bigint): Count {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** A copy of the segment, with names. */
export class SegmentReader {
  readonly #segment: Segment;
  readonly #words: BigUint64Array;

  constructor(segment: Segment, slots: number) {
    this.#segment = segment;
    this.#words = new BigUint64Array(slots * WORDS);
  }

  refresh(): void {
    this.#segment.copy(this.#words);
  }

  #word(slot: number, index: number): bigint {
    return this.#words[slot * WORDS + index] ?? 0n;
  }

  /** Milliseconds since the last heartbeat of the slot's worker; null before the first. */
  beatAgeMs(slot: number): number | null {
    const beat = this.#word(slot, 0);
    if (beat === 0n) return null;
    return Math.max(0, Number((process.hrtime.bigint() - beat) / 1_000_000n));
  }

  counter(slot: number, name: string): bigint {
    return this.#word(slot, FIRST_COUNTER + NAMES.indexOf(name));
  }

  counters(slot: number): Record<string, Count> {
    return Object.fromEntries(
      NAMES.map((name, index) => [name, exact(this.#word(slot, FIRST_COUNTER + index))]),
    );
  }

  lag(slot: number): Count[] {
    return Array.from({ length: addon.sizes.lagBuckets }, (_, index) =>
      exact(this.#word(slot, FIRST_LAG + index)),
    );
  }

  lagSumUs(slot: number): Count {
    return exact(this.#word(slot, LAG_SUM));
  }

  totals(slots: number): Record<string, Count> {
    const totals: Record<string, Count> = {};
    NAMES.forEach((name, index) => {
      if (NOT_SUMMED.has(name)) return;
      let sum = 0n;
      for (let slot = 0; slot < slots; slot++) sum += this.#word(slot, FIRST_COUNTER + index);
      totals[name] = exact(sum);
    });
    return totals;
  }
}

/** Private memory of the workers, cached for a second, now and before their first connection. */
export class WorkerMemory {
  readonly #read: Reader;
  readonly #bytes = new Map<number, MetricValue>();
  readonly #bare = new Map<number, number>();
  #readAtMs = -Infinity;

  constructor(read: Reader) {
    this.#read = read;
  }

  /** Notes the memory of a worker before its first connection. */
  markBare(pid: number): void {
    const bytes = readPrivateBytes(this.#read, pid);
    if (bytes !== null) this.#bare.set(pid, bytes);
  }

  forget(pid: number): void {
    this.#bare.delete(pid);
  }

  refresh(pids: readonly number[], nowMs: number): void {
    if (nowMs - this.#readAtMs < MEMORY_AGE_MS_MAX) return;
    this.#readAtMs = nowMs;
    this.#bytes.clear();
    for (const pid of pids) this.#bytes.set(pid, readPrivateBytes(this.#read, pid));
  }

  privateBytes(pid: number | null): MetricValue {
    return pid === null ? null : (this.#bytes.get(pid) ?? null);
  }

  /** Bytes of all workers, now and before their first connections. */
  sums(): { readonly now: number; readonly bare: number } {
    let now = 0;
    let bare = 0;
    for (const [pid, bytes] of this.#bytes) {
      now += bytes ?? 0;
      bare += this.#bare.get(pid) ?? 0;
    }
    return { now, bare };
  }
}

export function workerStats(
  view: SlotView,
  segment: SegmentReader,
  memory: WorkerMemory,
): WorkerStats {
  const counters = segment.counters(view.slot);
  return {
    ...counters,
    slot: view.slot,
    pid: view.pid,
    state: view.state,
    restarts: Math.max(0, view.generation - 1),
    heartbeatAgeMs: view.pid === null ? null : segment.beatAgeMs(view.slot),
    loopLagMaxMs: Number(counters['loopLagMaxUs'] ?? 0) / 1000,
    loopLagHistogram: segment.lag(view.slot),
    loopLagSumUs: segment.lagSumUs(view.slot),
    privateBytes: memory.privateBytes(view.pid),
  };
}

/** The part of the stats that only the server knows. */
export interface ServerFacts {
  readonly startedAtMs: number;
  readonly protocol: string;
  readonly listen: readonly string[];
  readonly maxConnections: number;
  readonly isDraining: boolean;
  readonly workerFaultsTotal: number;
  readonly messages: Readonly<Record<string, number>> | null;
  readonly mailboxes: Readonly<Record<string, number>> | null;
  readonly ingest: Readonly<Record<string, number>> | null;
  readonly admin: Readonly<Record<string, number>> | null;
  readonly adminResponses: Stats['adminResponses'];
  readonly hook: Readonly<Record<string, number>> | null;
  readonly log: Readonly<Record<string, number>> | null;
  readonly cluster: Readonly<Record<string, number>> | null;
  readonly logState: LogStatus | null;
  readonly tlsCertificateDaysLeft: Stats['tlsCertificateDaysLeft'];
}

export function collectStats(
  facts: ServerFacts,
  slots: readonly SlotView[],
  segment: SegmentReader,
  memory: WorkerMemory,
  read: Reader,
): Stats {
  segment.refresh();
  const pids = slots.map((view) => view.pid).filter((pid) => pid !== null);
  memory.refresh(pids, performance.now());
  const totals = segment.totals(slots.length);
  const connections = Number(totals['connections'] ?? 0);
  const { now, bare } = memory.sums();
  return {
    version: packageVersion,
    uptimeSeconds: Math.floor((performance.now() - facts.startedAtMs) / 1000),
    protocol: facts.protocol,
    listen: facts.listen,
    maxConnections: facts.maxConnections,
    isDraining: facts.isDraining,
    logLinesDroppedTotal: logLinesDropped(),
    workerFaultsTotal: facts.workerFaultsTotal,
    totals,
    workers: slots.map((view) => workerStats(view, segment, memory)),
    messages: facts.messages,
    mailboxes: facts.mailboxes,
    ingest: facts.ingest,
    admin: facts.admin,
    adminResponses: facts.adminResponses,
    hook: facts.hook,
    log: facts.log,
    cluster: facts.cluster,
    logState: facts.logState,
    tlsCertificateDaysLeft: facts.tlsCertificateDaysLeft,
    limits: readHeadrooms(read, connections, facts.maxConnections),
    kernel: kernelStats(read),
    memory: {
      privateBytes: now,
      managerPrivateBytes: readPrivateBytes(read, process.pid),
      userBytesPerConnection: connections === 0 ? null : (now - bare) / connections,
    },
  };
}
