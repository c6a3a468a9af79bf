// Peers that reset, half-close, never read, or send a byte at a time: every queued byte
// arrives, memory stays bounded, and other clients are not affected.
import t from 'tap';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { procReader, readPrivateBytes } from '../../lib/system/kernel.js';
import {
  Clients,
  compile,
  connect,
  cpuMs,
  descriptorsOf,
  echoes,
  TestServer,
  until,
  type Test,
} from '../support/helpers.js';

const MIB = 1024 * 1024;
/** One send queue: native/base/bounds.h. */
const SEND_QUEUE_BYTES_MAX = 64 * 1024;
const CPU_SHARE_MAX = 0.1;

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Writes without reading until the server queues bytes for this socket as well. */
async function stuff(server: TestServer, socket: Socket): Promise<void> {
  const wanted = (await server.total('sendQueueConnections')) + 1;
  socket.pause();
  const bytes = Buffer.alloc(MIB, 'x');
  await until('the server to queue bytes', async () => {
    if (socket.writableLength < MIB) socket.write(bytes);
    return (await server.total('sendQueueConnections')) >= wanted;
  });
}

/** Writes all bytes as fast as the peer takes them, and collects as many. */
async function roundTrip(socket: Socket, bytes: Buffer, pieceBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  const received = new Promise<void>((resolve) => {
    socket.on('close', resolve).on('data', (part: Buffer) => {
      parts.push(part);
      size += part.length;
      if (size >= bytes.length) resolve();
    });
  });
  for (let at = 0; at < bytes.length && !socket.destroyed; at += pieceBytes) {
    const isRoomLeft = socket.write(bytes.subarray(at, at + pieceBytes));
    if (!isRoomLeft) await Promise.race([once(socket, 'drain'), received]);
  }
  await received;
  return Buffer.concat(parts);
}

/** Everybody has left, and left nothing behind. */
async function assertEmpty(t: Test, server: TestServer, descriptors: number): Promise<void> {
  await until('all to be gone', async () => (await server.total('connections')) === 0);
  const { totals } = await server.stats();
  t.equal(totals['acceptedTotal'], totals['closedTotal'], 'as many closed as accepted');
  t.same([totals['sendQueueBytes'], totals['sendQueueConnections']], [0, 0], 'nothing is queued');
  const pid = await server.pidOf(0);
  t.equal(descriptorsOf(pid).length, descriptors, 'no descriptor is left open');
}

async function startOne(t: Test): Promise<{ server: TestServer; pid: number; open: number }> {
  const server = await TestServer.start(t, { args: ['--workers', '1'] });
  const pid = await server.pidOf(0);
  return { server, pid, open: descriptorsOf(pid).length };
}

t.test('a reset before accept is closed and counted', async (t) => {
  const { server, pid, open } = await startOne(t);
  process.kill(pid, 'SIGSTOP');
  const clients = await Clients.open(t, server.port, 50);
  // Half of them had sent something before.
  for (const socket of clients.sockets.slice(0, 25)) socket.write('x');
  for (const socket of clients.sockets) socket.resetAndDestroy();
  process.kill(pid, 'SIGCONT');
  await until('all to be seen', async () => (await server.total('closedTotal')) === 50);
  t.equal(await server.total('closedResetTotal'), 50, 'each counts as reset');
  await assertEmpty(t, server, open);
  await server.stop();
});

t.test('a reset is closed and counted at every later stage', async (t) => {
  const { server, open } = await startOne(t);
  const clients = await Clients.open(t, server.port, 30);
  const [idle, amid, slow] = [0, 10, 20].map((at) => clients.sockets.slice(at, at + 10));
  t.equal(await clients.answering(), 30, 'all are answered before');
  for (const socket of idle ?? []) socket.resetAndDestroy();
  for (const socket of amid ?? []) {
    socket.write(Buffer.alloc(MIB));
    await once(socket, 'data');
    socket.resetAndDestroy();
  }
  for (const socket of slow ?? []) await stuff(server, socket);
  for (const socket of slow ?? []) socket.resetAndDestroy();
  await until('all to be seen', async () => (await server.total('closedTotal')) === 30);
  t.equal(await server.total('closedResetTotal'), 30, 'each counts as reset');
  await assertEmpty(t, server, open);
  await server.stop();
});

