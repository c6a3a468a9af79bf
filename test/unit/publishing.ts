// Publishes to the broker, of programs and of clients: keys, limits, rejections.
import { setImmediate as settled } from 'node:timers/promises';

import t from 'tap';

import type { PublishOptions } from '../../lib/broker/publishing.js';
import type { HistoryLimits } from '../../lib/broker/history-limits.js';
import { MessageFlag, type Frames } from '../../lib/ipc/frames.js';
import { ask, port, story, wants, world } from '../support/fakes/broker.js';

const MIB = 1024 * 1024;

t.test(
  'publishes for a slow worker are rejected, and a worker without heartbeat is replaced',
  async (t) => {
    const { broker, turns, ports } = world(2);
    const given: number[] = [];
    broker.on('overflow', (slot) => given.push(slot));
    wants(broker, 0, 'a');
    wants(broker, 1, 'b');
    const slow = port(ports, 0);
    const publish = (channel: string): void => {
      void broker.publish(channel, 'x');
      turns.endAll();
    };
    slow.queuedBytes = 8 * MIB;
    publish('a');
    publish('a');
    slow.queuedBytes++;
    publish('a');
    const head = broker.counters.messagesPublishedTotal;
    const again = (): Promise<unknown> => broker.publish('a', 'x');
    await t.rejects(again, { code: 'ERR_BUSY' });
    t.equal(broker.counters.publishesBusyTotal, 1);
    t.equal(broker.counters.messagesPublishedTotal, head, 'a rejected publish gets no number');
    publish('b');
    publish('nobody');
    slow.hasHeartbeat = false;
    publish('a');
    slow.hasHeartbeat = true;
    await t.rejects(again, { code: 'ERR_BUSY' });
    slow.queuedBytes = 32 * MIB + 1;
    slow.hasHeartbeat = false;
    t.same(given, []);
    publish('a');
    publish('a');
    t.same(given, [0], 'the replacement is requested once');
    t.equal(broker.counters.workerStreamsOverflowedTotal, 1);
    slow.hasHeartbeat = true;
    slow.queuedBytes = 0;
    publish('a');
    t.equal(slow.take().length, 5, 'no frame was dropped before, and none is queued afterwards');
  },
);

t.test('a publish with a known key returns the first receipt, marked duplicate', async (t) => {
  const { broker, turns, ports } = world(1);
  wants(broker, 0, 'a', 4);
  const options: PublishOptions = { idempotencyKey: 'k' };
  const first = await broker.publish('a', 'x', options);
  t.same(first, { cursor: '0000000000000abc.1', delivered: 4 });
  wants(broker, 0, 'a', 9);
  t.same(await broker.publish('a', 'other', options), { ...first, duplicate: true });
  t.match(
    await broker.publish('b', 'x', options),
    { cursor: '0000000000000abc.2' },
    'the same key in another channel is a new key',
  );
  turns.nowMs += 299_999;
  turns.endAll();
  t.match(await broker.publish('a', 'x', options), { duplicate: true });
  turns.nowMs += 1;
  t.same(await broker.publish('a', 'x', options), { cursor: '0000000000000abc.3', delivered: 9 });
  turns.endAll();
  t.equal(port(ports, 0).take().length, 2);
  t.equal(broker.counters.publishesDuplicateTotal, 2);
  const bad = { idempotencyKey: 'k2', ttlMs: -1 };
  await t.rejects(broker.publish('a', 'x', bad), { code: 'ERR_MESSAGE' });
  t.notOk(
    (await broker.publish('a', 'x', { idempotencyKey: 'k2' })).duplicate,
    'a rejected publish does not use its key',
  );
});

t.test('an invalid publish is rejected with a code and one sentence', async (t) => {
  const { broker } = world(1, { messageBytesMax: 100 });
  const cases: [string, string, Buffer | string, PublishOptions?][] = [
    ['ERR_CHANNEL', '', 'x'],
    ['ERR_CHANNEL', 'a/*', 'x'],
    ['ERR_CHANNEL', 'a\n', 'x'],
    ['ERR_MESSAGE_SIZE', 'a', 'x'.repeat(101)],
    ['ERR_MESSAGE_SIZE', 'a', 'ä'.repeat(51)],
    ['ERR_MESSAGE_SIZE', 'a', Buffer.alloc(101)],
    ['ERR_MESSAGE', 'a', 5 as unknown as string],
    ['ERR_MESSAGE', 'a', Buffer.of(255), { binary: false }],
    ['ERR_MESSAGE', 'a', 'x', { id: 'a\nb' }],
    ['ERR_MESSAGE', 'a', 'x', { event: 'a\rb' }],
    ['ERR_MESSAGE', 'a', 'x', { event: 'x'.repeat(129) }],
    ['ERR_MESSAGE', 'a', 'x', { ttlMs: 0 }],
    ['ERR_MESSAGE', 'a', 'x', { ttlMs: 1.5 }],
    ['ERR_MESSAGE', 'a', 'x', { ttlMs: NaN }],
    ['ERR_MESSAGE', 'a', 'x', { spreadMs: -1 }],
    ['ERR_MESSAGE', 'a', 'x', { spreadMs: 3_600_001 }],
    ['ERR_MESSAGE', 'a', 'x', { policy: 'never' as 'disconnect' }],
    ['ERR_MESSAGE', 'a', 'x', { idempotencyKey: '' }],
    ['ERR_MESSAGE', 'a', 'x', { idempotencyKey: 'x'.repeat(129) }],
    ['ERR_MESSAGE', 'a', 'x', { history: { count: 0 } }],
    ['ERR_MESSAGE', 'a', 'x', { history: { count: 10_001 } }],
    ['ERR_MESSAGE', 'a', 'x', { history: { bytes: 0 } }],
    ['ERR_MESSAGE', 'a', 'x', { history: { ageMs: Infinity } }],
  ];
  for (const [code, channel, data, options] of cases) {
    try {
      await broker.publish(channel, data, options);
      t.fail(`${code} ${JSON.stringify(options)}`);
    } catch (error) {
      const { message } = error as Error;
      t.match(error, { name: 'MegacometError', code });
      t.ok(message.length > 20 && message.length < 300 && !message.includes('\n'), message);
    }
  }
  t.equal(broker.counters.messagesPublishedTotal, 0);
  await broker.publish('a', 'ä'.repeat(50));
  await broker.publish('a', Buffer.from('ä'.repeat(50)), { binary: false });
  await broker.close();
  await t.rejects(broker.publish('a', 'x'), { code: 'ERR_NOT_RUNNING' });
});

