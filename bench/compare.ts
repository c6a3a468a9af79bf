// The comparison behind docs/benchmarks.md: every value as a ratio to a baseline of the same run.
// `npm run bench` prints the tables and writes bench/results/NAME.json; --help lists the suites.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { planCapacity, readMachineLimits } from '../lib/capacity/capacity.js';
import { procReader, readPrivateBytes } from '../lib/system/kernel.js';
import { packageRoot } from '../lib/system/native.js';
import { buildBaselines, type Baselines } from './build-baselines.js';
import { CLUSTER_SUITES, runClusterSuite } from './cluster-suite.js';
import { COMET_SUITES, runCometSuite, TRANSPORTS } from './comet-suites.js';
import {
  ACTIVE,
  cpuPerMessage,
  echoRate,
  echoTrial,
  MESSAGE_BYTES,
  middleOf,
  userBytes,
} from './echo-trials.js';
import { SUBJECT_NAMES, type Subject } from './subjects.js';
import { formatNumber, median, ratio, writeResults, type SuiteResult } from './table.js';
import type { TrialRequest, TrialResult } from './trial.js';
import { runTlsSuite, TLS_SUITES } from './tls-suites.js';
import { alternate as alternateTrials } from './trials.js';

const SUITES = ['bare', 'opening', 'echo', 'growth', 'million', 'two-million'] as const;
type Suite = (typeof SUITES)[number];

/** The median over the trials of one subject. */
function middle(
  trials: readonly TrialResult[],
  subject: Subject,
  pick: (result: TrialResult) => number | null | undefined,
): number {
  return middleOf(
    trials.filter((result) => result.subject === subject),
    pick,
  );
}

/** Alternates the subjects, so that a slow minute of a shared machine affects all. */
function alternate(
  subjects: readonly Subject[],
  runs: number,
  request: Omit<TrialRequest, 'hasTls' | 'subject'>,
): Promise<TrialResult[]> {
  const requests = subjects.map((subject) => ({ ...request, subject, hasTls: false }));
  return alternateTrials(requests, runs, echoTrial);
}

const cpuPerAccept = (result: TrialResult): number | null =>
  result.bench.server?.cpuMicrosecondsPerAccept ?? null;
const openRate = (result: TrialResult): number => result.bench.ramp.connectionsPerSecond;

async function bareProcessBytes(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('exit', () => reject(new Error(`${args.join(' ')} ended`)));
    });
    return readPrivateBytes(procReader, child.pid ?? 0) ?? NaN;
  } finally {
    child.stdin.end();
  }
}

async function bareSuite(baselines: Baselines, runs: number): Promise<SuiteResult> {
  const trials = await alternate(['megacomet'], runs, {
    ...{ baselines, workers: 2, connections: 2, hold: 0, verify: false },
    ...{ active: 0, messageSize: MESSAGE_BYTES, duration: 1, isPinned: false },
  });
  const worker = middle(trials, 'megacomet', (result) => result.bareBytes / result.workers);
  const rows = [[SUBJECT_NAMES.megacomet, formatNumber(worker / 1e6, 2), '']];
  if (baselines.emptyAddon !== undefined) {
    const empty: number[] = [];
    for (let index = 0; index < runs; index++) {
      const args = ['--v8-pool-size=0', baselines.emptyWorker, baselines.emptyAddon];
      empty.push(await bareProcessBytes(args));
    }
    rows.push(['Node with an empty addon', formatNumber(median(empty) / 1e6, 2), '']);
    rows[0]?.splice(2, 1, formatNumber((worker - median(empty)) / 1e6, 2));
  }
  return {
    suite: 'bare',
    title: `A bare worker (Node ${process.version}), private memory, median of ${runs}`,
    header: ['', 'MB', 'MB above the empty addon'],
    rows,
    trials,
  };
}

async function openingSuite(baselines: Baselines, runs: number): Promise<SuiteResult> {
  const connections = 200_000;
  const { workers } = planCapacity(readMachineLimits(procReader), 'auto', connections, 1);
  const subjects = ['megacomet', 'epoll', 'libev'] as const;
  const trials = await alternate(subjects, runs, {
    ...{ baselines, workers, connections, hold: 0, verify: false },
    ...{ active: 0, messageSize: MESSAGE_BYTES, duration: 1, isPinned: false },
  });
  const floorCpu = middle(trials, 'epoll', cpuPerAccept);
  const floorRate = middle(trials, 'epoll', openRate);
  return {
    suite: 'opening',
    title: `Opening ${formatNumber(connections, 0)} connections in ${workers} processes, median of ${runs}`,
    header: ['', 'CPU µs/accept', 'of the floor', 'connections/s', 'of the floor'],
    rows: subjects.map((subject) => {
      const cpu = middle(trials, subject, cpuPerAccept);
      const rate = middle(trials, subject, openRate);
      return [
        SUBJECT_NAMES[subject],
        formatNumber(cpu, 2),
        ratio(cpu, floorCpu),
        formatNumber(rate, 0),
        ratio(rate, floorRate),
      ];
    }),
    trials,
  };
}

