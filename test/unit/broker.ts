// The broker with ports that record their frames: order, pages, back pressure, keys, listing.
import t from 'tap';

import type { PublishOptions } from '../../lib/broker/publishing.js';
import { MESSAGE_BYTES_MAX } from '../../lib/base/message-limits.js';
import type { HistoryLimits } from '../../lib/broker/history-limits.js';
import { MessageFlag, type Frames } from '../../lib/ipc/frames.js';
import { parseCursor } from '../support/cursor.js';
import { ask, EPOCH, port, story, wants, world } from '../support/fakes/broker.js';
import { FakePort } from '../support/fakes/comet.js';

const MIB = 1024 * 1024;

t.test('a message reaches each worker with subscribers, with all its fields', (t) => {
  const { broker, turns, ports } = world();
  wants(broker, 0, 'news/1', 2);
  wants(broker, 1, 'news/*', 3);
  const receipt = broker.publish('news/1', 'grüß dich', {
    id: 'i1',
    event: 'greeting',
    spreadMs: 500,
    policy: 'latestOnly',
  });
  t.same(receipt, { cursor: '0000000000000abc.1', delivered: 5 });
  t.same(parseCursor(receipt.cursor), { epoch: EPOCH, number: 1n });
  t.same(broker.publish('news/2', Buffer.of(0, 255)), {
    cursor: '0000000000000abc.2',
    delivered: 3,
  });
  t.same(broker.publish('other', 'x').delivered, 0);
  t.equal(port(ports, 0).writes.length, 0, 'no write before the end of the loop iteration');
  turns.end();
  const text = {
    number: 1n,
    flags: 2 << 1,
    spreadMs: 500,
    channel: 'news/1',
    id: 'i1',
    event: 'greeting',
    data: Buffer.from('grüß dich'),
  };
  const binary = {
    number: 2n,
    flags: MessageFlag.binary,
    spreadMs: 0,
    channel: 'news/2',
    id: '',
    event: '',
    data: Buffer.of(0, 255),
  };
  t.same(port(ports, 0).take(), [{ name: 'Publish', fields: text }]);
  t.same(port(ports, 1).take(), [
    { name: 'Publish', fields: text },
    { name: 'Publish', fields: binary },
  ]);
  t.same(port(ports, 2).take(), []);
  t.equal(turns.isScheduled, false, 'no further flush is scheduled');
  t.end();
});

t.test('a worker reports its interest again after a crowd of patterns has left', (t) => {
  const { broker, turns, ports } = world(2);
  const crowd = Array.from({ length: 10_000 }, (_, index) => `p${index}/*`);
  for (const pattern of crowd) wants(broker, 0, pattern);
  wants(broker, 1, 'late/*');
  broker.publish('nobody', 'x');
  turns.end();
  t.same(story(port(ports, 1).take()), ['1'], 'it gets every message');
  t.equal(broker.counters.catchAllWorkers, 1);
  broker.tick();
  turns.endAll();
  t.same(port(ports, 1).take(), [], 'the table is still full');

  for (const pattern of crowd) wants(broker, 0, pattern, 0);
  broker.tick();
  turns.endAll();
  t.same(port(ports, 1).take(), [{ name: 'InterestRequest', fields: { request: 1 } }]);
  wants(broker, 1, 'late/*');
  broker.onFrame(1, { name: 'InterestEnd', fields: { request: 1 } });
  t.equal(broker.counters.catchAllWorkers, 0);
  t.equal(broker.publish('late/1', 'x').delivered, 1);
  broker.publish('nobody', 'x');
  turns.end();
  t.same(story(port(ports, 1).take()), ['2'], 'it gets the messages of its subscribers only');
  t.end();
});

t.test('the memory of a crowd of channels returns to the kernel once', (t) => {
  let trims = 0;
  const { broker } = world(1, {}, { trimHeap: () => trims++ });
  const names = Array.from({ length: 30_000 }, (_, index) => `c${index}`);
  for (const name of names) wants(broker, 0, name);
  broker.tick();
  t.equal(trims, 0);
  for (const name of names) wants(broker, 0, name, 0);
  broker.tick();
  broker.tick();
  t.equal(trims, 1);
  t.end();
});

