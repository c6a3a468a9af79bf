// What a run costs the server that it loads, when the server is on this machine.
// Asks our own server's admin server, or looks at the processes of any server.
import { setTimeout as sleep } from 'node:timers/promises';

import { fetchStats } from '../api/admin-client.js';
import type { ServerCost } from './bench-result.js';
import { procReader, readCpuUs, readMemInfo, readPrivateBytes } from '../system/kernel.js';
import type { Address } from '../base/address.js';
import type { Stats } from '../stats/stats.js';

/** Two bind buckets per client port; the rest of a pair is the same on both ends (Linux 6.18). */
const CLIENT_EXTRA_BYTES = 256;

/** The admin server reads private memory at most once a second: later it is that of the end. */
const SETTLE_MS = 1500;

/** One look at a server. */
interface Look {
  readonly version: string;
  readonly pids: readonly number[];
  readonly privateBytes: number;
}

type Looker = () => Promise<Look>;

function lookAtAdmin(admin: string): Looker {
  return async () => lookOf(await fetchStats(admin));
}

function lookOf(stats: Stats): Look {
  return {
    version: stats.version,
    pids: stats.workers.map(({ pid }) => pid).filter((pid) => pid !== null),
    privateBytes: stats.memory.privateBytes,
  };
}

function lookAtProcesses(pids: readonly number[]): Looker {
  return () => {
    const bytes = pids.map((pid) => readPrivateBytes(procReader, pid) ?? 0);
    const privateBytes = bytes.reduce((sum, value) => sum + value, 0);
    return Promise.resolve({ version: '', pids, privateBytes });
  };
}

function isLocal(targets: readonly Address[]): boolean {
  return targets.every(({ host, isUnix }) => isUnix || host.startsWith('127.') || host === '::1');
}

function cpuUsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readCpuUs(procReader, pid) ?? 0), 0);
}

export class ServerWatch {
  readonly #look: Looker;
  readonly #before: Look;
  readonly #slabBefore = readMemInfo(procReader, 'Slab') ?? 0;
  readonly #curve: ServerCost['memoryCurve'] = [];
  #startedAtMs = 0;
  #cpuBeforeUs = 0;
  #isLooking = false;

  private constructor(look: Looker, before: Look) {
    this.#look = look;
    this.#before = before;
  }

  /** Watches the processes of some server. */
  static async ofProcesses(pids: readonly number[]): Promise<ServerWatch> {
    const look = lookAtProcesses(pids);
    return new ServerWatch(look, await look());
  }

  /** Watches our own server; null if its admin server does not answer, or is another one's. */
  static async ofAdmin(admin: string, targets: readonly Address[]): Promise<ServerWatch | null> {
    if (!isLocal(targets)) return null;
    try {
      const stats = await fetchStats(admin);
      const serves = (target: Address): boolean =>
        stats.listen.some((text) => text.endsWith(`:${target.isUnix ? target.host : target.port}`));
      return targets.every(serves) ? new ServerWatch(lookAtAdmin(admin), lookOf(stats)) : null;
    } catch {
      return null;
    }
  }

  /** Begins to count CPU time, and the time of the curve. */
  begin(): void {
    this.#startedAtMs = performance.now();
    this.#cpuBeforeUs = cpuUsOf(this.#before.pids);
  }

  /** CPU time of the server since begin(), in microseconds. */
  cpuUs(): number {
    return cpuUsOf(this.#before.pids) - this.#cpuBeforeUs;
  }

  /** Takes a point of the memory curve, unless one is under way. */
  async sample(connections: number): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      this.#add(connections, await this.#look());
    } catch {
      // A server too busy to answer leaves a gap in the curve; the last look must succeed.
    } finally {
      this.#isLooking = false;
    }
  }

  #add(connections: number, look: Look): void {
    const slab = (readMemInfo(procReader, 'Slab') ?? 0) - this.#slabBefore;
    this.#curve.push({
      seconds: (performance.now() - this.#startedAtMs) / 1000,
      connections,
      userBytes: look.privateBytes - this.#before.privateBytes,
      kernelBytes: Math.max(0, (slab - CLIENT_EXTRA_BYTES * connections) / 2),
    });
  }

  /** Sums up, after `connections` were opened with `cpuUs` of the server's time. */
  async finish(connections: number, cpuUs: number): Promise<ServerCost> {
    await sleep(SETTLE_MS);
    const look = await this.#look();
    this.#add(connections, look);
    const last = this.#curve.at(-1);
    const per = (amount: number | undefined): number | null =>
      amount === undefined || connections <= 0 ? null : amount / connections;
    return {
      version: look.version,
      workers: look.pids.length,
      userBytesPerConnection: per(last?.userBytes),
      kernelBytesPerConnection: per(last?.kernelBytes),
      cpuMicrosecondsPerAccept: per(cpuUs),
      memoryCurve: this.#curve,
    };
  }
}
