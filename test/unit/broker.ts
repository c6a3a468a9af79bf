// The broker with ports that record their frames: order, writes, interest, kicks, listing.
import t from 'tap';

import { MESSAGE_BYTES_MAX } from '../../lib/base/message-limits.js';
import type { ChannelPage } from '../../lib/broker/publishing.js';
import { MessageFlag } from '../../lib/ipc/frames.js';
import { parseCursor } from '../support/cursor.js';
import { ask, EPOCH, port, story, wants, world } from '../support/fakes/broker.js';
import { FakePort } from '../support/fakes/comet.js';

t.test('a message reaches each worker with subscribers, with all its fields', async (t) => {
  const { broker, turns, ports } = world();
  wants(broker, 0, 'news/1', 2);
  wants(broker, 1, 'news/*', 3);
  const receipt = await broker.publish('news/1', 'grüß dich', {
    id: 'i1',
    event: 'greeting',
    spreadMs: 500,
    policy: 'latestOnly',
  });
  t.same(receipt, { cursor: '0000000000000abc.1', delivered: 5 });
  t.same(parseCursor(receipt.cursor), { epoch: EPOCH, number: 1n });
  t.same(await broker.publish('news/2', Buffer.of(0, 255)), {
    cursor: '0000000000000abc.2',
    delivered: 3,
  });
  t.match(await broker.publish('other', 'x'), { delivered: 0 });
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
});

t.test('a worker reports its interest again after a crowd of patterns has left', async (t) => {
  const { broker, turns, ports } = world(2);
  const crowd = Array.from({ length: 10_000 }, (_, index) => `p${index}/*`);
  for (const pattern of crowd) wants(broker, 0, pattern);
  wants(broker, 1, 'late/*');
  void broker.publish('nobody', 'x');
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
  t.match(await broker.publish('late/1', 'x'), { delivered: 1 });
  void broker.publish('nobody', 'x');
  turns.end();
  t.same(story(port(ports, 1).take()), ['2'], 'it gets the messages of its subscribers only');
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
    void broker.publish('all', 'x'.repeat(20));
    void broker.publish('private', 'y'.repeat(20));
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
    for (let index = 0; index < 20; index++) void broker.publish('all', 'x'.repeat(101));
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
  void broker.publish('a', data, most);
  void broker.publish('a', data.toString(), most);
  ask(broker, 1, { bytesMax: 1 });
  turns.endAll();
  const frames = port(ports, 0).take();
  t.same(story(frames), ['1', '2']);
  for (const frame of frames) t.ok(frame.name === 'Publish' && frame.fields.data.equals(data));
  t.same(story(port(ports, 1).take()), ['page 1>1 more'], 'a page may be larger than a chunk too');
  t.end();
});

t.test('large messages are sent from one buffer, which is not overwritten', async (t) => {
  const { broker, turns, ports } = world(3);
  for (const slot of [0, 1, 2]) wants(broker, slot, 'all');
  wants(broker, 1, 'one');
  const numbers: string[] = [];
  for (let turn = 0; turn < 60; turn++) {
    for (let index = 0; index < 5; index++) {
      const size = [10, 3000, 100, 60_000, 1][index] ?? 0;
      const { cursor } = await broker.publish('all', String(index).repeat(size));
      numbers.push(cursor.split('.')[1] ?? '');
      void broker.publish('one', 'o');
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
});

t.test('a slow worker gets copies, and keeps no shared buffer', (t) => {
  const { broker, turns, ports } = world(2);
  for (const slot of [0, 1]) wants(broker, slot, 'all');
  port(ports, 1).queuedBytes = 65_537;
  void broker.publish('all', 'x'.repeat(5000));
  turns.end();
  const [shared, own] = [port(ports, 0).sent[0], port(ports, 1).sent[0]];
  t.ok((shared?.buffer.byteLength ?? 0) > 100_000, 'the fast worker gets a part of the chunk');
  t.equal(own?.buffer.byteLength, own?.length, 'the slow worker gets a copy');
  t.end();
});

t.test('a dead worker is forgotten, and the next one starts without subscribers', async (t) => {
  const { broker, turns, ports } = world(2);
  wants(broker, 0, 'a', 5);
  wants(broker, 0, 'a/*', 5);
  wants(broker, 1, 'a', 1);
  ask(broker, 0, {});
  void broker.publish('a', 'x');
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
  void broker.publish('a', 'x');
  turns.endAll();
  t.same(successor.take(), []);
  wants(broker, 0, 'a', 2);
  t.match(await broker.publish('a', 'x'), { delivered: 3 });
  turns.endAll();
  t.same(story(successor.take()), ['3']);
  broker.attach(new FakePort(0));
  t.equal(broker.subscribers('a'), 1, 'also if no death was reported');
});

t.test('a kick reaches the workers with subscribers, after earlier publishes', async (t) => {
  const { broker, turns, ports } = world(3);
  wants(broker, 0, 'a', 2);
  wants(broker, 1, 'n/*', 3);
  void broker.publish('a', 'x');
  const results = [
    broker.disconnect({ channel: 'a' }, 'bye'),
    broker.disconnect({ channel: 'n/*' }),
    // A name without subscribers reaches no worker.
    broker.disconnect({ channel: 'n/1' }),
    broker.disconnect({ all: true }, 'maintenance'),
  ];
  turns.endAll();
  t.same(await Promise.all(results), [2, 3, 0, 0]);
  t.same(story(port(ports, 0).take()), ['1', 'kick a', 'kick ']);
  t.same(story(port(ports, 1).take()), ['kick n/*', 'kick ']);
  t.same(port(ports, 2).take(), [{ name: 'Kick', fields: { channel: '', reason: 'maintenance' } }]);
  await t.rejects(broker.disconnect({ channel: '' }, 'x'), { code: 'ERR_CHANNEL' });
  await t.rejects(broker.disconnect({ channel: 'a' }, 'x'.repeat(124)), { code: 'ERR_MESSAGE' });
  await t.rejects(broker.disconnect({ channel: 'a' }, 'a\nb'), { code: 'ERR_MESSAGE' });
});

t.test('channels are listed with subscribers and history, page by page', async (t) => {
  const { broker } = world(2);
  for (let index = 0; index < 3000; index++) wants(broker, index % 2, `user/${index}`, 2);
  wants(broker, 0, 'user/*', 7);
  void broker.publish('user/5', 'x');
  void broker.publish('old/1', 'x');
  const found = new Map<string, unknown>();
  let pages = 0;
  for (let from: number | null = 0; from !== null; pages++) {
    const page: ChannelPage = await broker.channels({ from, limit: 100 });
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
    (await broker.channels({ prefix: 'old' })).channels.map(({ channel }) => channel),
    ['old/1'],
  );
  t.match(broker.counters, { subscribedChannels: 3000, patterns: 1, catchAllWorkers: 0 });
});

t.test('interest in an invalid channel is ignored', (t) => {
  const { broker } = world(1);
  for (const channel of ['', '*', 'a\n', 'x'.repeat(300), 'a*']) wants(broker, 0, channel);
  t.match(broker.counters, { subscribedChannels: 0, patterns: 0 });
  broker.onFrame(0, { name: 'Goodbye', fields: { closed: 0 } });
  t.end();
});
