// Crowds of patterns and the largest message, against a whole server.
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import t from 'tap';

import { exchange, startComet, StreamClient, WebSocketClient } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

const PATTERNS_MAX = 32;

function target(client: number, count = PATTERNS_MAX): string {
  const names = Array.from({ length: count }, (_, index) => `channel=p${client}-${index}/*`);
  return `/stream?${names.join('&')}`;
}

t.test('interest routing returns after a crowd of patterns has left', async (t) => {
  const world = await startComet(t, { workers: 2, channelRetention: 1 });
  const messages = (): Readonly<Record<string, number>> => world.server.stats().messages ?? {};
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let client = 0; client < 340; client++) {
    const socket = createConnection(world.port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(`GET ${target(client)} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  }
  await until('a full table', () => (messages()['catchAllWorkers'] ?? 0) > 0);
  const late = new WebSocketClient(world, ['late/*']);
  await late.open();
  for (const socket of sockets) socket.destroy();
  await until(
    'the crowd to leave',
    () => messages()['patterns'] === 1 || messages()['patterns'] === 0,
  );
  await until('interest routing', () => messages()['catchAllWorkers'] === 0);
  t.equal(messages()['patterns'], 1, 'the pattern that did not fit is known');
  const delivered = (): number => Number(world.server.stats().totals['messagesTotal']);
  const before = delivered();
  for (let count = 0; count < 20; count++) await world.server.publish('nobody', 'x');
  const { delivered: count } = await world.server.publish('late/1', 'x');
  t.equal(count, 1);
  await late.has(1);
  await until('the one message', () => delivered() === before + 1);
  late.close();
});

t.test('a connection subscribes to at most 32 patterns', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const request = (count: number): string =>
    `GET ${target(0, count).replace('/stream', '/poll')}&timeout=0 HTTP/1.1\r\n` +
    'Host: localhost\r\nConnection: close\r\n\r\n';
  t.match(await exchange(world.port, request(PATTERNS_MAX)), /^HTTP\/1\.1 204 /);
  const rejected = await exchange(world.port, request(PATTERNS_MAX + 1));
  t.match(rejected, /^HTTP\/1\.1 413 [^]*channel: more than 32 patterns for one connection/);
});

t.test('a message of 1 MiB reaches its subscribers, and one more byte is too much', async (t) => {
  const most = 1024 * 1024;
  const world = await startComet(t, { workers: 1, messageBytes: most, sendQueueBytes: 16 * most });
  const client = new StreamClient(world, ['a']);
  await client.open();
  await world.server.publish('a', 'x'.repeat(most));
  await client.has(1);
  t.equal(client.data[0]?.length, most);
  await t.rejects(world.server.publish('a', 'x'.repeat(most + 1)), { code: 'ERR_MESSAGE_SIZE' });
  client.close();
});
