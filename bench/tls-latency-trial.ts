// One trial of the latency of handshakes: finds the rate that the server sustains, and offers half of
// it at an even rate, while established clients echo. A separate process, like trial.ts. Its request
// is argv[2], its result stdout.
import { generateKeyPairSync } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { BenchResult } from '../lib/bench/bench-result.js';
import { runBench } from '../lib/bench/bench.js';
import type { Baselines } from './build-baselines.js';
import type { EchoSample, EchoSampleRequest } from './echo-sample.js';
import { nowUs } from './pace.js';
import { startSubject, type RunningServer } from './subjects.js';
import { descriptors, takeSecondHalf, waitForClose } from './trial.js';
import { makeTls, withFiles, type TrialTls } from './trial-tls.js';
import { startHelper } from './trials.js';

/** Established clients, and the messages a second of all together. */
export const CLIENTS = 20;
export const CLIENT_RATE = 400;

export interface LatencyRequest {
  readonly baselines: Baselines;
  /** Handshakes of each phase. */
  readonly connections: number;
  readonly workers: number;
  readonly rounds: number;
  /** Whether the server has one half of the cores, and the load the other half. */
  readonly isPinned: boolean;
}

export interface Times {
  readonly count: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

export interface LatencyRound {
  /** From the time at which a connect was due. */
  readonly handshake: Times;
  /** Echoes of the established clients, before the handshakes and meanwhile. */
  readonly quiet: Times;
  readonly busy: Times;
}

export interface LatencyResult {
  readonly sustainedPerSecond: number;
  /** CPU time of the server at that rate, as a share of its cores. */
  readonly serverShare: number;
  readonly rounds: readonly LatencyRound[];
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** The share of the handshakes that warm up before the rate is measured. */
const WARM_UP = 0.1;
/** Connections of the server in addition to those of a phase. */
const SPARE_CONNECTIONS = 100;

/** From `beganUs` to `endedUs` of CLOCK_MONOTONIC. */
interface Window {
  readonly beganUs: number;
  readonly endedUs: number;
}

interface Phase {
  readonly result: BenchResult;
  readonly window: Window;
}

/** The server, its clients and the rate of the dialers. */
class Trial {
  readonly #request: LatencyRequest;
  readonly #server: RunningServer;
  readonly #tls: TrialTls;
  /** Without the connections of a phase. */
  readonly #descriptors: number;

  constructor(request: LatencyRequest, server: RunningServer, tls: TrialTls) {
    this.#request = request;
    this.#server = server;
    this.#tls = tls;
    this.#descriptors = descriptors(server.pids);
  }

  /** Opens connections at a rate, 0 for no limit, and closes them. */
  async open(connections: number, rate: number): Promise<Phase> {
    const { pids, port } = this.#server;
    const { workers } = this.#request;
    let endedUs = NaN;
    const options = {
      targets: [{ isUnix: false, host: '127.0.0.1', port }],
      ...{ connections, rate, tls: this.#tls.target, sources: [], hold: 0, verify: false },
      // As many dialers as the load has cores.
      processes: Math.max(1, availableParallelism() - workers),
      ...{ active: 0, messageSize: 1, duration: 1, connectTimeout: 60 },
      ...{ admin: '', serverPids: pids, command: 'bench/tls-latency-trial' },
      whileHeld: (): Promise<void> => {
        endedUs = nowUs();
        return Promise.resolve();
      },
    };
    const result = await runBench(options, () => undefined, new AbortController().signal);
    await waitForClose(pids, this.#descriptors);
    return { result, window: { beganUs: endedUs - result.ramp.seconds * 1e6, endedUs } };
  }
}

function timesOf({ sentUs, tookUs }: EchoSample, { beganUs, endedUs }: Window): Times {
  const isWithin = (at: number): boolean => at >= beganUs && at <= endedUs;
  const sorted = tookUs.filter((_, at) => isWithin(sentUs[at] ?? NaN)).sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
  return { count: sorted.length, p50Us: at(0.5), p99Us: at(0.99), maxUs: at(1) };
}

function handshakesOf({ ramp }: BenchResult): Times {
  const { count = 0, p50Us = NaN, p99Us = NaN, maxUs = NaN } = ramp.latency ?? {};
  return { count, p50Us, p99Us, maxUs };
}

async function measure(
  request: LatencyRequest,
  server: RunningServer,
  tls: TrialTls,
): Promise<LatencyResult> {
  const { connections, workers, rounds } = request;
  const sampleRequest: EchoSampleRequest = {
    ...{ port: server.port, ca: tls.target.authorities?.toString() ?? '' },
    ...{ clients: CLIENTS, rate: CLIENT_RATE },
  };
  const sampling = await startHelper<EchoSample>('./echo-sample.js', sampleRequest);
  const trial = new Trial(request, server, tls);
  await trial.open(Math.ceil(connections * WARM_UP), 0);
  const { result: full } = await trial.open(connections, 0);
  const { seconds, connectionsPerSecond } = full.ramp;
  const phases: { quiet: Window; busy: Phase }[] = [];
  while (phases.length < rounds) {
    const beganUs = nowUs();
    // As long as the handshakes take at half of the rate.
    await sleep(2000 * seconds);
    const quiet = { beganUs, endedUs: nowUs() };
    phases.push({ quiet, busy: await trial.open(connections, connectionsPerSecond / 2) });
  }
  const sample = await sampling.finish();
  const all = [full, ...phases.map(({ busy }) => busy.result)];
  const cpuUs = (full.server?.cpuMicrosecondsPerAccept ?? NaN) * full.opened;
  return {
    sustainedPerSecond: connectionsPerSecond,
    serverShare: cpuUs / (seconds * 1e6 * workers),
    rounds: phases.map(({ quiet, busy }) => ({
      handshake: handshakesOf(busy.result),
      quiet: timesOf(sample, quiet),
      busy: timesOf(sample, busy.window),
    })),
    failed: all.reduce((sum, { failed }) => sum + failed, sample.failed),
    failures: Object.assign({}, ...all.map(({ failures }) => failures)) as Record<string, number>,
  };
}

async function runLatencyTrial(request: LatencyRequest): Promise<LatencyResult> {
  const { baselines, workers, connections, isPinned } = request;
  const cores = isPinned ? takeSecondHalf() : null;
  // A handshake with a key of RSA costs the server more than its client, so that the server and not
  // the load is the limit on as many cores.
  const tls = makeTls(false, generateKeyPairSync('rsa', { modulusLength: 2048 }));
  const most = connections + CLIENTS + SPARE_CONNECTIONS;
  const server = await withFiles(tls.certificate, (args) =>
    startSubject('megacomet', baselines, workers, most, cores, args),
  );
  try {
    return await measure(request, server, tls);
  } finally {
    await server.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] !== undefined) {
  const result = await runLatencyTrial(JSON.parse(process.argv[2]) as LatencyRequest);
  process.stdout.write(JSON.stringify(result));
}