t.test('each worker gets one write in a loop iteration', (t) => {
  const { broker, turns, ports } = world(3);
  for (const slot of [0, 1]) wants(broker, slot, 'all');
  wants(broker, 0, 'private');
  for (let index = 0; index < 100; index++) {
    broker.publish('all', 'x'.repeat(20));
    broker.publish('private', 'y'.repeat(20));
  }
  turns.endAll();
  t.equal(port(ports, 0).writes.length, 1);
  t.equal(port(ports, 1).writes.length, 1);
  t.equal(port(ports, 0).take().length, 200);
  t.equal(port(ports, 1).take().length, 100);
  t.end();
});

t.test('a broadcast is sent to all workers from one buffer, in few writes', (t) => {
  const { broker, turns, ports } = world(3);
  for (const slot of [0, 1, 2]) wants(broker, slot, 'all');
  for (let turn = 0; turn < 300; turn++) {
    for (let index = 0; index < 20; index++) broker.publish('all', 'x'.repeat(101));
    turns.endAll();
  }
  for (const { writes } of ports) {
    t.ok(
      writes.length < 450,
      `${writes.length} writes for 300 loop iterations, also where a chunk ends`,
    );
  }
  const offsets = ports.map(({ sent }) => sent[5]?.byteOffset);
  const buffers = ports.map(({ sent }) => sent[5]?.buffer);
  t.equal(new Set(offsets).size, 1, 'all workers get the same bytes');
  t.equal(new Set(buffers).size, 1);
  t.end();
});

t.test('a message may be larger than a chunk', (t) => {
  const { broker, turns, ports } = world(2, { messageBytesMax: MESSAGE_BYTES_MAX });
  wants(broker, 0, 'a');
  const data = Buffer.alloc(MESSAGE_BYTES_MAX, 'ab');
  const most = { id: 'i'.repeat(128), event: 'e'.repeat(128), history: { bytes: 3e6 } };
  broker.publish('a', data, most);
  broker.publish('a', data.toString(), most);
  ask(broker, 1, { bytesMax: 1 });
  turns.endAll();
  const frames = port(ports, 0).take();
  t.same(story(frames), ['1', '2']);
  for (const frame of frames) t.ok(frame.name === 'Publish' && frame.fields.data.equals(data));
  t.same(story(port(ports, 1).take()), ['page 1>1 more'], 'a page may be larger than a chunk too');
  t.end();
});

t.test('large messages are sent from one buffer, which is not overwritten', (t) => {
  const { broker, turns, ports } = world(3);
  for (const slot of [0, 1, 2]) wants(broker, slot, 'all');
  wants(broker, 1, 'one');
  const numbers: string[] = [];
  for (let turn = 0; turn < 60; turn++) {
    for (let index = 0; index < 5; index++) {
      const size = [10, 3000, 100, 60_000, 1][index] ?? 0;
      numbers.push(broker.publish('all', String(index).repeat(size)).cursor.split('.')[1] ?? '');
      broker.publish('one', 'o');
    }
    turns.endAll();
  }
  for (const { slot } of ports) {
    const frames = port(ports, slot).take();
    const all = frames.filter(
      (frame) => frame.name === 'Publish' && frame.fields.channel === 'all',
    );
    t.same(story(all), numbers, 'every message, in order');
    t.ok(port(ports, slot).isIntact, 'as it was sent');
  }
  const large = ports.flatMap(({ sent }) => sent.filter(({ length }) => length >= 60_000));
  t.equal(large.length, 3 * 60);
  const offsets = new Set(
    large.map(({ buffer, byteOffset }) => `${byteOffset} ${buffer.byteLength}`),
  );
  t.ok(
    new Set(large.map(({ buffer }) => buffer)).size <= 30,
    'a buffer is used for several loop iterations',
  );
  t.ok(offsets.size <= 60, 'and for all three workers');
  t.end();
});

