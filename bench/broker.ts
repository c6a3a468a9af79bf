// Measures the publishes and resumes per second of the broker alone, without sockets.
// `node dist/bench/broker.js [SECONDS]` prints a line for each case.
import { Broker } from '../lib/broker/broker.js';
import type { PublishOptions } from '../lib/broker/publishing.js';
import type { WorkerPort } from '../lib/ipc/worker-port.js';
import { brokerOptions } from '../lib/server/broker-options.js';
import { fill } from '../lib/server/server-options.js';

const WORKERS = 56;
const SECONDS = Number(process.argv[2] ?? 2);
/** Publishes in one loop iteration: the messages of 5 ms at 100,000 a second. */
const BATCH = 500;
const DATA = 'x'.repeat(100);
const OPTIONS = brokerOptions(WORKERS, fill({}));

class Port implements WorkerPort {
  readonly queuedBytes = 0;
  readonly beats = true;
  bytes = 0;
  writes = 0;

  constructor(readonly slot: number) {}

  send(bytes: Buffer): void {
    this.bytes += bytes.length;
    this.writes++;
  }
}

interface Case {
  readonly name: string;
  readonly channels: number;
  /** Workers with a subscriber of each channel. */
  readonly workersEach: number;
  readonly options: PublishOptions;
}

const NONE: PublishOptions = { history: false };
const KEPT: PublishOptions = {};
const CASES: readonly Case[] = [
  { name: '1 channel, 56 workers, no history', channels: 1, workersEach: 56, options: NONE },
  { name: '1 channel, 56 workers, history', channels: 1, workersEach: 56, options: KEPT },
  { name: '1,000 channels, 18 workers, history', channels: 1000, workersEach: 18, options: KEPT },
  { name: '100,000 channels, 1 worker, no history', channels: 1e5, workersEach: 1, options: NONE },
  { name: '100,000 channels, 1 worker, history', channels: 1e5, workersEach: 1, options: KEPT },
  {
    name: '100,000 channels, no subscriber, history',
    channels: 1e5,
    workersEach: 0,
    options: KEPT,
  },
];

function run({ name, channels, workersEach, options }: Case): void {
  let flush: (() => void) | undefined;
  const broker = new Broker(OPTIONS, { schedule: (run) => (flush = run) });
  const ports = Array.from({ length: WORKERS }, (_, slot) => new Port(slot));
  for (const port of ports) broker.attach(port);
  const names = Array.from(
    { length: channels },
    (_, index) => `user/${String(index).padStart(9, '0')}`,
  );
  for (const [index, channel] of names.entries()) {
    for (let worker = 0; worker < workersEach; worker++) {
      const fields = { channel, count: 1, wanted: 1 };
      broker.onFrame((index + worker) % WORKERS, { name: 'Interest', fields });
    }
  }
  const startedAtMs = performance.now();
  const cpu = process.cpuUsage();
  let published = 0;
  let longestMs = 0;
  let nowMs = startedAtMs;
  while (nowMs - startedAtMs < SECONDS * 1000) {
    for (let index = 0; index < BATCH; index++) {
      void broker.publish(names[published++ % channels] ?? '', DATA, options);
    }
    flush?.();
    flush = undefined;
    if (published % (50 * BATCH) === 0) broker.tick();
    const atMs = performance.now();
    longestMs = Math.max(longestMs, atMs - nowMs);
    nowMs = atMs;
  }
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (nowMs - startedAtMs) / 1000;
  const writes = ports.reduce((sum, port) => sum + port.writes, 0);
  const { historyMessages: messages, historyMemoryBytes: memoryBytes } = broker.counters;
  void broker.close();
  const columns = [
    `${Math.round(published / seconds).toLocaleString('en')}/s`,
    `${((user + system) / published).toFixed(2)} us of CPU each`,
    `${(published / Math.max(1, writes)).toFixed(1)} per write`,
    `longest iteration ${longestMs.toFixed(0)} ms`,
    `history ${messages.toLocaleString('en')} messages, ${(memoryBytes / 1e6).toFixed(0)} MB`,
  ];
  process.stdout.write(`${name.padEnd(42)} ${columns.join(', ')}\n`);
}

/** Clients that reconnect with a cursor, each to one channel in which it missed three messages. */
function resume(channels: number): void {
  let flush: (() => void) | undefined;
  const broker = new Broker(OPTIONS, { schedule: (run) => (flush = run) });
  const ports = Array.from({ length: WORKERS }, (_, slot) => new Port(slot));
  for (const port of ports) broker.attach(port);
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < channels; index++) void broker.publish(`room/${index}`, DATA);
  }
  const startedAtMs = performance.now();
  const cpu = process.cpuUsage();
  let asked = 0;
  while (performance.now() - startedAtMs < SECONDS * 1000) {
    for (let slot = 0; slot < WORKERS; slot++) {
      for (let index = 0; index < 64; index++) {
        const fields = { fd: index, generation: 1, hasSince: 1, epoch: broker.epoch, number: 0n };
        const names = [`room/${asked++ % channels}`];
        const ask = { ...fields, bytesMax: 32_768, channels: names };
        broker.onFrame(slot, { name: 'ReplayRequest', fields: ask });
      }
    }
    while (flush !== undefined) {
      const run: () => void = flush;
      flush = undefined;
      run();
    }
  }
  const seconds = (performance.now() - startedAtMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const { replayPageBytesTotal, replayPagesTotal } = broker.counters;
  void broker.close();
  const columns = [
    `${Math.round(asked / seconds).toLocaleString('en')}/s`,
    `${((user + system) / asked).toFixed(2)} us of CPU each`,
    `${Math.round(replayPageBytesTotal / replayPagesTotal)} bytes each`,
  ];
  const name = `resume in ${channels.toLocaleString('en')} channels`;
  process.stdout.write(`${name.padEnd(42)} ${columns.join(', ')}\n`);
}

for (const one of CASES) run(one);
for (const channels of [1000, 100_000]) resume(channels);
