// Messages that are lost before the broker receives them: the frames to the workers, and the cursors
// of before and after.
import t from 'tap';

import { ask, EPOCH, port, story, wants, world } from '../support/fakes/broker.js';
import { MemoryLog, MemoryStore } from '../support/memory-log.js';

t.test('a loss is one frame for each worker, in the order of the messages', async (t) => {
  const { broker, turns, ports } = world(2);
  wants(broker, 0, 'a');
  await broker.publish('a', 'before');
  broker.lost({ after: 1, to: 2 ** 40 });
  await broker.publish('a', 'after');
  turns.end();
  t.same(story(port(ports, 0).take()), ['1', 'Lost', String(2 ** 40 + 1)]);
  const [frame] = port(ports, 1).take();
  t.same(frame, { name: 'Lost', fields: { to: 2n ** 40n, epoch: EPOCH } });
  t.equal(broker.counters.lostFramesTotal, 2);
  broker.lost({ after: 2 ** 40 + 1, to: 2 ** 40 + 1 });
  turns.end();
  t.same(port(ports, 1).take(), [], 'nothing lost, and no epoch');
});

t.test('a cursor of before a loss has a gap, and one behind it has none', async (t) => {
  const { broker, turns, ports } = world(1);
  for (const data of ['1', '2']) await broker.publish('a', data);
  broker.lost({ after: 2, to: 9 });
  await broker.publish('a', '10');
  turns.end();
  port(ports, 0).take();
  for (const [number, page] of [
    [0n, 'page 1,2,10>10 lost'],
    [2n, 'page 10>10 lost'],
    [8n, 'page 10>10 lost'],
    [9n, 'page 10>10'],
    [10n, 'page >10'],
  ] as const) {
    for (const channels of [['a'], ['a', 'other', 'n/*']]) {
      ask(broker, 0, { number, channels });
      turns.end();
      t.same(story(port(ports, 0).take()), [page], `after ${number} of ${channels.join()}`);
    }
  }
  t.equal(broker.history('a').isRecovered, true, 'a reader without a cursor missed nothing');
  t.equal(broker.history('a', { since: '0000000000000abc.8' }).isRecovered, false);
});

t.test('a new epoch is that of all later cursors', async (t) => {
  const { broker, turns, ports } = world(1);
  const first = await broker.publish('a', '1', { idempotencyKey: 'k' });
  broker.lost({ after: 1, to: 1, epoch: 7n });
  const second = await broker.publish('a', '2');
  turns.end();
  t.equal(broker.epoch, 7n);
  t.same([first.cursor, second.cursor], ['0000000000000abc.1', '0000000000000007.2']);
  const [frame] = port(ports, 0).take();
  t.same(frame, { name: 'Lost', fields: { to: 0n, epoch: 7n } }, 'no subscriber lost anything');
  ask(broker, 0, { number: 1n });
  ask(broker, 0, { number: 1n, epoch: 7n });
  turns.end();
  t.same(story(port(ports, 0).take()), ['page 1,2>2 lost', 'page 2>2']);
});

t.test('a log that has forgotten its first entries has a gap there', async (t) => {
  const store = new MemoryStore();
  store.epoch = EPOCH;
  store.forget(5);
  const log = { log: new MemoryLog(store), isShared: false, node: 'n', version: '1' };
  const { broker, turns, ports } = world(1, {}, { log });
  await broker.openLog();
  t.teardown(() => broker.close());
  const page = (number: bigint): string[] => {
    ask(broker, 0, { number });
    turns.end();
    return story(port(ports, 0).take());
  };
  t.same(page(5n * 1024n), ['page >6143 lost']);
  t.same(page(6n * 1024n - 1n), ['page >6143']);
  store.forgotten = 9;
  store.tell({ kind: 'gap', after: 5, to: 9 });
  turns.end();
  t.same(
    port(ports, 0).take(),
    [{ name: 'Lost', fields: { to: 10n * 1024n - 1n, epoch: EPOCH } }],
    'the same while it is read',
  );
  t.same(page(6n * 1024n - 1n), ['page >10239 lost']);
});
