// One server through all that happens to it: refusals, the load generator, a killed worker, a drain
// with connections. Short enough to run under the sanitizers as well (test/support/sanitize.mjs).
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';

import t from 'tap';

import type { BenchResult } from '../../lib/bench/bench-result.js';
import { Clients, run, TestServer, until } from '../support/helpers.js';

const CONNECTIONS = 2000;
const ACTIVE = 20;
const RESETS = 50;
/** No socket buffer takes such a message whole, so the dialer's writes are cut short. */
const MESSAGE_BYTES = 2 * 1024 * 1024;
/** More than the socket buffers of both ends hold. */
const LATE_BYTES = 32 * 1024 * 1024;

async function bench(server: TestServer, args: readonly string[]): Promise<BenchResult> {
  const target = ['--target', `127.0.0.1:${server.port}`];
  const admin = ['--admin', `127.0.0.1:${server.adminPort}`];
  const { stdout, stderr, code } = await run([
    'bench',
    ...target,
    ...admin,
    '--json',
    '-',
    ...args,
  ]);
  if (code !== 0) throw new Error(`bench exits with ${code}: ${stderr}`);
  return JSON.parse(stdout) as BenchResult;
}

/** Sends until the server must keep bytes for this peer, and only then reads them all. */
async function echoesLate(server: TestServer, socket: Socket): Promise<boolean> {
  const sent = randomBytes(LATE_BYTES);
  socket.write(sent);
  await until('a write to be cut short', async () => (await server.total('shortWritesTotal')) > 0);
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  const size = (): number => parts.reduce((sum, part) => sum + part.length, 0);
  await until('all bytes', () => size() >= sent.length);
  return Buffer.concat(parts).equals(sent);
}

t.test('a server lives through a load, refusals, a crash and a drain', async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--max-connections', '2100', '--idle-timeout', '600', '--drain', '2'],
    expectLog: [/^worker died/],
  });

  const small = await bench(server, [
    ...['--connections', String(CONNECTIONS), '--verify'],
    ...['--active', '200', '--message-size', '100', '--duration', '1'],
  ]);
  t.equal(small.verify?.answered, CONNECTIONS, 'every connection of the bench answers');
  t.ok((small.active?.messages ?? 0) > 200, 'messages are exchanged');
  const large = await bench(server, [
    ...['--connections', String(ACTIVE), '--active', String(ACTIVE)],
    ...['--message-size', String(MESSAGE_BYTES), '--duration', '2'],
  ]);
  t.ok((large.active?.messages ?? 0) > 0, 'large messages are echoed byte for byte');
  await until('the load to be gone', async () => (await server.total('connections')) === 0);

  const clients = await Clients.open(t, server.port, CONNECTIONS);
  t.ok(await echoesLate(server, await clients.add(server.port)), 'a late reader misses no byte');
  for (const socket of clients.sockets.splice(0, RESETS)) socket.resetAndDestroy();
  await until(
    'the resets to be counted',
    async () => (await server.total('closedResetTotal')) >= RESETS,
  );
  // More than fit: a rejected connect may fail, or be reset a moment later.
  await Promise.allSettled(Array.from({ length: 400 }, () => clients.add(server.port)));
  await until('a client to be rejected', async () => (await server.total('rejectedTotal')) > 0);

  const killed = await server.pidOf(1);
  process.kill(killed, 'SIGKILL');
  // By its pid and not by a state in between: a successor is ready within 30 ms.
  await until('a successor', async () => {
    const worker = (await server.stats()).workers[1];
    return worker?.state === 'serving' && worker.pid !== killed;
  });
  t.ok((await server.total('closedByCrashTotal')) > 0, 'the lost connections are counted');
  await until('the others to answer', async () => (await clients.answering()) > 100);
  await server.stop();
});