async function echoSuite(baselines: Baselines, runs: number): Promise<SuiteResult> {
  const connections = 18_000;
  // Server and load have separate cores. On shared cores the scheduler's choices for four busy
  // processes change the rate by a fifth from run to run.
  const isPinned = availableParallelism() > 1;
  const workers = Math.max(1, Math.floor(availableParallelism() / 2));
  const subjects: Subject[] = ['megacomet', 'epoll', 'libev', 'node'];
  if (baselines.goEcho !== undefined) subjects.push('go');
  const trials = await alternate(subjects, runs, {
    ...{ baselines, workers, connections, hold: 0, verify: false },
    ...{ active: ACTIVE, messageSize: MESSAGE_BYTES, duration: 4, isPinned },
  });
  const libev = middle(trials, 'libev', echoRate);
  const node = middle(trials, 'node', echoRate);
  return {
    suite: 'echo',
    title:
      `${formatNumber(connections, 0)} connections, processes: ${workers} on as many cores (Go: 1 process), ` +
      `${ACTIVE} of them echoing ${MESSAGE_BYTES} bytes, median of ${runs}`,
    header: [
      '',
      'user bytes/connection',
      'messages/s',
      'of libev',
      'of Node net',
      'CPU µs/message',
    ],
    rows: subjects.map((subject) => {
      const rate = middle(trials, subject, echoRate);
      return [
        SUBJECT_NAMES[subject],
        formatNumber(middle(trials, subject, userBytes), 0),
        formatNumber(rate, 0),
        ratio(rate, libev),
        ratio(rate, node),
        formatNumber(middle(trials, subject, cpuPerMessage), 2),
      ];
    }),
    trials,
  };
}

const MILLION = 1_000_000;

/** The cost of a message beside few and beside a million idle connections. */
async function growthSuite(baselines: Baselines, runs: number): Promise<SuiteResult> {
  const { workers } = planCapacity(readMachineLimits(procReader), 'auto', MILLION, 1);
  const subjects = ['megacomet', 'epoll'] as const;
  const shape = {
    ...{ baselines, workers, hold: 0, verify: false, active: ACTIVE },
    // Pinned like the echo suite, because the difference is smaller than the effect of scheduling.
    ...{ messageSize: MESSAGE_BYTES, duration: 5, isPinned: availableParallelism() > 1 },
  };
  const few = await alternate(subjects, runs, { ...shape, connections: 2000 });
  const many = await alternate(subjects, runs, { ...shape, connections: MILLION });
  return {
    suite: 'growth',
    title:
      `Cost of a message in ${workers} processes, ${ACTIVE} connections echoing ${MESSAGE_BYTES} ` +
      `bytes, median of ${runs}`,
    header: ['', 'CPU µs/message, 2,000 idle', 'CPU µs/message, 1,000,000 idle', 'growth'],
    rows: subjects.map((subject) => {
      const before = middle(few, subject, cpuPerMessage);
      const after = middle(many, subject, cpuPerMessage);
      return [
        SUBJECT_NAMES[subject],
        formatNumber(before, 2),
        formatNumber(after, 2),
        ratio(after, before),
      ];
    }),
    trials: [...few, ...many],
  };
}

async function millionSuite(baselines: Baselines): Promise<SuiteResult> {
  const { workers } = planCapacity(readMachineLimits(procReader), 'auto', MILLION, 1);
  const subjects = ['megacomet', 'epoll'] as const;
  const shape = {
    baselines,
    workers,
    messageSize: MESSAGE_BYTES,
    active: ACTIVE,
    duration: 5,
    isPinned: false,
  };
  const few = await alternate(subjects, 1, { ...shape, connections: 2000, hold: 0, verify: false });
  const many = await alternate(subjects, 1, {
    ...{ ...shape, connections: MILLION, hold: 60, verify: true },
  });
  return {
    suite: 'million',
    title:
      `${formatNumber(MILLION, 0)} connections in ${workers} processes, held for 60 s, each sent a byte ` +
      `that it echoes, then ${ACTIVE} of them echoing`,
    header: [
      ...['', 'opened/s', 'answered', 'user bytes/connection', 'idle CPU, % of a core'],
      ...['CPU µs/message', 'growth over 2,000 idle', 'memory after, of bare', 'descriptors left'],
    ],
    rows: subjects.map((subject) => {
      const one = many.find((result) => result.subject === subject);
      const share = one?.bench.hold?.serverCpuShare ?? NaN;
      return [
        SUBJECT_NAMES[subject],
        formatNumber(middle(many, subject, openRate), 0),
        formatNumber(one?.bench.verify?.answered ?? NaN, 0),
        formatNumber(middle(many, subject, userBytes), 1),
        formatNumber(share * 100, 2),
        formatNumber(middle(many, subject, cpuPerMessage), 2),
        ratio(middle(many, subject, cpuPerMessage), middle(few, subject, cpuPerMessage)),
        ratio(one?.afterBytes ?? NaN, one?.bareBytes ?? NaN),
        formatNumber((one?.afterDescriptors ?? NaN) - (one?.bareDescriptors ?? NaN), 0),
      ];
    }),
    trials: [...few, ...many],
  };
}

