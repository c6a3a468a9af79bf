// Measures the publishes, resumes and applied messages per second of the broker alone, without sockets.
// `node dist/bench/broker.js [SECONDS]` prints a line for each case.
import { Broker } from '../lib/broker/broker.js';
import type { LogSetup } from '../lib/broker/broker-log.js';
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
/**
 * Publishes before the measurement: more than the history keeps in the bytes that it may have. A
 * history that grows costs more the slower the machine is, because a measurement has fewer messages.
 */
const WARM_UP = 1_200_000;
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

/** A broker with its workers, whose loop iterations end when the measurement says so. */
class World {
  readonly broker: Broker;
  readonly ports = Array.from({ length: WORKERS }, (_, slot) => new Port(slot));
  #flush: (() => void) | undefined;

  constructor(log?: LogSetup) {
    this.broker = new Broker(OPTIONS, { schedule: (run) => (this.#flush = run), log });
  }

  attach(): void {
    for (const port of this.ports) this.broker.attach(port);
  }

  /** One worker has a subscriber of a channel. */
  subscribe(worker: number, channel: string): void {
    const fields = { channel, count: 1, wanted: 1 };
    this.broker.onFrame(worker % WORKERS, { name: 'Interest', fields });
  }

  /** Ends the loop iteration. False if nothing was left to do. */
  flush(): boolean {
    const run = this.#flush;
    this.#flush = undefined;
    run?.();
    return run !== undefined;
  }
}

/** The time and the processor time since its start. */
class Meter {
  readonly startedAtMs = performance.now();
  readonly #cpu = process.cpuUsage();

  get isDone(): boolean {
    return performance.now() - this.startedAtMs >= SECONDS * 1000;
  }

  /** Prints the rate and the cost of each of `count`, and further columns. */
  print(name: string, count: number, ...more: string[]): void {
    const { user, system } = process.cpuUsage(this.#cpu);
    const seconds = (performance.now() - this.startedAtMs) / 1000;
    const columns = [
      `${Math.round(count / seconds).toLocaleString('en')}/s`,
      `${((user + system) / count).toFixed(2)} us of CPU each`,
      ...more,
    ];
    process.stdout.write(`${name.padEnd(42)} ${columns.join(', ')}\n`);
  }
}

const userChannel = (index: number): string => `user/${String(index).padStart(9, '0')}`;

function run({ name, channels, workersEach, options }: Case): void {
  const world = new World();
  const { broker, ports } = world;
  world.attach();
  const names = Array.from({ length: channels }, (_, index) => userChannel(index));
  for (const [index, channel] of names.entries()) {
    for (let worker = 0; worker < workersEach; worker++) world.subscribe(index + worker, channel);
  }
  let published = 0;
  const iteration = (): void => {
    for (let index = 0; index < BATCH; index++) {
      void broker.publish(names[published++ % channels] ?? '', DATA, options);
    }
    world.flush();
    if (published % (50 * BATCH) === 0) broker.tick();
  };
  while (published < WARM_UP) iteration();
  for (const port of ports) port.writes = 0;
  published = 0;
  const meter = new Meter();
  let longestMs = 0;
  let nowMs = meter.startedAtMs;
  while (!meter.isDone) {
    iteration();
    const atMs = performance.now();
    longestMs = Math.max(longestMs, atMs - nowMs);
    nowMs = atMs;
  }
  const writes = ports.reduce((sum, port) => sum + port.writes, 0);
  const { historyMessages: messages, historyMemoryBytes: memoryBytes } = broker.counters;
  meter.print(
    name,
    published,
    `${(published / Math.max(1, writes)).toFixed(1)} per write`,
    `longest iteration ${longestMs.toFixed(0)} ms`,
    `history ${messages.toLocaleString('en')} messages, ${(memoryBytes / 1e6).toFixed(0)} MB`,
  );
  void broker.close();
}

/** Clients that reconnect with a cursor, each to one channel in which it missed three messages. */
function resume(channels: number): void {
  const world = new World();
  const { broker } = world;
  world.attach();
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < channels; index++) void broker.publish(`room/${index}`, DATA);
  }
  const meter = new Meter();
  let asked = 0;
  while (!meter.isDone) {
    for (let slot = 0; slot < WORKERS; slot++) {
      for (let index = 0; index < 64; index++) {
        const fields = { fd: index, generation: 1, hasSince: 1, epoch: broker.epoch, number: 0n };
        const names = [`room/${asked++ % channels}`];
        const ask = { ...fields, bytesMax: 32_768, channels: names };
        broker.onFrame(slot, { name: 'ReplayRequest', fields: ask });
      }
    }
    while (world.flush());
  }
  const { replayPageBytesTotal, replayPagesTotal } = broker.counters;
  const bytes = Math.round(replayPageBytesTotal / replayPagesTotal);
  meter.print(`resume in ${channels.toLocaleString('en')} channels`, asked, `${bytes} bytes each`);
  void broker.close();
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
  const log = new Entries();
  const world = new World({ log, isShared: true, node: 'this', version: '0' });
  const { broker } = world;
  await broker.openLog();
  world.attach();
  const { history: limits } = OPTIONS;
  const batches = Array.from({ length: Math.ceil(channels / messages) }, (_, batch) => {
    const writer = new BatchWriter();
    for (let index = 0; index < messages; index++) {
      const channel = userChannel((batch * messages + index) % channels);
      const texts = { channel, data: DATA, id: '', event: '' };
      const record = { ...texts, flags: 0, spreadMs: 0, limits, ttlMs: undefined, key: undefined };
      writer.add(RecordKind.publish, publishRecordBytesMax(record), (target, at) =>
        writePublishRecord(target, at, record),
      );
      world.subscribe(index, channel);
    }
    return writer.take();
  });
  const meter = new Meter();
  let applied = 0;
  while (!meter.isDone) {
    for (let index = 0; index < BATCH / messages; index++) {
      log.deliver(batches[(applied / messages) % batches.length] ?? Buffer.alloc(0));
      applied += messages;
    }
    world.flush();
    if (applied % (50 * BATCH) === 0) broker.tick();
  }
  meter.print(`apply ${messages} of a log, ${channels.toLocaleString('en')} channels`, applied);
  void broker.close();
}

for (const one of CASES) run(one);
for (const channels of [1000, 100_000]) resume(channels);
for (const channels of [1000, 100_000]) await apply(channels, 50);
