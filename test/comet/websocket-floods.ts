// WebSocket clients that send far too much, or never finish a message: the memory a worker keeps
// for them is bounded, and all other clients are served.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';

import { startComet, WebSocketClient, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import {
  BINARY,
  closeFrame,
  converse,
  deflated,
  frame,
  handshake,
  LivePeer,
  PING,
  PONG,
  TEXT,
} from '../support/websocket-peer.js';

const CLOSE_NORMAL = closeFrame(1000);
const DEFLATE = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };

const total = (world: World, name: string): number => Number(world.server.stats().totals[name]);

/** Resident bytes of the only worker. */
function residentBytes(world: World): number {
  const pid = world.server.stats().workers[0]?.pid ?? 0;
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** Opens a WebSocket on a plain socket that sends nothing by itself. */
async function open(t: Test, world: World, path = '/ws-echo', lines = {}): Promise<Socket> {
  const socket = createConnection(world.port, '127.0.0.1').on('error', () => undefined);
  t.teardown(() => {
    socket.destroy();
  });
  await once(socket, 'connect');
  socket.write(handshake(path, lines));
  const [head] = (await once(socket, 'data')) as [Buffer];
  t.match(head.toString('latin1'), /^HTTP\/1\.1 101 /);
  return socket;
}

async function isServed(t: Test, world: World): Promise<void> {
  const { told } = await converse(world.port, [
    handshake('/ws-echo'),
    frame(TEXT, 'a'),
    CLOSE_NORMAL,
  ]);
  t.strictSame(told, ['text a', 'close 1000'], 'others are served');
}

/** Pings and pongs that a client may send between two checks, which are two seconds apart. */
const CONTROLS_MAX = 256;

t.test(
  'the echo server stops reading a client that sends faster than it reads, and loses nothing',
  async (t) => {
    const world = await startComet(t, { workers: 1, wsEcho: true });
    const socket = await open(t, world);
    const [bytes, count] = [30_000, 1000];
    let left = count * (bytes + 4);
    socket.on('data', (part: Buffer) => (left -= part.length)).pause();
    for (let n = 0; n < count; n++) socket.write(frame(TEXT, 'x'.repeat(bytes)));
    await until(
      'it to be stopped',
      () => Number(world.server.stats().totals['sendQueueBytes']) > 0,
    );
    socket.resume();
    await until('all of it', () => left === 0);
    t.match(world.server.stats().totals, { closedSlowTotal: 0, connections: 1 });
    await isServed(t, world);
  },
);

t.test('many pings at once get as many pongs, in their order', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true });
  const pings = Array.from({ length: CONTROLS_MAX }, (_, n) => frame(PING, `${n}`));
  const parts = [handshake('/ws-echo'), Buffer.concat(pings), CLOSE_NORMAL];
  const { told, isEnded } = await converse(world.port, parts);
  const wanted = [...pings.map((_, n) => `pong ${n}`), 'close 1000'];
  t.strictSame([told, isEnded], [wanted, true]);
  t.equal(total(world, 'controlFrameLimitTotal'), 0);
});

t.test('a hundred thousand pings are too many, and so are as many pongs', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true });
  const idle = await open(t, world, '/ws?channel=a');
  for (const [at, opcode] of [PING, PONG].entries()) {
    const many = Array.from({ length: 100_000 }, (_, n) => frame(opcode, `${n}`));
    const { told, isEnded } = await converse(world.port, [
      handshake('/ws-echo'),
      Buffer.concat(many),
    ]);
    const pongs =
      opcode === PING ? Array.from({ length: CONTROLS_MAX }, (_, n) => `pong ${n}`) : [];
    // A check during the flood resets its count.
    t.strictSame(told.slice(0, pongs.length), pongs);
    t.ok(told.length <= 2 * CONTROLS_MAX + 1, `${told.length} answers`);
    t.strictSame([told.at(-1), isEnded], ['close 1008', true]);
    t.equal(total(world, 'controlFrameLimitTotal'), at + 1, 'counted by its cause');
    t.equal(total(world, 'closedRejectedTotal'), at + 1);
  }
  await isServed(t, world);
  t.notOk(idle.destroyed);
  t.equal(total(world, 'subscriptions'), 1, 'an idle client stays connected');
});

