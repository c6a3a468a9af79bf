// A comet server at its limits and at shutdown: retry times are spread so that clients reconnect
// apart.
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import {
  PollClient,
  SseClient,
  startComet,
  StreamClient,
  WebSocketClient,
} from '../support/comet-world.js';
import { until } from '../support/helpers.js';

const RETRY_MS = 1000;
/** Added where the client would return before the next server listens. */
const RESTART_MS = 3000;

/** The answer to a request, until the server closes or the text matches. */
function answerOf(port: number, target: string, enough = /(?!)/): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('error', () => undefined);
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (enough.test(text)) socket.destroy();
    });
    socket.on('close', () => {
      resolve(text);
    });
    socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  });
}

function retriesIn(text: string): number[] {
  return [...text.matchAll(/^retry: (\d+)$/gm)].map(([, ms]) => Number(ms));
}

t.test('every EventSource receives another retry time', async (t) => {
  const { port } = await startComet(t, { retry: RETRY_MS });
  const texts = await Promise.all(
    Array.from({ length: 20 }, () => answerOf(port, '/events?channel=a', /retry: \d+\n/)),
  );
  const waits = texts.flatMap(retriesIn);
  t.equal(waits.length, 20);
  t.ok(new Set(waits).size > 5, 'they differ');
  t.ok(
    waits.every((ms) => ms >= RETRY_MS / 2 && ms < 1.5 * RETRY_MS),
    'around the configured time',
  );
});

const HEARTBEAT_S = 2;

t.test('a stream with messages has no heartbeats, and a silent stream has', async (t) => {
  const world = await startComet(t, { heartbeat: HEARTBEAT_S, workers: 1 });
  const clients = [new SseClient(world, ['a']), new StreamClient(world, ['a'])];
  for (const client of clients) await client.open();
  const heartbeats = (): number => Number(world.server.stats().totals['heartbeatsTotal']);
  const endsAtMs = performance.now() + 5000;
  let published = 0;
  // On a loaded machine the publisher itself may be late, and then a heartbeat is correct.
  let lateTimes = 0;
  for (let lastAtMs = performance.now(); lastAtMs < endsAtMs; published++) {
    await world.server.publish('a', 'x');
    await sleep(100);
    const nowMs = performance.now();
    if (nowMs - lastAtMs > HEARTBEAT_S * 1000) lateTimes++;
    lastAtMs = nowMs;
  }
  for (const client of clients) await client.has(published);
  t.ok(
    heartbeats() <= lateTimes * clients.length,
    `${heartbeats()} heartbeats beside messages; the publisher was late ${lateTimes} times`,
  );
  await until('heartbeats', () => heartbeats() >= 4);
  for (const client of clients) client.close();
});

t.test('a server that shuts down sends a final response on every transport', async (t) => {
  const world = await startComet(t, { retry: RETRY_MS });
  const { server, port } = world;
  const socket = new WebSocketClient(world, ['a']);
  await socket.open();
  const stream = new StreamClient(world, ['a']);
  await stream.open();
  const events = answerOf(port, '/events?channel=a');
  const poll = answerOf(port, '/poll?channel=a');
  await until('all to subscribe', () => server.stats().totals['subscriptions'] === 4);
  const closed = server.close({ drainMs: 300 });
  t.equal(server.readiness().isReady, false, 'it is not ready from the start of the shutdown');
  await closed;
  const waits = retriesIn(await events);
  t.equal(waits.length, 2);
  t.ok((waits[1] ?? 0) >= RETRY_MS && (waits[1] ?? 0) < 5 * RETRY_MS + RESTART_MS, 'a longer wait');
  t.match(await poll, /^HTTP\/1\.1 204 [^]*connection: close/i, 'the poll is answered');
  await until('the WebSocket to be closed', () => socket.closeCode !== 0);
  t.equal(socket.closeCode, 1001);
});