async function twoMillionSuite(baselines: Baselines): Promise<SuiteResult> {
  const connections = 2 * MILLION;
  const { workers } = planCapacity(readMachineLimits(procReader), 'auto', connections, 1);
  const result = await echoTrial({
    ...{
      subject: 'megacomet',
      hasTls: false,
      baselines,
      workers,
      connections,
      hold: 10,
      verify: true,
    },
    ...{ active: ACTIVE, messageSize: MESSAGE_BYTES, duration: 5, isPinned: false },
  });
  const { ramp, verify, server } = result.bench;
  return {
    suite: 'two-million',
    title: `${formatNumber(connections, 0)} connections in ${workers} processes, both ends on this machine`,
    header: ['', 'seconds', 'opened/s', 'answered', 'user bytes/connection'],
    rows: [
      [
        SUBJECT_NAMES.megacomet,
        formatNumber(ramp.seconds, 1),
        formatNumber(ramp.connectionsPerSecond, 0),
        formatNumber(verify?.answered ?? NaN, 0),
        formatNumber(server?.userBytesPerConnection ?? NaN, 1),
      ],
    ],
    trials: [result],
  };
}

async function runSuite(suite: Suite, baselines: Baselines, runs: number): Promise<SuiteResult> {
  process.stderr.write(`${suite}\n`);
  switch (suite) {
    case 'bare':
      return bareSuite(baselines, runs);
    case 'opening':
      return openingSuite(baselines, runs);
    case 'echo':
      return echoSuite(baselines, runs);
    case 'growth':
      return growthSuite(baselines, runs);
    case 'million':
      return millionSuite(baselines);
    case 'two-million':
      return twoMillionSuite(baselines);
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '5' },
    name: { type: 'string', default: 'latest' },
    connections: { type: 'string' },
    transport: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(
    `usage: npm run bench -- [--runs N] [--name NAME] [${SUITES.join('] [')}]\n` +
      `       npm run bench -- [--connections N] [--transport T] … [${COMET_SUITES.join('] [')}]\n` +
      `       npm run bench -- [--connections N] [--transport T] … [${TLS_SUITES.join('] [')}]\n` +
      `       npm run bench -- [--connections N] … [${CLUSTER_SUITES.join('] [')}]\n` +
      'Without a suite: bare, opening and echo. Results go to bench/results/NAME.json.\n' +
      '--connections sets the number of subscribers of a push suite, of connections with TLS,\n' +
      'and of channels in the log of a cluster.\n' +
      `--transport runs a push suite with one transport: ${TRANSPORTS.join(', ')}.\n`,
  );
} else {
  const chosen = SUITES.filter((suite) => positionals.includes(suite));
  const cometChosen = COMET_SUITES.filter((suite) => positionals.includes(suite));
  const tlsChosen = TLS_SUITES.filter((suite) => positionals.includes(suite));
  const clusterChosen = CLUSTER_SUITES.filter((suite) => positionals.includes(suite));
  const count = chosen.length + cometChosen.length + tlsChosen.length + clusterChosen.length;
  const isAny = count > 0;
  const suites = isAny ? chosen : (['bare', 'opening', 'echo'] as const);
  const runs = Number(values.runs);
  const connections = values.connections === undefined ? undefined : Number(values.connections);
  const transport = TRANSPORTS.find((one) => one === values.transport);
  if (values.transport !== transport)
    throw new Error(`--transport: must be one of ${TRANSPORTS.join(', ')}`);
  const baselines = buildBaselines(path.join(packageRoot, 'build-baselines'));
  const results: SuiteResult[] = [];
  for (const suite of suites) results.push(await runSuite(suite, baselines, runs));
  const options = { baselines, runs, connections, transport };
  for (const suite of cometChosen) {
    process.stderr.write(`${suite}\n`);
    results.push(await runCometSuite(suite, options));
  }
  for (const suite of tlsChosen) {
    process.stderr.write(`${suite}\n`);
    results.push(await runTlsSuite(suite, options));
  }
  for (const suite of clusterChosen) {
    process.stderr.write(`${suite}\n`);
    results.push(await runClusterSuite(options));
  }
  const given = process.argv.slice(2).join(' ');
  const command = `npm run bench${given === '' ? '' : ` -- ${given}`}`;
  process.stdout.write(`${writeResults(values.name, command, results)}\n`);
}
