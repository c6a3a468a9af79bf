// The cluster suite: three nodes with each engine, beside one server without an engine and beside
// other push servers with Redis. See cluster-subjects.ts.
import path from 'node:path';

import { packageRoot } from '../lib/system/native.js';
import { installSocketIo, type Baselines } from './build-baselines.js';
import { hasEngine } from './cluster-engine.js';
import {
  CLUSTER_NAMES,
  CLUSTER_SUBJECTS,
  ENGINES,
  NODES,
  type ClusterSubject,
} from './cluster-subjects.js';
import type { ClusterTrialRequest, ClusterTrialResult } from './cluster-trial.js';
import type { CometSuiteOptions } from './comet-rows.js';
import { formatNumber, median, type SuiteResult } from './table.js';
import { alternateRows, runTrial } from './trials.js';

export const CLUSTER_SUITES = ['cluster'] as const;

const CHANNELS = 100_000;

const SHAPE: Omit<ClusterTrialRequest, 'baselines' | 'channels' | 'subject'> = {
  ...{ messageBytes: 100, rate: 1000 },
  ...{ idleSeconds: 40, latencySeconds: 4, peakSeconds: 4, restartSeconds: 8 },
};

/** The subjects whose programs this machine has. */
function subjectsOf({ nchan, socketIo }: Baselines): ClusterSubject[] {
  const isMissing = { nchan: nchan === undefined, socketio: socketIo === undefined };
  return CLUSTER_SUBJECTS.filter((subject) => {
    const engine = ENGINES[subject];
    if (engine !== null && !hasEngine(engine)) return false;
    return (subject !== 'nchan' && subject !== 'socketio') || !isMissing[subject];
  });
}

function middle(
  row: readonly ClusterTrialResult[],
  pick: (result: ClusterTrialResult) => number | null | undefined,
): number {
  return median(row.map((result) => pick(result) ?? NaN));
}

function cellsOf(row: readonly ClusterTrialResult[]): string[] {
  const [first] = row;
  const most = (pick: (result: ClusterTrialResult) => number | undefined): string =>
    formatNumber(Math.max(...row.map((result) => pick(result) ?? NaN)), 0);
  return [
    first === undefined ? '' : CLUSTER_NAMES[first.subject],
    formatNumber(
      middle(row, ({ latency }) => latency.p50Us / 1000),
      2,
    ),
    formatNumber(
      middle(row, ({ latency }) => latency.p99Us / 1000),
      2,
    ),
    formatNumber(
      middle(row, ({ peak }) => peak.perSecond),
      0,
    ),
    formatNumber(
      middle(row, ({ peak }) => peak.managerCpuUs),
      2,
    ),
    formatNumber(
      middle(row, ({ peak }) => peak.nodeCpuUs),
      2,
    ),
    formatNumber(
      middle(row, ({ peak }) => peak.engineCpuUs),
      2,
    ),
    formatNumber(
      middle(row, ({ joinSeconds }) => joinSeconds),
      2,
    ),
    formatNumber(
      middle(row, ({ idleShares }) => median(idleShares) * 100),
      2,
    ),
    most(({ restart }) => restart?.lost),
    most(({ restart }) => restart?.rejected),
    formatNumber(
      middle(row, ({ restart }) => restart?.resumedMs),
      0,
    ),
  ];
}

async function trial(request: ClusterTrialRequest): Promise<ClusterTrialResult> {
  const label = CLUSTER_NAMES[request.subject];
  return runTrial<ClusterTrialResult>('./cluster-trial.js', label, request);
}

export async function runClusterSuite(options: CometSuiteOptions): Promise<SuiteResult> {
  const socketIo = installSocketIo(path.join(packageRoot, 'build-baselines'));
  const baselines = { ...options.baselines, socketIo };
  const channels = options.connections ?? CHANNELS;
  const subjects = subjectsOf(baselines);
  const requests = subjects.map((subject) => ({ ...SHAPE, subject, baselines, channels }));
  const rows = await alternateRows(requests, options.runs, trial);
  const missing = CLUSTER_SUBJECTS.filter((subject) => !subjects.includes(subject));
  return {
    suite: 'cluster',
    title:
      `${NODES} nodes with one worker and one subscriber each, messages of ${SHAPE.messageBytes} bytes, ` +
      `median of ${options.runs}`,
    header: [
      ...['', 'p50 ms', 'p99 ms', 'messages/s at each node', 'CPU µs/message, manager'],
      ...['node', 'engine', `join with ${formatNumber(channels, 0)} channels, s`],
      ...[
        'idle node, % of a core',
        'lost at a restart of the engine',
        'rejected',
        'resumed after ms',
      ],
    ],
    rows: rows.map(cellsOf),
    trials: rows.flat(),
    notes: missing.map((subject) => `${CLUSTER_NAMES[subject]}: not installed.`),
  };
}
