// Measures the publishes, resumes and applied messages per second of the broker alone, without sockets.
// `node dist/bench/broker.js [SECONDS]` prints a line for each case.
import { Broker } from '../lib/broker/broker.js';
import { BatchWriter, RecordKind } from '../lib/broker/log-batch.js';
import { publishRecordBytesMax, writePublishRecord } from '../lib/broker/publish-record.js';
import type { PublishOptions } from '../lib/broker/publishing.js';
import type { WorkerPort } from '../lib/ipc/worker-port.js';
import type { Log, LogReader, LogStart } from '../lib/log/log.js';
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
  readonly hasHeartbeat = true;
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

/** Entries of a log that other nodes wrote: each call applies one entry with `messages` messages. */
class Entries implements Log {
  readonly name = 'entries';
  readonly counters = {
    ...{ appends: 0, appendBytes: 0, appendErrors: 0, appendRetries: 0 },
    ...{ entriesRead: 0, reconnects: 0, breaks: 0 },
  };
  #reader: LogReader | undefined;
  #seq = 0;

  open(): Promise<LogStart> {
    return Promise.resolve({ epoch: 1n, first: 1, head: 0, nowMs: Date.now() });
  }
  append(): Promise<number> {
    return new Promise(() => undefined);
  }
  read(_after: number, reader: LogReader): void {
    this.#reader = reader;
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  deliver(batch: Buffer): void {
    const seq = ++this.#seq;
    const id = { node: 'other', count: seq };
    this.#reader?.onEntries([{ seq, atMs: Date.now(), id, batch }]);
  }
}

/** Applies the messages of a log: the cost of a message that another node published. */
async function apply(channels: number, messages: number): Promise<void> {
  let flush: (() => void) | undefined;
  const log = new Entries();
  const setup = { log, isShared: true, node: 'this', version: '0' };
  const broker = new Broker(OPTIONS, { schedule: (run) => (flush = run), log: setup });
  await broker.openLog();
  const ports = Array.from({ length: WORKERS }, (_, slot) => new Port(slot));
  for (const port of ports) broker.attach(port);
  const batches = Array.from({ length: Math.ceil(channels / messages) }, (_, batch) => {
    const writer = new BatchWriter();
    for (let index = 0; index < messages; index++) {
      const channel = `user/${String((batch * messages + index) % channels).padStart(9, '0')}`;
      const limits = OPTIONS.history;
      const texts = { channel, data: DATA, id: '', event: '' };
      const record = { ...texts, flags: 0, spreadMs: 0, limits, ttlMs: undefined, key: undefined };
      writer.add(RecordKind.publish, publishRecordBytesMax(record), (target, at) =>
        writePublishRecord(target, at, record),
      );
      const fields = { channel, count: 1, wanted: 1 };
      broker.onFrame(index % WORKERS, { name: 'Interest', fields });
    }
    return writer.take();
  });
  const startedAtMs = performance.now();
  const cpu = process.cpuUsage();
  let applied = 0;
  while (performance.now() - startedAtMs < SECONDS * 1000) {
    for (let index = 0; index < BATCH / messages; index++) {
      log.deliver(batches[(applied / messages) % batches.length] ?? Buffer.alloc(0));
      applied += messages;
    }
    flush?.();
    flush = undefined;
    if (applied % (50 * BATCH) === 0) broker.tick();
  }
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - startedAtMs) / 1000;
  void broker.close();
  const columns = [
    `${Math.round(applied / seconds).toLocaleString('en')}/s`,
    `${((user + system) / applied).toFixed(2)} us of CPU each`,
  ];
  const name = `apply ${messages} of a log, ${channels.toLocaleString('en')} channels`;
  process.stdout.write(`${name.padEnd(42)} ${columns.join(', ')}\n`);
}

for (const one of CASES) run(one);
for (const channels of [1000, 100_000]) resume(channels);
for (const channels of [1000, 100_000]) await apply(channels, 50);
