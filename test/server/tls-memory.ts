// Memory of a worker after a storm of TLS handshakes.
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import t from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { connect, TestServer, until } from '../support/helpers.js';

const PEERS = 500;
const MEBIBYTE = 1024 * 1024;

/** The first message of Node's client. */
function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer) => {
        resolve(chunk);
      },
    });
    connectTls({ socket }).on('error', () => undefined);
  });
}

function heapBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

t.test(
  'the memory of a storm of handshakes returns to the kernel',
  {
    // Their allocator keeps freed memory.
    skip: process.env['TEST_SANITIZE_PRELOAD'] !== undefined && 'under sanitizers',
  },
  async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '1', ...filesOf(t.testdir({}), new Authority().certify())],
    });
    const pid = await server.pidOf(0);
    const before = heapBytes(pid);
    const hello = await clientHello();
    const sockets: Socket[] = [];
    while (sockets.length < PEERS) {
      const socket = await connect(server.port);
      socket.resume().write(hello);
      sockets.push(socket);
    }
    await server.untilTotal('tlsHandshakes', PEERS);
    const grown = heapBytes(pid) - before;
    t.ok(grown > 5 * MEBIBYTE, `${PEERS} handshakes took ${(grown / MEBIBYTE).toFixed(1)} MiB`);
    for (const socket of sockets) socket.destroy();
    await server.untilTotal('tlsHandshakes', 0);
    await until('the memory to return', () => heapBytes(pid) - before < grown / 4);
    await server.stop();
  },
);
