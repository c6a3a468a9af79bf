// Clients over TLS that a server rejects or closes: they receive the answer inside TLS, and
// close_notify after it.
import { connect as connectPlain } from 'node:net';
import t, { type Test } from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { REQUESTS } from '../support/comet-world.js';
import { connect, closed, TestServer, until } from '../support/helpers.js';
import { TlsPeer, VERSIONS } from '../support/tls-peer.js';

const AUTHORITY = new Authority();
const REJECTED = 50;
const EVENT_SOURCE = REQUESTS.sse.replace('\r\n\r\n', '\r\nAccept: text/event-stream\r\n\r\n');

function start(t: Test, ...args: readonly string[]): Promise<TestServer> {
  return TestServer.start(t, {
    args: [
      ...['--protocol', 'comet', '--workers', '1', ...args],
      ...filesOf(t.testdir({}), AUTHORITY.certify()),
    ],
  });
}

t.test('a full server answers inside TLS, so that each client reconnects later', async (t) => {
  const server = await start(t, '--max-connections', '1');
  const [{ port }, ca] = [server, AUTHORITY.cert];
  const first = await TlsPeer.open(t, { port, ca }, EVENT_SOURCE);
  await server.untilTotal('subscriptions', 1);
  for (const version of VERSIONS) {
    const poll = await TlsPeer.open(t, { port, ca, version }, REQUESTS.poll);
    t.match(await poll.toEnd(), /^HTTP\/1\.1 503 [^]*\r\nRetry-After: \d+\r\n/, version);
    t.ok(poll.endsWithAlert, 'close_notify');
    const source = await TlsPeer.open(t, { port, ca, version }, EVENT_SOURCE);
    t.match(await source.toEnd(), /^HTTP\/1\.1 200 [^]*\r\n\r\n[^]*^retry: \d+$/m, version);
    t.ok(source.endsWithAlert, 'close_notify');
    // A request in two parts.
    const slow = await TlsPeer.open(t, { port, ca, version }, REQUESTS.poll.slice(0, 20));
    slow.write(REQUESTS.poll.slice(20));
    t.match(await slow.toEnd(), /^HTTP\/1\.1 503 /, version);
  }
  await server.untilTotal('rejectedFullTotal', 6);

  // Bytes that are not TLS, half a handshake, and a client that says nothing.
  const strangers = ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x02\0\x01', ''];
  const ends = strangers.map(async (bytes) => {
    const socket = await connect(port);
    if (bytes !== '') socket.write(Buffer.from(bytes, 'latin1'));
    socket.resume().on('end', () => socket.end());
    await closed(socket);
  });
  await Promise.all(ends);
  await server.untilTotal('rejectedFullTotal', 9);
  first.close();
  await server.untilTotal('connections', 0);
  const next = await TlsPeer.open(t, { port, ca }, EVENT_SOURCE);
  await until('its answer', () => next.text.startsWith('HTTP/1.1 200 '));
  await server.untilTotal('subscriptions', 1);
  await server.stop();
});

t.test('a full echo server resets clients before a handshake, and counts them', async (t) => {
  const server = await TestServer.start(t, {
    args: [
      ...['--workers', '1', '--max-connections', '1'],
      ...filesOf(t.testdir({}), AUTHORITY.certify()),
    ],
  });
  const [{ port }, ca] = [server, AUTHORITY.cert];
  const first = await TlsPeer.open(t, { port, ca }, 'held');
  await until('its echo', () => first.text === 'held');
  const hello = Buffer.from('\x16\x03\x01\x02\0\x01', 'latin1');
  const ends = Array.from({ length: REJECTED }, async () => {
    // The reset may come before the event of the connect.
    const socket = connectPlain({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined).write(hello);
    await closed(socket);
    return socket.bytesRead;
  });
  t.same(new Set(await Promise.all(ends)), new Set([0]), 'no byte of a handshake');
  await server.untilTotal('rejectedFullTotal', REJECTED);
  t.equal(await server.total('tlsHandshakesTotal'), 1);
  t.equal(await server.total('tlsHandshakesFailedTotal'), 0, 'none began');
  first.write(' still');
  await until('another echo', () => first.text === 'held still');
  await server.stop();
});

t.test('a drain ends every transport with its final response and close_notify', async (t) => {
  const server = await start(t, '--drain', '1');
  const [{ port }, ca] = [server, AUTHORITY.cert];
  const peers: { name: string; peer: TlsPeer }[] = [];
  for (const version of VERSIONS) {
    for (const [name, request] of Object.entries(REQUESTS)) {
      peers.push({ name, peer: await TlsPeer.open(t, { port, ca, version }, request) });
    }
  }
  await server.untilTotal('subscriptions', peers.length);
  server.child.kill('SIGTERM');
  const finals: Readonly<Record<string, RegExp>> = {
    sse: /\r\n\r\n[^]*^retry: \d+$/m,
    stream: /^HTTP\/1\.1 200 /,
    poll: /^HTTP\/1\.1 204 /,
    websocket: /server shutting down/,
  };
  for (const { name, peer } of peers) {
    t.match(await peer.toEnd(), finals[name] ?? /^$/, name);
    t.ok(peer.endsWithAlert, `${name}: close_notify`);
  }
  await server.assertEnded(0);
});

t.test('a PROXY header before TLS names the client, whose limit holds inside TLS', async (t) => {
  const server = await start(
    t,
    ...['--proxy-protocol', '--trusted-proxies', '127.0.0.1'],
    ...['--connections-per-address', '1', '--max-connections', '3'],
  );
  const [{ port }, ca] = [server, AUTHORITY.cert];
  const open = (
    last: number,
    request: string,
    version = VERSIONS[1] as (typeof VERSIONS)[number],
  ) => {
    const header = `PROXY TCP4 10.0.0.${last} 10.0.0.9 4711 443\r\n`;
    return TlsPeer.open(t, { port, ca, version, header }, request);
  };
  await open(1, REQUESTS.sse);
  await server.untilTotal('subscriptions', 1);
  for (const version of VERSIONS) {
    const over = await open(1, REQUESTS.poll, version);
    t.match(await over.toEnd(), /^HTTP\/1\.1 429 [^]*\r\nRetry-After: \d+\r\n/, version);
    t.ok(over.endsWithAlert, 'close_notify');
    const source = await open(1, EVENT_SOURCE, version);
    t.match(await source.toEnd(), /^HTTP\/1\.1 200 [^]*megacomet\.limited/, version);
  }
  await server.untilTotal('closedLimitedTotal', 4);
  await open(2, REQUESTS.websocket);
  await open(3, REQUESTS.stream, 'TLSv1.2');
  await server.untilTotal('subscriptions', 3);
  const full = await open(4, REQUESTS.poll);
  t.match(await full.toEnd(), /^HTTP\/1\.1 503 [^]*\r\nRetry-After: \d+\r\n/, 'the server is full');
  t.ok(full.endsWithAlert, 'close_notify');
  await server.stop();
});
