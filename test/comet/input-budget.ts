// The input budget of a worker for incomplete requests and messages: a client that does not fit is
// rejected with a reason, and all other clients are served.
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import t, { type Test } from 'tap';

import { procReader, readPrivateBytes } from '../../lib/system/kernel.js';
import {
  exchange,
  SseClient,
  startComet,
  WebSocketClient,
  type World,
} from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { fragments, frame, handshake, TEXT } from '../support/websocket-peer.js';

const MEGABYTE = 1_048_576;
/** Memory besides incomplete requests: sessions, and memory that the allocator keeps. */
const BESIDES = 4 * MEGABYTE;

/** A client that sends the given bytes and records the answers. */
class Peer {
  text = '';
  isOver = false;

  private constructor(readonly socket: Socket) {
    socket.setEncoding('latin1').on('data', (text: string) => (this.text += text));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.isOver = true));
  }

  static async open(t: Test, port: number, bytes: Buffer | string): Promise<Peer> {
    const socket = createConnection(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    const peer = new Peer(socket);
    socket.write(bytes);
    return peer;
  }
}

const total = ({ server }: World, name: string): number => Number(server.stats().totals[name]);

/** A request head without its last line. */
function halfHead(bytes: number): string {
  const start = 'GET /poll?channel=a&timeout=1 HTTP/1.1\r\nHost: localhost\r\nPadding: ';
  return `${start}${'x'.repeat(bytes - start.length - 2)}\r\n`;
}

const startSmall = (t: Test, options = {}): Promise<World> =>
  startComet(t, { workers: 1, workerInputBytes: MEGABYTE, handshakeTimeout: 60, ...options });

