// The publish path: the order of its checks, the frame for each worker, and its counters.
import t from 'tap';

import { NameHasher } from '../../lib/collections/name-hash.js';
import { valuesOf } from '../../lib/base/metric.js';
import { History } from '../../lib/broker/history.js';
import { Interest } from '../../lib/broker/interest.js';
import { LoopIteration } from '../../lib/broker/loop-iteration.js';
import { PublishPath } from '../../lib/broker/publish-path.js';
import type { HistoryLimits } from '../../lib/broker/history-limits.js';
import { MessageFlag, type Frames } from '../../lib/ipc/frames.js';
import { BUSY_BYTES, Outgoing } from '../../lib/ipc/outgoing.js';
import { FakeIterations, FakePort } from '../support/fakes/comet.js';

const EPOCH = 0xabcn;
const HISTORY: HistoryLimits = { count: 100, bytes: 262_144, ageMs: 300_000 };

/** A publish path with two workers; `iterations` ends the loop iteration. */
class Bench {
  readonly iterations = new FakeIterations();
  readonly ports = [new FakePort(0), new FakePort(1)] as const;
  readonly interest: Interest;
  readonly engine: History;
  readonly path: PublishPath;

  constructor(history: HistoryLimits | null = HISTORY) {
    const hasher = new NameHasher();
    const outgoing = new Outgoing(() => {
      throw new Error('a worker overflowed');
    });
    for (const port of this.ports) outgoing.attach(port);
    const { now, schedule } = this.iterations;
    const iteration = new LoopIteration({
      now,
      schedule,
      onEnd: () => {
        outgoing.flush();
      },
    });
    this.interest = new Interest({ slots: 2, hasher });
    this.engine = new History({ epoch: EPOCH, now, hasher, bytesMax: 134_217_728 });
    this.path = new PublishPath(
      { messageBytesMax: 100, history, historyDefaults: HISTORY },
      { engine: this.engine, interest: this.interest, outgoing, iteration },
    );
  }

  get counters(): Readonly<Record<string, number>> {
    return valuesOf(PublishPath.METRICS, this.path);
  }

  /** The Publish frames that a worker received after the last call. */
  received(slot: 0 | 1): Frames['Publish'][] {
    return this.ports[slot].take().map((frame) => {
      if (frame.name !== 'Publish') throw new Error(`unexpected frame ${frame.name}`);
      return frame.fields;
    });
  }
}

t.test('a publish sends one frame to each worker with subscribers, and to no other', (t) => {
  const bench = new Bench();
  bench.interest.set(0, 'a', 3);
  t.same(bench.path.publish('a', 'x'), { cursor: '0000000000000abc.1', delivered: 3 });
  t.same(bench.received(0), [], 'the frame waits for the end of the loop iteration');
  bench.iterations.end();
  t.match(bench.received(0), [{ number: 1n, channel: 'a', data: Buffer.from('x') }]);
  t.same(bench.received(1), []);
  t.match(bench.counters, { messagesPublishedTotal: 1, pushRecipientsTotal: 3 });
  t.end();
});

t.test('a publish without subscribers is kept in the history and schedules no flush', (t) => {
  const bench = new Bench();
  t.equal(bench.path.publish('a', 'x').delivered, 0);
  t.equal(bench.iterations.isScheduled, false);
  t.equal(bench.engine.describe('a')?.messages, 1);
  t.end();
});

t.test('a server without history numbers each message and keeps none', (t) => {
  const bench = new Bench(null);
  t.equal(bench.path.publish('a', 'x').cursor, '0000000000000abc.1');
  t.equal(bench.path.publish('a', 'x').cursor, '0000000000000abc.2');
  t.equal(bench.engine.describe('a'), null);
  bench.path.publish('a', 'x', { history: {} });
  t.equal(bench.engine.describe('a')?.messages, 1, 'the publisher asked for the default limits');
  t.end();
});

t.test('a message with limits below the defaults is marked ephemeral', (t) => {
  const bench = new Bench();
  bench.interest.set(0, 'a', 1);
  bench.path.publish('a', 'x', { ttlMs: 10 });
  bench.path.publish('a', 'x', { history: false });
  bench.path.publish('a', 'x', { history: { count: HISTORY.count + 1 } });
  bench.path.publish('a', 'x');
  bench.iterations.end();
  t.same(
    bench.received(0).map(({ flags }) => (flags & MessageFlag.ephemeral) !== 0),
    [true, true, false, false],
  );
  t.end();
});

t.test('a rejected publish uses up no number and no idempotency key', (t) => {
  const bench = new Bench();
  const options = { idempotencyKey: 'k' };
  t.throws(() => bench.path.publish('', 'x', options), { code: 'ERR_CHANNEL' });
  t.throws(() => bench.path.publish('a', 'x'.repeat(101), options), { code: 'ERR_MESSAGE_SIZE' });
  t.throws(() => bench.path.publish('a', 'x', { ...options, ttlMs: 0 }), { code: 'ERR_MESSAGE' });
  t.throws(() => bench.path.publish('a', 'x', { ...options, history: { count: 0 } }), {
    code: 'ERR_MESSAGE',
  });
  t.match(bench.counters, { messagesPublishedTotal: 0, publishesDuplicateTotal: 0 });
  t.same(bench.path.publish('a', 'x', options), { cursor: '0000000000000abc.1', delivered: 0 });
  t.end();
});

t.test('a busy worker rejects publishes to its own channels only', (t) => {
  const bench = new Bench();
  const [port] = bench.ports;
  bench.interest.set(0, 'a', 1);
  bench.interest.set(1, 'b', 1);
  bench.path.publish('a', 'x');
  port.queuedBytes = BUSY_BYTES + 1;
  bench.iterations.end();
  t.throws(() => bench.path.publish('a', 'x', { idempotencyKey: 'k' }), {
    code: 'ERR_BUSY',
    message: 'worker 0 has too many queued messages; retry shortly',
  });
  t.equal(bench.path.publish('b', 'x').cursor, '0000000000000abc.2', 'the next number');
  port.queuedBytes = BUSY_BYTES;
  t.notOk(bench.path.publish('a', 'x', { idempotencyKey: 'k' }).duplicate, 'a retry is new');
  t.match(bench.counters, { messagesPublishedTotal: 3, publishesBusyTotal: 1 });
  t.end();
});

t.test('a duplicate gets the first receipt, even while the worker is busy', (t) => {
  const bench = new Bench();
  bench.interest.set(0, 'a', 2);
  const first = bench.path.publish('a', 'x', { idempotencyKey: 'k' });
  bench.ports[0].queuedBytes = BUSY_BYTES + 1;
  bench.iterations.end();
  t.same(bench.path.publish('a', 'y', { idempotencyKey: 'k' }), { ...first, duplicate: true });
  t.equal(bench.engine.head, 1, 'the duplicate has no number');
  t.match(bench.counters, { publishesDuplicateTotal: 1, publishesBusyTotal: 0 });
  t.end();
});

t.test('an idempotency key is forgotten five minutes after its publish', (t) => {
  const bench = new Bench();
  bench.path.publish('a', 'x', { idempotencyKey: 'k' });
  bench.iterations.nowMs += 299_999;
  t.equal(bench.path.publish('a', 'x', { idempotencyKey: 'k' }).duplicate, true);
  bench.iterations.nowMs += 1;
  t.notOk(bench.path.publish('a', 'x', { idempotencyKey: 'k' }).duplicate);
  t.equal(
    bench.counters['idempotencyKeysEvictedTotal'],
    0,
    'an expired key does not count as evicted',
  );
  t.end();
});
