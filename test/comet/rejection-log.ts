// The traces of rejected peers for an operator: a line in a while with the reason, and counters.
import { createConnection } from 'node:net';
import t from 'tap';

import { Secret } from '../support/client-tokens.js';
import { TestServer, until } from '../support/helpers.js';

const ARGS = ['--workers', '1'];
const COMET = [...ARGS, '--protocol', 'comet'];

/** Sends bytes, and waits until the server ends or answers. */
function send(port: number, bytes: Buffer | string): Promise<void> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('error', () => undefined);
    socket.once('data', () => socket.destroy());
    socket.once('close', () => {
      resolve();
    });
  });
}

function linesWith(server: TestServer, text: RegExp): string[] {
  return server.log.map(({ msg }) => msg).filter((msg) => text.test(msg));
}

const CLIENT_HELLO = Buffer.concat([
  Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]),
  Buffer.alloc(200),
]);

t.test('a rejected origin is logged with its text once, and counted', async (t) => {
  const server = await TestServer.start(t, { args: COMET });
  const hostile = `http://evil.example/"\\${'x'.repeat(500)}`;
  const get = (origin: string): string =>
    `GET /poll?channel=a&timeout=0 HTTP/1.1\r\nHost: localhost\r\nOrigin: ${origin}\r\n\r\n`;
  await send(server.port, get('null'));
  for (let count = 0; count < 5; count++) await send(server.port, get(hostile));
  t.ok(await server.logged(/^a page of "null" was rejected: --origin does not list its origin$/));
  await server.untilTotal('foreignOriginsTotal', 6);
  const own = `http://localhost:${server.port}`;
  await send(server.port, get(own).replace('Host: localhost', `Host: localhost:${server.port}`));
  t.equal(linesWith(server, /^a page of/).length, 1, 'one line in a while');
  t.equal(await server.total('foreignOriginsTotal'), 6, 'the own origin is not a foreign one');
  await server.stop();
});

t.test('a burst of rejected requests is one line with its reason; a few are none', async (t) => {
  const server = await TestServer.start(t, { args: COMET });
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  for (let count = 0; count < 10; count++) await send(server.port, get('/wp-login.php'));
  await server.untilTotal('badRequestsPathTotal', 10);
  t.same(linesWith(server, /requests are rejected/), []);
  for (let count = 0; count < 30; count++) await send(server.port, get('/.env'));
  t.ok(
    await server.logged(
      /^many requests are rejected; the last with 404 \(unknown endpoint\), for "\/\.env"$/,
    ),
  );
  const long = Array.from({ length: 300 }, (_, index) => `channel=c${index}`).join('&');
  await send(server.port, get(`/events?${long}`));
  await send(server.port, get('/poll'));
  for (const [name, count] of [
    ['badRequestsTotal', 42],
    ['badRequestsPathTotal', 40],
    ['badRequestsSizeTotal', 1],
    ['badRequestsOtherTotal', 1],
    ['badRequestsOriginTotal', 0],
  ] as const) {
    await server.untilTotal(name, count);
  }
  t.equal(linesWith(server, /requests are rejected/).length, 1);
  await server.stop();
});

t.test('the id of a mailbox and a signature are in no line of the log', async (t) => {
  const { path: signKey } = new Secret(t);
  const mailboxes = ['--mailboxes', '--mailbox-auth', 'signed', '--sign-key', signKey];
  const server = await TestServer.start(t, {
    args: [...COMET, ...mailboxes, '--log-level', 'trace'],
  });
  const url = '/SECRET-ID.js?expires=4102444800&signature=SECRET-SIGNATURE';
  const lines = ['Origin: null', `Referer: http://localhost${url}`, 'X: y'];
  for (let count = 0; count < 30; count++) {
    const line = lines[count % lines.length] ?? '';
    await send(server.port, `GET ${url} HTTP/1.1\r\nHost: localhost\r\n${line}\r\n\r\n`);
  }
  t.ok(await server.logged(/^many requests are rejected; .*, for "\/ID\.js"$/));
  await server.stop();
  t.notMatch(JSON.stringify(server.log), /SECRET-/);
});

t.test('another protocol on the port is named', async (t) => {
  const cases: [readonly string[], Buffer | string, RegExp][] = [
    [COMET, CLIENT_HELLO, /^a peer spoke another protocol: TLS, but this port is plain/],
    [COMET, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /another protocol: HTTP\/2 without TLS/],
    [COMET, 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n', /another protocol: a PROXY protocol header/],
    [COMET, Buffer.of(0, 1, 2, 3, 0xff), /another protocol: binary data of an unknown protocol/],
    [
      ARGS,
      'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
      /another protocol: HTTP, but --protocol is/,
    ],
    [ARGS, CLIENT_HELLO, /another protocol: TLS, but this port is plain/],
  ];
  for (const [args, bytes, wanted] of cases) {
    const server = await TestServer.start(t, { args });
    await send(server.port, bytes);
    t.ok(await server.logged(wanted), String(wanted));
    await server.untilTotal('foreignProtocolTotal', 1);
    await server.stop();
  }
});

t.test('the histogram of loop iterations has a sum', async (t) => {
  const server = await TestServer.start(t, { args: ARGS });
  const sumIn = (text: string): number =>
    Number(/^megacomet_loop_iteration_seconds_sum (\S+)$/m.exec(text)?.[1]);
  const metrics = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${server.adminPort}/metrics`)).text();
  await until('time in the loop', async () => sumIn(await metrics()) > 0);
  const text = await metrics();
  t.match(text, /^megacomet_loop_iteration_seconds_count \d+$/m);
  t.ok(sumIn(text) < 60, 'in seconds');
  await server.stop();
});
