// Warns when a kernel limit is nearly used up, or was reached, while a server runs.
// Logs one structured line for each crossing, with the fix; never one for each connection.
import { readHeadrooms, type Headroom } from './headroom.js';
import { readNetCounter, type Reader } from '../system/kernel.js';
import type { Logger } from '../base/logger.js';

/** Interval between looks: a storm of 20,000/s needs longer to fill the last fifth of a limit. */
export const LOOK_INTERVAL_MS = 5000;
/** Used share that logs a warning, and the share below which a next warning is possible. */
const WARN_SHARE = 0.8;
const REARM_SHARE = 0.7;
/** Minimum time between two warnings about the same limit or counter. */
const QUIET_MS = 600_000;

/** Counters that should not grow: each step is a client that had to retry. */
const STEPS = [
  {
    name: 'ListenOverflows',
    limit: 'listen queue',
    fix: 'raise net.core.somaxconn and --backlog, or add workers',
  },
  {
    name: 'TCPMemoryPressures',
    limit: 'net.ipv4.tcp_mem',
    fix: 'raise net.ipv4.tcp_mem (pages), or spread broadcasts',
  },
] as const;

export class LimitWatch {
  readonly #read: Reader;
  readonly #log: Logger;
  readonly #warnedAtMs = new Map<string, number>();
  /** Limits with a warning whose use has not fallen below REARM_SHARE afterwards. */
  readonly #near = new Set<string>();
  /** Values of the counters at their last warning, or at the start. */
  readonly #reported = new Map<string, number>();

  constructor(read: Reader, log: Logger) {
    this.#read = read;
    this.#log = log;
    for (const { name } of STEPS) this.#added(name);
  }

  /** Reads the limits and counters once; `nowMs` is monotonic. */
  look(connections: number, maxConnections: number, nowMs: number): void {
    const rooms = readHeadrooms(this.#read, connections, maxConnections);
    for (const limit of this.#near) {
      const room = rooms.find((other) => other.limit === limit);
      if (room === undefined || room.used / room.max < REARM_SHARE) this.#near.delete(limit);
    }
    for (const room of rooms) {
      // A server that reaches --max-connections is full as planned; a counter has the rejections.
      if (room.limit !== 'max-connections') this.#checkLimit(room, nowMs);
    }
    for (const { name, limit, fix } of STEPS) {
      const added = this.#added(name);
      // Steps within QUIET_MS are part of the sum in the next line.
      if (added === 0 || !this.#mayWarn(name, nowMs)) continue;
      this.#reported.set(name, (this.#reported.get(name) ?? 0) + added);
      this.#log.warn({ limit, counter: name, added, fix }, `${name} moved: the ${limit} was hit`);
    }
  }

  #checkLimit({ limit, used, max, headroom, fix }: Headroom, nowMs: number): void {
    if (used / max < WARN_SHARE || this.#near.has(limit) || !this.#mayWarn(limit, nowMs)) return;
    this.#near.add(limit);
    this.#log.warn(
      { limit, used, max, headroom: Number(headroom.toFixed(3)), fix },
      `${limit} is more than ${WARN_SHARE * 100} % used`,
    );
  }

  /** Increase of a kernel counter after its last warning. */
  #added(name: string): number {
    const now = readNetCounter(this.#read, 'TcpExt', name);
    if (now === null) return 0;
    const before = this.#reported.get(name);
    if (before !== undefined && now >= before) return now - before;
    this.#reported.set(name, now);
    return 0;
  }

  #mayWarn(name: string, nowMs: number): boolean {
    const before = this.#warnedAtMs.get(name) ?? -Infinity;
    if (nowMs - before < QUIET_MS) return false;
    this.#warnedAtMs.set(name, nowMs);
    return true;
  }
}
