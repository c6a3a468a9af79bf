// A broker whose messages are in a log: order, numbers, idempotency and commands are the same on each
// node, and the conditions of the log are results.
import { setImmediate as turn } from 'node:timers/promises';

import fc from 'fast-check';
import t, { type Test } from 'tap';

import { MegacometError } from '../../lib/base/errors.js';
import type { Broker } from '../../lib/broker/broker.js';
import { eachRecord } from '../../lib/broker/log-batch.js';
import { parseCursor } from '../../lib/broker/cursor.js';
import type { PublishOptions } from '../../lib/broker/publishing.js';
import { ReplayPageFlag } from '../../lib/ipc/frames.js';
import { ask, wants } from '../support/fakes/broker.js';
import { startNode, startNodes, type FakeNode } from '../support/fakes/log-nodes.js';
import { until } from '../support/helpers.js';
import { MemoryLog, MemoryStore } from '../support/memory-log.js';
import { newerBatch } from '../support/newer-batch.js';

function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) throw new RangeError(`no item ${index}`);
  return item;
}

function numberOf(cursor: string): bigint {
  return parseCursor(cursor)?.number ?? 0n;
}

/** The texts of the messages that a worker received. */
async function received({ port }: FakeNode): Promise<string[]> {
  await turn();
  return port
    .take()
    .flatMap((frame) => (frame.name === 'Publish' ? [frame.fields.data.toString()] : []));
}

/** Everything that a broker keeps of some channels, in one text. */
function digest(broker: Broker, channels: readonly string[]): string {
  const pages = channels.map((channel) => broker.history(channel, { limit: 1000 }));
  return JSON.stringify(
    pages.map(({ messages, cursor }) => [
      cursor,
      messages.map((message) => [message.cursor, message.id, message.data.toString()]),
    ]),
  );
}

t.test('a publish on one node is delivered and kept on every node, in one order', async (t) => {
  const { nodes } = await startNodes(t, 2);
  const [a, b] = [at(nodes, 0), at(nodes, 1)];
  for (const { broker } of nodes) wants(broker, 0, 'room', 3);
  const receipts = await Promise.all([
    a.broker.publish('room', 'one'),
    a.broker.publish('room', 'two'),
    b.broker.publish('room', 'three'),
  ]);
  t.same(await received(a), ['one', 'two', 'three']);
  t.same(await received(b), ['one', 'two', 'three'], 'each node delivers those of the others too');
  t.match(receipts, [{ delivered: 3 }, { delivered: 3 }, { delivered: 3 }]);
  const numbers = receipts.map(({ cursor }) => numberOf(cursor));
  t.same([...numbers].sort(), numbers, 'numbers grow over all nodes');
  t.equal(digest(a.broker, ['room']), digest(b.broker, ['room']));
});

t.test('one iteration of a node is one entry', async (t) => {
  const { nodes, store } = await startNodes(t, 1, { isShared: false });
  const { broker } = at(nodes, 0);
  await Promise.all(Array.from({ length: 50 }, (_, n) => broker.publish('a', String(n))));
  t.equal(store.entries.length, 1);
  await Promise.all(Array.from({ length: 1500 }, (_, n) => broker.publish('a', String(n))));
  t.equal(store.entries.length, 3, 'an entry has 1,024 records at most');
  t.equal(broker.counters.messagesPublishedTotal, 1550);
});

t.test('a key that two nodes use at once is published once', async (t) => {
  const { nodes } = await startNodes(t, 2);
  const key: PublishOptions = { idempotencyKey: 'k' };
  const receipts = await Promise.all(
    nodes.map(({ broker, name }) => broker.publish('room', name, key)),
  );
  t.equal(new Set(receipts.map(({ cursor }) => cursor)).size, 1, 'both have one cursor');
  t.equal(receipts.filter(({ duplicate }) => duplicate === true).length, 1);
  for (const { broker } of nodes) t.equal(broker.history('room').messages.length, 1);
});

t.test('a node that joins has the history, and cursors of the others hold there', async (t) => {
  const { nodes, store } = await startNodes(t, 1);
  const first = at(nodes, 0).broker;
  const { cursor } = await first.publish('room', 'one');
  await first.publish('room', 'two');
  const { broker } = await startNode(t, store, 'late');
  t.equal(broker.epoch, first.epoch);
  const page = broker.history('room', { since: cursor });
  t.match(page, { isRecovered: true, isComplete: true });
  t.same(
    page.messages.map(({ data }) => data.toString()),
    ['two'],
  );
});

