// One push trial: starts one server, subscribes to it, measures it, and ends it. A separate
// process, like trial.ts. Its request is argv[2], its result stdout.
import { setTimeout as sleep } from 'node:timers/promises';

import type { BenchResult } from '../lib/bench/bench-result.js';
import { runBench, type BenchOptions, type Held, type Transport } from '../lib/bench/bench.js';
import { CHANNEL, startComet, type CometServer, type CometSubject } from './comet-subjects.js';
import type { Baselines } from './build-baselines.js';
import { issueTokens, type IssuedTokens, type TokenRequest } from './issued-tokens.js';
import { startBusyLoops } from './busy-loops.js';
import {
  measurePublishes,
  sampleOf,
  waitFor,
  type Publisher,
  type Publishes,
} from './publishing.js';
import { measureWhileBusy, type Probes } from './probes.js';
import { measureExpiry, type Expiry } from './expiry.js';
import { measureStorm, type Storm } from './storm.js';
import { descriptors, privateBytes, takeSecondHalf, waitForClose } from './trial.js';
import { makeTls, type TrialTls } from './trial-tls.js';

export interface CometTrialRequest {
  readonly subject: CometSubject;
  readonly baselines: Baselines;
  readonly transport: Transport;
  readonly workers: number;
  readonly connections: number;
  /** Each subscriber has its own channel. */
  readonly private: boolean;
  readonly messageBytes: number;
  /** Number of broadcasts, one after the other. */
  readonly broadcasts: number;
  /** Seconds of probing while broadcasts run; 0 for none. */
  readonly probeSeconds: number;
  /**
   * Messages per second, round robin over the channels, and the duration in seconds; 0 for none.
   */
  readonly publishRate: number;
  readonly publishSeconds: number;
  readonly publisher: Publisher;
  /** How often all clients connect and close: one round can take as little as 0.3 s. */
  readonly rounds: number;
  /** Messages that all clients miss between two runs; 0 for a single run. */
  readonly missed: number;
  /** Channels that the clients of a reconnect storm share; 0 for no storm. */
  readonly channels: number;
  /** Whether connections begin with TLS; megacomet-ts only. */
  readonly hasTls: boolean;
  /** Whether the workers have one half of the cores, and all other processes the other half. */
  readonly isPinned: boolean;
  /** Whether busy loops share the cores of the workers; requires isPinned. */
  readonly sharesCores: boolean;
  /** The tokens of the clients; null if the server needs none. */
  readonly tokens: TokenRequest | null;
}

export interface CometTrialResult {
  readonly subject: CometSubject;
  readonly tokens: TokenRequest | null;
  readonly hasTls: boolean;
  readonly transport: Transport;
  readonly private: boolean;
  readonly publisher: Publisher;
  readonly workers: number;
  readonly connections: number;
  readonly bench: BenchResult;
  /** Of each round. */
  readonly openedPerSecond: readonly number[];
  readonly cpuUsPerHandshake: readonly number[];
  /** Private memory per subscriber: of the workers, and of this process. */
  readonly workerBytes: number;
  readonly managerBytes: number;
  /** Time from the order to the last delivery, seconds; and the number of subscribers reached. */
  readonly broadcasts: readonly { readonly seconds: number; readonly reached: number }[];
  readonly probes: Probes | null;
  readonly publishes: Publishes | null;
  readonly storm: Storm | null;
  readonly expiry: Expiry | null;
  /** The second run, in which all clients connect with the cursor of the first. */
  readonly again: BenchResult | null;
  readonly stolenShare?: number;
}

/** Wait until private memory is stable: pools are trimmed each second, and polls are repeated. */
const SETTLE_MS = 2500;
const CLOSE_DEADLINE_MS = 60_000;

interface Findings {
  workerBytes: number;
  managerBytes: number;
  broadcasts: { seconds: number; reached: number }[];
  probes: Probes | null;
  publishes: Publishes | null;
  storm: Storm | null;
  expiry: Expiry | null;
}

class CometTrial {
  readonly #request: CometTrialRequest;
  readonly #server: CometServer;
  readonly findings: Findings = {
    workerBytes: NaN,
    managerBytes: NaN,
    broadcasts: [],
    probes: null,
    publishes: null,
    storm: null,
    expiry: null,
  };
  readonly #issued: IssuedTokens | null;
  readonly #tls: TrialTls | null;

  constructor(
    request: CometTrialRequest,
    server: CometServer,
    issued: IssuedTokens | null,
    tls: TrialTls | null,
  ) {
    this.#request = request;
    this.#server = server;
    this.#issued = issued;
    this.#tls = tls;
  }

