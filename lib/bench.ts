// One run of the load generator: plan, open, hold, verify, exchange, measure. Level 6.
import { availableParallelism, release, totalmem } from 'node:os';
import { getSystemErrorName } from 'node:util';

import type {
  Active,
  BenchResult,
  Hold,
  Latency,
  Ramp,
  ServerCost,
  Verify,
} from './bench-result.js';
import { MegacometError } from './errors.js';
import { Fleet, PHASE, type FleetProgress, type PhaseEnd } from './fleet.js';
import { procReader, readCores, readDescriptorLimit } from './kernel.js';
import type { Address } from './listening.js';
import { addon, packageVersion } from './native.js';
import { planSources } from './ports.js';
import { ServerWatch } from './server-watch.js';

export interface BenchOptions {
  readonly targets: readonly Address[];
  readonly connections: number;
  /** Connections per second; 0 for no limit. */
  readonly rate: number;
  readonly processes: number | 'auto';
  readonly sources: readonly string[];
  /** Seconds. */
  readonly hold: number;
  readonly verify: boolean;
  /** Connections that exchange messages; 0 for none. */
  readonly active: number;
  /** Bytes. */
  readonly messageSize: number;
  /** Seconds. */
  readonly duration: number;
  /** Seconds. */
  readonly connectTimeout: number;
  /** Admin server of the target, `HOST:PORT`. */
  readonly admin: string;
  /** Processes of a server that has no admin server of ours, to watch instead. */
  readonly serverPids?: readonly number[];
  /** The command line, for the result. */
  readonly command: string;
}

export type BenchPhase = 'exchange' | 'hold' | 'open' | 'verify';

/** Where a phase stands. `done` and `total` are connections; for hold and exchange seconds. */
export interface BenchProgress {
  readonly phase: BenchPhase;
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  /** What was done per second so far: connections, answers, or messages. */
  readonly perSecond: number;
}

/** Called a few times a second. */
export type OnProgress = (progress: BenchProgress) => void;

const SAMPLE_MS = 250;
/** Descriptors of a dialer besides its connections. */
const DIALER_DESCRIPTORS = 32;

function shareOut(total: number, parts: number): number[] {
  return Array.from(
    { length: parts },
    (_, index) => Math.floor(total / parts) + (index < total % parts ? 1 : 0),
  );
}

function planProcesses(options: BenchOptions): number {
  const usable =
    readDescriptorLimit(procReader) - DIALER_DESCRIPTORS - addon.bounds.descriptorReserve;
  const needed = Math.ceil(options.connections / Math.max(1, usable));
  if (options.processes === 'auto') {
    const wanted = Math.max(needed, Math.min(readCores(procReader), options.connections));
    if (wanted <= addon.bounds.slotsMax) return wanted;
  } else if (options.processes >= needed) {
    return Math.min(options.processes, options.connections);
  }
  throw new MegacometError(
    'ERR_CAPACITY',
    `${options.connections} connections need ${needed} dialers at ${usable} descriptors each: ` +
      'raise the limit of open files, or --processes',
  );
}

/** Upper end, in microseconds, of a bucket of native/histogram.h. */
export function bucketUpToUs(bucket: number): number {
  const steps = addon.bounds.histogramSteps;
  if (bucket < steps) return bucket;
  const octave = Math.floor(bucket / steps) - 1;
  return (steps + (bucket % steps) + 1) * 2 ** octave - 1;
}

export function toLatency(end: PhaseEnd): Latency {
  const indices = [...end.buckets.keys()].sort((a, b) => a - b);
  const count = [...end.buckets.values()].reduce((sum, value) => sum + value, 0);
  const percentile = (share: number): number => {
    let seen = 0;
    for (const index of indices) {
      seen += end.buckets.get(index) ?? 0;
      if (seen >= share * count) return Math.min(bucketUpToUs(index), end.maxUs);
    }
    return end.maxUs;
  };
  const first = indices[0] ?? 0;
  const last = indices.at(-1) ?? -1;
  const range = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return {
    count,
    minUs: count === 0 ? 0 : end.minUs,
    p50Us: percentile(0.5),
    p90Us: percentile(0.9),
    p99Us: percentile(0.99),
    p999Us: percentile(0.999),
    maxUs: end.maxUs,
    buckets: range.map((index) => ({
      upToUs: bucketUpToUs(index),
      count: end.buckets.get(index) ?? 0,
    })),
  };
}

