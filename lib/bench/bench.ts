// One run of the load generator: plans, opens, holds, verifies, exchanges and measures.
import { availableParallelism, constants, release, totalmem } from 'node:os';
import { getSystemErrorName } from 'node:util';

import type { BenchResult, Broadcast, Latency, Ramp } from './bench-result.js';
import { MegacometError } from '../base/errors.js';
import { DialPhase, DialTransport } from '../ipc/load-frames.js';
import { Fleet, type FleetProgress, type PhaseEnd } from './fleet.js';
import { toBroadcasts, toLatency } from './histograms.js';
import { procReader, readCores, readDescriptorLimit } from '../system/kernel.js';
import { formatAddress, type Address } from '../base/address.js';
import { DESCRIPTOR_RESERVE, HTTP_FAILURE, SLOTS_MAX } from '../base/native-constants.js';
import { packageVersion } from '../system/native.js';
import { planSources, type SourcePlan } from './ports.js';
import type { Trust } from '../api/admin-client.js';
import { ServerWatch } from './server-watch.js';
import { tlsOrder, type TlsTarget } from './tls-target.js';

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
  /** The tokens of the connections, which repeat; without one they send none. */
  readonly tokens?: readonly string[];
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
  /** Connections without TLS have null or none. */
  readonly tls?: TlsTarget | null;
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
  /** Its token, if it needs one for metrics. */
  readonly adminToken?: string | null;
  readonly adminTrust?: Trust;
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

/** The name of a cause of failure. `names` has the texts of TLS. */
function causeOf(error: number, names: ReadonlyMap<number, string>): string {
  if (error === 0) return 'closed by server';
  const text = names.get(error);
  if (text !== undefined) return `TLS: ${text}`;
  if (error >= HTTP_FAILURE) return `HTTP ${error - HTTP_FAILURE}`;
  // A dialer reports a wrong answer as EBADMSG, which libuv does not name.
  return error === constants.errno.EBADMSG ? 'EBADMSG' : getSystemErrorName(-error);
}

/** A latency of no request. */
const NO_LATENCY: Omit<PhaseEnd, 'progress'> = { buckets: new Map(), minUs: Infinity, maxUs: 0 };

function namesOf(
  causes: ReadonlyMap<number, number>,
  names: ReadonlyMap<number, string>,
): Record<string, number> {
  return Object.fromEntries([...causes].map(([error, count]) => [causeOf(error, names), count]));
}

class Run {
  readonly #fleet = new Fleet();
  readonly #options: BenchOptions;
  readonly #onProgress: OnProgress;
  readonly #startedAt = new Date().toISOString();
  readonly #curve: Ramp['curve'] = [{ seconds: 0, opened: 0, failed: 0 }];
  /** The results of the phases, each updated while its phase runs. */
  readonly #phases: Pick<BenchResult, 'active' | 'hold' | 'server' | 'verify'> = {};
  #openLatency: Latency | undefined;
  #broadcasts: Broadcast[] = [];
  #hasDialed = false;
  #watch: ServerWatch | null = null;

  constructor(options: BenchOptions, onProgress: OnProgress) {
    this.#options = options;
    this.#onProgress = onProgress;
  }

  abort(error: Error): void {
    this.#fleet.fail(error);
  }