t.test('a slow worker gets copies, and keeps no shared buffer', (t) => {
  const { broker, turns, ports } = world(2);
  for (const slot of [0, 1]) wants(broker, slot, 'all');
  port(ports, 1).queuedBytes = 65_537;
  broker.publish('all', 'x'.repeat(5000));
  turns.end();
  const [shared, own] = [port(ports, 0).sent[0], port(ports, 1).sent[0]];
  t.ok((shared?.buffer.byteLength ?? 0) > 100_000, 'the fast worker gets a part of the chunk');
  t.equal(own?.buffer.byteLength, own?.length, 'the slow worker gets a copy');
  t.end();
});

t.test('replay pages follow the publishes of their loop iteration', (t) => {
  const { broker, turns, ports } = world(1);
  broker.publish('a', '1');
  broker.publish('b', '2');
  broker.publish('a', '3');
  turns.endAll();
  wants(broker, 0, 'a');
  ask(broker, 0, { number: 1n });
  ask(broker, 0, { hasSince: 0, fd: 8, generation: 9 });
  broker.publish('a', '4');
  ask(broker, 0, { number: 4n });
  ask(broker, 0, { number: 9n });
  ask(broker, 0, { epoch: EPOCH + 1n, number: 3n });
  ask(broker, 0, { channels: ['a', 'b'] });
  ask(broker, 0, { bytesMax: 1 });
  turns.endAll();
  const frames = port(ports, 0).take();
  t.same(story(frames), [
    // A new subscriber is answered at once, before the publishes after its request.
    'page >3',
    '4',
    'page 3,4>4',
    'page >4',
    'page >4 lost',
    'page 1,3,4>4 lost',
    'page 1,2,3,4>4',
    'page 1>2 more',
  ]);
  t.match(frames[0], { fields: { fd: 8, generation: 9 } });
  const { replayPagesTotal, replayGapsTotal, replayRequestsWaiting, replayPageBytesTotal } =
    broker.counters;
  t.same([replayPagesTotal, replayGapsTotal, replayRequestsWaiting], [7, 2, 0]);
  t.ok(replayPageBytesTotal > 0);
  t.end();
});

t.test('a worker has at most a mebibyte of queued pages', (t) => {
  const { broker, turns, ports } = world(2);
  for (let index = 0; index < 60; index++) broker.publish('a', 'x'.repeat(1000));
  turns.endAll();
  port(ports, 0).isHung = true;
  for (let index = 0; index < 100; index++) ask(broker, 0, {});
  ask(broker, 1, {});
  turns.endAll();
  const sent = port(ports, 0).writes.reduce((sum, bytes) => sum + bytes, 0);
  t.ok(sent >= MIB && sent < MIB + 32_768, `${sent} bytes`);
  t.equal(port(ports, 1).take().length, 1, 'the other worker has its page');
  t.ok(broker.counters.replayRequestsWaiting > 60);
  port(ports, 0).queuedBytes = MIB;
  broker.drained();
  turns.endAll();
  const stillSent = port(ports, 0).writes.reduce((sum, bytes) => sum + bytes, 0);
  t.equal(stillSent, sent, 'no page is sent while a mebibyte is queued');
  for (let rounds = 0; broker.counters.replayRequestsWaiting > 0 && rounds < 50; rounds++) {
    port(ports, 0).queuedBytes = 0;
    if (rounds % 2 === 0) broker.drained();
    else broker.tick();
    turns.endAll();
  }
  const pages = port(ports, 0).take();
  t.equal(pages.length, 100, 'all requests are answered in the end');
  broker.drained();
  t.equal(turns.isScheduled, false, 'no request is left');
  t.end();
});

