// Subscribers that reset, half-close, read nothing or one byte at a time, or send one byte at a
// time: each stays within its limits, and every subscriber that reads receives every message.
import type { Socket } from 'node:net';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import {
  Program,
  REQUESTS,
  subscribeAll,
  WebSocketClient,
  type Client,
} from '../support/comet-world.js';
import { compile, connect, cpuMs, descriptorsOf, until } from '../support/helpers.js';

const SHARED = ['-shared', '-fPIC'];
const CPU_SHARE_MAX = 0.1;
/** Size of one message. */
const LARGE = 20_000;
const SEND_QUEUE_BYTES = 65_536;
/** Transports that stay subscribed after a message, unlike a poll. */
const STREAMING = [REQUESTS.sse, REQUESTS.stream, REQUESTS.websocket];

interface Stage {
  readonly program: Program;
  readonly pid: number;
  /** One client of each transport that reads all the time. */
  readonly readers: readonly Client[];
  /** Messages published so far. */
  readonly sent: string[];
  /** Descriptors of the worker before the first client. */
  readonly descriptors: number;
}

/** One worker with small socket buffers, so that a few messages block a write. */
async function start(t: Test, ...args: string[]): Promise<Stage> {
  const program = await Program.start(t, {
    args: ['--workers', '1', '--handshake-timeout', '2', ...args],
    env: { LD_PRELOAD: compile(t, 'small-send.c', ...SHARED) },
  });
  const pid = await program.server.pidOf(0);
  const descriptors = descriptorsOf(pid).length;
  const readers = await subscribeAll(program);
  await program.untilTotal('subscriptions', readers.length);
  return { program, pid, readers, sent: [], descriptors };
}

/** Publishes messages one by one; each waits until all readers have the previous one. */
async function publish(stage: Stage, count: number, bytes = LARGE): Promise<void> {
  const { program, readers, sent } = stage;
  for (let at = 0; at < count; at++) {
    const data = `${sent.length} `.padEnd(bytes, 'x');
    sent.push(data);
    if ((await program.publish('a', data)) !== 200) throw new Error('not published');
    for (const reader of readers) await reader.has(sent.length);
  }
}

/** Asserts that no reader was disturbed, and that nothing of the other clients is left. */
async function end(t: Test, stage: Stage): Promise<void> {
  const { program, pid, readers, sent, descriptors } = stage;
  await publish(stage, 1);
  for (const reader of readers) {
    t.ok(reader.isOpen && reader.lost === 0, `${reader.constructor.name} stayed`);
    t.same(reader.data, sent, 'and received every message, in order');
    reader.close();
  }
  await program.untilTotal('connections', 0);
  await program.untilTotal('subscriptions', 0);
  const { totals } = await program.server.stats();
  t.equal(totals['acceptedTotal'], totals['closedTotal'], 'as many closed as accepted');
  const gauges = ['sessions', 'sendQueueBytes', 'sendQueueConnections'].map((name) => totals[name]);
  t.same(gauges, [0, 0, 0], 'nothing is kept');
  await until('its descriptors to be closed', () => descriptorsOf(pid).length <= descriptors);
  await program.server.stop();
}

/** Opens one plain socket for each text, and sends it. */
async function say(t: Test, { program }: Stage, texts: readonly string[]): Promise<Socket[]> {
  const sockets = await Promise.all(texts.map(() => connect(program.port)));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  sockets.forEach((socket, at) => socket.write(texts[at] ?? ''));
  return sockets;
}

/** Opens subscribers that then stop reading. */
async function sayAndStop(t: Test, stage: Stage, texts: readonly string[]): Promise<Socket[]> {
  const wanted = (await stage.program.server.total('subscriptions')) + texts.length;
  const sockets = await say(t, stage, texts);
  for (const socket of sockets) socket.pause();
  await stage.program.untilTotal('subscriptions', wanted);
  return sockets;
}

/** Reads until the server closes the connection. */
async function rest(socket: Socket): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of socket as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString('latin1');
}

