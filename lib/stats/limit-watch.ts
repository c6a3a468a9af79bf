// Warns while a server runs when a limit of the kernel comes near or was hit.
// One structured line for each crossing, with the fix; never one for each connection.
import { readHeadrooms, type Headroom } from './headroom.js';
import { readNetCounter, type Reader } from '../system/kernel.js';
import type { Logger } from '../base/logger.js';

/** Look this often: a storm of 20,000/s needs longer to fill the last fifth of a limit. */
export const LOOK_INTERVAL_MS = 5000;
/** Use from which a limit is told, and below which it may be told again. */
const WARN_SHARE = 0.8;
const REARM_SHARE = 0.7;
/** The same limit is told again after this long at the earliest, however often it is crossed. */
const QUIET_MS = 600_000;

/** Counters that must stand still: each step is a client that had to try again. */
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
  readonly #toldAtMs = new Map<string, number>();
  /** Limits that were told and have not fallen below REARM_SHARE since. */
  readonly #near = new Set<string>();
  /** Counters as they were when last told; what they were at the start is never told. */
  readonly #told = new Map<string, number>();

  constructor(read: Reader, log: Logger) {
    this.#read = read;
    this.#log = log;
    for (const { name } of STEPS) this.#added(name);
  }

  /** Takes one look; `nowMs` is monotonic. */
  look(connections: number, maxConnections: number, nowMs: number): void {
    const rooms = readHeadrooms(this.#read, connections, maxConnections);
    for (const limit of this.#near) {
      const room = rooms.find((other) => other.limit === limit);
      if (room === undefined || room.used / room.max < REARM_SHARE) this.#near.delete(limit);
    }
    for (const room of rooms) {
      // A server that is full as planned is no fault of the machine: refusals are counted.
      if (room.limit !== 'max-connections') this.#judge(room, nowMs);
    }
    for (const { name, limit, fix } of STEPS) {
      const added = this.#added(name);
      // What moves while this is quiet stays in the sum for the next line.
      if (added === 0 || !this.#mayTell(name, nowMs)) continue;
      this.#told.set(name, (this.#told.get(name) ?? 0) + added);
      this.#log.warn({ limit, counter: name, added, fix }, `${name} moved: the ${limit} was hit`);
    }
  }

  #judge({ limit, used, max, headroom, fix }: Headroom, nowMs: number): void {
    if (used / max < WARN_SHARE || this.#near.has(limit) || !this.#mayTell(limit, nowMs)) return;
    this.#near.add(limit);
    this.#log.warn(
      { limit, used, max, headroom: Number(headroom.toFixed(3)), fix },
      `${limit} is more than ${WARN_SHARE * 100} % used`,
    );
  }

  /** What a counter of the kernel has added since it was last told. */
  #added(name: string): number {
    const now = readNetCounter(this.#read, 'TcpExt', name);
    if (now === null) return 0;
    const before = this.#told.get(name);
    if (before !== undefined && now >= before) return now - before;
    this.#told.set(name, now);
    return 0;
  }

  #mayTell(name: string, nowMs: number): boolean {
    const before = this.#toldAtMs.get(name) ?? -Infinity;
    if (nowMs - before < QUIET_MS) return false;
    this.#toldAtMs.set(name, nowMs);
    return true;
  }
}