class Run {
  readonly #fleet = new Fleet();
  readonly #options: BenchOptions;
  readonly #onProgress: OnProgress;
  readonly #failures: Record<string, number> = {};
  #watch: ServerWatch | null = null;

  constructor(options: BenchOptions, onProgress: OnProgress) {
    this.#options = options;
    this.#onProgress = onProgress;
  }

  abort(error: Error): void {
    this.#fleet.fail(error);
  }

  async run(): Promise<BenchResult> {
    const options = this.#options;
    const startedAt = new Date().toISOString();
    const processes = planProcesses(options);
    const shares = shareOut(options.connections, processes);
    const plan = planSources(shares, options.targets, options.sources);
    try {
      await this.#fleet.start(processes, 2 * readCores(procReader));
      this.#watch =
        options.serverPids === undefined
          ? await ServerWatch.ofAdmin(options.admin, options.targets)
          : await ServerWatch.ofProcesses(options.serverPids);
      this.#watch?.begin();
      const ramp = await this.#open(shares, plan.sources);
      const server = await this.#serverCost();
      const hold = options.hold > 0 ? await this.#hold() : undefined;
      const verify = options.verify ? await this.#verify() : undefined;
      const active = options.active > 0 ? await this.#exchange() : undefined;
      // An interrupt may have come while nothing was awaited that notices it.
      await this.#fleet.pass(0);
      const { opened, failed } = this.#fleet.progress();
      return {
        version: packageVersion,
        startedAt,
        kernel: release(),
        node: process.version,
        cpus: availableParallelism(),
        memoryBytes: totalmem(),
        command: options.command,
        target: options.targets.map(({ host, port }) => `${host}:${port}`).join(', '),
        requested: options.connections,
        opened,
        failed,
        processes,
        sourceAddresses: new Set(plan.sources.flat()).size,
        failures: this.#failures,
        notes: [...plan.notes],
        ramp,
        ...(hold && { hold }),
        ...(verify && { verify }),
        ...(active && { active }),
        ...(server && { server }),
      };
    } finally {
      await this.#fleet.close();
      plan.restore();
    }
  }

