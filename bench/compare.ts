// The comparison that the README quotes: every figure as a ratio to a baseline of the same run.
// `npm run bench` prints the table and writes bench/results/; see --help for the parts of it.
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

import { planCapacity, readMachineLimits } from '../lib/capacity.js';
import { procReader, readPrivateBytes } from '../lib/kernel.js';
import { packageRoot, packageVersion } from '../lib/native.js';
import { buildBaselines, type Baselines } from './build-baselines.js';
import { SUBJECT_NAMES, type Subject } from './subjects.js';
import type { TrialRequest, TrialResult } from './trial.js';

const SUITES = ['bare', 'opening', 'echo', 'growth', 'million', 'two-million'] as const;
type Suite = (typeof SUITES)[number];

/** A part of the comparison: its rows, and the raw trials behind them. */
interface SuiteResult {
  readonly suite: Suite;
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly trials: readonly TrialResult[];
}

const ACTIVE = 64;
const MESSAGE_BYTES = 32;
const TRIAL_OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const trialFile = fileURLToPath(new URL('./trial.js', import.meta.url));

/** Ticks of all cores: in total, and those that the hypervisor gave to somebody else. */
function coreTicks(): { total: number; stolen: number } {
  const line = (procReader('/proc/stat') ?? '').split('\n')[0] ?? '';
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { total: fields.reduce((sum, value) => sum + value, 0), stolen: fields[7] ?? 0 };
}

/** A trial that lost more of its cores than this to other machines says nothing, and is repeated. */
const STOLEN_SHARE_MAX = 0.05;
const ATTEMPTS_MAX = 4;

async function trial(request: TrialRequest): Promise<TrialResult> {
  for (let attempt = 1; ; attempt++) {
    process.stderr.write(`  ${request.subject}, ${request.connections} connections …`);
    const before = coreTicks();
    const result = await tryTrial(request);
    const after = coreTicks();
    const stolen = (after.stolen - before.stolen) / (after.total - before.total);
    process.stderr.write(` ${(stolen * 100).toFixed(1)} % of the cores stolen\n`);
    if (stolen <= STOLEN_SHARE_MAX || attempt === ATTEMPTS_MAX) {
      return { ...result, stolenShare: stolen };
    }
  }
}

async function tryTrial(request: TrialRequest): Promise<TrialResult> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [trialFile, JSON.stringify(request)],
    { maxBuffer: TRIAL_OUTPUT_BYTES_MAX },
  );
  const result = JSON.parse(stdout) as TrialResult;
  const { opened, failed, requested } = result.bench;
  if (opened !== requested || failed > 0) {
    throw new Error(`${request.subject}: ${opened} of ${requested} opened, ${failed} failed`);
  }
  return result;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** The median over the trials of one subject. */
function middle(
  trials: readonly TrialResult[],
  subject: Subject,
  pick: (result: TrialResult) => number | null | undefined,
): number {
  const own = trials.filter((result) => result.subject === subject);
  return median(own.map((result) => pick(result) ?? NaN));
}

function figure(value: number, digits: number): string {
  return Number.isFinite(value)
    ? value.toLocaleString('en-US', {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      })
    : '–';
}

function ratio(value: number, base: number): string {
  return figure(value / base, 2);
}

/** Alternating, so that a slow minute of a shared machine hits all subjects alike. */
async function alternate(
  subjects: readonly Subject[],
  runs: number,
  request: Omit<TrialRequest, 'subject'>,
): Promise<TrialResult[]> {
  const trials: TrialResult[] = [];
  for (let index = 0; index < runs; index++) {
    for (const subject of subjects) trials.push(await trial({ ...request, subject }));
  }
  return trials;
}

const cpuPerAccept = (result: TrialResult): number | null =>
  result.bench.server?.cpuMicrosecondsPerAccept ?? null;
const openRate = (result: TrialResult): number => result.bench.ramp.connectionsPerSecond;
const userBytes = (result: TrialResult): number | null =>
  result.bench.server?.userBytesPerConnection ?? null;
const echoRate = (result: TrialResult): number => result.bench.active?.messagesPerSecond ?? NaN;
const cpuPerMessage = (result: TrialResult): number =>
  result.bench.active?.serverCpuMicrosecondsPerMessage ?? NaN;

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
  const rows = [[SUBJECT_NAMES.megacomet, figure(worker / 1e6, 2), '']];
  if (baselines.emptyAddon !== undefined) {
    const empty: number[] = [];
    for (let index = 0; index < runs; index++) {
      const args = ['--v8-pool-size=0', baselines.emptyWorker, baselines.emptyAddon];
      empty.push(await bareProcessBytes(args));
    }
    rows.push(['Node with an empty addon', figure(median(empty) / 1e6, 2), '']);
    rows[0]?.splice(2, 1, figure((worker - median(empty)) / 1e6, 2));
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
    title: `Opening ${figure(connections, 0)} connections in ${workers} processes, median of ${runs}`,
    header: ['', 'CPU µs/accept', 'of the floor', 'connections/s', 'of the floor'],
    rows: subjects.map((subject) => {
      const cpu = middle(trials, subject, cpuPerAccept);
      const rate = middle(trials, subject, openRate);
      return [
        SUBJECT_NAMES[subject],
        figure(cpu, 2),
        ratio(cpu, floorCpu),
        figure(rate, 0),
        ratio(rate, floorRate),
      ];
    }),
    trials,
  };
}