t.test('many replay requests are answered in rotation, with publishes in between', (t) => {
  const { broker, turns, ports } = world(20);
  broker.publish('a', 'x');
  turns.endAll();
  wants(broker, 19, 'a');
  for (let slot = 0; slot < 20; slot++) {
    for (let index = 0; index < 200; index++) ask(broker, slot, {});
  }
  turns.end();
  const first = ports.map((one) => one.take().length);
  t.equal(
    first.reduce((sum, pages) => sum + pages, 0),
    1024,
    'pages of one loop iteration',
  );
  t.ok(first.filter((pages) => pages > 0).length > 10, 'for many workers');
  broker.publish('a', 'y');
  turns.end();
  t.equal(story(port(ports, 19).take())[0], '2', 'a publish does not wait for the other pages');
  turns.endAll();
  t.equal(broker.counters.replayRequestsWaiting, 0);
  t.end();
});

t.test('a worker with too many replay requests is replaced', (t) => {
  const { broker } = world(1);
  const given: number[] = [];
  broker.on('overflow', (slot) => given.push(slot));
  for (let index = 0; index < 1024; index++) ask(broker, 0, {});
  t.same(given, []);
  ask(broker, 0, {});
  t.same(given, [0]);
  t.end();
});

t.test(
  'publishes for a slow worker are rejected, and a worker without heartbeat is replaced',
  (t) => {
    const { broker, turns, ports } = world(2);
    const given: number[] = [];
    broker.on('overflow', (slot) => given.push(slot));
    wants(broker, 0, 'a');
    wants(broker, 1, 'b');
    const slow = port(ports, 0);
    const publish = (channel: string): void => {
      broker.publish(channel, 'x');
      turns.endAll();
    };
    slow.queuedBytes = 8 * MIB;
    publish('a');
    publish('a');
    slow.queuedBytes++;
    publish('a');
    const head = broker.counters.messagesPublishedTotal;
    const again = (): void => {
      broker.publish('a', 'x');
    };
    t.throws(again, { code: 'ERR_BUSY' });
    t.equal(broker.counters.publishesBusyTotal, 1);
    t.equal(broker.counters.messagesPublishedTotal, head, 'a rejected publish gets no number');
    publish('b');
    publish('nobody');
    slow.beats = false;
    publish('a');
    slow.beats = true;
    t.throws(again, { code: 'ERR_BUSY' });
    slow.queuedBytes = 32 * MIB + 1;
    slow.beats = false;
    t.same(given, []);
    publish('a');
    publish('a');
    t.same(given, [0], 'the replacement is requested once');
    t.equal(broker.counters.workerStreamsOverflowedTotal, 1);
    slow.beats = true;
    slow.queuedBytes = 0;
    publish('a');
    t.equal(slow.take().length, 5, 'no frame was dropped before, and none is queued afterwards');
    t.end();
  },
);

t.test('a dead worker is forgotten, and the next one starts without subscribers', (t) => {
  const { broker, turns, ports } = world(2);
  wants(broker, 0, 'a', 5);
  wants(broker, 0, 'a/*', 5);
  wants(broker, 1, 'a', 1);
  ask(broker, 0, {});
  broker.publish('a', 'x');
  broker.workerGone(0);
  turns.endAll();
  t.same(port(ports, 0).take(), [], 'the dead worker receives nothing');
  t.same(story(port(ports, 1).take()), ['1']);
  t.equal(broker.subscribers('a'), 1);
  t.match(
    broker.counters,
    { replayRequestsWaiting: 0, replayPagesTotal: 0 },
    'its replay request is not answered',
  );
  const successor = new FakePort(0);
  broker.attach(successor);
  broker.publish('a', 'x');
  turns.endAll();
  t.same(successor.take(), []);
  wants(broker, 0, 'a', 2);
  t.equal(broker.publish('a', 'x').delivered, 3);
  turns.endAll();
  t.same(story(successor.take()), ['3']);
  broker.attach(new FakePort(0));
  t.equal(broker.subscribers('a'), 1, 'also if no death was reported');
  t.end();
});

