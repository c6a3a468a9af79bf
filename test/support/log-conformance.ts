// The tests that every Log passes: in memory, in a directory, in Redis, in NATS. A test file of one
// kind calls testLog() with a way to make such a log, and with the faults that it can inject.
import t, { type Test } from 'tap';

import { BATCH_BYTES_MAX, type Log } from '../../lib/log/log.js';
import { until } from './helpers.js';
import { LogRecord, Node } from './log-record.js';

/** One stored sequence, which a test has for itself. It begins without entries. */
export interface LogStore {
  /** Makes a log of this sequence; the test opens it, and closes it before the store is removed. */
  make(): Log;
  /**
   * Removes the oldest entries: at least those up to a position, and not the newest entry. Called
   * while all logs of the store are closed. Returns the position of the last entry that it removed.
   */
  readonly forget?: (upTo: number) => Promise<number>;
  /** Makes the store unusable for the open log; returns the function that repairs it. */
  readonly interrupt?: () => Promise<() => Promise<void> | void>;
}

export interface LogKind {
  readonly name: string;
  /** The reason to skip all tests, as of `without()`. */
  readonly skip?: string | false;
  /** Several logs may use one store at the same time. */
  readonly isShared?: boolean;
  /** Makes a store, and removes it at the end of the test. */
  readonly store: (t: Test) => Promise<LogStore> | LogStore;
}

type Check = (t: Test, store: LogStore) => Promise<void>;

/** An open log with a node that appends, and a record of the entries that were read. */
async function opened(t: Test, store: LogStore, after = 0): Promise<{ node: Node; log: Log }> {
  const log = store.make();
  t.teardown(() => log.close());
  const record = new LogRecord();
  const node = new Node(log, await log.open(), record);
  log.read(after, record);
  return { node, log };
}

async function isRejected(t: Test, append: Promise<number>): Promise<void> {
  await t.rejects(append, { name: 'MegacometError', code: 'ERR_LOG', message: /^[^\n]+$/ });
}

const keepsOrder: Check = async (t, store) => {
  const { node } = await opened(t, store);
  t.equal(node.start.head, 0, 'a new log has no entry');
  t.equal(node.start.first, 1);
  const sizes = [1, 300, 0, 70_000, 1, 1_048_576, 12];
  const seqs: number[] = [];
  for (const [index, size] of sizes.entries()) {
    seqs.push(await node.append(Buffer.alloc(size, index)));
  }
  await node.record.reached(seqs.at(-1));
  t.same(node.record.seqs, seqs, 'each entry once, in the order of the appends');
  t.same(
    node.record.entries.map(({ batch }) => batch.toString('base64')),
    sizes.map((size, index) => Buffer.alloc(size, index).toString('base64')),
    'the same bytes',
  );
  t.same(node.record.ids, node.ids, 'the ids of the appends');
  t.same(node.record.breaks, []);
};

const keepsConcurrentOrder: Check = async (t, store) => {
  const { node } = await opened(t, store);
  const underWay = 4;
  const seqs: number[] = [];
  for (let round = 0; round < 20; round += 1) {
    const texts = Array.from({ length: underWay }, (_, index) => `${round} ${index}`);
    seqs.push(...(await Promise.all(texts.map((text) => node.append(text)))));
  }
  t.same(
    seqs,
    [...seqs].sort((a, b) => a - b),
    'positions in the order of the calls',
  );
  t.equal(new Set(seqs).size, seqs.length, 'each position once');
  await node.record.reached(seqs.at(-1));
  t.same(node.record.seqs, seqs);
  t.same(node.record.texts, node.texts);
};

const readsFromAPosition: Check = async (t, store) => {
  const first = await opened(t, store);
  const seqs: number[] = [];
  for (let index = 0; index < 20; index += 1) seqs.push(await first.node.append(`old ${index}`));
  await first.log.close();
  const middle = seqs[9] ?? 0;
  const { node } = await opened(t, store, middle);
  seqs.push(await node.append('new'));
  await node.record.reached(seqs.at(-1));
  t.same(node.record.seqs, seqs.slice(10), 'older entries first, then the new one');
  t.same(node.record.breaks, []);
};