t.test(
  'a client with the cursor of a node that is ahead has no gap, and nothing is repeated',
  async (t) => {
    const { nodes } = await startNodes(t, 1);
    const { broker, port } = at(nodes, 0);
    const { cursor } = await broker.publish('room', 'one');
    await turn();
    port.take();
    const number = numberOf(cursor) + 5000n;
    ask(broker, 0, { epoch: broker.epoch, number, channels: ['room'] });
    await turn();
    const [page] = port.take();
    t.match(page, { name: 'ReplayPage', fields: { head: number, flags: ReplayPageFlag.last } });
  },
);

t.test('commands about clients are executed on every node', async (t) => {
  const { nodes, store } = await startNodes(t, 2, { tokenLeewayS: 0 });
  const [a, b] = [at(nodes, 0), at(nodes, 1)];
  await a.broker.changeChannels('ada', ['room'], true);
  await a.broker.disconnect({ user: 'ada' }, 'bye');
  await a.broker.revoke({ user: 'ada' });
  await turn();
  const names = ({ port }: FakeNode): string[] => port.take().map(({ name }) => name);
  t.same(names(b), ['UserChannels', 'DisconnectUser', 'Revoke']);
  t.same(names(a), ['UserChannels', 'DisconnectUser', 'Revoke']);
  await t.rejects(a.broker.disconnect({ channel: '\n' }), { code: 'ERR_CHANNEL' });
  t.equal(b.broker.openingFrames().length, 1, 'a worker that starts later gets the revocation');
  const late = await startNode(t, store, 'late', { tokenLeewayS: 0 });
  t.equal(late.broker.openingFrames().length, 1, 'and so does a node that starts later');
});

t.test('a publish while the log is down is rejected, and the next after it is not', async (t) => {
  const { nodes, store } = await startNodes(t, 1, { isShared: false });
  const { broker } = at(nodes, 0);
  const repair = store.interrupt();
  await t.rejects(broker.publish('room', 'x'), { code: 'ERR_LOG', message: /retry shortly/ });
  t.match(broker.log?.counters, { logPublishesFailedTotal: 1, logDown: 1 });
  t.equal(broker.log?.state.isReady, false);
  repair();
  await broker.publish('room', 'y');
  t.equal(broker.log?.state.isReady, true);
  t.equal(broker.history('room').messages.length, 1);
});

/** A log that takes appends and returns nothing until it is released. */
class SlowLog extends MemoryLog {
  readonly held: (() => void)[] = [];

  override async append(...call: Parameters<MemoryLog['append']>): Promise<number> {
    await new Promise<void>((resolve) => this.held.push(resolve));
    return super.append(...call);
  }
}

t.test('a log that is slower than its publishers rejects above 8 MiB', async (t) => {
  const store = new MemoryStore();
  const log = new SlowLog(store);
  const { broker } = await startNode(t, store, 'a', { isShared: false, log });
  const data = 'x'.repeat(65_000);
  const publishes = Array.from({ length: 200 }, () =>
    broker.publish('room', data).then(
      () => 'published',
      (error: unknown) => (error instanceof MegacometError ? error.code : 'another error'),
    ),
  );
  await turn();
  while (log.held.length > 0) {
    log.held.shift()?.();
    await turn();
  }
  const results = await Promise.all(publishes);
  const busy = results.filter((code) => code === 'ERR_BUSY').length;
  t.ok(busy > 0 && busy < 120, `${busy} of 200 were rejected`);
  t.equal(busy + results.filter((code) => code === 'published').length, 200);
  t.equal(broker.log?.counters.logPublishesBusyTotal, busy);
});

t.test('a log with a usual size of batches gets larger ones for one record only', async (t) => {
  const store = new MemoryStore();
  const log = Object.assign(new MemoryLog(store), { batchBytesUsual: 5000 });
  const { broker } = await startNode(t, store, 'a', { isShared: false, log });
  const sizes = [100, 100, 100, 5000, 1500, 1500, 100];
  await Promise.all(sizes.map((size) => broker.publish('room', 'x'.repeat(size))));
  const places = store.entries.map(({ batch }) => {
    let count = 0;
    eachRecord(batch, () => count++);
    return count;
  });
  t.same(places, [3, 1, 1, 2]);
  const kept = broker.history('room').messages.map(({ data }) => data.length);
  t.same(kept, sizes, 'in their order');
});