async function echoSuite(baselines: Baselines, runs: number): Promise<SuiteResult> {
  const connections = 18_000;
  // Server and load on cores of their own: with both on all of them, how the scheduler happens to
  // place four busy processes moves the rate by a fifth from run to run.
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
      `${figure(connections, 0)} connections, processes: ${workers} on as many cores (Go: 1 process), ` +
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
        figure(middle(trials, subject, userBytes), 0),
        figure(rate, 0),
        ratio(rate, libev),
        ratio(rate, node),
        figure(middle(trials, subject, cpuPerMessage), 2),
      ];
    }),
    trials,
  };
}

const MILLION = 1_000_000;

/** What a million idle connections add to the cost of a message: for us, and for the kernel alone. */
async function growthSuite(baselines: Baselines, runs: number): Promise<SuiteResult> {
  const { workers } = planCapacity(readMachineLimits(procReader), 'auto', MILLION, 1);
  const subjects = ['megacomet', 'epoll'] as const;
  const shape = {
    ...{ baselines, workers, hold: 0, verify: false, active: ACTIVE },
    // Pinned, as the echo: what is compared differs by less than an unlucky placement costs.
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
      return [SUBJECT_NAMES[subject], figure(before, 2), figure(after, 2), ratio(after, before)];
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
      `${figure(MILLION, 0)} connections in ${workers} processes, held for 60 s, each asked for a ` +
      `byte, then ${ACTIVE} of them echoing`,
    header: [
      ...['', 'opened/s', 'answered', 'user bytes/connection', 'idle CPU, % of a core'],
      ...['CPU µs/message', 'growth over 2,000 idle', 'memory after, of bare', 'descriptors left'],
    ],
    rows: subjects.map((subject) => {
      const one = many.find((result) => result.subject === subject);
      const share = one?.bench.hold?.serverCpuShare ?? NaN;
      return [
        SUBJECT_NAMES[subject],
        figure(middle(many, subject, openRate), 0),
        figure(one?.bench.verify?.answered ?? NaN, 0),
        figure(middle(many, subject, userBytes), 1),
        figure(share * 100, 2),
        figure(middle(many, subject, cpuPerMessage), 2),
        ratio(middle(many, subject, cpuPerMessage), middle(few, subject, cpuPerMessage)),
        ratio(one?.afterBytes ?? NaN, one?.bareBytes ?? NaN),
        figure((one?.afterDescriptors ?? NaN) - (one?.bareDescriptors ?? NaN), 0),
      ];
    }),
    trials: [...few, ...many],
  };
}

async function twoMillionSuite(baselines: Baselines): Promise<SuiteResult> {
  const connections = 2 * MILLION;
  const { workers } = planCapacity(readMachineLimits(procReader), 'auto', connections, 1);
  const result = await trial({
    ...{ subject: 'megacomet', baselines, workers, connections, hold: 10, verify: true },
    ...{ active: ACTIVE, messageSize: MESSAGE_BYTES, duration: 5, isPinned: false },
  });
  const { ramp, verify, server } = result.bench;
  return {
    suite: 'two-million',
    title: `${figure(connections, 0)} connections in ${workers} processes, both ends on this machine`,
    header: ['', 'seconds', 'opened/s', 'answered', 'user bytes/connection'],
    rows: [
      [
        SUBJECT_NAMES.megacomet,
        figure(ramp.seconds, 1),
        figure(ramp.connectionsPerSecond, 0),
        figure(verify?.answered ?? NaN, 0),
        figure(server?.userBytesPerConnection ?? NaN, 1),
      ],
    ],
    trials: [result],
  };
}

function toMarkdown({ title, header, rows }: SuiteResult): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = line(header.map((_, index) => (index === 0 ? '---' : '---:')));
  return [`**${title}**`, '', line(header), rule, ...rows.map(line), ''].join('\n');
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

/** One folder a run: the table for people, the raw trials for whoever doubts it. */
function write(name: string, command: string, results: readonly SuiteResult[]): string {
  const facts = [
    `Date: ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    `Machine: ${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), ` +
      `${Math.round(totalmem() / 2 ** 30)} GiB`,
    `Kernel: Linux ${release()}; Node ${process.version}; megacomet-ts ${packageVersion}`,
    `Command: \`${command}\``,
  ];
  const text = [...facts.map((fact) => `- ${fact}`), '', ...results.map(toMarkdown)].join('\n');
  const folder = path.join(packageRoot, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${name}.md`), text);
  writeFileSync(path.join(folder, `${name}.json`), `${JSON.stringify(trimmed(results))}\n`);
  return text;
}

/** The raw result without what no reader needs: curves, paths and histograms. */
function trimmed(results: readonly SuiteResult[]): unknown {
  const dropped = new Set(['curve', 'memoryCurve', 'buckets', 'command', 'target']);
  return JSON.parse(
    JSON.stringify(results, (key, value: unknown) => (dropped.has(key) ? undefined : value)),
  ) as unknown;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '5' },
    name: { type: 'string', default: 'latest' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(
    `usage: npm run bench -- [--runs N] [--name NAME] [${SUITES.join('] [')}]\n` +
      'Without a suite: bare, opening and echo. Results go to bench/results/NAME.{md,json}.\n',
  );
} else {
  const chosen = SUITES.filter((suite) => positionals.includes(suite));
  const suites = chosen.length > 0 ? chosen : (['bare', 'opening', 'echo'] as const);
  const baselines = buildBaselines(path.join(packageRoot, 'build-baselines'));
  const results: SuiteResult[] = [];
  for (const suite of suites) results.push(await runSuite(suite, baselines, Number(values.runs)));
  const given = process.argv.slice(2).join(' ');
  const command = `npm run bench${given === '' ? '' : ` -- ${given}`}`;
  process.stdout.write(`${write(values.name, command, results)}\n`);
}