t.test('incomplete request heads take no more than the input budget of a worker', async (t) => {
  const world = await startSmall(t);
  const { server, port } = world;
  const good = new SseClient(world, ['a']);
  await good.open();
  const pid = server.stats().workers[0]?.pid ?? 0;
  const before = readPrivateBytes(procReader, pid) ?? NaN;
  const size = 12_000;
  const fitting = Math.floor(MEGABYTE / size);
  const peers: Peer[] = [];
  for (let count = 0; count < 400; count++) peers.push(await Peer.open(t, port, halfHead(size)));
  await until(
    'the others to be gone',
    () => peers.filter((peer) => peer.isOver).length === 400 - fitting,
  );
  t.equal(total(world, 'inputBudgetBytes'), fitting * size, 'the sum is exact');
  const rejected = peers.filter((peer) => peer.isOver);
  const waits = rejected.map(({ text }) => Number(/^retry-after: (\d+)\r$/im.exec(text)?.[1]));
  t.ok(
    rejected.every(({ text }) => text.startsWith('HTTP/1.1 503 ')),
    'the other clients are answered',
  );
  t.ok(
    waits.every((seconds) => seconds >= 5 && seconds <= 30),
    'with Retry-After',
  );
  t.ok(new Set(waits).size > 1, 'at different times');
  t.equal(total(world, 'inputBudgetFullTotal'), rejected.length, 'each is counted by its cause');
  t.equal(total(world, 'closedRejectedTotal'), rejected.length);
  const grown = (readPrivateBytes(procReader, pid) ?? NaN) - before;
  t.ok(grown < MEGABYTE + BESIDES, `the worker grew by ${grown} bytes`);
  t.match(
    await exchange(port, 'GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
    /^HTTP\/1.1 404/,
  );
  await server.publish('a', 'still here');
  await good.has(1);
  t.ok(good.isOpen, 'a client that only reads is served meanwhile');
  const kept = peers.filter((peer) => !peer.isOver);
  for (const peer of kept.slice(0, 50)) peer.socket.destroy();
  await until(
    'their bytes to be free',
    () => total(world, 'inputBudgetBytes') === (fitting - 50) * size,
  );
  const late = kept[60];
  late?.socket.write('\r\n');
  await until('the rest of a head to be read', () => late?.text.startsWith('HTTP/1.1 204 '));
  for (const peer of peers) peer.socket.destroy();
  await until('all bytes to be free', () => total(world, 'inputBudgetBytes') === 0);
  const next = await Peer.open(t, port, halfHead(size));
  await until('a head to be kept again', () => total(world, 'inputBudgetBytes') === size);
  t.notOk(next.isOver, 'the budget has room again');
  good.close();
});

t.test('the bytes of an incomplete request are released, however it ends', async (t) => {
  const world = await startSmall(t, { handshakeTimeout: 1 });
  const ends: readonly ((socket: Socket) => void)[] = [
    (socket) => socket.write('\r\n'),
    (socket) => socket.write('not a field\r\n\r\n'),
    (socket) => socket.write(`${'x'.repeat(16_384)}\r\n`),
    (socket) => socket.end(),
    (socket) => socket.resetAndDestroy(),
    () => undefined,
  ];
  for (const end of ends) {
    const peer = await Peer.open(t, world.port, halfHead(500));
    await until('it to be kept', () => total(world, 'inputBudgetBytes') === 500);
    end(peer.socket);
    await until('it to be released', () => total(world, 'inputBudgetBytes') === 0);
    peer.socket.destroy();
  }
  await until('all to be gone', () => total(world, 'connections') === 0);
  t.equal(total(world, 'sessions'), 0);
  t.equal(total(world, 'inputBudgetFullTotal'), 0, 'no client was rejected');
});

t.test(
  'an incomplete WebSocket message counts, and a client over the budget is closed with 1013',
  async (t) => {
    // 8 KiB are kept for the whole time of a message.
    const bytes = 8000;
    const fitting = Math.floor(MEGABYTE / bytes);
    const world = await startSmall(t);
    const idle = new WebSocketClient(world, ['a']);
    await idle.open();
    const upgrade = handshake('/ws');
    const [half = Buffer.alloc(0)] = fragments(TEXT, ['x'.repeat(bytes), '"}']);
    const peers: Peer[] = [];
    for (let count = 1; count <= fitting + 1; count++) {
      const peer = await Peer.open(t, world.port, upgrade);
      await until('the upgrade', () => peer.text.startsWith('HTTP/1.1 101 '));
      peer.socket.write(half);
      peers.push(peer);
      if (count > fitting) break;
      await until('the half to be there', () => total(world, 'inputBudgetBytes') === count * bytes);
    }
    const last = peers.at(-1);
    await until('the last to be closed', () => last?.isOver);
    const close = Buffer.from(last?.text.split('\r\n\r\n')[1] ?? '', 'latin1');
    t.equal(close.readUInt16BE(2), 1013, 'try again later');
    t.equal(total(world, 'inputBudgetFullTotal'), 1);
    t.equal(total(world, 'inputBudgetBytes'), fitting * bytes, 'its bytes were released');
    peers[0]?.socket.write(frame(0, '"}'));
    await until(
      'its end to be read',
      () => total(world, 'inputBudgetBytes') === (fitting - 1) * bytes,
    );
    await until('its answer', () => peers[0]?.text.includes('"type":"error"'));
    t.notOk(peers[1]?.isOver, 'the other clients stay connected');
    await world.server.publish('a', 'one');
    await idle.has(1);
    for (const peer of peers) peer.socket.destroy();
    await until('all bytes to be free', () => total(world, 'inputBudgetBytes') === 0);
    idle.close();
  },
);

t.test('commands that wait for the manager count too', async (t) => {
  const world = await startSmall(t);
  const peers: Peer[] = [];
  for (let count = 0; count < 30; count++) {
    peers.push(await Peer.open(t, world.port, handshake('/ws')));
  }
  await until('the upgrades', () => peers.every(({ text }) => text.startsWith('HTTP/1.1 101 ')));
  // A cursor of another epoch: only the manager knows the missed messages.
  const ask = { type: 'subscribe', channel: 'a', since: '3f9c0a71d25be846.1' };
  const ping = JSON.stringify({ type: 'ping', padding: 'x'.repeat(900) });
  const commands = [JSON.stringify(ask), ...Array.from({ length: 60 }, () => ping)];
  for (const { socket } of peers)
    socket.write(Buffer.concat(commands.map((one) => frame(TEXT, one))));
  // The manager is this process: while it blocks, no replay request is answered.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  const pongs = ({ text }: Peer): number => text.split('"type":"pong"').length - 1;
  await until('all to be answered or closed', () =>
    peers.every((peer) => peer.isOver || pongs(peer) === 60),
  );
  const closed = peers.filter((peer) => peer.isOver);
  t.ok(closed.length > 0 && closed.length < 30, `${closed.length} of 30 had no room`);
  t.equal(total(world, 'inputBudgetFullTotal'), closed.length);
  await until('all bytes to be free', () => total(world, 'inputBudgetBytes') === 0);
});

t.test('pipelined polls count until they are answered', async (t) => {
  const world = await startSmall(t);
  const poll = 'GET /poll?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n';
  // More than 8 KiB would not be kept for long.
  const ahead = 150;
  const count = 150;
  const bytes = poll.length * ahead;
  const peers: Peer[] = [];
  for (let number = 0; number < count; number++) {
    peers.push(await Peer.open(t, world.port, poll.repeat(1 + ahead)));
  }
  const fitting = Math.floor(MEGABYTE / bytes);
  await until(
    'the others to be gone',
    () => peers.filter(({ isOver }) => isOver).length === count - fitting,
  );
  for (const { text } of peers.filter(({ isOver }) => isOver)) {
    t.match(text, /^HTTP\/1\.1 503 [^]*retry-after: \d+\r/i, 'the poll that waits is answered');
  }
  t.equal(total(world, 'inputBudgetBytes'), fitting * bytes);
  await world.server.publish('a', 'one');
  await until(
    'one poll of each to be answered',
    () => peers.filter(({ text }) => text.includes('"data":"one"')).length === fitting,
  );
  await until(
    'the next to be answered',
    () => total(world, 'inputBudgetBytes') === fitting * (bytes - poll.length),
  );
  for (const { socket } of peers) socket.destroy();
  await until('all bytes to be free', () => total(world, 'inputBudgetBytes') === 0);
});

t.test('bytes that a subscriber sends after its request are not kept', async (t) => {
  const world = await startSmall(t);
  for (const path of ['/events', '/stream']) {
    const request = `GET ${path}?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    await Peer.open(t, world.port, request + 'x'.repeat(20_000));
  }
  await until('both to subscribe', () => total(world, 'subscriptions') === 2);
  await until('both to be idle', () => total(world, 'sessions') === 0);
  t.equal(total(world, 'inputBudgetBytes'), 0);
});

t.test('an EventSource that meets a full input budget receives when to return', async (t) => {
  const world = await startSmall(t);
  const filling = Array.from({ length: 87 }, () => Peer.open(t, world.port, halfHead(12_000)));
  await Promise.all(filling);
  await until('a full budget', () => total(world, 'inputBudgetBytes') === 87 * 12_000);
  const head = halfHead(12_000);
  const peer = await Peer.open(t, world.port, head.replace('/poll?', '/events?'));
  const other = await Peer.open(t, world.port, head);
  await until('both answers', () => peer.isOver && other.isOver);
  t.match(peer.text, /^HTTP\/1\.1 200 OK\r\n[^]*content-type: text\/event-stream/i);
  t.match(
    peer.text,
    /\nevent: megacomet\.full\n[^]*retry: \d{4,5}\n|retry: \d{4,5}\n[^]*megacomet\.full/,
  );
  t.match(other.text, /^HTTP\/1\.1 503 [^]*retry-after: \d+\r\n/i);
  t.equal(total(world, 'inputBudgetFullTotal'), 2);
});