  async run(): Promise<BenchResult> {
    const { connections, targets, sources } = this.#options;
    const processes = planProcesses(this.#options);
    const shares = shareOut(connections, processes);
    const plan = planSources(shares, targets, sources);
    try {
      await this.#fleet.start(processes, 2 * readCores(procReader));
      const incomplete = await this.#attempt(shares, plan.sources);
      return { ...this.#result(plan, processes), ...(incomplete !== null && { incomplete }) };
    } finally {
      this.#watch?.stop();
      await this.#fleet.close();
      plan.restore();
    }
  }

  /** Why the run ended early, or null: the measurements before an interrupt are a result too. */
  async #attempt(
    shares: readonly number[],
    sources: readonly (readonly string[])[],
  ): Promise<string | null> {
    try {
      await this.#runPhases(shares, sources);
      // Throws if an interrupt came while nothing waited on the fleet.
      await this.#fleet.pass(0);
      return null;
    } catch (error) {
      if (!this.#hasDialed || !(error instanceof MegacometError)) throw error;
      return error.message;
    }
  }

  async #runPhases(
    shares: readonly number[],
    sources: readonly (readonly string[])[],
  ): Promise<void> {
    const {
      admin,
      adminToken = null,
      adminTrust = {},
      targets,
      serverPids,
      whileHeld,
      hold,
      verify,
      active,
    } = this.#options;
    this.#watch =
      serverPids === undefined
        ? await ServerWatch.ofAdmin({ admin, token: adminToken, trust: adminTrust }, targets)
        : await ServerWatch.ofProcesses(serverPids);
    this.#watch?.begin(() => this.#open());
    await this.#dial(shares, sources);
    if (this.#open() === 0) return;
    await this.#measureServer();
    // A comparison measures its own phases, which must not pay for further samples.
    if (serverPids !== undefined) this.#watch?.stop();
    await whileHeld?.(this.#held());
    if (hold > 0) await this.#hold();
    await this.#gather();
    if (verify && this.#open() > 0) await this.#verify();
    if (active > 0 && this.#open() > 0) await this.#exchange();
  }

  /** Connections that are open now. */
  #open(): number {
    const { opened, lost } = this.#fleet.progress();
    return Math.max(0, opened - lost);
  }

  #result(plan: SourcePlan, processes: number): BenchResult {
    const { command, targets, connections, transport = 'tcp' } = this.#options;
    const progress = this.#fleet.progress();
    const { opened, failed, failures, lost, losses, received, gaps, names } = progress;
    const { seconds } = this.#curve.at(-1) ?? { seconds: 0 };
    return {
      version: packageVersion,
      startedAt: this.#startedAt,
      kernel: release(),
      node: process.version,
      cpus: availableParallelism(),
      memoryBytes: totalmem(),
      command,
      target: targets.map(({ host, port }) => `${host}:${port}`).join(', '),
      requested: connections,
      opened,
      failed,
      failures: namesOf(failures, names),
      lost,
      losses: namesOf(losses, names),
      processes,
      sourceAddresses: new Set(plan.sources.flat()).size,
      notes: [...plan.notes],
      ramp: {
        seconds,
        connectionsPerSecond: seconds > 0 ? opened / seconds : 0,
        ...(this.#openLatency !== undefined && { latency: this.#openLatency }),
        curve: this.#curve,
      },
      ...(transport !== 'tcp' && {
        fanout: { transport, received, gaps, broadcasts: this.#broadcasts },
      }),
      ...this.#phases,
    };
  }

  async #measureServer(): Promise<void> {
    const watch = this.#watch;
    if (watch === null) return;
    const cpuUs = watch.cpuUs();
    try {
      this.#phases.server = await watch.finish(this.#fleet.progress().opened, cpuUs);
    } catch {
      // The run goes on; the result lacks the cost of a server that does not answer.
    }
  }

  /** Waits for a phase, and calls `onSample` with its progress. */
  async #phase(phase: number, onSample: (progress: FleetProgress) => void): Promise<PhaseEnd> {
    const timer = setInterval(() => {
      onSample(this.#fleet.progress());
    }, SAMPLE_MS);
    try {
      const end = await this.#fleet.finish(phase);
      onSample(end.progress);
      return end;
    } finally {
      clearInterval(timer);
    }
  }

  async #dial(shares: readonly number[], sources: readonly (readonly string[])[]): Promise<void> {
    const { targets, rate, connectTimeout, connections, tls = null } = this.#options;
    this.#subscribe(shares);
    if (tls !== null) {
      const order = await tlsOrder(targets, tls);
      this.#fleet.order('DialTls', () => order);
    }
    this.#hasDialed = true;
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
    const end = await this.#phase(DialPhase.open, ({ seconds, opened, failed }) => {
      this.#curve.push({ seconds, opened, failed });
      const perSecond = opened / Math.max(seconds, 0.001);
      this.#onProgress({ phase: 'open', done: opened, total: connections, failed, perSecond });
    });
    this.#openLatency = toLatency(end);
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
      tokens: subscribe.tokens ?? [],
    }));
  }

  /** The delivery times of the latest messages, after the last wait. */
  async #gather(): Promise<void> {
    const { transport = 'tcp' } = this.#options;
    if (transport !== 'tcp') this.#broadcasts = toBroadcasts(await this.#fleet.gather());
  }

  #held(): Held {
    return {
      received: () => this.#fleet.progress().received,
      reconnect: (cursor) => {
        const epoch = BigInt(`0x${cursor.split('.')[0] ?? ''}`);
        this.#fleet.order('Reconnect', () => ({ epoch }));
      },
      isOpen: () => this.#fleet.hasFinished(DialPhase.open),
      broadcasts: async () => toBroadcasts(await this.#fleet.gather()),
      pass: (ms) => this.#fleet.pass(ms),
    };
  }

  /** Ends early when every connection is lost: nothing is held then. */
  async #hold(): Promise<void> {
    const { hold } = this.#options;
    this.#watch?.markCpu();
    const beganMs = performance.now();
    const before = this.#fleet.progress();
    for (;;) {
      const seconds = Math.min(hold, (performance.now() - beganMs) / 1000);
      const { lost, failed, received } = this.#fleet.progress();
      const perSecond = (received - before.received) / Math.max(seconds, 0.001);
      const cpuUs = this.#watch?.cpuUs() ?? null;
      this.#onProgress({
        ...{ phase: 'hold', done: seconds, total: hold },
        ...{ failed: failed + lost, perSecond },
      });
      this.#phases.hold = {
        seconds,
        lost: lost - before.lost,
        serverCpuShare: cpuUs === null || seconds === 0 ? null : cpuUs / seconds / 1e6,
      };
      if (seconds >= hold || this.#open() === 0) return;
      await this.#fleet.pass(Math.min(SAMPLE_MS, (hold - seconds) * 1000));
    }
  }

  async #verify(): Promise<void> {
    this.#fleet.order('Verify', () => ({ timeoutMs: this.#options.connectTimeout * 1000 }));
    const record = ({ progress, ...times }: PhaseEnd): void => {
      const { asked, answered, wrong, seconds } = progress;
      const unanswered = asked - answered - wrong;
      const latency = toLatency(times);
      this.#phases.verify = { asked, answered, wrong, unanswered, seconds, latency };
    };
    const end = await this.#phase(DialPhase.verify, (progress) => {
      const { answered, wrong, seconds } = progress;
      const perSecond = answered / Math.max(seconds, 0.001);
      const total = this.#open() + wrong;
      this.#onProgress({ phase: 'verify', done: answered, total, failed: wrong, perSecond });
      record({ progress, ...NO_LATENCY });
    });
    record(end);
  }

  async #exchange(): Promise<void> {
    const { active, messageSize, duration } = this.#options;
    const shares = shareOut(active, this.#fleet.size);
    this.#watch?.markCpu();
    this.#fleet.order('Exchange', (index) => ({
      connections: shares[index] ?? 0,
      messageBytes: messageSize,
      durationMs: Math.round(duration * 1000),
    }));
    const record = ({ progress, ...times }: PhaseEnd): void => {
      const { asked, broken, silent, messages } = progress;
      const seconds = Math.min(progress.seconds, duration);
      const cpuUs = this.#watch?.cpuUs() ?? null;
      this.#phases.active = {
        serverCpuMicrosecondsPerMessage: cpuUs === null || messages === 0 ? null : cpuUs / messages,
        connections: asked,
        failed: broken + silent,
        messageBytes: messageSize,
        seconds,
        messages,
        messagesPerSecond: seconds > 0 ? messages / seconds : 0,
        latency: toLatency(times),
      };
    };
    const end = await this.#phase(DialPhase.exchange, (progress) => {
      const { seconds, messages, broken } = progress;
      const done = Math.min(seconds, duration);
      const perSecond = messages / Math.max(seconds, 0.001);
      this.#onProgress({ phase: 'exchange', done, total: duration, failed: broken, perSecond });
      record({ progress, ...NO_LATENCY });
    });
    record(end);
  }
}

/**
 * Runs the load generator.
 *
 * @param signal - Ends the run early; the result then has the measurements until then, and says so.
 *   Changed settings of the machine are restored all the same.
 * @throws MegacometError `ERR_CAPACITY` with the limit that is too low; `ERR_WORKER_START`; the
 *   reason of `signal` if it ends the run before the first connect.
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