t.test('a client that pings often but below the limit is always answered', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true });
  const peer = await LivePeer.open(t, world.port, '/ws-echo');
  const some = Buffer.concat(Array<Buffer>(CONTROLS_MAX / 16).fill(frame(PING, 'p')));
  const rounds = 40;
  for (let round = 0; round < rounds; round++) {
    peer.say(some);
    const wanted = ((round + 1) * CONTROLS_MAX) / 16;
    await until('the pongs of this round', () => peer.told.length === wanted);
    await sleep(250);
    t.equal(total(world, 'sessions'), 0, 'and needs no session memory');
  }
  t.notOk(peer.isEnded);
});

t.test('unread answers count against the send queue, as messages do', async (t) => {
  const world = await startComet(t, {
    ...{ workers: 1, wsEcho: true, sendQueueBytes: 65_536 },
    // The rate of commands would end the client first.
    commandsPerConnection: 0,
  });
  const many = Buffer.concat(Array<Buffer>(10_000).fill(frame(TEXT, '{"type":"ping"}')));
  let peak = 0;
  const socket = await open(t, world, '/ws');
  socket.pause();
  const isGone = (): boolean => total(world, 'closedSlowTotal') === 1;
  // resume() would read, and without it no event reports that the server has closed the connection.
  await until('the end of the client', () => {
    if (socket.writableLength < 10_000_000) socket.write(many);
    peak = Math.max(peak, total(world, 'sendQueueBytes'));
    return isGone();
  });
  t.ok(peak <= 65_536, `at most ${peak} bytes were queued`);
  t.equal(total(world, 'sendQueueBytes'), 0, 'and none stays queued');
  await isServed(t, world);
});

/** Unfinished messages of 131,000 fragments. */
const unfinished = { isFinal: false };
const ENDLESS = [
  ['of a byte', 1008, frame(0, 'x', unfinished)],
  ['of nothing', 1008, frame(0, '', unfinished)],
  ['of a kilobyte', 1009, frame(0, 'x'.repeat(1024), unfinished)],
] as const;

t.test('131,000 fragments of an unfinished message exceed the limit', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true, messageBytes: 131_072 });
  for (const [what, code, part] of ENDLESS) {
    const parts = Buffer.concat(Array<Buffer>(131_000).fill(part));
    const start = [handshake('/ws-echo'), frame(TEXT, 'x', unfinished)];
    const { told, isEnded } = await converse(world.port, [...start, parts]);
    t.strictSame([told, isEnded], [[`close ${code}`], true], what);
  }
  await until('all sessions to be freed', () => total(world, 'sessions') === 0);
});

t.test('a message of many fragments takes at most twice the memory of its bytes', async (t) => {
  // A longer part of a message is kept for two seconds.
  const keptBytes = 8192;
  const world = await startComet(t, { workers: 1, wsEcho: true, handshakeTimeout: 600 });
  const parts = Buffer.concat([
    frame(TEXT, 'x', unfinished),
    Buffer.concat(Array<Buffer>(keptBytes - 200).fill(frame(0, 'x', unfinished))),
  ]);
  const half = { ...unfinished, reserved: 4 };
  // A deflated message is kept compressed, so a bomb takes no more than its own bytes.
  const bomb = frame(BINARY, deflated(Buffer.alloc(30_000_000)).subarray(0, keptBytes - 200), half);
  const sockets: Socket[] = [];
  const before = residentBytes(world);
  for (let n = 0; n < 100; n++) {
    const socket = await open(t, world, '/ws-echo', n % 2 ? DEFLATE : {});
    socket.write(n % 2 ? bomb : parts);
    // Its answer follows the answers to all earlier frames.
    socket.write(frame(PING));
    await once(socket, 'data');
    sockets.push(socket);
  }
  const grown = residentBytes(world) - before;
  t.equal(total(world, 'sessions'), 100);
  const most = 100 * 2 * keptBytes + 4_194_304;
  // A sanitizer also keeps freed memory.
  const isWatched = process.env['ASAN_OPTIONS'] !== undefined;
  if (!isWatched) t.ok(grown < most, `${grown} bytes for 100 clients`);
  for (const socket of sockets) socket.destroy();
  await until('all sessions to be freed', () => total(world, 'sessions') === 0);
  await isServed(t, world);
});

