// The bounds of the admin server: clients that send slowly, read slowly or say nothing are cut at a
// limit, each with its counter, and the others are answered.
import t, { type Test } from 'tap';
import { once } from 'node:events';
import { createServer, type ServerOptions } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

import { AdminConnections } from '../../lib/api/admin-connections.js';
import { HEADER_BYTES_MAX, HEADERS_TIMEOUT_MS } from '../../lib/api/admin.js';
import { respond } from '../../lib/api/response.js';
import { connect, TestServer, until } from '../support/helpers.js';

/** Node checks its limits once a second; a busy machine adds some. */
const LATE_MS = 2000;

type Counters = AdminConnections['counters'];

async function countersOf(server: TestServer): Promise<Counters> {
  return (await server.stats()).admin as unknown as Counters;
}

/** A connection that writes a piece in each interval, and the time until the server ends it. */
async function sender(
  t: Test,
  server: TestServer,
  first: string,
  piece: string,
): Promise<{ socket: Socket; text: () => string; endedAfterMs: Promise<number> }> {
  const socket = await connect(server.adminPort);
  const startedAt = performance.now();
  let received = '';
  socket.setEncoding('utf8').on('data', (text: string) => (received += text));
  socket.write(first);
  const timer = setInterval(() => {
    if (piece !== '' && socket.writable) socket.write(piece);
  }, 200);
  t.teardown(() => {
    clearInterval(timer);
    socket.destroy();
  });
  const ended = new Promise<number>((resolve) => {
    // Not once() of events: a reset is an end too.
    socket.once('close', () => {
      clearInterval(timer);
      resolve(performance.now() - startedAt);
    });
  });
  // allowHalfOpen: the server's FIN ends it only if we end as well.
  socket.once('end', () => socket.destroy());
  return { socket, text: () => received, endedAfterMs: ended };
}

const HOST = 'Host: localhost\r\n';

