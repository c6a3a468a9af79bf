// One comet server through its whole life: every transport, with compression too, slow readers
// under each policy, mailboxes, a kick, a killed worker, a drain. Short enough to run under the
// sanitizers as well (test/support/sanitize.mjs).
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';

import t, { type Test } from 'tap';

import type { PublishOptions } from '../../lib/index.js';
import {
  CLIENTS,
  exchange,
  SseClient,
  startComet,
  StreamClient,
  WebSocketClient,
  type Client,
  type World,
} from '../support/comet-world.js';
import { until } from '../support/helpers.js';

const EACH = 5;
const POLICIES = ['disconnect', 'dropOldest', 'latestOnly'] as const;
/** More messages than the socket buffers of both ends hold. */
const LARGE = 'x'.repeat(200_000);

const total = (world: World, name: string): number => Number(world.server.stats().totals[name]);

/** Opens a subscriber of a stream or a WebSocket that reads nothing. */
async function openDeaf(world: World, target: string, headers = ''): Promise<Socket> {
  const socket = createConnection(world.port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.pause();
  const subscriptions = total(world, 'subscriptions');
  socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`);
  await until('it to subscribe', () => total(world, 'subscriptions') > subscriptions);
  return socket;
}

/** Publishes messages of every kind; asserts that all clients receive them in the same order. */
async function publishAll(t: Test, world: World, clients: readonly Client[]): Promise<void> {
  const before = clients[0]?.seen.length ?? 0;
  const idempotencyKey = `once-${before}`;
  const kinds: [string, PublishOptions][] = [
    ['plain', {}],
    ['two\nlines', { id: 'my-id', event: 'some' }],
    ['compressible '.repeat(5000), {}],
    ['ünï “code” \u2028', { ttlMs: 60_000, idempotencyKey }],
    ['', { policy: 'latestOnly' }],
    ['spread', { spreadMs: 200 }],
  ];
  for (const [data, options] of kinds) await world.server.publish('a', data, options);
  await world.server.publish('a', 'no second', { idempotencyKey });
  await world.server.publish('news/x', Buffer.from('of a pattern'), { binary: false });
  for (const client of clients) await client.has(before + kinds.length + 1);
  const texts = clients.map((client) => JSON.stringify(client.data));
  t.equal(new Set(texts).size, 1, 'all received the same messages in the same order');
  t.equal(clients[0]?.data.at(-1), 'of a pattern');
}

async function outruns(t: Test, world: World): Promise<void> {
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
  const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\n${key}`;
  const deflate = 'Sec-WebSocket-Extensions: permessage-deflate\r\n';
  const before = total(world, 'subscriptions');
  for (const policy of POLICIES) {
    const channel = `slow-${policy}`;
    const sockets = [
      await openDeaf(world, `/stream?channel=${channel}`),
      await openDeaf(world, `/events?channel=${channel}`),
      await openDeaf(world, `/ws?channel=${channel}`, upgrade),
      await openDeaf(world, `/ws?channel=${channel}`, upgrade + deflate),
    ];
    const good = new StreamClient(world, [channel]);
    await good.open();
    for (let number = 1; number <= 60; number++) {
      await world.server.publish(channel, LARGE, { policy, history: false });
      await good.has(number);
    }
    t.ok(total(world, 'sendQueueBytes') > 0 || total(world, 'closedSlowTotal') > 0, policy);
    // Each is destroyed with queued output, and one of them while it reads again.
    sockets[0]?.resume();
    for (const socket of sockets) socket.resetAndDestroy();
    good.close();
    await until('all to be gone', () => total(world, 'subscriptions') === before);
  }
  t.ok(total(world, 'closedSlowTotal') > 0, 'slow readers are disconnected');
  await until('all send queues to be empty', () => total(world, 'sendQueueBytes') === 0);
}

async function fetchMail(t: Test, world: World): Promise<void> {
  const { server, port } = world;
  const request = 'GET /someone.js HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const waiting = exchange(port, request);
  await until('the poll', () => server.stats().mailboxes?.polls === 1);
  await server.deliver('someone', 'first();');
  await server.deliver('someone', LARGE);
  t.match(await waiting, /first\(\);$/);
  t.ok((await exchange(port, request)).endsWith(LARGE), 'the second message waits in the mailbox');
  const gone = createConnection(port, '127.0.0.1').on('error', () => undefined);
  gone.write(request);
  await until('the poll', () => server.stats().mailboxes?.polls === 1);
  gone.resetAndDestroy();
  await until('the poll to be gone', () => server.stats().mailboxes?.polls === 0);
}

async function kick(t: Test, world: World): Promise<void> {
  const socket = new WebSocketClient(world, ['kicked']);
  const events = new SseClient(world, ['kicked']);
  for (const client of [socket, events]) await client.open();
  await until('both to be known', async () =>
    (await world.server.channels({ prefix: 'kicked' })).channels.some(
      ({ subscribers }) => subscribers === 2,
    ),
  );
  t.equal(await world.server.disconnect('kicked', 'enough'), 2);
  await until('both to be closed', () => !events.isOpen && socket.closeCode !== 0);
  t.equal(socket.closeCode, 1008);
}

/** Kills a worker and lets its clients reconnect with their cursors. */
async function crash(t: Test, world: World, clients: readonly Client[]): Promise<void> {
  const pid = world.server.stats().workers[1]?.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  await until('a successor', () => {
    const worker = world.server.stats().workers[1];
    return worker?.state === 'serving' && worker.pid !== pid;
  });
  t.ok(total(world, 'closedByCrashTotal') > 0, 'the lost connections are counted');
  await world.server.publish('a', 'meanwhile');
  const closed = (): Client[] => clients.filter((client) => !client.isOpen);
  await until('the clients to be disconnected', () => closed().length > 0);
  await until('the remaining clients to have it', () =>
    clients.every(({ isOpen, data }) => !isOpen || data.at(-1) === 'meanwhile'),
  );
  for (const client of closed()) {
    client.close();
    await client.open();
  }
}

t.test('a comet server lives through slow readers, a kick, a crash and a drain', async (t) => {
  const world = await startComet(t, {
    messageBytes: 262_144,
    clientPublish: true,
    mailboxes: true,
  });
  const { server } = world;
  server.on('subscribe', () => undefined);
  const clients = CLIENTS.flatMap((Kind) =>
    Array.from({ length: EACH }, () => new Kind(world, ['a', 'news/*'])),
  );
  t.teardown(() => {
    for (const client of clients) client.close();
  });
  await Promise.all(clients.map((client) => client.open()));
  const sockets = clients.filter((client) => client instanceof WebSocketClient);
  t.match(sockets[0]?.socket?.extensions, /permessage-deflate/);

  await publishAll(t, world, clients);
  const [first] = sockets;
  first?.say({ type: 'publish', channel: 'a', data: 'from a client '.repeat(100) });
  for (const client of clients) await client.has(8);
  await until('all to be counted', async () => {
    const { subscribers, members } = await server.presence('a');
    return subscribers === clients.length && members[0]?.connections === clients.length;
  });
  await outruns(t, world);
  await fetchMail(t, world);
  await kick(t, world);
  await crash(t, world, clients);
  await publishAll(t, world, clients);

  const report = await server.close({ drainMs: 300 });
  // A draining worker has 2 s to end; the leak check alone may take longer.
  const isWatched = process.env['ASAN_OPTIONS'] !== undefined;
  if (!isWatched) t.same(report.killed, [], 'every worker exits by itself');
  await until('all to be closed', () => clients.every((client) => !client.isOpen));
});