  async #serverCost(): Promise<ServerCost | undefined> {
    const cpuUs = this.#watch?.cpuUs() ?? 0;
    try {
      return await this.#watch?.finish(this.#fleet.progress().opened, cpuUs);
    } catch {
      // The figures of a server that does not answer are missing from the result; the run goes on.
      return undefined;
    }
  }

  /** Waits for a phase and looks at the progress meanwhile. */
  async #phase(phase: number, look: (progress: FleetProgress) => void): Promise<PhaseEnd> {
    const timer = setInterval(() => {
      look(this.#fleet.progress());
    }, SAMPLE_MS);
    try {
      const end = await this.#fleet.finish(phase);
      for (const [error, count] of end.failures) {
        this.#failures[error === 0 ? 'closed by server' : getSystemErrorName(-error)] = count;
      }
      look(end.progress);
      return end;
    } finally {
      clearInterval(timer);
    }
  }

  async #open(shares: readonly number[], sources: readonly (readonly string[])[]): Promise<Ramp> {
    const { targets, rate, connectTimeout, connections } = this.#options;
    this.#fleet.order('Dial', (index) => ({
      parent: process.pid,
      connections: shares[index] ?? 0,
      rateMilli: Math.ceil((rate * 1000) / shares.length),
      connectTimeoutS: connectTimeout,
      targets: targets.map(({ isUnix, host, port }) =>
        isUnix ? `unix ${host}` : `${host} ${port}`,
      ),
      sources: sources[index] ?? [],
    }));
    const curve: Ramp['curve'] = [{ seconds: 0, opened: 0, failed: 0 }];
    let sampledAt = 0;
    const { progress } = await this.#phase(PHASE.open, ({ seconds, opened, failed }) => {
      curve.push({ seconds, opened, failed });
      const perSecond = opened / Math.max(seconds, 0.001);
      this.#onProgress({ phase: 'open', done: opened, total: connections, failed, perSecond });
      if (seconds - sampledAt < 1) return;
      sampledAt = seconds;
      void this.#watch?.sample(opened);
    });
    const { seconds, opened } = progress;
    return { seconds, connectionsPerSecond: seconds > 0 ? opened / seconds : 0, curve };
  }

  async #hold(): Promise<Hold> {
    const { hold } = this.#options;
    this.#watch?.begin();
    const endsAtMs = performance.now() + hold * 1000;
    for (;;) {
      const leftMs = endsAtMs - performance.now();
      const { lost, failed } = this.#fleet.progress();
      const done = Math.min(hold, hold - leftMs / 1000);
      this.#onProgress({ phase: 'hold', done, total: hold, failed: failed + lost, perSecond: 0 });
      if (leftMs <= 0) {
        const cpuUs = this.#watch?.cpuUs();
        return {
          seconds: hold,
          lost,
          serverCpuShare: cpuUs === undefined ? null : cpuUs / hold / 1e6,
        };
      }
      await this.#fleet.pass(Math.min(SAMPLE_MS, leftMs));
    }
  }

  async #verify(): Promise<Verify> {
    const { opened, lost } = this.#fleet.progress();
    const asked = opened - lost;
    this.#fleet.order('Verify', () => ({ timeoutMs: this.#options.connectTimeout * 1000 }));
    const end = await this.#phase(PHASE.verify, ({ answered, wrong, seconds }) => {
      const perSecond = answered / Math.max(seconds, 0.001);
      this.#onProgress({ phase: 'verify', done: answered, total: asked, failed: wrong, perSecond });
    });
    const { answered, wrong, seconds } = end.progress;
    return {
      asked,
      answered,
      wrong,
      unanswered: asked - answered - wrong,
      seconds,
      latency: toLatency(end),
    };
  }

  async #exchange(): Promise<Active> {
    const { active, messageSize, duration } = this.#options;
    const shares = shareOut(active, this.#fleet.size);
    this.#watch?.begin();
    this.#fleet.order('Exchange', (index) => ({
      connections: shares[index] ?? 0,
      messageBytes: messageSize,
      durationMs: Math.round(duration * 1000),
    }));
    const end = await this.#phase(PHASE.exchange, ({ seconds, messages, lost }) => {
      const done = Math.min(seconds, duration);
      const perSecond = messages / Math.max(seconds, 0.001);
      this.#onProgress({ phase: 'exchange', done, total: duration, failed: lost, perSecond });
    });
    const { messages } = end.progress;
    const cpuUs = this.#watch?.cpuUs();
    return {
      serverCpuMicrosecondsPerMessage:
        cpuUs === undefined || messages === 0 ? null : cpuUs / messages,
      connections: active,
      messageBytes: messageSize,
      seconds: duration,
      messages,
      messagesPerSecond: messages / duration,
      latency: toLatency(end),
    };
  }
}

/**
 * Runs the load generator.
 *
 * @param signal - Ends the run early; what was changed on the machine is put back all the same.
 * @throws MegacometError `ERR_CAPACITY`, naming the limit; `ERR_WORKER_START`.
 */
export async function runBench(
  options: BenchOptions,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<BenchResult> {
  const run = new Run(options, onProgress);
  signal.addEventListener('abort', () => {
    run.abort(signal.reason as Error);
  });
  return run.run();
}
