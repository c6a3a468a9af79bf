// A comet server as its clients see it: every transport receives every message in the same order,
// and after a reconnect the messages it missed.
import t from 'tap';

import { until } from '../support/helpers.js';
import {
  CLIENTS,
  exchange,
  PollClient,
  SseClient,
  startComet,
  WebSocketClient,
  type Client,
  type World,
} from '../support/comet-world.js';

async function openAll(clients: readonly Client[]): Promise<void> {
  await Promise.all(clients.map((client) => client.open()));
  t.teardown(() => {
    for (const client of clients) client.close();
  });
}

/** Replay requests that the workers have sent to the manager. */
function replayRequests({ server }: World): number {
  return Number(server.stats().totals['replayRequestsTotal']);
}

const subscriptionsOf = ({ server }: World): number =>
  Number(server.stats().totals['subscriptions']);

t.test('a message reaches the subscribers of its channel, on every transport', async (t) => {
  const world = await startComet(t);
  const clients = CLIENTS.map((Kind) => new Kind(world, ['a', 'b']));
  const strangers = CLIENTS.map((Kind) => new Kind(world, ['c']));
  await openAll([...clients, ...strangers]);
  await world.server.publish('a', 'one', { event: 'first' });
  await world.server.publish('b', 'line 1\nline 2\n');
  await world.server.publish('a', 'ünï “code” \u2028 {"x":1}');
  for (const client of clients) {
    await client.has(3);
    t.same(
      client.data,
      ['one', 'line 1\nline 2\n', 'ünï “code” \u2028 {"x":1}'],
      client.constructor.name,
    );
    t.equal(client.seen[0]?.event, 'first');
    t.equal(client.lost, 0);
  }
  const cursors = clients.map((client) => client.seen.map(({ cursor }) => cursor).join());
  t.equal(new Set(cursors).size, 1, 'the cursors are the same on all transports');
  t.same(
    strangers.flatMap((client) => client.seen),
    [],
    'no other client received anything',
  );
});

t.test('a client that is counted as a subscriber receives the next message', async (t) => {
  const world = await startComet(t, { workers: 1, historyCount: 0 });
  for (const channel of ['a', 'b', 'c', 'd', 'e']) {
    const client = new SseClient(world, [channel]);
    const isOpen = client.open();
    const isCounted = async (): Promise<boolean> =>
      (await world.server.channels()).channels.some((one) => one.channel === channel);
    // In the same loop iteration in which the client is counted.
    while (!(await isCounted())) await new Promise((resolve) => setImmediate(resolve));
    const { delivered } = await world.server.publish(channel, 'next');
    t.equal(delivered, 1);
    await isOpen;
    await client.has(1);
    t.same(client.data, ['next']);
    client.close();
  }
});

t.test(
  'a client that reconnects with a cursor receives the missed messages, on any transport',
  async (t) => {
    const world = await startComet(t);
    for (const Before of CLIENTS) {
      const before = new Before(world, ['a', 'b']);
      await before.open();
      await world.server.publish('a', 'seen');
      await before.has(1);
      before.close();
      await world.server.publish('b', 'missed 1');
      await world.server.publish('other', 'not mine');
      await world.server.publish('a', 'missed 2');
      for (const After of CLIENTS) {
        const after = new After(world, ['a', 'b']);
        after.cursor = before.seen[0]?.cursor ?? '';
        await after.open();
        await after.has(2);
        t.same(after.data, ['missed 1', 'missed 2'], `${Before.name}, then ${After.name}`);
        t.equal(after.lost, 0, 'without a gap');
        after.close();
      }
    }
  },
);

t.test('a client whose cursor is too old receives a gap notice, on every transport', async (t) => {
  const world = await startComet(t, { historyCount: 2 });
  const first = new SseClient(world, ['a']);
  await first.open();
  // More than the history keeps, and more than a worker caches for polls.
  for (let n = 1; n <= 20; n++) await world.server.publish('a', `m${n}`);
  await first.has(20);
  first.close();
  for (const Kind of CLIENTS) {
    for (const cursor of [first.seen[0]?.cursor ?? '', '0000000000000001.3']) {
      const client = new Kind(world, ['a']);
      client.cursor = cursor;
      await client.open();
      await until('the gap notice', () => client.lost > 0);
      t.equal(client.lost, 1, `${Kind.name} from ${cursor}`);
      client.close();
    }
  }
});

t.test(
  'a client from another epoch receives the history, for one replay request to the manager',
  async (t) => {
    const world = await startComet(t, { workers: 1 });
    const expected: string[] = [];
    const publish = async (data: string): Promise<void> => {
      await world.server.publish('a', data);
      expected.push(data);
    };
    for (const data of ['kept 1', 'kept 2', 'kept 3']) await publish(data);
    const asked = replayRequests(world);
    for (const Kind of [...CLIENTS, ...CLIENTS]) {
      const client = new Kind(world, ['a']);
      client.cursor = '0000000000000001.3';
      await client.open();
      await client.has(expected.length);
      t.same(client.data, expected, Kind.name);
      t.equal(client.lost, 1, 'with a gap notice');
      client.close();
      await publish(`more ${expected.length}`);
    }
    t.equal(replayRequests(world) - asked, 1, 'the worker has the rest in its own cache');
  },
);

t.test(
  'a client that missed more than fits its send queue receives it in replay pages',
  async (t) => {
    const world = await startComet(t, { workers: 1 });
    const first = new SseClient(world, ['a']);
    await first.open();
    const data = Array.from({ length: 12 }, (_, n) => String(n).padStart(5000, '.'));
    for (const one of data) await world.server.publish('a', one);
    await first.has(data.length);
    const asked = replayRequests(world);
    const back = new SseClient(world, ['a']);
    back.cursor = first.seen[0]?.cursor ?? '';
    await back.open();
    await back.has(data.length - 1);
    t.same(back.data, data.slice(1));
    t.ok(replayRequests(world) > asked, 'although the worker has them all');
  },
);

