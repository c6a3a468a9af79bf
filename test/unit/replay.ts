// Replay requests and pages of the broker, with ports that record their frames.
import t from 'tap';

import { ask, EPOCH, port, story, wants, world } from '../support/fakes/broker.js';

const MIB = 1024 * 1024;

t.test('replay pages follow the publishes of their loop iteration', (t) => {
  const { broker, turns, ports } = world(1);
  void broker.publish('a', '1');
  void broker.publish('b', '2');
  void broker.publish('a', '3');
  turns.endAll();
  wants(broker, 0, 'a');
  ask(broker, 0, { number: 1n });
  ask(broker, 0, { hasSince: 0, fd: 8, generation: 9 });
  void broker.publish('a', '4');
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
  for (let index = 0; index < 60; index++) void broker.publish('a', 'x'.repeat(1000));
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
  void broker.publish('a', 'x');
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
  void broker.publish('a', 'y');
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
