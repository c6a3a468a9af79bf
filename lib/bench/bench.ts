// One run of the load generator: plans, opens, holds, verifies, exchanges and measures.
import { availableParallelism, constants, release, totalmem } from 'node:os';
import { getSystemErrorName } from 'node:util';

import type {
  Active,
  BenchResult,
  Broadcast,
  Fanout,
  Hold,
  Ramp,
  ServerCost,
  Verify,
} from './bench-result.js';
import { MegacometError } from '../base/errors.js';
import { DialPhase, DialTransport } from '../ipc/load-frames.js';
import { Fleet, type FleetProgress, type PhaseEnd } from './fleet.js';
import { toBroadcasts, toLatency } from './histograms.js';
import { procReader, readCores, readDescriptorLimit } from '../system/kernel.js';
import { formatAddress, type Address } from '../base/address.js';
import { DESCRIPTOR_RESERVE, HTTP_FAILURE, SLOTS_MAX } from '../base/native-constants.js';
import { packageVersion } from '../system/native.js';
import { planSources } from './ports.js';
import { ServerWatch } from './server-watch.js';

export type Transport = Lowercase<keyof typeof DialTransport>;

/** Protocols of connections, in the order of their numbers in frames. */
export const TRANSPORTS = Object.keys(DialTransport).map((name) =>
  name.toLowerCase(),
) as readonly Transport[];

/** The subscription of each connection. */
export interface SubscribeOptions {
  readonly channel: string;
  /** Each connection has its own channel: the name, a slash and a number. */
  readonly private: boolean;
  /** The number of channels, with such names, that connections share; 0 for the name alone. */
  readonly channels?: number;
  /** Cursor after which all subscribers start; empty to receive only new messages. */
  readonly since: string;
  /** A connection counts as open at the head of the response, without a cursor. */
  readonly isHeadEnough?: boolean;
}

/** A run while its connections are held. */
export interface Held {
  /** Messages that subscribers received, as of up to 200 ms ago. */
  received(): number;
  /** Disconnects all subscribers. They reconnect at once, each after its last message. */
  reconnect(cursor: string): void;
  /** Whether all subscribers have reconnected. */
  isOpen(): boolean;
  /** The latest messages to more than one subscriber, without those of an earlier call. */
  broadcasts(): Promise<Broadcast[]>;
  /** Waits. Throws if the run ends. */
  pass(ms: number): Promise<void>;
}

export interface BenchOptions {
  readonly targets: readonly Address[];
  readonly connections: number;
  /** Connections per second; 0 for no limit. */
  readonly rate: number;
  readonly processes: number | 'auto';
  readonly sources: readonly string[];
  /** Unless `tcp`, every connection subscribes, and messages are counted. */
  readonly transport?: Transport;
  readonly subscribe?: SubscribeOptions;
  /** Seconds. */
  readonly hold: number;
  /** Called when all connections are open. The hold starts after it. */
  readonly whileHeld?: (held: Held) => Promise<void>;
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
  /** Processes to watch, of a server without our admin server. */
  readonly serverPids?: readonly number[];
  /** The command line, for the result. */
  readonly command: string;
}

export type BenchPhase = 'exchange' | 'hold' | 'open' | 'verify';

/** Progress of a phase. `done` and `total` are connections, or seconds for hold and exchange. */
export interface BenchProgress {
  readonly phase: BenchPhase;
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  /** Connections, answers or messages per second; for a hold, received messages. */
  readonly perSecond: number;
}

/** Called a few times a second. */
export type OnProgress = (progress: BenchProgress) => void;

const SAMPLE_MS = 250;
/**
 * Interval at which dialers read, if they outnumber the cores. To read at once would switch
 * processes for each message: a reconnect storm of a million subscribers took 121 s, not 94 s.
 */
const COLLECT_MS = 10;
/** More channels than connections: no two connections share a channel. */
const CHANNELS_MAX = 2 ** 32 - 1;
/** Descriptors of a dialer in addition to its connections. */
const DIALER_DESCRIPTORS = 32;

function shareOut(total: number, parts: number): number[] {
  return Array.from(
    { length: parts },
    (_, index) => Math.floor(total / parts) + (index < total % parts ? 1 : 0),
  );
}

function planProcesses(options: BenchOptions): number {
  const usable = readDescriptorLimit(procReader) - DIALER_DESCRIPTORS - DESCRIPTOR_RESERVE;
  const needed = Math.ceil(options.connections / Math.max(1, usable));
  if (options.processes === 'auto') {
    const wanted = Math.max(needed, Math.min(readCores(procReader), options.connections));
    if (wanted <= SLOTS_MAX) return wanted;
  } else if (options.processes >= needed) {
    return Math.min(options.processes, options.connections);
  }
  throw new MegacometError(
    'ERR_CAPACITY',
    `${options.connections} connections need ${needed} dialers at ${usable} descriptors each: ` +
      'raise the limit of open files or --processes',
  );
}