t.test('a slow head, a slow body and silence are cut at their limits, and counted', async (t) => {
  const server = await TestServer.start(t, { args: ['--protocol', 'comet', '--workers', '1'] });
  const body = `POST /publish HTTP/1.1\r\n${HOST}Content-Length: 1000\r\n\r\n`;
  const rows: [string, keyof Counters, RegExp, string, string][] = [
    ['nothing', 'headTimeoutsTotal', /^HTTP\/1\.1 408 /, '', ''],
    [
      'a byte of a head now and then',
      'headTimeoutsTotal',
      /^HTTP\/1\.1 408 /,
      `GET /stats HTTP/1.1\r\n${HOST}X: `,
      'x',
    ],
    [
      'a field now and then',
      'headTimeoutsTotal',
      /^HTTP\/1\.1 408 /,
      `GET /stats HTTP/1.1\r\n${HOST}`,
      'a: b\r\n',
    ],
    ['a byte of a rejected body now and then', 'bodyTimeoutsTotal', /^HTTP\/1\.1 401 /, body, 'x'],
    ['the head of a rejected body alone', 'bodyTimeoutsTotal', /^HTTP\/1\.1 401 /, body, ''],
  ];
  const before = await countersOf(server);
  const kept = await sender(t, server, `GET /healthz HTTP/1.1\r\n${HOST}\r\n`, '');
  const senders = await Promise.all(
    rows.map(async ([name, , answer, first, piece]) => ({
      name,
      answer,
      ...(await sender(t, server, first, piece)),
    })),
  );
  t.equal((await server.get('/healthz')).status, 200, 'others are answered meanwhile');
  for (const { name, answer, text, endedAfterMs } of senders) {
    const ms = await endedAfterMs;
    t.ok(ms >= HEADERS_TIMEOUT_MS - 100, `${name}: not before its limit (${ms.toFixed(0)} ms)`);
    t.ok(ms < HEADERS_TIMEOUT_MS + LATE_MS + 1000, `${name}: and soon after it`);
    t.match(text(), answer, `${name}: the answer`);
  }
  for (const field of ['headTimeoutsTotal', 'bodyTimeoutsTotal'] as const) {
    const wanted = rows.filter(([, own]) => own === field).length;
    await until(
      `${field} to count`,
      async () => (await countersOf(server))[field] - before[field] >= wanted,
    );
    t.pass(`${field} counts ${wanted}`);
  }
  kept.socket.write(`GET /info HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
  await kept.endedAfterMs;
  t.match(kept.text(), /200 OK[^]*200 OK/, 'a connection of a pool is kept for longer');
  await server.stop();
});

t.test(
  'a head of more than 8 KiB, bytes that are not HTTP and floods are cut at once',
  async (t) => {
    const server = await TestServer.start(t);
    const head = `GET /stats HTTP/1.1\r\n${HOST}`;
    const rows: [keyof Counters, RegExp, string][] = [
      ['badHeadsTotal', /^HTTP\/1\.1 431 /, `${head}X: ${'x'.repeat(HEADER_BYTES_MAX)}`],
      ['badHeadsTotal', /^HTTP\/1\.1 431 /, `GET /${'x'.repeat(HEADER_BYTES_MAX)}`],
      ['badHeadsTotal', /^HTTP\/1\.1 400 /, 'NOT HTTP AT ALL\r\n\r\n'],
      ['badHeadsTotal', /^HTTP\/1\.1 400 /, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
      ['pipelinedTotal', /^/, `GET /stats HTTP/1.1\r\n${HOST}\r\n`.repeat(3000)],
    ];
    for (const [field, answer, bytes] of rows) {
      const before = (await countersOf(server))[field];
      const { text, endedAfterMs } = await sender(t, server, bytes, '');
      const ms = await endedAfterMs;
      t.ok(ms < HEADERS_TIMEOUT_MS, `${field}: at once`);
      t.match(text(), answer);
      await until(
        `${field} to count`,
        async () => (await countersOf(server))[field] === before + 1,
      );
    }
    await server.stop();
  },
);

t.test(
  'at most 256 connections are open, and those that are closed for others are counted',
  async (t) => {
    const server = await TestServer.start(t);
    const sockets: Socket[] = [];
    t.teardown(() => {
      for (const socket of sockets) socket.destroy();
    });
    for (let count = 0; count < 300; count++) sockets.push(await connect(server.adminPort));
    const counters = await countersOf(server);
    t.ok(counters.connections <= 256, `${counters.connections} are open`);
    t.ok(counters.evictedTotal >= 300 - 256, `${counters.evictedTotal} were closed for others`);
    await server.stop();
  },
);

/** The head and the JSON of a response; null for no response. */
function partsOf(text: string): { head: string; json: unknown } | null {
  const at = text.indexOf('\r\n\r\n');
  if (at === -1) return null;
  return { head: text.slice(0, at), json: JSON.parse(text.slice(at + 4)) };
}

t.test('a rejected head has JSON with a code, and a client that leaves has none', async (t) => {
  const server = await TestServer.start(t, { args: ['--protocol', 'comet', '--workers', '1'] });
  const get = `GET /healthz HTTP/1.1\r\n${HOST}`;
  const rows: [string, string | null, string][] = [
    ['400 Bad Request', 'ERR_REQUEST', 'NOT HTTP AT ALL\r\n\r\n'],
    ['400 Bad Request', 'ERR_REQUEST', `${get}Content-Length: x\r\n\r\n`],
    ['408 Request Timeout', 'ERR_TIMEOUT', get],
    ['431 Request Header Fields Too Large', 'ERR_HEAD_SIZE', `${get}X: ${'x'.repeat(9000)}`],
    ['431 Request Header Fields Too Large', 'ERR_HEAD_SIZE', `${get}${'a: b\r\n'.repeat(101)}\r\n`],
  ];
  const before = await countersOf(server);
  await Promise.all(
    rows.map(async ([status, code, bytes]) => {
      const { text, endedAfterMs } = await sender(t, server, bytes, '');
      await endedAfterMs;
      const parts = partsOf(text());
      t.match(parts?.head, `HTTP/1.1 ${status}\r\n`);
      t.match(parts?.head, /\r\nContent-Type: application\/json\r\n/i);
      t.match(parts?.json, { code, error: /^\w.* / }, status);
    }),
  );
  // A rejected body, one whose client leaves, and a head whose client leaves.
  const post = `POST /publish HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\nx`;
  for (const bytes of [post, get, 'GET']) {
    const socket = await connect(server.adminPort);
    socket.resume();
    socket.end(bytes);
    await once(socket, 'close');
  }
  const after = await countersOf(server);
  t.equal(after.badHeadsTotal - before.badHeadsTotal, 3, 'malformed and long heads');
  t.equal(after.headTimeoutsTotal - before.headTimeoutsTotal, 1);
  t.equal(after.bodyTimeoutsTotal, before.bodyTimeoutsTotal, 'leaving is not a time limit');
  await server.stop();
});

t.test('a client that sends more than 1 MiB after the rejection is cut and counted', async (t) => {
  const server = await TestServer.start(t, { args: ['--protocol', 'comet', '--workers', '1'] });
  const before = await countersOf(server);
  const size = 64 * 1024 * 1024;
  const socket = await connect(server.adminPort);
  socket.on('error', () => undefined).resume();
  socket.write(`POST /revoke HTTP/1.1\r\n${HOST}Content-Length: ${size}\r\n\r\n`);
  const piece = Buffer.alloc(64 * 1024);
  const send = (): void => {
    while (socket.writable && socket.write(piece));
  };
  socket.on('drain', send);
  send();
  await new Promise((resolve) => socket.once('close', resolve));
  await until(
    'the counter',
    async () => (await countersOf(server)).bodyTimeoutsTotal === before.bodyTimeoutsTotal + 1,
  );
  t.equal((await countersOf(server)).badHeadsTotal, before.badHeadsTotal);
  await server.stop();
});

/** Connections of a server with short limits, whose response is of a size. */
async function shortSite(
  t: Test,
  bytes: number,
  limits: ServerOptions = {},
): Promise<{ all: AdminConnections; port: number }> {
  const all = new AdminConnections(
    (request, response) => {
      response.on('error', () => undefined);
      if (request.url === '/trusted') all.trust(request.socket);
      else respond(response, 200, 'x'.repeat(bytes), 'text/plain');
      return Promise.resolve();
    },
    { handshakeMs: 300, rejectedBodyMs: 300, readMs: 500, sweepMs: 50 },
  );
  const server = createServer(limits);
  all.serve(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { all, port: (server.address() as AddressInfo).port };
}

t.test('a client that does not read, or a byte now and then, is cut at its limit', async (t) => {
  // More than the buffers of both sockets.
  const { all, port } = await shortSite(t, 32 * 1024 * 1024);
  for (const reads of [false, true]) {
    const before = all.counters.readTimeoutsTotal;
    const socket = await connect(port);
    socket.pause();
    socket.write(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    const timer = setInterval(() => {
      if (reads) socket.read(1);
    }, 20);
    await until('the cut', () => all.counters.readTimeoutsTotal === before + 1);
    clearInterval(timer);
    t.pass(reads ? 'a trickle' : 'no byte');
    socket.destroy();
  }
});

t.test('a client without a further request is cut at its limit, and counted', async (t) => {
  const { all, port } = await shortSite(t, 10, { keepAliveTimeout: 100 });
  const socket = await connect(port);
  socket.resume().write(`GET / HTTP/1.1\r\n${HOST}\r\n`);
  await until('the cut', () => all.counters.idleTimeoutsTotal === 1);
  t.equal(all.counters.connections, 0);
  socket.destroy();
});

t.test('a client that reads keeps its connection', async (t) => {
  const { all, port } = await shortSite(t, 1000);
  const socket = await connect(port);
  let received = '';
  socket.setEncoding('utf8').on('data', (text: string) => (received += text));
  for (let count = 1; count <= 20; count++) {
    socket.write(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    await until('the response', () => received.split('HTTP/1.1 200').length === count + 1);
  }
  t.match(all.counters, { readTimeoutsTotal: 0, bodyTimeoutsTotal: 0, connections: 1 });
  socket.destroy();
});

t.test('a request with more than 100 fields is rejected as a whole', async (t) => {
  const server = await TestServer.start(t);
  const head = `GET /healthz HTTP/1.1\r\n${HOST}`;
  for (const [count, status] of [
    [98, '200'],
    [99, '200'],
    [100, '431'],
    [300, '431'],
    [1500, '431'],
  ] as const) {
    const fields = `${'a: b\r\n'.repeat(count - 1)}Connection: close\r\n`;
    const { text, endedAfterMs } = await sender(t, server, `${head}${fields}\r\n`, '');
    await endedAfterMs;
    t.equal(text().slice(9, 12), status, `${count + 1} fields`);
  }
  await server.stop();
});

t.test('clients with a token keep their connections, up to 1,024', async (t) => {
  const { all, port } = await shortSite(t, 10);
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let count = 0; count < 1100; count++) {
    const socket = await connect(port);
    sockets.push(socket);
    socket.write(`GET /trusted HTTP/1.1\r\n${HOST}\r\n`);
  }
  await until('the last one to be rejected', () => all.counters.evictedTotal >= 1100 - 1024);
  t.ok(all.counters.connections <= 1024);
});