t.test(
  'thousands of commands at once exceed the limit, and all commands of one client are answered',
  async (t) => {
    // Without a rate of commands, which would answer most of them with an error.
    const world = await startComet(t, { workers: 1, commandsPerConnection: 0 });
    const command = (n: number): Buffer =>
      frame(TEXT, JSON.stringify({ type: 'subscribe', channel: `a${n}` }));
    const commands = Buffer.concat(Array.from({ length: 5000 }, (_, n) => command(n)));
    const { told, isEnded } = await converse(world.port, [handshake('/ws'), commands]);
    t.strictSame([told.at(-1), isEnded], ['close 1008', true]);
    const pings = Array<Buffer>(5000).fill(frame(TEXT, '{"type":"ping"}'));
    const many = await converse(world.port, [handshake('/ws'), Buffer.concat(pings), CLOSE_NORMAL]);
    t.equal(many.told.length, 5001);
    await until('all subscriptions to end', () => total(world, 'subscriptions') === 0);
  },
);

t.test('a client that ends without Close, or does not answer Close, is removed', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true, writeTimeout: 1 });
  const opened = async (count: number): Promise<Socket[]> => {
    const sockets: Socket[] = [];
    for (let n = 0; n < count; n++) sockets.push(await open(t, world, '/ws?channel=a'));
    await until('all to subscribe', () => total(world, 'subscriptions') === count);
    return sockets;
  };
  const none = (): boolean =>
    ['connections', 'sessions', 'subscriptions'].every((name) => total(world, name) === 0);
  for (const socket of await opened(10)) socket.end();
  await until('an end of the peer to be seen', none);
  for (const socket of await opened(10)) socket.resetAndDestroy();
  await until('a reset to be seen', none);
  t.equal(total(world, 'closedPeerTotal') + total(world, 'closedResetTotal'), 20, 'each counted');
  const half = await opened(10);
  for (const socket of half) socket.write(frame(TEXT, 'half', { length: 100n }));
  for (const socket of half) socket.end();
  await until('an end within a frame to be seen', none);
  const silent = await opened(10);
  for (const socket of silent) socket.pause();
  const known = async (): Promise<number | undefined> =>
    (await world.server.channels()).channels[0]?.subscribers;
  await until('all to be known', async () => (await known()) === 10);
  await world.server.disconnect('a');
  await until('clients that never answer Close to be closed', none);
  t.equal(total(world, 'closedKickedTotal'), 10);
});

t.test('a huge list of subprotocols is ignored, or exceeds the head limit', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true });
  const list = (bytes: number): Record<string, string> => ({
    'Sec-WebSocket-Protocol': 'a, '.repeat(bytes / 3),
  });
  const fine = await converse(world.port, [handshake('/ws-echo', list(15_000)), CLOSE_NORMAL]);
  t.match(fine.head, /^HTTP\/1\.1 101 /);
  t.notMatch(fine.head, /sec-websocket-protocol/i, 'none is agreed on');
  for (const bytes of [34_000, 1_000_000]) {
    const { head, isEnded } = await converse(world.port, [handshake('/ws-echo', list(bytes))]);
    t.match(head, /^HTTP\/1\.1 431 /);
    t.ok(isEnded);
  }
});

t.test(
  'the echo server stops reading a client that reads nothing, and closes it in time',
  async (t) => {
    const limits = { sendQueueBytes: 65_536, messageBytes: 65_536, writeTimeout: 2 };
    const world = await startComet(t, { workers: 1, wsEcho: true, ...limits });
    const socket = await open(t, world);
    socket.pause();
    const many = Buffer.concat(Array<Buffer>(20).fill(frame(BINARY, Buffer.alloc(50_000))));
    for (let n = 0; n < 30; n++) socket.write(many);
    let most = 0;
    await until('it to be closed', () => {
      most = Math.max(most, total(world, 'sendQueueBytes'));
      // By the server or by the kernel, which has the same timeout.
      return total(world, 'connections') === 0;
    });
    t.ok(most > 0 && most <= 3 * 65_536, `${most} bytes were queued for it`);
    t.equal(total(world, 'sendQueueBytes'), 0);
    const client = new WebSocketClient(world, ['a']);
    await client.open();
    await world.server.publish('a', 'x');
    await client.has(1);
    client.close();
  },
);