t.test('an entry that the log does not return fails its publishers within a second', async (t) => {
  const store = new MemoryStore();
  const log = new SlowLog(store);
  const { broker } = await startNode(t, store, 'a', { isShared: false, log });
  const publish = broker.publish('room', 'x');
  const failed = publish.then(
    () => false,
    () => true,
  );
  let hasFailed = false;
  void failed.then((is) => (hasFailed = is));
  await until('the publish fails', () => hasFailed);
  await t.rejects(publish, { code: 'ERR_LOG', message: /does not return/ });
  t.equal(broker.log?.counters.logPublishesFailedTotal, 1);
  log.held.shift()?.();
  await until('the late entry', () => broker.history('room').messages.length === 1);
});

t.test('a node without its own ticks is not ready', async (t) => {
  const { nodes, store } = await startNodes(t, 2);
  const { broker } = at(nodes, 0);
  await until('both nodes', () => broker.log?.state.nodes.length === 2);
  t.equal(broker.log?.state.isReady, true);
  t.match(
    [...(broker.log?.state.nodes ?? [])].sort((one, other) => (one.node < other.node ? -1 : 1)),
    [
      { node: 'a', version: '1.2.3', connections: 7, isSelf: true },
      { node: 'b', isSelf: false },
    ],
  );
  // Entries are written, and none is read.
  for (const log of store.logs) log.deliver = (): void => undefined;
  await until('the node is not ready', () => broker.log?.state.isReady === false);
  t.ok((broker.log?.clusterCounters?.clusterTickAgeSeconds ?? 0) >= 3);
});

async function appendAs(store: MemoryStore, batch: Buffer): Promise<void> {
  const log = new MemoryLog(store);
  await log.open();
  await log.append(batch, { node: 'newer', count: store.entries.length + 1 }, 0);
  await log.close();
}

t.test('records of a newer version are skipped, but not silently if they are needed', async (t) => {
  const { nodes, store } = await startNodes(t, 1, { isShared: false });
  const { broker } = at(nodes, 0);
  await appendAs(store, newerBatch(200, false));
  t.match(broker.log?.counters, { logRecordsUnknownTotal: 1 });
  t.equal(broker.log?.state.isReady, true);
  await appendAs(store, newerBatch(201, true));
  t.match(broker.log?.counters, { logRecordsUnknownTotal: 2 });
  t.equal(broker.log?.state.isReady, false);
  await appendAs(store, Buffer.from([9, 1, 2]));
  await appendAs(store, Buffer.from([1, 255, 255, 255, 255, 1, 0]));
  t.match(broker.log?.counters, { logRecordsInvalidTotal: 2 });
  await broker.publish('room', 'x');
  t.equal(broker.history('room').messages.length, 1, 'the entries after it are applied');
});

const CHANNELS = ['a', 'b', 'c/1', 'c/2'];

interface Step {
  readonly node: number;
  readonly channel: string;
  readonly data: string;
  readonly key: string | undefined;
  readonly count: number | undefined;
  readonly endsTurn: boolean;
}

const publishes: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    node: fc.nat(2),
    channel: fc.constantFrom(...CHANNELS),
    data: fc.string({ maxLength: 20 }),
    key: fc.option(fc.constantFrom('k1', 'k2'), { nil: undefined }),
    count: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
    endsTurn: fc.boolean(),
  }),
  { maxLength: 60 },
);

async function sameEverywhere(t: Test, steps: readonly Step[]): Promise<void> {
  const { nodes, store } = await startNodes(t, 3, { isShared: false });
  const receipts: Promise<unknown>[] = [];
  for (const { node, channel, data, key, count, endsTurn } of steps) {
    const options: PublishOptions = {
      ...(key === undefined ? {} : { idempotencyKey: key }),
      ...(count === undefined ? {} : { history: { count } }),
    };
    receipts.push(at(nodes, node).broker.publish(channel, data, options));
    if (endsTurn) await turn();
  }
  await Promise.all(receipts);
  const joined = await startNode(t, store, 'late', { isShared: false });
  const digests = [...nodes, joined].map(({ broker }) => digest(broker, CHANNELS));
  if (new Set(digests).size !== 1) throw new Error(`the nodes differ: ${digests.join(' / ')}`);
  const published = nodes.map(({ broker }) => broker.counters.messagesPublishedTotal);
  if (new Set(published).size !== 1) throw new Error(`${published.join()} messages`);
}

t.test('the same entries give the same state on each node, and on one that joins', async (t) => {
  await fc.assert(
    fc.asyncProperty(publishes, (steps) => sameEverywhere(t, steps)),
    { numRuns: 150 },
  );
  t.pass('150 random histories');
});
