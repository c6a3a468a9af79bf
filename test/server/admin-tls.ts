// The admin server with TLS: real servers, and Node's own TLS client.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer as createTlsServer, request, type RequestOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';

import { createServer } from '../../lib/index.js';
import { AdminConnections } from '../../lib/api/admin-connections.js';
import { Authority, filesOf } from '../../bench/certificates.js';
import { closed, connect, run, TestServer, until } from '../support/helpers.js';

const AUTHORITY = new Authority();

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly names: string;
  readonly protocol: string;
}

/** One request with TLS: its answer, the names of the certificate, and the version of TLS. */
function ask(port: number, path: string, options: RequestOptions = {}): Promise<Answer> {
  const target = { host: '127.0.0.1', port, path, ca: AUTHORITY.cert, agent: false };
  return new Promise((resolve, reject) => {
    const sent = request({ ...target, ...options }, (answer) => {
      const { socket } = answer;
      if (!(socket instanceof TLSSocket)) throw new Error('no TLS');
      const names = socket.getPeerCertificate().subjectaltname ?? '';
      const protocol = socket.getProtocol() ?? '';
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('end', () => {
        resolve({ status: answer.statusCode ?? 0, text, names, protocol });
      });
    });
    sent.on('error', reject).end();
  });
}

/** The port of the admin address with TLS, from the first line of the log. */
async function tlsPort(server: TestServer): Promise<number> {
  const { admin } = await server.logged(/^listening on/);
  const address = (admin as string[]).find((text) => text.startsWith('tls:127.0.0.1:'));
  return Number(address?.split(':').at(-1));
}

/** A connection that ends when the server ends it. */
async function open(port: number): Promise<Socket> {
  const socket = await connect(port);
  return socket.once('end', () => socket.destroy()).resume();
}

const LISTEN = ['--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'];
const ADMIN = [...LISTEN, '--admin-listen', 'tls:127.0.0.1:0'];

t.test('the admin server has TLS at its own address, by host name, and reloads it', async (t) => {
  const folder = t.testdir({});
  const names = [undefined, '*.b.example', 'x.b.example'];
  const files = filesOf(folder, ...names.map((name) => AUTHORITY.certify(name)));
  const server = await TestServer.start(t, {
    args: [...files, ...ADMIN],
    expectLog: [/configuration not changed/],
  });
  const port = await tlsPort(server);
  const answer = await ask(port, '/readyz');
  t.match(answer, { status: 200, names: 'IP Address:127.0.0.1', protocol: 'TLSv1.3' });
  t.equal((await server.get('/readyz')).status, 200, 'the plain address serves beside it');
  const old = await ask(port, '/healthz', { maxVersion: 'TLSv1.2' });
  t.match(old, { status: 200, protocol: 'TLSv1.2' });
  await t.rejects(
    ask(port, '/healthz', {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'ALL@SECLEVEL=0',
    }),
    'TLS 1.1 is too old',
  );
  for (const [servername, names] of [
    ['X.b.example', 'DNS:x.b.example'],
    ['y.b.example', 'DNS:*.b.example'],
    ['z.y.b.example', 'IP Address:127.0.0.1'],
  ] as const) {
    const { names: found } = await ask(port, '/', { servername, rejectUnauthorized: false });
    t.equal(found, names, servername);
  }
  const kept = connectTls({ host: '127.0.0.1', port, ca: AUTHORITY.cert });
  await once(kept, 'secureConnect');
  filesOf(folder, AUTHORITY.certify('new.example'));
  server.child.kill('SIGHUP');
  const isNew = async (): Promise<boolean> => {
    const { names } = await ask(port, '/', { rejectUnauthorized: false });
    return names === 'DNS:new.example';
  };
  await until('the new certificate', isNew);
  writeFileSync(join(folder, '0.key'), AUTHORITY.certify().key);
  server.child.kill('SIGHUP');
  const { err } = await server.logged(/configuration not changed/);
  t.match(err, /0\.key is not the key of/);
  t.ok(await isNew(), 'after a mistake the old certificate stays');
  t.equal(kept.destroyed, false, 'a connection survives the reload');
  kept.destroy();
  await server.stop();
});