const continues: Check = async (t, store) => {
  const first = await opened(t, store);
  const seqs = [await first.node.append('a'), await first.node.append('b')];
  await first.log.close();
  const { node, log } = await opened(t, store);
  t.equal(node.start.epoch, first.node.start.epoch, 'the same epoch');
  t.equal(node.start.head, seqs[1]);
  t.equal(node.start.first, seqs[0]);
  seqs.push(await node.append('c'));
  await node.record.reached(seqs.at(-1));
  t.same(node.record.seqs, seqs);
  t.same(node.record.texts, ['a', 'b', 'c']);
  await log.close();
  const { node: last } = await opened(t, store, seqs[2]);
  t.equal(last.start.head, seqs[2], 'the entry after the second start is there at the third');
};

const keepsOneOfDuplicates: Check = async (t, store) => {
  const { node } = await opened(t, store);
  const id = node.nextId();
  const seq = await node.appendAs(id, 'once');
  t.equal(await node.appendAs(id, 'once'), seq, 'again after the answer');
  const next = node.nextId();
  const twice = await Promise.all([node.appendAs(next, 'two'), node.appendAs(next, 'two')]);
  t.equal(twice[0], twice[1], 'again before the answer');
  const last = await node.append('three');
  t.equal(await node.appendAs(id, 'once'), seq, 'again after other entries');
  await node.record.reached(last);
  t.same(node.record.texts, ['once', 'two', 'three']);
};

const takesTheLargestBatch: Check = async (t, store) => {
  const { node, log } = await opened(t, store);
  const bytes = log.batchBytesMax ?? BATCH_BYTES_MAX;
  const batch = Buffer.alloc(bytes, 'large ');
  const seqs = [await node.append(batch), await node.append('small')];
  await node.record.reached(seqs[1]);
  t.ok(node.record.entries[0]?.batch.equals(batch));
  t.ok(log.counters.appendBytes >= bytes);
  await log.close();
  const { node: again } = await opened(t, store);
  await again.record.reached(seqs[1]);
  t.ok(again.record.entries[0]?.batch.equals(batch), 'the same bytes after the next start');
};

const hasAClock: Check = async (t, store) => {
  const { node, log } = await opened(t, store);
  for (let index = 0; index < 10; index += 1) await node.append(String(index));
  await log.close();
  const { node: again } = await opened(t, store);
  await again.record.reached(await again.append('last'));
  const times = again.record.entries.map(({ atMs }) => atMs);
  t.same(
    times,
    [...times].sort((a, b) => a - b),
    'never less than before',
  );
  t.ok((times[0] ?? 0) >= node.start.nowMs, 'not before the first start');
  t.ok((times.at(-1) ?? 0) >= again.start.nowMs, 'the last not before the second start');
  t.ok(times.every(Number.isSafeInteger));
};

const closes: Check = async (t, store) => {
  const { node, log } = await opened(t, store);
  const appends = ['a', 'b', 'c', 'd'].map((text) => node.append(text));
  await log.close();
  const seqs = await Promise.all(appends);
  await isRejected(t, node.try('after close'));
  await log.close();
  const { node: again } = await opened(t, store);
  await again.record.reached(seqs.at(-1));
  t.same(again.record.texts, ['a', 'b', 'c', 'd']);
};

const beginsANewEpoch: Check = async (t, store) => {
  const { node, log } = await opened(t, store);
  const old = await node.append('old');
  await node.record.reached(old);
  node.record.lastSeq += 1000;
  const seq = await node.append('new');
  t.ok(seq > old + 1000, 'above the position that the node had applied');
  await node.record.reached(seq);
  const [broken] = node.record.breaks;
  t.match(node.record.breaks, [{ kind: 'epoch', lastSeq: old }]);
  t.not(broken?.kind === 'epoch' && broken.epoch, node.start.epoch, 'another epoch');
  t.equal(log.counters.breaks, 1);
  await log.close();
  const { node: again } = await opened(t, store, seq);
  t.equal(again.start.epoch, broken?.kind === 'epoch' && broken.epoch, 'kept by the next start');
  t.equal(again.start.head, seq);
};

