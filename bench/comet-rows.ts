// The trials of the push suites: their requests, and the medians of a row. See comet-subjects.ts for
// the baselines.
import { availableParallelism } from 'node:os';

import type { Transport } from '../lib/bench/bench.js';
import { planCapacity, readMachineLimits } from '../lib/capacity/capacity.js';
import { procReader } from '../lib/system/kernel.js';
import type { Baselines } from './build-baselines.js';
import {
  COMET_SUBJECT_NAMES,
  COMET_SUBJECTS,
  SPOKEN,
  type CometSubject,
} from './comet-subjects.js';
import type { CometTrialRequest, CometTrialResult } from './comet-trial.js';
import type { Publisher } from './publishing.js';
import { median } from './table.js';
import { alternateRows, runTrial } from './trials.js';

export interface CometSuiteOptions {
  readonly baselines: Baselines;
  readonly runs: number;
  /** Subscribers; undefined for the number of each suite. */
  readonly connections: number | undefined;
  /** Runs only this transport; undefined for all. */
  readonly transport: Transport | undefined;
}

export const PUBLISHER_NAMES: Readonly<Record<Publisher, string>> = {
  library: 'library',
  lines: 'HTTP, batches of JSON lines',
  single: 'HTTP, one by one',
};

/** Subscribers of one worker, for a limit of 20,000 open files. */
export const ONE_WORKER = 18_000;
/** Subscribers of a suite that uses several workers, unless the user gives a number. */
const SUBSCRIBERS = 100_000;
export const MESSAGE_BYTES = 100;
export const ROUNDS = 5;
export const BROADCASTS = 10;
export const TRANSPORTS: readonly Transport[] = ['sse', 'websocket', 'poll'];

export const IDLE: Omit<CometTrialRequest, 'baselines' | 'connections' | 'subject' | 'transport'> =
  {
    ...{ workers: 1, private: false, messageBytes: MESSAGE_BYTES, broadcasts: 0, probeSeconds: 0 },
    ...{
      publishRate: 0,
      publishSeconds: 0,
      publisher: 'library',
      missed: 0,
      channels: 0,
      rounds: 1,
    },
    ...{ isPinned: false, sharesCores: false, tokens: null, hasTls: false },
  };

const NO_NCHAN =
  'nchan was left out: the packages nginx-core and libnginx-mod-nchan are not installed.';

export const CLIENTS_LIMIT =
  'A handshake costs the clients more than a fast server, and they have as many cores. So two busy ' +
  'loops share the core of each server: the rate is that of a worker with a third of a core.';

export function notesOf({ nchan }: Baselines): string[] {
  return nchan === undefined ? [NO_NCHAN] : [];
}

export function workersFor(connections: number): number {
  return planCapacity(readMachineLimits(procReader), 'auto', connections, 1).workers;
}

/** The request of a trial with as many workers as its subscribers need. */
export function largeShape({ baselines, connections = SUBSCRIBERS }: CometSuiteOptions) {
  return { ...IDLE, baselines, connections, workers: workersFor(connections) };
}

export function transportsOf({ transport }: CometSuiteOptions): readonly Transport[] {
  return TRANSPORTS.filter((one) => transport === undefined || one === transport);
}

/** The subjects that support a transport. */
export function subjectsOf(transport: Transport, { nchan }: Baselines): CometSubject[] {
  return COMET_SUBJECTS.filter(
    (subject) =>
      SPOKEN[subject].includes(transport) && (subject !== 'nchan' || nchan !== undefined),
  );
}

async function trial(request: CometTrialRequest): Promise<CometTrialResult> {
  const { subject, transport, connections } = request;
  const channels = request.private ? ', a channel each' : '';
  const publisher = request.publishRate > 0 ? `, ${PUBLISHER_NAMES[request.publisher]}` : '';
  const tls = request.hasTls ? ', TLS' : '';
  const label = `${subject}, ${transport}, ${connections} connections${channels}${publisher}${tls}`;
  const result = await runTrial<CometTrialResult>('./comet-trial.js', label, request);
  const { opened, requested, failures } = result.bench;
  // A failure of a baseline is shown in the table; a failure of megacomet-ts ends the run.
  if (opened !== requested && subject === 'megacomet') {
    throw new Error(`${label}: ${opened} of ${requested} opened; ${JSON.stringify(failures)}`);
  }
  return result;
}

/** The trials of one row. */
export type Row = readonly CometTrialResult[];

/** Runs each request `runs` times, alternating, and returns the trials of each. */
export function rowsOf(requests: readonly CometTrialRequest[], runs: number): Promise<Row[]> {
  return alternateRows(requests, runs, trial);
}

export function middle(
  row: Row,
  pick: (result: CometTrialResult) => number | null | undefined,
): number {
  return median(row.map((result) => pick(result) ?? NaN));
}

export function nameOf(row: Row): string {
  const [first] = row;
  return first === undefined ? '' : COMET_SUBJECT_NAMES[first.subject];
}

/** The value of another subject with the same transport. */
export function beside(
  rows: readonly Row[],
  row: Row,
  subject: CometSubject,
  pick: (result: CometTrialResult) => number | null | undefined,
): number {
  const transport = row[0]?.transport;
  const found = rows.find(([first]) => first?.subject === subject && first.transport === transport);
  return found === undefined ? NaN : middle(found, pick);
}

export const openRate = (result: CometTrialResult): number => median(result.openedPerSecond);
export const cpuPerAccept = (result: CometTrialResult): number => median(result.cpuUsPerHandshake);
export const failed = (result: CometTrialResult): number => result.bench.failed;
export const broadcastRate = ({ broadcasts }: CometTrialResult): number =>
  median(broadcasts.map(({ seconds, reached }) => reached / seconds));
export const fewestReached = ({ broadcasts }: CometTrialResult): number =>
  Math.min(...broadcasts.map(({ reached }) => reached));

export function everySubject(
  options: CometSuiteOptions,
  shape: Partial<CometTrialRequest>,
): CometTrialRequest[] {
  const { baselines, connections } = options;
  return transportsOf(options).flatMap((transport) =>
    subjectsOf(transport, baselines).map((subject) => ({
      ...IDLE,
      ...{
        baselines,
        subject,
        transport,
        connections: Math.min(connections ?? Infinity, ONE_WORKER),
      },
      // Server and load have separate cores, so that the scheduler does not decide the result.
      isPinned: availableParallelism() > 1,
      ...shape,
    })),
  );
}

/** 1,000 channels with 1,000 subscribers each for a million connections. */
export function channelsFor(connections: number): number {
  return Math.max(10, Math.round(connections / 1000));
}
