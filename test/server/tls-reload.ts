// Certificates that change while a server runs, and their dates.
import { once } from 'node:events';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import t from 'tap';

import { createServer } from '../../lib/index.js';
import { Authority, filesOf } from '../../bench/certificates.js';
import { TestServer, until, type LogLine } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const DAY_MS = 86_400_000;
const AUTHORITY = new Authority();
const NOT_CHANGED = /^configuration not changed$/;
const SOON = /^a certificate expires soon; replace its file and send SIGHUP$/;

async function open(port: number): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  return socket;
}

const hostOf = (socket: TLSSocket): string | undefined =>
  socket.getPeerCertificate().subjectaltname?.replace('DNS:', '');

/** The host of the certificate that a new connection gets. */
async function shown(port: number): Promise<string | undefined> {
  const socket = await open(port);
  const host = hostOf(socket);
  socket.destroy();
  return host;
}

async function isEchoed(socket: TLSSocket): Promise<boolean> {
  const answer = once(socket, 'data') as Promise<[Buffer]>;
  socket.write('still here');
  return (await answer)[0].toString() === 'still here';
}

/** Sends SIGHUP and waits for its line, which is the only one of its kind. */
async function reload(server: TestServer, wanted: RegExp): Promise<unknown> {
  const before = server.log.length;
  const answers = (): LogLine[] =>
    server.log
      .slice(before)
      .filter(({ msg }) => NOT_CHANGED.test(msg) || msg === 'configuration read again');
  server.child.kill('SIGHUP');
  await until('the answer to SIGHUP', () => answers().length > 0);
  const [line, ...others] = answers();
  t.match(line?.msg, wanted);
  t.same(others, []);
  return line?.['err'];
}

t.test('after a mistake the old certificate stays, after its fix the new one counts', async (t) => {
  const folder = t.testdir({});
  const args = filesOf(folder, AUTHORITY.certify('old.example'));
  const [cert, key] = [join(folder, '0.crt'), join(folder, '0.key')];
  const server = await TestServer.start(t, {
    args: ['--workers', '1', ...args],
    expectLog: [NOT_CHANGED],
  });
  const held = await open(server.port);
  const next = AUTHORITY.certify('new.example');
  const expired = AUTHORITY.certify('new.example', Date.now() - 1000);
  const mistakes: readonly (readonly [change: () => void, reason: RegExp])[] = [
    [() => writeFileSync(key, next.key), /^tls-key: \S+0\.key is not the key of \S+0\.crt$/],
    [() => writeFileSync(cert, expired.cert), /^tls-cert: \S+0\.crt expired on /],
    [
      () => writeFileSync(cert, next.cert.slice(0, 300)),
      /^tls-cert: \S+ has no certificate as PEM$/,
    ],
    [() => writeFileSync(cert, ''), /^tls-cert: \S+0\.crt has no certificate as PEM$/],
    [() => rmSync(cert), /^tls-cert: \S+0\.crt cannot be read \(ENOENT\)$/],
  ];
  for (const [change, reason] of mistakes) {
    change();
    t.match(await reload(server, NOT_CHANGED), reason);
    t.equal(await shown(server.port), 'old.example');
  }
  filesOf(folder, next);
  await reload(server, /^configuration read again$/);
  // The workers get it in their control stream, after the line of the log.
  await until('the new certificate', async () => (await shown(server.port)) === 'new.example');
  t.equal(hostOf(held), 'old.example');
  t.ok(await isEchoed(held), 'the old connection stays');
  held.destroy();
});

t.test('a mistake in another file changes no certificate', async (t) => {
  const folder = t.testdir({ secret: 'x'.repeat(32) });
  const args = filesOf(folder, AUTHORITY.certify('old.example'));
  chmodSync(join(folder, 'secret'), 0o600);
  const server = await TestServer.start(t, {
    args: [
      ...['--workers', '1', '--protocol', 'comet', ...args],
      ...['--token-key', `HS256=${join(folder, 'secret')}`],
    ],
    expectLog: [NOT_CHANGED],
  });
  filesOf(folder, AUTHORITY.certify('new.example'));
  writeFileSync(join(folder, 'secret'), 'short');
  t.match(await reload(server, NOT_CHANGED), /^token-key: /);
  t.equal(await shown(server.port), 'old.example');
});

t.test(
  'files that --user cannot read are an error of SIGHUP, and the old certificate stays',
  { skip: without('root') },
  async (t) => {
    const folder = t.testdir({});
    const args = filesOf(folder, AUTHORITY.certify('old.example'));
    const server = await TestServer.start(t, {
      args: ['--workers', '1', '--user', 'nobody', ...args],
      expectLog: [NOT_CHANGED],
    });
    filesOf(folder, AUTHORITY.certify('new.example'));
    t.match(await reload(server, NOT_CHANGED), /0\.(crt|key) cannot be read \(EACCES\)$/);
    t.equal(await shown(server.port), 'old.example');
  },
);

t.test('the days left are a metric of each certificate, and a warning below 14', async (t) => {
  const folder = t.testdir({});
  const ends = (days: number): number => Date.now() + (days + 0.5) * DAY_MS;
  const args = filesOf(
    folder,
    AUTHORITY.certify('long.example', ends(40)),
    AUTHORITY.certify('short.example', ends(13)),
  );
  const server = await TestServer.start(t, {
    args: ['--workers', '1', ...args],
    expectLog: [SOON],
  });
  const daysOf = async (): Promise<unknown[]> => {
    const text = await (await server.get('/metrics')).text();
    const samples = /^megacomet_tls_certificate_days_left\{certificate="(.*)"\} (\S+)$/gm;
    return [...text.matchAll(samples)].map(([, file, days]) => [file, Number(days)]);
  };
  const [first, second] = [join(folder, '0.crt'), join(folder, '1.crt')];
  t.same(await daysOf(), [
    [first, 40],
    [second, 13],
  ]);
  const warnings = (): unknown[] =>
    server.log
      .filter(({ msg }) => SOON.test(msg))
      .map(({ certificate, days }) => [certificate, days]);
  t.same(warnings(), [[second, 13]], 'one line at the start');
  filesOf(
    folder,
    AUTHORITY.certify('long.example', ends(5)),
    AUTHORITY.certify('short.example', ends(89)),
  );
  await reload(server, /^configuration read again$/);
  t.same(await daysOf(), [
    [first, 5],
    [second, 89],
  ]);
  t.same(
    warnings(),
    [
      [second, 13],
      [first, 5],
    ],
    'and one at the reload',
  );
});

t.test('the library takes certificates as bytes and as text', async (t) => {
  const { cert, key } = AUTHORITY.certify('bytes.example');
  const other = AUTHORITY.certify('text.example');
  const server = createServer({
    ...{ port: 0, host: '127.0.0.1', workers: 1 },
    tlsCert: [Buffer.from(cert), other.cert],
    tlsKey: [Buffer.from(key), other.key],
  });
  t.teardown(() => server.close());
  await server.listen();
  const port = Number(server.addresses[0]?.split(':').at(-1));
  t.equal(await shown(port), 'bytes.example');
  t.same(server.stats().tlsCertificateDaysLeft, { 'certificate 1': 29, 'certificate 2': 29 });
  server.reloadKeys();
  t.equal(await shown(port), 'bytes.example');
  const mixed = createServer({
    port: 0,
    workers: 1,
    tlsCert: Buffer.from(cert),
    tlsKey: other.key,
  });
  await t.rejects(mixed.listen(), {
    code: 'ERR_OPTION_INVALID',
    message: 'tls-key: key 1 is not the key of certificate 1',
  });
});