t.test('a program has TLS with certificates as text, and info() names the address', async (t) => {
  const { cert, key } = AUTHORITY.certify();
  const server = createServer({
    ...{ listen: ['127.0.0.1:0'], workers: 1, adminListen: ['tls:127.0.0.1:0'] },
    ...{ tlsCert: [cert], tlsKey: [key], tlsMinVersion: '1.3' },
  });
  t.teardown(() => server.close());
  await server.listen();
  const port = server.adminPort ?? 0;
  t.match(server.info(), { admin: [`tls:127.0.0.1:${port}`], features: { tls: true } });
  const { text, protocol } = await ask(port, '/info');
  t.equal(protocol, 'TLSv1.3');
  t.match(JSON.parse(text), { admin: [`tls:127.0.0.1:${port}`] });
  await t.rejects(
    ask(port, '/info', { maxVersion: 'TLSv1.2' }),
    'the oldest version holds there too',
  );
});

t.test('the admin port with TLS answers plain HTTP with a sentence, and counts it', async (t) => {
  const folder = t.testdir({});
  const args = [...filesOf(folder, AUTHORITY.certify()), ...ADMIN];
  const server = await TestServer.start(t, { args });
  const socket = await open(await tlsPort(server));
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => (text += part));
  socket.write('GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await closed(socket);
  t.match(text, /^HTTP\/1\.1 400 [^]*"this port speaks TLS; use https"/);
  await until('the counter', async () => {
    const { admin } = await server.stats();
    return admin?.['handshakesFailedTotal'] === 1;
  });
  await server.stop();
});

t.test('an address with TLS needs a certificate, and another machine a token', async (t) => {
  const folder = t.testdir({});
  const own = filesOf(folder, AUTHORITY.certify());
  const rows: readonly (readonly [args: readonly string[], rule: RegExp])[] = [
    [['--admin-listen', 'tls:127.0.0.1:0'], /admin-listen: tls:127\.0\.0\.1:0 needs --tls-cert/],
    [
      ['--admin-listen', 'tls:unix:/x', ...own],
      /admin-listen: "tls:unix:\/x" is not an address that can have TLS/,
    ],
    [
      ['--admin-listen', 'tls:0.0.0.0:0', ...own],
      /admin-listen: "tls:0\.0\.0\.0:0" is not a loopback address, so it needs --admin-token-file/,
    ],
  ];
  for (const [args, rule] of rows) {
    const { code, stderr } = await run(['serve', '--port', '0', ...args]);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, rule);
  }
});

/** Connections with TLS and a short limit of the handshake. */
async function shortSite(t: Test): Promise<{ all: AdminConnections; port: number }> {
  const all = new AdminConnections(
    (_, response) => {
      response.end('answer');
      return Promise.resolve();
    },
    { handshakeMs: 300, rejectedBodyMs: 300, readMs: 500, sweepMs: 20 },
  );
  const server = createTlsServer(AUTHORITY.certify());
  all.serve(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    all.destroyAll();
  });
  return { all, port: (server.address() as AddressInfo).port };
}

t.test('a handshake that is silent or slow is cut at its limit, and counted once', async (t) => {
  const { all, port } = await shortSite(t);
  for (const hello of ['', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03']) {
    const before = all.counters.handshakesFailedTotal;
    const socket = await open(port);
    const timer = setInterval(() => {
      if (hello !== '' && socket.writable) socket.write('\x00');
    }, 20);
    socket.write(hello, 'latin1');
    await closed(socket);
    clearInterval(timer);
    t.equal(all.counters.handshakesFailedTotal, before + 1, hello === '' ? 'silent' : 'slow');
    await until('its slot to be free', () => all.counters.connections === 0);
  }
  const left = await open(port);
  left.end();
  await closed(left);
  await until('a client that leaves', () => all.counters.handshakesFailedTotal === 3);
  t.match(await ask(port, '/'), { status: 200, text: 'answer' });
  t.equal(all.counters.handshakesFailedTotal, 3, 'a complete handshake is not one of them');
});

t.test('handshakes count as connections: the oldest is closed for a new client', async (t) => {
  const { all, port } = await shortSite(t);
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let count = 0; count < 300; count++) {
    sockets.push(await open(port));
    if (all.counters.connections > 256) t.fail('more than 256 connections');
  }
  const { evictedTotal, handshakesFailedTotal } = all.counters;
  t.ok(evictedTotal + handshakesFailedTotal >= 300 - 256, 'others were closed');
  t.match(await ask(port, '/'), { status: 200, text: 'answer' });
});