t.test('the limits of a publish override the history limits of the server', (t) => {
  const limits: HistoryLimits = { count: 2, bytes: 1000, ageMs: 100 };
  const { broker, turns, ports } = world(1, { history: limits, historyDefaults: limits });
  const page = (channel: string): string => {
    ask(broker, 0, { channels: [channel] });
    turns.endAll();
    return story(port(ports, 0).take()).join(' ');
  };
  for (let index = 0; index < 3; index++) void broker.publish('a', 'x');
  t.equal(page('a'), 'page 2,3>3 lost');
  void broker.publish('a', 'x', { history: { count: 5 } });
  t.equal(page('a'), 'page 2,3,4>4 lost', 'one limit may be given alone');
  void broker.publish('b', 'x', { history: false });
  t.equal(page('b'), 'page >5 lost');
  void broker.publish('c', 'x', { ttlMs: 50 });
  t.equal(page('c'), 'page 6>6');
  turns.nowMs += 50;
  t.equal(page('c'), 'page >6 lost');
  turns.nowMs += 50;
  t.equal(page('a'), 'page >6 lost');
  for (let ticks = 0; ticks < 10; ticks++) broker.tick();
  t.match(broker.counters, { historyMessages: 0, historyChannels: 0 });
  const none = world(1, { history: null });
  void none.broker.publish('a', 'x');
  void none.broker.publish('a', 'y', { history: {} });
  ask(none.broker, 0, {});
  none.turns.endAll();
  t.same(
    story(port(none.ports, 0).take()),
    ['page 2>2 lost'],
    'a server without history keeps messages only if the publish has limits',
  );
  t.end();
});

t.test('a message of a client is published, and the application gets an event', async (t) => {
  const { broker, turns, ports } = world(2);
  wants(broker, 1, 'room');
  const heard: unknown[] = [];
  broker.on('message', (message) => heard.push(message));
  const say = (fields: Partial<Frames['Message']>): void => {
    const who = { fd: 7, generation: 8, token: 0 };
    const empty = { ...who, flags: 0, channel: 'room', id: '', event: '', data: Buffer.from('hi') };
    broker.onFrame(0, { name: 'Message', fields: { ...empty, ...fields } });
  };
  say({ event: 'e' });
  say({ flags: MessageFlag.binary, data: Buffer.of(255) });
  say({ data: Buffer.of(255) });
  say({ channel: 'a*' });
  await settled();
  turns.endAll();
  t.same(story(port(ports, 1).take()), ['1', '2']);
  t.match(heard, [
    { slot: 0, channel: 'room', event: 'e', isBinary: false, receipt: { delivered: 1 } },
    { isBinary: true, data: Buffer.of(255) },
  ]);
  t.match(broker.counters, { clientMessagesPublishedTotal: 2, clientMessagesRejectedTotal: 2 });
  const refusals = port(ports, 0).take();
  t.match(refusals, [
    { name: 'Rejected', fields: { fd: 7, generation: 8, channel: 'room', error: /not UTF-8/ } },
    { name: 'Rejected', fields: { channel: 'a*', error: /cannot name a channel/ } },
  ]);
});

t.test('a client receives the rejection of its publish while its worker has room', async (t) => {
  const { broker, turns, ports } = world(2);
  wants(broker, 1, 'room');
  const own = port(ports, 0);
  const other = port(ports, 1);
  const say = async (channel: string): Promise<readonly unknown[]> => {
    const who = { fd: 7, generation: 8, token: 0, flags: 0, id: '1', event: '' };
    broker.onFrame(0, { name: 'Message', fields: { ...who, channel, data: Buffer.from('x') } });
    await settled();
    turns.endAll();
    return own.take();
  };
  const busy = {
    name: 'Rejected',
    fields: {
      fd: 7,
      generation: 8,
      channel: 'room',
      id: '1',
      error: 'server busy; retry later',
    },
  };
  other.queuedBytes = 8 * MIB + 1;
  void broker.publish('room', 'x');
  turns.endAll();
  t.same(await say('room'), [busy]);
  own.queuedBytes = 16 * MIB - 1;
  t.same(await say('room'), [busy], "the client's own worker may be the busy one");
  own.queuedBytes = 16 * MIB;
  t.same(await say('room'), []);
  t.equal(broker.counters.clientRefusalsUnsentTotal, 1);
  own.queuedBytes = MIB - 1;
  t.match(await say('a*'), [{ name: 'Rejected' }]);
  own.queuedBytes = MIB;
  t.same(await say('a*'), [], 'an invalid publish does not count as busy');
  t.match(broker.counters, {
    clientMessagesRejectedTotal: 5,
    clientRefusalsUnsentTotal: 2,
    clientMessagesPublishedTotal: 0,
  });
});