t.test('a client rejected by a full server receives Retry-After', async (t) => {
  const world = await startComet(t, { workers: 1, maxConnections: 3 });
  const clients = [1, 2, 3].map(() => new StreamClient(world, ['a']));
  for (const client of clients) await client.open();
  const answers = [];
  for (let index = 0; index < 12; index++) answers.push(await answerOf(world.port, '/poll'));
  const waits = answers.map((text) => Number(/^retry-after: (\d+)\r$/im.exec(text)?.[1] ?? NaN));
  for (const text of answers) t.match(text, /^HTTP\/1\.1 503 /);
  t.ok(
    waits.every((seconds) => seconds >= 5 && seconds <= 30),
    'between 5 and 30 seconds',
  );
  t.ok(new Set(waits).size > 1, 'they differ');
  t.equal(world.server.stats().totals['rejectedFullTotal'], 12, 'each is counted');
  clients[0]?.close();
  await until('a connection to be free', () => world.server.stats().totals['connections'] === 2);
  const next = new PollClient(world, ['a']);
  await next.open();
  t.ok(next.isOpen, 'a new client is accepted after one has left');
  for (const client of [...clients, next]) client.close();
});

/** Opens subscribers that read nothing. */
async function deaf(port: number, count: number, channel = 'a'): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => createConnection(port, '127.0.0.1'));
  for (const socket of sockets) {
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.pause();
    socket.write(`GET /stream?channel=${channel} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  }
  return sockets;
}

t.test('slow clients together take no more memory than the limit of a worker', async (t) => {
  const megabyte = 1_048_576;
  const options = { workers: 1, workerSendQueueBytes: megabyte, sendQueueBytes: 4 * megabyte };
  const world = await startComet(t, { ...options, messageBytes: 262_144 });
  const { server } = world;
  const good = new SseClient(world, ['a']);
  await good.open();
  const sockets = await deaf(world.port, 20);
  await until('all to subscribe', () => server.stats().totals['subscriptions'] === 21);
  const data = 'x'.repeat(200_000);
  let peak = 0;
  for (let number = 1; number <= 60; number++) {
    await server.publish('a', data);
    await good.has(number);
    peak = Math.max(peak, Number(server.stats().totals['sendQueueBytes']));
  }
  t.ok(peak > 0 && peak <= megabyte, `at most ${peak} bytes were queued`);
  const { totals } = server.stats();
  t.ok(Number(totals['sendQueueFullTotal']) > 0, 'disconnected clients are counted by cause');
  t.equal(totals['closedSlowTotal'], totals['sendQueueFullTotal']);
  t.equal(good.seen.length, 60, 'the client that reads receives everything');
  for (const socket of sockets) socket.destroy();
  good.close();
});

t.test(
  'when slow clients together queue too much, the one with the longest queue is disconnected',
  async (t) => {
    const megabyte = 1_048_576;
    const options = {
      workers: 1,
      workerSendQueueBytes: 8 * megabyte,
      sendQueueBytes: 32 * megabyte,
      // Only the limit may close a client, however long a busy machine takes.
      writeTimeout: 3600,
    };
    const { server, port } = await startComet(t, { ...options, messageBytes: 262_144 });
    const sockets = [...(await deaf(port, 2, 'large')), ...(await deaf(port, 2, 'small'))];
    t.teardown(() => {
      for (const socket of sockets) socket.destroy();
    });
    await until('all to subscribe', () => server.stats().totals['subscriptions'] === 4);
    const total = (name: string): number => Number(server.stats().totals[name]);
    const publishUntil = async (channel: string, isDone: () => boolean): Promise<void> => {
      const sent = total('messagesTotal');
      for (let count = 1; !isDone() && count <= 200; count++) {
        await server.publish(channel, 'x'.repeat(100_000));
        await until('the messages to be sent', () => total('messagesTotal') === sent + count);
      }
    };
    await publishUntil('small', () => total('sendQueueConnections') === 2);
    await publishUntil('large', () => total('sendQueueBytes') > 6 * megabyte);
    t.equal(total('sendQueueFullTotal'), 0, 'the queues are below the limit so far');
    await publishUntil('small', () => total('sendQueueFullTotal') > 0);
    t.equal(total('sendQueueFullTotal'), 1, 'one was disconnected');
    const left = async (channel: string): Promise<number> =>
      (await server.presence(channel)).members[0]?.connections ?? 0;
    t.same([await left('large'), await left('small')], [1, 2], 'one of those with longer queues');
    t.equal(total('sendQueueConnections'), 3, 'the others stay connected');
  },
);

t.test(
  'more workers than cores share the fan-out slots; a frozen or dead worker blocks no other',
  async (t) => {
    const workers = 3 * availableParallelism();
    const world = await startComet(t, { workers });
    const { server } = world;
    const clients = Array.from({ length: 20 * workers }, () => new StreamClient(world, ['a']));
    for (const client of clients) await client.open();
    const [frozen = 0, last = 0] = server.stats().workers.map(({ pid }) => pid ?? 0);
    for (let number = 0; number < 200; number++) {
      void server.publish('a', String(number));
      if (number === 50) process.kill(frozen, 'SIGSTOP');
      if (number === 100) process.kill(last, 'SIGKILL');
      if (number % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const served = (): number => clients.filter(({ seen }) => seen.length === 200).length;
    await until(
      'the clients of other workers to have everything',
      () => served() >= clients.length / 2,
    );
    process.kill(frozen, 'SIGCONT');
    await until('all remaining clients to have everything', () =>
      clients.every((client) => !client.isOpen || client.seen.length === 200),
    );
    const left = clients.filter(({ isOpen }) => isOpen);
    t.ok(
      left.length >= clients.length / 2,
      `${left.length} of ${clients.length} were on other workers`,
    );
    const expected = Array.from({ length: 200 }, (_, number) => String(number));
    for (const client of left) t.same(client.data, expected);
    for (const client of clients) client.close();
  },
);

t.test('a message that has left the history is not replayed from a cache', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const { server } = world;
  // It keeps the channel in the cache of its worker, which could answer alone.
  const watcher = new SseClient(world, ['a']);
  await watcher.open();
  const { cursor } = await server.publish('a', 'first');
  await server.publish('a', 'short-lived', { ttlMs: 300 });
  await watcher.has(2);
  const early = new StreamClient(world, ['a']);
  early.cursor = cursor;
  await early.open();
  t.same([early.data, early.lost], [['short-lived'], 0], 'before it expires it is replayed');
  await sleep(500);
  await server.publish('a', 'unkept', { history: false });
  const last = await server.publish('a', 'kept');
  await watcher.has(4);
  const late = new StreamClient(world, ['a']);
  late.cursor = cursor;
  await late.open();
  t.same(
    [late.data, late.lost],
    [['kept'], 1],
    'after it expires the client receives a gap notice',
  );
  const next = new StreamClient(world, ['a']);
  next.cursor = last.cursor;
  await next.open();
  t.same([next.data, next.lost], [[], 0], 'a client that was connected misses nothing');
  for (const client of [watcher, early, late, next]) client.close();
});

t.test('the number of channels kept after an unsubscribe is bounded', async (t) => {
  const KEPT_MAX = 65_536;
  const world = await startComet(t, { workers: 1, channelsPerConnection: 1000 });
  const client = new WebSocketClient(world, ['a']);
  await client.open();
  const channels = (): number => Number(world.server.stats().totals['channels']);
  let answers = 0;
  client.socket?.on('message', () => answers++);
  for (let round = 0; round < 120; round++) {
    const names = Array.from({ length: 900 }, (_, at) => `left-${round}-${at}`);
    client.say({ type: 'subscribe', channels: names });
    client.say({ type: 'unsubscribe', channels: names });
    // At most 64 commands and 128 KiB of them may be pending.
    await until('answers', () => answers >= 2 * (round - 2));
  }
  await until('many channels', () => channels() > 50_000);
  client.say({ type: 'subscribe', channels: ['last'] });
  // And the two that the client has.
  await until('the channels to be bounded', () => channels() <= KEPT_MAX + 2);
  t.ok(client.isOpen);
  client.close();
});