const reportsAGap: Check = async (t, store) => {
  const { node, log } = await opened(t, store);
  const seqs: number[] = [];
  for (let index = 0; index < 10; index += 1) seqs.push(await node.append(String(index)));
  await log.close();
  const gone = (await store.forget?.(seqs[4] ?? 0)) ?? 0;
  t.ok(gone >= (seqs[4] ?? 0));
  const { node: again, log: second } = await opened(t, store, seqs[1]);
  seqs.push(await again.append('new'));
  await again.record.reached(seqs.at(-1));
  t.same(again.record.breaks, [{ kind: 'gap', after: seqs[1], to: gone }]);
  t.same(
    again.record.seqs,
    seqs.filter((seq) => seq > gone),
    'then the entries that are kept',
  );
  t.equal(again.start.first, again.record.seqs[0]);
  t.equal(second.counters.breaks, 1);
  await second.close();
  const { node: last } = await opened(t, store, gone);
  await last.record.reached(seqs.at(-1));
  t.same(last.record.breaks, [], 'a reader of all kept entries does not get one');
};

const survivesAnInterruption: Check = async (t, store) => {
  const { node, log } = await opened(t, store);
  const kept = [await node.append('before')];
  const repair = await store.interrupt?.();
  await isRejected(t, node.try('meanwhile'));
  await until('the break', () => node.record.kinds.includes('down'));
  t.ok(log.counters.appendErrors >= 1);
  await repair?.();
  await until('the end of the break', () => node.record.kinds.at(-1) === 'up');
  kept.push(await node.append('after'));
  await node.record.reached(kept[1]);
  t.same(
    node.record.seqs.filter((seq) => kept.includes(seq)),
    kept,
  );
  // The answer to an append may be lost while its entry is not.
  t.same(
    node.record.texts.filter((text) => text !== 'meanwhile'),
    ['before', 'after'],
  );
  t.ok(log.counters.reconnects >= 1);
};

const isShared: Check = async (t, store) => {
  const [one, two] = [await opened(t, store), await opened(t, store)];
  t.equal(one.node.start.epoch, two.node.start.epoch);
  const seqs: number[] = [];
  for (let round = 0; round < 30; round += 1) {
    seqs.push(...(await Promise.all([one.node.append('one'), two.node.append('two')])));
  }
  const head = Math.max(...seqs);
  await Promise.all([one.node.record.reached(head), two.node.record.reached(head)]);
  t.same(
    one.node.record.seqs,
    [...seqs].sort((a, b) => a - b),
    'every entry of both',
  );
  t.same(one.node.record.entries, two.node.record.entries, 'the same entries for both readers');
};

const counts: Check = async (t, store) => {
  const { node, log } = await opened(t, store);
  await node.append('abc');
  await node.record.reached(await node.append('de'));
  const { appends, appendBytes, entriesRead, breaks } = log.counters;
  t.same({ appends, entriesRead, breaks }, { appends: 2, entriesRead: 2, breaks: 0 });
  t.ok(appendBytes >= 5);
  t.not(log.name, '');
};

const CHECKS: readonly (readonly [name: string, check: Check, needs?: keyof LogStore])[] = [
  ['a reader gets each entry once, in order, those of its own process included', keepsOrder],
  ['four appends under way at a time keep their order', keepsConcurrentOrder],
  ['a reader begins after a position', readsFromAPosition],
  ['the next start continues the epoch and the positions', continues],
  ['an append with the same id again gets the position of the first', keepsOneOfDuplicates],
  ['the largest batch is kept', takesTheLargestBatch],
  ['the clock of the log never runs backwards', hasAClock],
  ['close() completes the appends that are under way, and rejects later ones', closes],
  ['a node that has applied more than the head begins a new epoch above that', beginsANewEpoch],
  ['a reader of forgotten entries gets a gap, then the kept entries', reportsAGap, 'forget'],
  ['after an interruption the log goes on by itself', survivesAnInterruption, 'interrupt'],
  ['counters', counts],
];

/** Runs all tests with one kind of log. A fault that the store cannot inject leaves its test out. */
export function testLog({ name, skip = false, store, isShared: sharing = false }: LogKind): void {
  const shared = sharing ? [['two nodes read the same order', isShared] as const] : [];
  for (const [title, check, needs] of [...CHECKS, ...shared]) {
    t.test(`${name}: ${title}`, { skip }, async (t) => {
      const made = await store(t);
      if (needs !== undefined && made[needs] === undefined) t.comment(`no ${needs}()`);
      else await check(t, made);
    });
  }
}