  /** One run of the bench. Calls `measure` while all connections are open. */
  bench(since: string, measure: (held: Held) => Promise<void>): Promise<BenchResult> {
    const { transport, connections, subject, publishRate } = this.#request;
    const options: BenchOptions = {
      targets: [{ isUnix: false, host: '127.0.0.1', port: this.#server.port }],
      connections: connections - (publishRate > 0 ? sampleOf(connections) : 0),
      transport,
      tls: this.#tls?.target ?? null,
      subscribe: {
        channel: CHANNEL,
        private: this.#request.private,
        channels: this.#request.channels,
        since,
        // nchan sends no cursor when a client subscribes.
        isHeadEnough: subject === 'nchan',
        tokens: this.#issued?.tokens ?? [],
      },
      ...{ rate: 0, processes: 'auto', sources: [], hold: 0, whileHeld: measure, verify: false },
      ...{ active: 0, messageSize: 1, duration: 1, connectTimeout: 60, admin: '' },
      serverPids: this.#server.pids,
      command: `bench/comet-trial ${subject}`,
    };
    return runBench(options, () => undefined, new AbortController().signal);
  }

  async measure(held: Held, bareBytes: number, bareManagerBytes: number): Promise<void> {
    const { connections, broadcasts, probeSeconds, publishRate, channels } = this.#request;
    await held.pass(SETTLE_MS);
    const { findings } = this;
    findings.workerBytes = (privateBytes(this.#server.pids) - bareBytes) / connections;
    findings.managerBytes = (privateBytes([process.pid]) - bareManagerBytes) / connections;
    if (broadcasts > 0) findings.broadcasts = await this.#broadcast(held);
    if (probeSeconds > 0) findings.probes = await this.#probe(held);
    if (publishRate > 0) findings.publishes = await this.#publish(held);
    const expiresAtS = this.#issued?.expiresAtS ?? NaN;
    if (!Number.isNaN(expiresAtS)) {
      findings.expiry = await measureExpiry(held, this.#server, expiresAtS);
    }
    if (channels > 0) findings.storm = await measureStorm(held, this.#server, this.#request);
  }

  async #broadcast(held: Held): Promise<Findings['broadcasts']> {
    const { broadcasts, connections } = this.#request;
    await held.broadcasts();
    const begunNs: number[] = [];
    for (let index = 0; index < broadcasts; index++) {
      const before = held.received();
      begunNs.push(Number(process.hrtime.bigint()));
      await this.#server.broadcast();
      await waitFor(held, () => held.received() - before >= connections);
    }
    return (await held.broadcasts()).map(({ lastNs, reached }, index) => ({
      seconds: (lastNs - (begunNs[index] ?? NaN)) / 1e9,
      reached,
    }));
  }

  /** Starts broadcasts at the rate at which they end, so that one is nearly always in progress. */
  async #probe(held: Held): Promise<Probes> {
    const { probeSeconds } = this.#request;
    const durations = this.findings.broadcasts.map(({ seconds }) => seconds).sort((a, b) => a - b);
    const everyMs = Math.max(5, 1000 * (durations[Math.floor(durations.length / 2)] ?? 0.1));
    const probes = await measureWhileBusy(this.#server, probeSeconds, everyMs);
    await held.pass(SETTLE_MS);
    return probes;
  }

  #publish(held: Held): Promise<Publishes> {
    const { publishRate, publishSeconds, connections, messageBytes, publisher } = this.#request;
    const load = {
      rate: publishRate,
      seconds: publishSeconds,
      channels: connections,
      messageBytes,
    };
    return measurePublishes(held, this.#server, publisher, load);
  }

  /** Publishes the missed messages. Returns the cursor before them. */
  async miss(): Promise<string> {
    const { missed, connections, messageBytes } = this.#request;
    const { library } = this.#server;
    if (library === null) return '';
    const { cursor } = await library.publish(`${CHANNEL}-before`, 'x');
    const data = 'x'.repeat(messageBytes);
    for (let round = 0; round < missed; round++) {
      if (!this.#request.private) await library.publish(CHANNEL, data);
      for (let index = 0; this.#request.private && index < connections; index++) {
        await library.publish(`${CHANNEL}/${index}`, data);
      }
    }
    return cursor;
  }
}

async function whenEmpty({ library }: CometServer): Promise<void> {
  const endsAtMs = performance.now() + CLOSE_DEADLINE_MS;
  while (library !== null && library.health().connections > 0 && performance.now() < endsAtMs) {
    await sleep(100);
  }
}

export async function runCometTrial(request: CometTrialRequest): Promise<CometTrialResult> {
  const { subject, transport, connections, missed, publisher } = request;
  const cores = request.isPinned ? takeSecondHalf() : null;
  const issued = request.tokens === null ? null : await issueTokens(request.tokens);
  const tls = request.hasTls ? makeTls() : null;
  const server = await startComet({
    ...request,
    ...{ cores, hasAdmin: publisher !== 'library', tokenKey: issued?.tokenKey },
    certificate: tls?.certificate ?? null,
  });
  issued?.forget();
  const endLoops = cores !== null && request.sharesCores ? startBusyLoops(cores) : null;
  try {
    await sleep(SETTLE_MS);
    const trial = new CometTrial(request, server, issued, tls);
    const bareBytes = privateBytes(server.pids);
    const bareManagerBytes = privateBytes([process.pid]);
    const bareDescriptors = descriptors(server.pids);
    // The first cursor must not be zero: a client that reconnects with zero would not resume.
    if (request.channels > 0) await server.library?.publish(`${CHANNEL}-before`, 'x');
    const bench = await trial.bench('', (held) => trial.measure(held, bareBytes, bareManagerBytes));
    const all = [bench];
    while (all.length < request.rounds) {
      await waitForClose(server.pids, bareDescriptors);
      all.push(await trial.bench('', () => Promise.resolve()));
    }
    let again: BenchResult | null = null;
    if (missed > 0) {
      await whenEmpty(server);
      const since = await trial.miss();
      const awaited = server.library === null ? 0 : missed * connections;
      again = await trial.bench(since, async (held) => {
        await waitFor(held, () => held.received() >= awaited);
      });
    }
    const shape = {
      ...{ subject, transport, private: request.private, connections, publisher },
      ...{ tokens: request.tokens, hasTls: request.hasTls },
      openedPerSecond: all.map(({ ramp }) => ramp.connectionsPerSecond),
      cpuUsPerHandshake: all.map((one) => one.server?.cpuMicrosecondsPerAccept ?? NaN),
    };
    return { ...shape, workers: server.pids.length, bench, ...trial.findings, again };
  } finally {
    await endLoops?.();
    await server.stop();
  }
}

if (process.argv[2] !== undefined) {
  const result = await runCometTrial(JSON.parse(process.argv[2]) as CometTrialRequest);
  process.stdout.write(JSON.stringify(result));
}
