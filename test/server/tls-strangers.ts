// Peers that speak the wrong one of TLS and plain text to an address.
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import t from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { closed, connect, TestServer } from '../support/helpers.js';

/** Sends bytes, and returns all that the server says until its end. */
async function told(port: number, bytes: Buffer | string): Promise<string> {
  const socket = await connect(port);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('end', () => socket.end());
  socket.write(bytes);
  await closed(socket);
  return text;
}

t.test(
  'a peer with the wrong one of TLS and plain text is answered, counted and logged',
  async (t) => {
    const server = await TestServer.start(t, {
      args: [
        ...['--protocol', 'comet', '--workers', '1'],
        ...filesOf(t.testdir({}), new Authority().certify()),
        ...['--listen', '127.0.0.1:0', '--listen', 'tls:127.0.0.1:0'],
      ],
    });
    const [plain = 0, sealed = 0] = (await server.stats()).listen.map((address) =>
      Number(address.split(':').at(-1)),
    );

    const body = 'x'.repeat(100_000);
    const requests = [
      'GET /events?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'HEAD / HTTP/1.0\r\n\r\n',
      `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    ];
    for (const request of requests) {
      const answer = await told(sealed, request);
      t.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
      t.match(answer, /\r\nConnection: close\r\n/);
      t.match(answer, /\r\n\r\n\{"error":"this port speaks TLS; use https or wss"\}\n$/);
    }
    await server.untilTotal('plainAtTlsTotal', requests.length);
    await server.logged(
      /^a peer spoke another protocol: HTTP without TLS, but this port speaks TLS/,
    );

    const others = ['SSH-2.0-x\r\n', 'hello', Buffer.of(0, 1, 2, 0xff), Buffer.of(0x80)];
    for (const bytes of others) t.equal(await told(sealed, bytes), '', 'no answer');
    await server.untilTotal('foreignProtocolTotal', requests.length + others.length);
    t.equal(await server.total('plainAtTlsTotal'), requests.length);
    t.equal(await server.total('tlsHandshakesFailedTotal'), 0, 'none had a handshake');

    const client = connectTls({ port: plain, host: '127.0.0.1', rejectUnauthorized: false });
    const [error] = (await once(client, 'error')) as [Error & { code?: string }];
    t.match(
      error.message,
      /wrong version number|packet length too long/i,
      'the error that names the mistake',
    );
    await server.untilTotal('tlsAtPlainTotal', 1);
    await server.stop();
  },
);