t.test('a publish with a known key returns the first receipt, marked duplicate', (t) => {
  const { broker, turns, ports } = world(1);
  wants(broker, 0, 'a', 4);
  const options: PublishOptions = { idempotencyKey: 'k' };
  const first = broker.publish('a', 'x', options);
  t.same(first, { cursor: '0000000000000abc.1', delivered: 4 });
  wants(broker, 0, 'a', 9);
  t.same(broker.publish('a', 'other', options), { ...first, duplicate: true });
  t.same(
    broker.publish('b', 'x', options).cursor,
    '0000000000000abc.2',
    'the same key in another channel is a new key',
  );
  turns.nowMs += 299_999;
  turns.endAll();
  t.equal(broker.publish('a', 'x', options).duplicate, true);
  turns.nowMs += 1;
  t.same(broker.publish('a', 'x', options), { cursor: '0000000000000abc.3', delivered: 9 });
  turns.endAll();
  t.equal(port(ports, 0).take().length, 2);
  t.equal(broker.counters.publishesDuplicateTotal, 2);
  const bad = { idempotencyKey: 'k2', ttlMs: -1 };
  t.throws(() => broker.publish('a', 'x', bad), { code: 'ERR_MESSAGE' });
  t.notOk(
    broker.publish('a', 'x', { idempotencyKey: 'k2' }).duplicate,
    'a rejected publish does not use its key',
  );
  t.end();
});

t.test('an invalid publish is rejected with a code and one sentence', (t) => {
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
      broker.publish(channel, data, options);
      t.fail(`${code} ${JSON.stringify(options)}`);
    } catch (error) {
      const { message } = error as Error;
      t.match(error, { name: 'MegacometError', code });
      t.ok(message.length > 20 && message.length < 300 && !message.includes('\n'), message);
    }
  }
  t.equal(broker.counters.messagesPublishedTotal, 0);
  t.doesNotThrow(() => broker.publish('a', 'ä'.repeat(50)));
  t.doesNotThrow(() => broker.publish('a', Buffer.from('ä'.repeat(50)), { binary: false }));
  broker.close();
  t.throws(() => broker.publish('a', 'x'), { code: 'ERR_NOT_RUNNING' });
  t.end();
});

t.test('the limits of a publish override the history limits of the server', (t) => {
  const limits: HistoryLimits = { count: 2, bytes: 1000, ageMs: 100 };
  const { broker, turns, ports } = world(1, { history: limits, historyDefaults: limits });
  const page = (channel: string): string => {
    ask(broker, 0, { channels: [channel] });
    turns.endAll();
    return story(port(ports, 0).take()).join(' ');
  };
  for (let index = 0; index < 3; index++) broker.publish('a', 'x');
  t.equal(page('a'), 'page 2,3>3 lost');
  broker.publish('a', 'x', { history: { count: 5 } });
  t.equal(page('a'), 'page 2,3,4>4 lost', 'one limit may be given alone');
  broker.publish('b', 'x', { history: false });
  t.equal(page('b'), 'page >5 lost');
  broker.publish('c', 'x', { ttlMs: 50 });
  t.equal(page('c'), 'page 6>6');
  turns.nowMs += 50;
  t.equal(page('c'), 'page >6 lost');
  turns.nowMs += 50;
  t.equal(page('a'), 'page >6 lost');
  for (let ticks = 0; ticks < 10; ticks++) broker.tick();
  t.match(broker.counters, { historyMessages: 0, historyChannels: 0 });
  const none = world(1, { history: null });
  none.broker.publish('a', 'x');
  none.broker.publish('a', 'y', { history: {} });
  ask(none.broker, 0, {});
  none.turns.endAll();
  t.same(
    story(port(none.ports, 0).take()),
    ['page 2>2 lost'],
    'a server without history keeps messages only if the publish has limits',
  );
  t.end();
});

t.test('a message of a client is published, and the application gets an event', (t) => {
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
  t.end();
});

