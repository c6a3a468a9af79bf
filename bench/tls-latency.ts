// The latency of TLS handshakes at half of the rate that a server sustains, and that of established
// clients meanwhile.
import { availableParallelism } from 'node:os';

import type { CometSuiteOptions } from './comet-rows.js';
import { middleOf } from './echo-trials.js';
import { formatNumber, median, type SuiteResult } from './table.js';
import {
  CLIENTS,
  CLIENT_RATE,
  type LatencyRequest,
  type LatencyResult,
  type LatencyRound,
  type Times,
} from './tls-latency-trial.js';
import { runTrial } from './trials.js';

const CONNECTIONS = 6000;
const ROUNDS = 5;

const LIMITS = { handshakeMs: 50, ratio: 2 };

async function trial(request: LatencyRequest): Promise<LatencyResult> {
  const label = 'handshakes at half load';
  const result = await runTrial<LatencyResult>('./tls-latency-trial.js', label, request);
  if (result.failed === 0) return result;
  throw new Error(`${label}: ${result.failed} failed: ${JSON.stringify(result.failures)}`);
}

const inMs = (us: number): string => formatNumber(us / 1000, 2);

function rowsOf(rounds: readonly LatencyRound[]): string[][] {
  const middle = (pick: (round: LatencyRound) => number): number => median(rounds.map(pick));
  const timesOf = (pick: (round: LatencyRound) => Times): string[] => [
    inMs(middle((round) => pick(round).p50Us)),
    inMs(middle((round) => pick(round).p99Us)),
  ];
  const growthOf = (pick: (times: Times) => number): string =>
    formatNumber(
      middle(({ busy, quiet }) => pick(busy) / pick(quiet)),
      2,
    );
  return [
    ['handshake', ...timesOf(({ handshake }) => handshake), `≤ ${LIMITS.handshakeMs}`],
    ['echo of an established client, without handshakes', ...timesOf(({ quiet }) => quiet), ''],
    ['the same beside the handshakes', ...timesOf(({ busy }) => busy), ''],
    [
      ...['ratio of the two, of each round', growthOf(({ p50Us }) => p50Us)],
      ...[growthOf(({ p99Us }) => p99Us), `≤ ${LIMITS.ratio}`],
    ],
  ];
}

export async function tlsLatency(options: CometSuiteOptions): Promise<SuiteResult> {
  const { baselines, runs, connections = CONNECTIONS } = options;
  const isPinned = availableParallelism() > 1;
  const workers = Math.max(1, Math.floor(availableParallelism() / 2));
  const trials: LatencyResult[] = [];
  while (trials.length < runs) {
    trials.push(await trial({ baselines, connections, workers, rounds: ROUNDS, isPinned }));
  }
  const sustained = middleOf(trials, ({ sustainedPerSecond }) => sustainedPerSecond);
  const share = middleOf(trials, ({ serverShare }) => serverShare);
  return {
    suite: 'tls-latency',
    title:
      `Handshakes with a certificate of RSA 2048 at ${formatNumber(sustained / 2, 0)}/s, half of the rate that ` +
      `${workers === 1 ? 'one worker sustains' : `${workers} workers sustain`} with ${formatNumber(share * 100, 0)} % of as many cores, beside ` +
      `${CLIENTS} clients that echo ${CLIENT_RATE} messages a second, median of ${runs} × ${ROUNDS}`,
    header: ['', 'p50 ms', 'p99 ms', 'p99, limit'],
    rows: rowsOf(trials.flatMap(({ rounds }) => rounds)),
    trials,
  };
}