t.test('a reset closes only its own connection, at every stage', async (t) => {
  const stage = await start(t, '--send-queue-bytes', '67108864');
  const { program, pid } = stage;
  const all = Object.values(REQUESTS);
  process.kill(pid, 'SIGSTOP');
  const early = await say(t, stage, ['', ...all]);
  for (const socket of early) socket.resetAndDestroy();
  process.kill(pid, 'SIGCONT');
  await program.untilTotal('closedResetTotal', early.length);

  const halves = all.map((text) => text.slice(0, 30));
  const midway = await say(t, stage, halves);
  const idle = await sayAndStop(t, stage, all);
  // A WebSocket in the middle of a frame.
  idle[2]?.write(Buffer.from([0x81, 0xfe, 0xff]));
  const mail = await say(t, stage, ['GET /someone.js HTTP/1.1\r\nHost: localhost\r\n\r\n']);
  await program.untilTotal('sessions', midway.length + 1);
  for (const socket of [...midway, ...idle, ...mail]) socket.resetAndDestroy();
  const soFar = early.length + midway.length + idle.length + mail.length;
  await program.untilTotal('closedResetTotal', soFar);

  const blocked = await sayAndStop(t, stage, STREAMING);
  await publish(stage, 20);
  await program.untilTotal('sendQueueConnections', blocked.length);
  for (const socket of blocked) socket.resetAndDestroy();
  await program.untilTotal('closedResetTotal', soFar + blocked.length);
  t.equal(
    await program.server.total('closedTotal'),
    soFar + blocked.length,
    'and no other connection',
  );
  await end(t, stage);
});

t.test('a client that half-closes leaves at once and receives its queued messages', async (t) => {
  const stage = await start(t, '--send-queue-bytes', '67108864');
  const { program, pid, readers } = stage;
  const idle = await sayAndStop(t, stage, Object.values(REQUESTS));
  for (const socket of idle) socket.end();
  await program.untilTotal('closedPeerTotal', idle.length);

  const blocked = await sayAndStop(t, stage, STREAMING);
  await publish(stage, 20);
  await program.untilTotal('sendQueueConnections', blocked.length);
  for (const socket of blocked) socket.end();
  await program.untilTotal('subscriptions', readers.length);
  const [cpuBefore, began] = [cpuMs(pid), performance.now()];
  await sleep(2000);
  const share = (cpuMs(pid) - cpuBefore) / (performance.now() - began);
  t.ok(share <= CPU_SHARE_MAX, `${(share * 100).toFixed(1)} % of a core meanwhile`);
  for (const text of await Promise.all(blocked.map(rest))) {
    const found = [...text.matchAll(/(\d+) x{9,}/g)].map(([whole]) => whole);
    const short = stage.sent.map((data) => data.trimEnd());
    t.same(found, short, 'every earlier message arrived complete');
  }
  await end(t, stage);
});

t.test('a client that reads nothing gets one send queue and is then disconnected', async (t) => {
  const stage = await start(t, '--send-queue-bytes', String(SEND_QUEUE_BYTES));
  const { program } = stage;
  await sayAndStop(t, stage, [...STREAMING, ...STREAMING]);
  let peak = 0;
  // The socket buffers fill before the send queue.
  for (let at = 0; at < 40; at++) {
    await publish(stage, 1);
    peak = Math.max(peak, await program.server.total('sendQueueBytes'));
  }
  t.ok(peak > 0 && peak <= 6 * SEND_QUEUE_BYTES, `${peak} bytes were queued at most`);
  await program.untilTotal('closedSlowTotal', 6);
  await end(t, stage);
});

t.test('a client that reads nothing of its queue is disconnected after a timeout', async (t) => {
  const stage = await start(t, '--send-queue-bytes', '67108864', '--write-timeout', '3');
  const { program } = stage;
  await sayAndStop(t, stage, STREAMING);
  await publish(stage, 20);
  await program.untilTotal('sendQueueConnections', STREAMING.length);
  // By the server or by the kernel, whose TCP_USER_TIMEOUT is as long.
  await until('them to be closed', async () => {
    const { totals } = await program.server.stats();
    const closed = Number(totals['closedSlowTotal']) + Number(totals['closedResetTotal']);
    return closed === STREAMING.length;
  });
  await end(t, stage);
});

/** A subscriber that reads one byte at a time. */
function trickle(t: Test, { program }: Stage, request: string): Socket {
  const socket = createConnection({
    port: program.port,
    host: '127.0.0.1',
    onread: {
      buffer: Buffer.alloc(1),
      callback: () => {
        setTimeout(() => socket.resume(), 20);
        return false;
      },
    },
  });
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  socket.write(request);
  return socket;
}

