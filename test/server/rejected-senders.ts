// Clients that are rejected while they still send: a close at once would reset the connection, and
// a client that writes its whole request first would fail there and never read the answer. The port
// of --ingest has no answers to lose.
import t from 'tap';

import { connect, TestServer, until } from '../support/helpers.js';

const LINE = 'Host: localhost\r\n';
/** Bytes of a body that the server does not read to its end. */
const LONG = 3_000_000;
/** More than the server reads at once. */
const PIECES = 'x'.repeat(300_000);

interface Row {
  readonly port: 'adminPort' | 'port';
  readonly name: string;
  readonly head: string;
  readonly status: number;
}

const post = (path: string, length: number, fields = ''): string =>
  `POST ${path} HTTP/1.1\r\n${LINE}${fields}Content-Length: ${length}\r\n\r\n`;

const ROWS: readonly Row[] = [
  { port: 'adminPort', name: 'no token', head: post('/publish', LONG), status: 401 },
  {
    port: 'adminPort',
    name: 'a body in chunks',
    head: `POST /publish HTTP/1.1\r\n${LINE}Transfer-Encoding: chunked\r\n\r\n800000\r\n`,
    status: 401,
  },
  {
    port: 'adminPort',
    name: 'too many fields',
    head: post('/publish', LONG, 'a: b\r\n'.repeat(150)),
    status: 431,
  },
  {
    port: 'adminPort',
    name: 'too long a head',
    head: `GET / HTTP/1.1\r\n${LINE}X: ${'x'.repeat(9000)}`,
    status: 431,
  },
  { port: 'adminPort', name: 'other bytes', head: 'NOT HTTP AT ALL\r\n\r\n', status: 400 },
  {
    port: 'adminPort',
    name: 'a late head',
    head: `GET / HTTP/1.1\r\n${LINE}`,
    status: 408,
  },
  { port: 'port', name: 'a body', head: post('/events?channel=a', LONG), status: 400 },
  { port: 'port', name: 'a method', head: `PUT /events HTTP/1.1\r\n${LINE}\r\n`, status: 405 },
  {
    port: 'port',
    name: 'too long a head',
    head: `GET /events HTTP/1.1\r\n${LINE}X: ${'x'.repeat(40_000)}`,
    status: 431,
  },
  { port: 'port', name: 'other bytes', head: 'NOT HTTP AT ALL\r\n\r\n', status: 400 },
];

t.test('a client that is rejected can send on, and reads the answer', async (t) => {
  const server = await TestServer.start(t, { args: ['--protocol', 'comet', '--workers', '1'] });
  await Promise.all(
    ROWS.map(async ({ port, name, head, status }) => {
      const row = `${port}: ${name}`;
      const socket = await connect(server[port]);
      t.teardown(() => socket.destroy());
      let text = '';
      const errors: Error[] = [];
      socket.setEncoding('latin1').on('data', (part: string) => (text += part));
      socket.on('error', (error) => errors.push(error));
      // A head that is late must not be complete before.
      socket.write(status === 408 ? head : head + PIECES);
      await until(`${row}: the answer`, () => text.includes('\r\n\r\n'));
      t.equal(text.slice(0, 12), `HTTP/1.1 ${status}`, row);
      // The admin server waits for longer than a worker, which has many clients.
      if (port === 'adminPort') socket.write(PIECES);
      socket.end();
      await until(`${row}: the end`, () => socket.closed);
      t.same(errors, [], `${row}: no reset`);
    }),
  );
  await server.stop();
});