/** The name of a cause of failure. */
function causeOf(error: number): string {
  if (error === 0) return 'closed by server';
  if (error >= HTTP_FAILURE) return `HTTP ${error - HTTP_FAILURE}`;
  // A dialer reports a wrong answer as EBADMSG, which libuv does not name.
  return error === constants.errno.EBADMSG ? 'EBADMSG' : getSystemErrorName(-error);
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
      const hold = await this.#held();
      const fanout = await this.#fanout();
      const verify = options.verify ? await this.#verify() : undefined;
      const active = options.active > 0 ? await this.#exchange() : undefined;
      // Throws if an interrupt came while nothing waited on the fleet.
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
        ...(fanout && { fanout }),
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
      // The run goes on; the result lacks the cost of a server that does not answer.
      return undefined;
    }
  }

  /** Waits for a phase, and calls `onSample` with its progress. */
  async #phase(phase: number, onSample: (progress: FleetProgress) => void): Promise<PhaseEnd> {
    const timer = setInterval(() => {
      onSample(this.#fleet.progress());
    }, SAMPLE_MS);
    try {
      const end = await this.#fleet.finish(phase);
      for (const [error, count] of end.failures) {
        this.#failures[causeOf(error)] = count;
      }
      onSample(end.progress);
      return end;
    } finally {
      clearInterval(timer);
    }
  }

  async #open(shares: readonly number[], sources: readonly (readonly string[])[]): Promise<Ramp> {
    const { targets, rate, connectTimeout, connections } = this.#options;
    this.#subscribe(shares);
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
    const { progress } = await this.#phase(DialPhase.open, ({ seconds, opened, failed }) => {
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

  #subscribe(shares: readonly number[]): void {
    const { transport = 'tcp', subscribe, targets } = this.#options;
    if (transport === 'tcp' || subscribe === undefined) return;
    const [target] = targets;
    const isPlain = target !== undefined && !target.isUnix;
    let next = 0;
    const firsts = shares.map((share) => (next += share) - share);
    const { channel } = subscribe;
    const channels = subscribe.private ? CHANNELS_MAX : (subscribe.channels ?? 0);
    this.#fleet.order('Subscribe', (index) => ({
      transport: TRANSPORTS.indexOf(transport),
      awaitsCursor: subscribe.isHeadEnough === true ? 0 : 1,
      channels,
      collectMs: shares.length > availableParallelism() ? COLLECT_MS : 0,
      first: firsts[index] ?? 0,
      host: isPlain ? formatAddress(target) : 'localhost',
      channel: encodeURIComponent(channels > 0 ? `${channel}/` : channel),
      since: encodeURIComponent(subscribe.since),
    }));
  }

  /** The delivery times of the latest messages, after the last wait. */
  async #fanout(): Promise<Fanout | undefined> {
    const { transport = 'tcp' } = this.#options;
    if (transport === 'tcp') return undefined;
    const broadcasts = toBroadcasts(await this.#fleet.gather());
    const { received, gaps } = this.#fleet.progress();
    return { transport, received, gaps, broadcasts };
  }

  async #held(): Promise<Hold | undefined> {
    const { hold, whileHeld } = this.#options;
    const held: Held = {
      received: () => this.#fleet.progress().received,
      reconnect: (cursor) => {
        const epoch = BigInt(`0x${cursor.split('.')[0] ?? ''}`);
        this.#fleet.order('Reconnect', () => ({ epoch }));
      },
      isOpen: () => this.#fleet.hasFinished(DialPhase.open),
      broadcasts: async () => toBroadcasts(await this.#fleet.gather()),
      pass: (ms) => this.#fleet.pass(ms),
    };
    await whileHeld?.(held);
    return hold > 0 ? this.#hold() : undefined;
  }

  async #hold(): Promise<Hold> {
    const { hold } = this.#options;
    this.#watch?.begin();
    const endsAtMs = performance.now() + hold * 1000;
    const receivedBefore = this.#fleet.progress().received;
    for (;;) {
      const leftMs = endsAtMs - performance.now();
      const { lost, failed, received } = this.#fleet.progress();
      const done = Math.min(hold, hold - leftMs / 1000);
      const perSecond = (received - receivedBefore) / Math.max(done, 0.001);
      this.#onProgress({ phase: 'hold', done, total: hold, failed: failed + lost, perSecond });
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
    const end = await this.#phase(DialPhase.verify, ({ answered, wrong, seconds }) => {
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
    const end = await this.#phase(DialPhase.exchange, ({ seconds, messages, lost }) => {
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
 * @param signal - Ends the run early. Changed settings of the machine are restored all the same.
 * @throws MegacometError `ERR_CAPACITY` with the limit that is too low; `ERR_WORKER_START`.
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