t.test('a client receives the rejection of its publish while its worker has room', (t) => {
  const { broker, turns, ports } = world(2);
  wants(broker, 1, 'room');
  const own = port(ports, 0);
  const other = port(ports, 1);
  const say = (channel: string): readonly unknown[] => {
    const who = { fd: 7, generation: 8, token: 0, flags: 0, id: '1', event: '' };
    broker.onFrame(0, { name: 'Message', fields: { ...who, channel, data: Buffer.from('x') } });
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
  broker.publish('room', 'x');
  turns.endAll();
  t.same(say('room'), [busy]);
  own.queuedBytes = 16 * MIB - 1;
  t.same(say('room'), [busy], "the client's own worker may be the busy one");
  own.queuedBytes = 16 * MIB;
  t.same(say('room'), []);
  t.equal(broker.counters.clientRefusalsUnsentTotal, 1);
  own.queuedBytes = MIB - 1;
  t.match(say('a*'), [{ name: 'Rejected' }]);
  own.queuedBytes = MIB;
  t.same(say('a*'), [], 'an invalid publish does not count as busy');
  t.match(broker.counters, {
    clientMessagesRejectedTotal: 5,
    clientRefusalsUnsentTotal: 2,
    clientMessagesPublishedTotal: 0,
  });
  t.end();
});

t.test('a kick reaches the workers with subscribers, after earlier publishes', (t) => {
  const { broker, turns, ports } = world(3);
  wants(broker, 0, 'a', 2);
  wants(broker, 1, 'n/*', 3);
  broker.publish('a', 'x');
  t.equal(broker.disconnect({ channel: 'a' }, 'bye'), 2);
  t.equal(broker.disconnect({ channel: 'n/*' }), 3);
  t.equal(broker.disconnect({ channel: 'n/1' }), 0, 'a name without subscribers reaches no worker');
  broker.disconnect({ all: true }, 'maintenance');
  turns.endAll();
  t.same(story(port(ports, 0).take()), ['1', 'kick a', 'kick ']);
  t.same(story(port(ports, 1).take()), ['kick n/*', 'kick ']);
  t.same(port(ports, 2).take(), [{ name: 'Kick', fields: { channel: '', reason: 'maintenance' } }]);
  t.throws(() => broker.disconnect({ channel: '' }, 'x'), { code: 'ERR_CHANNEL' });
  t.throws(() => broker.disconnect({ channel: 'a' }, 'x'.repeat(124)), { code: 'ERR_MESSAGE' });
  t.throws(() => broker.disconnect({ channel: 'a' }, 'a\nb'), { code: 'ERR_MESSAGE' });
  t.end();
});

t.test('channels are listed with subscribers and history, page by page', (t) => {
  const { broker } = world(2);
  for (let index = 0; index < 3000; index++) wants(broker, index % 2, `user/${index}`, 2);
  wants(broker, 0, 'user/*', 7);
  broker.publish('user/5', 'x');
  broker.publish('old/1', 'x');
  const found = new Map<string, unknown>();
  let pages = 0;
  for (let from: number | null = 0; from !== null; pages++) {
    const page = broker.channels({ from, limit: 100 });
    for (const { channel, ...info } of page.channels) {
      if (found.has(channel)) t.fail(`${channel} is listed twice`);
      found.set(channel, info);
    }
    from = page.next;
  }
  t.equal(found.size, 3002);
  t.ok(pages > 20);
  t.match(found.get('user/5'), { subscribers: 2, messages: 1 });
  t.match(found.get('user/6'), { subscribers: 2, messages: 0, bytes: 0 });
  t.match(found.get('user/*'), { subscribers: 7, messages: 0 });
  t.match(found.get('old/1'), { subscribers: 0, messages: 1 });
  t.same(
    broker.channels({ prefix: 'old' }).channels.map(({ channel }) => channel),
    ['old/1'],
  );
  t.match(broker.counters, { subscribedChannels: 3000, patterns: 1, catchAllWorkers: 0 });
  t.end();
});

t.test('interest in an invalid channel is ignored', (t) => {
  const { broker } = world(1);
  for (const channel of ['', '*', 'a\n', 'x'.repeat(300), 'a*']) wants(broker, 0, channel);
  t.match(broker.counters, { subscribedChannels: 0, patterns: 0 });
  broker.onFrame(0, { name: 'Goodbye', fields: { closed: 0 } });
  t.end();
});
