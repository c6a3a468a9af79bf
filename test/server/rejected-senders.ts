// Clients that are rejected while they still send: a close at once would reset the connection, and
// a client that writes its whole request first would fail there and never read the answer. The port
// of --ingest has no answers to lose.
import t from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { connect, TestServer, until } from '../support/helpers.js';

const LINE = 'Host: localhost\r\n';
/** Bytes of a body that the server does not read to its end. */
const LONG = 3_000_000;
/** Bytes of a body that a client sends whole before it reads. */
const MILLION = 1_000_000;
/** More than the server reads at once. */
const PIECES = 'x'.repeat(300_000);
const WHOLE = 'x'.repeat(MILLION);

interface Row {
  /** The address, of which some have TLS. */
  readonly port: 'adminPort' | 'port' | 'tlsAdminPort' | 'tlsPort';
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
  { port: 'tlsPort', name: 'HTTP without TLS', head: post('/publish', MILLION), status: 400 },
  { port: 'tlsAdminPort', name: 'HTTP without TLS', head: post('/publish', MILLION), status: 400 },
];

const ADDRESSES = ['127.0.0.1:0', 'tls:127.0.0.1:0'] as const;
const portOf = (addresses: unknown, kind: RegExp): number =>
  Number(
    (addresses as string[])
      .find((address) => kind.test(address))
      ?.split(':')
      .at(-1),
  );

async function portsOf(server: TestServer): Promise<Readonly<Record<Row['port'], number>>> {
  const { listen, admin } = await server.logged(/^listening on/);
  return {
    ...{ port: portOf(listen, /^\d/), tlsPort: portOf(listen, /^tls/) },
    ...{ adminPort: portOf(admin, /^\d/), tlsAdminPort: portOf(admin, /^tls/) },
  };
}

t.test('a client that is rejected can send on, and reads the answer', async (t) => {
  const listen = ADDRESSES.flatMap((address) => ['--listen', address, '--admin-listen', address]);
  const files = filesOf(t.testdir({}), new Authority().certify());
  const server = await TestServer.start(t, {
    args: ['--protocol', 'comet', '--workers', '1', ...listen, ...files],
  });
  const ports = await portsOf(server);
  await Promise.all(
    ROWS.map(async ({ port, name, head, status }) => {
      const row = `${port}: ${name}`;
      const socket = await connect(ports[port]);
      t.teardown(() => socket.destroy());
      let text = '';
      const errors: Error[] = [];
      socket.setEncoding('latin1').on('data', (part: string) => (text += part));
      socket.on('error', (error) => errors.push(error));
      // A head that is late must not be complete before.
      if (status !== 408) socket.write(port.startsWith('tls') ? head + WHOLE : head + PIECES);
      else socket.write(head);
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
