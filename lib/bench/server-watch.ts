// Measures the cost of a run for a server on this machine: from the admin server of megacomet-ts,
// or from /proc for the processes of any server.
import { setTimeout as sleep } from 'node:timers/promises';

import { fetchStats, type Trust } from '../api/admin-client.js';
import type { ServerCost } from './bench-result.js';
import { procReader, readCpuUs, readMemInfo, readPrivateBytes } from '../system/kernel.js';
import { isLoopback, type Address } from '../base/address.js';
import type { Stats } from '../stats/stats.js';

/** Two bind buckets per client port. Otherwise both ends of a pair cost the same (Linux 6.18). */
const CLIENT_EXTRA_BYTES = 256;

/** The admin server reads private memory at most once a second; wait for a value after the run. */
const MEMORY_DELAY_MS = 1500;

/** Interval of the memory curve. It doubles when the curve has too many points to draw. */
const SAMPLE_MS = 1000;
const POINTS_MAX = 300;

/** One measurement of a server. */
interface Reading {
  readonly version: string;
  readonly pids: readonly number[];
  readonly privateBytes: number;
}

type Reader = () => Promise<Reading>;

/** How to reach an admin server. */
export interface WatchedAdmin {
  readonly admin: string;
  readonly token: string | null;
  readonly trust: Trust;
}

function adminReader({ admin, token, trust }: WatchedAdmin): Reader {
  return async () => readingOf(await fetchStats(admin, token, trust));
}

function readingOf(stats: Stats): Reading {
  return {
    version: stats.version,
    pids: stats.workers.map(({ pid }) => pid).filter((pid) => pid !== null),
    privateBytes: stats.memory.privateBytes,
  };
}

function processReader(pids: readonly number[]): Reader {
  return () => {
    const bytes = pids.map((pid) => readPrivateBytes(procReader, pid) ?? 0);
    const privateBytes = bytes.reduce((sum, value) => sum + value, 0);
    return Promise.resolve({ version: '', pids, privateBytes });
  };
}

function isLocal(targets: readonly Address[]): boolean {
  return targets.every(({ host, isUnix }) => isUnix || isLoopback(host));
}

/** CPU time of all processes, or null if one of them has ended: its time is lost. */
function cpuUsOf(pids: readonly number[]): number | null {
  const times = pids.map((pid) => readCpuUs(procReader, pid) ?? null);
  return times.reduce((sum, us) => (sum === null || us === null ? null : sum + us), 0);
}

export class ServerWatch {
  readonly #read: Reader;
  readonly #before: Reading;
  readonly #slabBefore = readMemInfo(procReader, 'Slab') ?? 0;
  readonly #curve: ServerCost['memoryCurve'] = [];
  #connections: () => number = () => 0;
  #startedAtMs = 0;
  #cpuBeforeUs: number | null = 0;
  #intervalMs = SAMPLE_MS;
  #timer: NodeJS.Timeout | undefined;
  #isReading = false;

  private constructor(read: Reader, before: Reading) {
    this.#read = read;
    this.#before = before;
  }

  /** Watches the processes of any server. */
  static async ofProcesses(pids: readonly number[]): Promise<ServerWatch> {
    const read = processReader(pids);
    return new ServerWatch(read, await read());
  }

  /** Watches megacomet-ts; null if its admin server does not answer or serves other addresses. */
  static async ofAdmin(
    watched: WatchedAdmin,
    targets: readonly Address[],
  ): Promise<ServerWatch | null> {
    if (!isLocal(targets)) return null;
    try {
      const { admin, token, trust } = watched;
      const stats = await fetchStats(admin, token, trust);
      const serves = (target: Address): boolean =>
        stats.listen.some((text) => text.endsWith(`:${target.isUnix ? target.host : target.port}`));
      if (!targets.every(serves)) return null;
      return new ServerWatch(adminReader(watched), readingOf(stats));
    } catch {
      return null;
    }
  }

  /**
   * Starts the memory curve, which has a point each second until {@link stop}.
   *
   * @param connections - Returns the number of open connections.
   */
  begin(connections: () => number): void {
    this.#startedAtMs = performance.now();
    this.#connections = connections;
    this.markCpu();
    this.#curve.push({ seconds: 0, connections: 0, userBytes: 0, kernelBytes: 0 });
    this.#repeat();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** From now on cpuUs() counts from zero. */
  markCpu(): void {
    this.#cpuBeforeUs = cpuUsOf(this.#before.pids);
  }

  /** CPU time of the server since markCpu(), in microseconds; null if a process has ended. */
  cpuUs(): number | null {
    const us = cpuUsOf(this.#before.pids);
    if (us === null || this.#cpuBeforeUs === null) return null;
    // The time of a thread that has ended is lost.
    return Math.max(0, us - this.#cpuBeforeUs);
  }

  #repeat(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => void this.#sample(), this.#intervalMs);
  }

  /** Adds a point to the memory curve, unless a measurement is running. */
  async #sample(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      this.#add(this.#connections(), await this.#read());
      if (this.#curve.length > POINTS_MAX) this.#thinOut();
    } catch {
      // A busy server leaves a gap in the curve. finish() must succeed.
    } finally {
      this.#isReading = false;
    }
  }

  /** Drops every second point: a plot has a few hundred pixels, and a hold can last for days. */
  #thinOut(): void {
    const kept = this.#curve.filter((_, index) => index % 2 === 0);
    this.#curve.splice(0, this.#curve.length, ...kept);
    this.#intervalMs *= 2;
    this.#repeat();
  }

  /** Whether the same processes still serve: memory of others cannot be compared. */
  #isSame(reading: Reading): boolean {
    return reading.pids.join() === this.#before.pids.join();
  }

  #add(connections: number, reading: Reading): void {
    if (!this.#isSame(reading)) return;
    const slab = (readMemInfo(procReader, 'Slab') ?? 0) - this.#slabBefore;
    this.#curve.push({
      seconds: (performance.now() - this.#startedAtMs) / 1000,
      connections,
      // Pages that the server returned to the kernel meanwhile are not a negative cost.
      userBytes: Math.max(0, reading.privateBytes - this.#before.privateBytes),
      kernelBytes: Math.max(0, (slab - CLIENT_EXTRA_BYTES * connections) / 2),
    });
  }

  /** The cost of `connections` that took `cpuUs` of CPU time of the server. */
  async finish(connections: number, cpuUs: number | null): Promise<ServerCost> {
    await sleep(MEMORY_DELAY_MS);
    const reading = await this.#read();
    this.#add(connections, reading);
    const last = this.#isSame(reading) ? this.#curve.at(-1) : undefined;
    const per = (amount: number | null | undefined): number | null =>
      amount === null || amount === undefined || connections <= 0 ? null : amount / connections;
    return {
      version: reading.version,
      workers: reading.pids.length,
      userBytesPerConnection: per(last?.userBytes),
      kernelBytesPerConnection: per(last?.kernelBytes),
      cpuMicrosecondsPerAccept: per(cpuUs),
      memoryCurve: this.#curve,
    };
  }
}