t.test(
  'a client that reads a byte at a time is disconnected like one that reads nothing',
  async (t) => {
    const stage = await start(t, '--send-queue-bytes', String(SEND_QUEUE_BYTES));
    const { program, readers } = stage;
    for (const request of STREAMING) trickle(t, stage, request);
    await program.untilTotal('subscriptions', readers.length + STREAMING.length);
    await publish(stage, 40);
    await program.untilTotal('closedSlowTotal', STREAMING.length);
    await end(t, stage);
  },
);

/** Sends one byte at a time until the server closes the connection; returns true then. */
async function drip(t: Test, stage: Stage, before: string, text: string): Promise<boolean> {
  const [socket] = await say(t, stage, [before]);
  if (socket === undefined) return false;
  socket.resume();
  const bytes = Buffer.from(text, 'latin1');
  let at = 0;
  const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 100);
  t.teardown(() => {
    clearInterval(timer);
  });
  await until('the server to close it', () => socket.destroyed || socket.readableEnded);
  clearInterval(timer);
  return at < bytes.length;
}

t.test('a request has a deadline, however busily its client sends', async (t) => {
  const stage = await start(t, '--heartbeat', '2');
  const { program } = stage;
  const silent = await say(t, stage, ['']);
  silent[0]?.resume();
  const head = `GET /events?channel=a HTTP/1.1\r\nHost: localhost\r\nX: ${'y'.repeat(1000)}`;
  const answered = 'GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const body = 'POST /poll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n';
  // A masked text of 1,000 bytes; the mask is zero.
  const frame = `\x81\xfe\x03\xe8\0\0\0\0${'x'.repeat(1000)}`;
  const cut = await Promise.all([
    drip(t, stage, '', head),
    drip(t, stage, answered, head),
    drip(t, stage, body, 'y'.repeat(1000)),
    drip(t, stage, REQUESTS.websocket, frame),
  ]);
  t.same(cut, [true, true, true, true], 'all are disconnected before they are complete');
  await until('the silent client to be disconnected', () => silent[0]?.readableEnded);
  const { totals } = await program.server.stats();
  // A polling reader may have left another connection idle.
  t.equal(totals['closedHeadTimeoutTotal'], 2, 'a head and a second head time out');
  t.ok(Number(totals['closedIdleTotal']) >= 1, 'and silence');
  t.equal(totals['badRequestsTotal'], 2, 'the body is rejected at once');
  t.equal(totals['closedMessageTimeoutTotal'], 1, 'and a frame times out');
  await end(t, stage);
});

t.test('a WebSocket that answers no ping is closed as dead, and no other', async (t) => {
  const stage = await start(t, '--heartbeat', '1');
  const { program } = stage;
  const deaf = await say(t, stage, [REQUESTS.websocket, REQUESTS.websocket]);
  for (const socket of deaf) socket.resume();
  await program.untilTotal('closedDeadTotal', deaf.length);
  const client = stage.readers.find((reader) => reader instanceof WebSocketClient);
  t.ok(client?.isOpen, 'a client that answers stays');
  const heartbeats = await program.server.total('heartbeatsTotal');
  await until('some more heartbeats', async () => {
    return (await program.server.total('heartbeatsTotal')) > heartbeats + 3;
  });
  t.equal(await program.server.total('closedDeadTotal'), deaf.length, 'and it still stays');
  await end(t, stage);
});

t.test('short writes and full buffers change no message of any transport', async (t) => {
  const program = await Program.start(t, {
    args: ['--workers', '2', '--send-queue-bytes', '67108864', '--history-count', '10000'],
    env: { LD_PRELOAD: compile(t, 'short-send.c', ...SHARED) },
  });
  const clients = [...(await subscribeAll(program)), ...(await subscribeAll(program))];
  const [{ cursor } = { cursor: '' }] = clients;
  const sent = Array.from({ length: 60 }, (_, at) => `${at} ü\n`.repeat(1 + 97 * at));
  for (const data of sent) t.equal(await program.publish('a', data), 200);
  for (const client of clients) {
    await client.has(sent.length);
    t.ok(client.data.join() === sent.join(), `${client.constructor.name}: as published`);
    client.close();
    client.seen.length = 0;
    client.cursor = cursor;
    await client.open();
    await client.has(sent.length);
    t.ok(client.data.join() === sent.join(), 'and once more, from the history');
    t.equal(client.lost, 0, 'without a gap');
    client.close();
  }
  t.ok((await program.server.total('shortWritesTotal')) > 100, 'the writes were really short');
  await program.server.stop();
});