t.test('after a half-close all queued bytes still arrive, then the end', async (t) => {
  const { server, open } = await startOne(t);
  const bytes = randomBytes(8 * MIB);
  const socket = await connect(server.port);
  socket.pause();
  socket.end(bytes);
  await until('the server to queue bytes', async () => (await server.total('sendQueueBytes')) > 0);
  t.equal(await server.total('connections'), 1, 'it is not taken for gone');
  const parts: Buffer[] = [];
  for await (const part of socket as AsyncIterable<Buffer>) {
    parts.push(part);
    if (parts.length % 8 === 0) await sleep(1);
  }
  t.equal(sha256(Buffer.concat(parts)), sha256(bytes), 'every byte arrived, in order');
  t.equal(await server.total('closedPeerTotal'), 1, 'it counts as an orderly end');
  await assertEmpty(t, server, open);
  await server.stop();
});

t.test('peers that never read cost one send queue each and no CPU', async (t) => {
  const { server, pid, open } = await startOne(t);
  const others = await Clients.open(t, server.port, 20);
  t.equal(await others.answering(), 20, 'others are answered before');
  const memoryBefore = readPrivateBytes(procReader, pid) ?? 0;
  const deaf = await Clients.open(t, server.port, 10);
  for (const socket of deaf.sockets) await stuff(server, socket);
  const queued = await server.total('sendQueueBytes');
  t.ok(
    queued > 0 && queued <= 10 * SEND_QUEUE_BYTES_MAX,
    `${queued} bytes are queued, at most one read for each peer`,
  );
  const [cpuBefore, began] = [cpuMs(pid), performance.now()];
  await sleep(2500);
  const share = (cpuMs(pid) - cpuBefore) / (performance.now() - began);
  t.ok(share <= CPU_SHARE_MAX, `${(share * 100).toFixed(1)} % of a core meanwhile`);
  const grown = (readPrivateBytes(procReader, pid) ?? Infinity) - memoryBefore;
  t.ok(grown <= 10 * 2 * SEND_QUEUE_BYTES_MAX + MIB, `the worker grew by ${grown} bytes`);
  t.equal(await others.answering(), 20, 'others are answered meanwhile');
  t.equal(others.lost + deaf.lost, 0, 'no client was closed');
  t.ok((await server.total('shortWritesTotal')) >= 10, 'the short writes are counted');
  deaf.destroy();
  others.destroy();
  await assertEmpty(t, server, open);
  await server.stop();
});

t.test('a byte at a time is echoed a byte at a time', async (t) => {
  const { server } = await startOne(t);
  const socket = await connect(server.port);
  const bytes = randomBytes(2000);
  const found = await roundTrip(socket, bytes, 1);
  t.ok(found.equals(bytes), 'every byte, in order');
  let isSame = true;
  for (const byte of bytes.subarray(0, 300)) isSame &&= await echoes(socket, Buffer.from([byte]));
  t.ok(isSame, 'also when each waits for the one before');
  socket.destroy();
  await server.stop();
});

t.test('64 MiB pass through one connection unchanged', async (t) => {
  const { server } = await startOne(t);
  const socket = await connect(server.port);
  const bytes = randomBytes(64 * MIB);
  const found = await roundTrip(socket, bytes, 256 * 1024);
  t.equal(found.length, bytes.length, 'all bytes are echoed');
  t.equal(sha256(found), sha256(bytes), 'and the same');
  const { totals } = await server.stats();
  t.equal(totals['bytesReceivedTotal'], bytes.length, 'all were counted in');
  t.equal(totals['bytesSentTotal'], bytes.length, 'and out');
  socket.destroy();
  await server.stop();
});

t.test('short writes and full buffers lose and reorder nothing', async (t) => {
  const shim = compile(t, 'short-send.c', '-shared', '-fPIC');
  const server = await TestServer.start(t, {
    args: ['--workers', '1'],
    env: { LD_PRELOAD: shim },
  });
  const clients = await Clients.open(t, server.port, 8);
  const sizes = clients.sockets.map((_, index) => 2 * MIB + index * 4099);
  const results = await Promise.all(
    clients.sockets.map(async (socket, index) => {
      const bytes = randomBytes(sizes[index] ?? 0);
      const found = await roundTrip(socket, bytes, 997 + index * 20_011);
      return sha256(found) === sha256(bytes);
    }),
  );
  t.notOk(results.includes(false), 'every connection got its own bytes, in order');
  const { totals } = await server.stats();
  t.ok(Number(totals['shortWritesTotal']) > 100, 'the writes were cut for real');
  t.equal(totals['bytesSentTotal'], totals['bytesReceivedTotal'], 'all that came was sent');
  const half = await connect(server.port);
  const bytes = randomBytes(MIB);
  half.end(bytes);
  const parts: Buffer[] = [];
  for await (const part of half as AsyncIterable<Buffer>) parts.push(part);
  t.equal(sha256(Buffer.concat(parts)), sha256(bytes), 'a half-close waits for the last of them');
  await server.stop();
});