t.test('a pattern receives every channel below it, and each message once', async (t) => {
  const world = await startComet(t);
  const clients = CLIENTS.map((Kind) => new Kind(world, ['news/*', 'news/sport']));
  await openAll(clients);
  for (const channel of ['news/sport', 'news/world/asia', 'newspaper', 'news/x']) {
    await world.server.publish(channel, channel);
  }
  await world.server.publish('news/sport', 'end');
  for (const client of clients) {
    await until('the end', () => client.data.includes('end'));
    t.same(
      client.data,
      ['news/sport', 'news/world/asia', 'news/x', 'end'],
      client.constructor.name,
    );
  }
});

t.test(
  'a WebSocket subscribes, unsubscribes and publishes in the order of its commands',
  async (t) => {
    const world = await startComet(t, { clientPublish: true });
    const client = new WebSocketClient(world, []);
    const other = new SseClient(world, ['x']);
    await other.open();
    client.cursor = '';
    // Resolves with the first subscription, which has not been sent yet.
    const opened = client.open();
    await until('the socket', () => client.socket?.readyState === 1);
    client.say({ type: 'subscribe', channels: ['x', 'y/*'] });
    client.say({ type: 'publish', channel: 'x', data: 'from a client' });
    client.say({ type: 'publish', channel: 'y/z', data: 'below' });
    client.say({ type: 'nonsense' });
    await client.has(2);
    await opened;
    t.same(client.data, ['from a client', 'below']);
    t.equal(client.errors.length, 1, 'an unknown command is answered');
    await other.has(1);
    const before = subscriptionsOf(world);
    client.say({ type: 'unsubscribe', channel: 'x' });
    await until('the unsubscribe', () => subscriptionsOf(world) === before - 1);
    await world.server.publish('x', 'after');
    await other.has(2);
    t.equal(client.seen.length, 2, 'an unsubscribed client receives nothing more');
    client.close();
    other.close();
  },
);

t.test('clients may not publish unless client publishing is enabled', async (t) => {
  const world = await startComet(t);
  const client = new WebSocketClient(world, ['x']);
  await client.open();
  client.say({ type: 'publish', channel: 'x', data: 'no' });
  await until('the rejection', () => client.errors.length > 0);
  t.match(client.errors[0], /may not publish/);
  client.close();
});

t.test(
  'a poll waits, answers at once when there is a message, and keeps its connection',
  async (t) => {
    const world = await startComet(t);
    const base = `http://127.0.0.1:${world.port}/poll?channel=a`;
    const empty = await fetch(`${base}&timeout=1`);
    t.equal(empty.status, 204);
    const cursor = empty.headers.get('megacomet-cursor') ?? '';
    t.match(cursor, /^[0-9a-f]{16}\.\d+$/);
    const waiting = fetch(`${base}&since=${cursor}`);
    await until('the poll to wait', () => subscriptionsOf(world) === 1);
    await world.server.publish('a', 'now');
    const answer = (await (await waiting).json()) as { messages: { data: string }[] };
    t.same(
      answer.messages.map(({ data }) => data),
      ['now'],
    );
    const script = await (await fetch(`${base}&since=${cursor}&callback=app.on$1`)).text();
    t.match(script, /^\/\*\*\/app\.on\$1\(\{"messages":\[/);
    const two = await exchange(
      world.port,
      `GET /poll?channel=a&since=${cursor} HTTP/1.1\r\nHost: x\r\n\r\n` +
        `GET /poll?channel=a&since=${cursor} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    t.equal(two.split('HTTP/1.1 200 OK').length, 3, 'two polls in one segment get two answers');
  },
);

t.test('all clients are notified when the server shuts down', async (t) => {
  const world = await startComet(t);
  const clients = CLIENTS.map((Kind) => new Kind(world, ['a']));
  await openAll(clients);
  const socket = clients.find((client) => client instanceof WebSocketClient)?.socket;
  const closeCode = new Promise<number>((resolve) => socket?.on('close', resolve));
  await world.server.close({ drainMs: 300 });
  t.equal(await closeCode, 1001);
  await until('all to be closed', () => clients.every((client) => !client.isOpen));
});

t.test('an operator closes the subscribers of one channel', async (t) => {
  const world = await startComet(t);
  const gone = new WebSocketClient(world, ['a']);
  const stays = new WebSocketClient(world, ['b']);
  await openAll([gone, stays]);
  const code = new Promise<number>((resolve) => gone.socket?.on('close', resolve));
  await until('the count', async () => (await world.server.channels()).channels.length === 2);
  t.equal(await world.server.disconnect('a'), 1);
  t.equal(await code, 1008);
  t.ok(stays.isOpen);
});

t.test('subscribers are counted, and a channel without any is forgotten', async (t) => {
  const world = await startComet(t, { channelRetention: 1, pollTimeout: 1, historyCount: 0 });
  const clients = [new SseClient(world, ['a']), new PollClient(world, ['a'])];
  await openAll(clients);
  const subscribers = async (): Promise<number | undefined> =>
    (await world.server.channels()).channels.find(({ channel }) => channel === 'a')?.subscribers;
  await until('two', async () => (await subscribers()) === 2);
  const { delivered } = await world.server.publish('a', 'x');
  t.equal(delivered, 2);
  for (const client of clients) client.close();
  await until('none', async () => (await subscribers()) === undefined);
});
