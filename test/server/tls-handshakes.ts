// Handshakes: clients that stop within one, kinds of certificates and keys, and other protocols.
import { generateKeyPairSync, type KeyPairKeyObjectResult } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { closed, echoes, run, TestServer } from '../support/helpers.js';
import { beginHandshake, HANDSHAKE_CUTS } from '../support/tls-records.js';

const AUTHORITY = new Authority();
const HANDSHAKES_MAX = 512;

async function secure(port: number, servername?: string): Promise<TLSSocket> {
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    ca: AUTHORITY.cert,
    ...(servername === undefined ? {} : { servername }),
  });
  await once(socket, 'secureConnect');
  return socket;
}

const pairs: readonly (readonly [kind: string, make: () => KeyPairKeyObjectResult])[] = [
  ['rsa-2048', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ['rsa-4096', () => generateKeyPairSync('rsa', { modulusLength: 4096 })],
  ['ed25519', () => generateKeyPairSync('ed25519')],
  ['p-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ['p-521', () => generateKeyPairSync('ec', { namedCurve: 'P-521' })],
];

t.test('a certificate may have a key of each kind, side by side', async (t) => {
  const certificates = pairs.map(([kind, make]) =>
    AUTHORITY.certify(`${kind}.example`, undefined, make()),
  );
  const server = await TestServer.start(t, {
    args: filesOf(t.testdir({}), ...certificates),
  });
  for (const [kind] of pairs) {
    const socket = await secure(server.port, `${kind}.example`);
    t.equal(socket.getPeerCertificate().subjectaltname, `DNS:${kind}.example`);
    t.ok(await echoes(socket, Buffer.from(`hello ${kind}`)), kind);
    socket.destroy();
  }
  await server.stop();
});

t.test('an encrypted key is rejected with a sentence, in both of its formats', async (t) => {
  const folder = t.testdir({});
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const [, cert = ''] = filesOf(folder, AUTHORITY.certify(undefined, undefined, pair));
  const file = join(folder, 'encrypted.key');
  for (const type of ['pkcs8', 'pkcs1'] as const) {
    const cipher = { format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' } as const;
    writeFileSync(file, pair.privateKey.export({ type, ...cipher }), { mode: 0o600 });
    const { code, stderr } = await run(['serve', '--tls-cert', cert, '--tls-key', file]);
    t.equal(code, 2);
    t.match(
      stderr,
      /tls-key: \S+encrypted\.key is encrypted; a server cannot ask for the pass phrase/,
    );
    t.notMatch(stderr, /PRIVATE KEY|secret|\n./);
  }
});

function startEcho(t: Test, ...args: string[]): Promise<TestServer> {
  const files = filesOf(t.testdir({}), AUTHORITY.certify());
  return TestServer.start(t, { args: [...files, '--workers', '1', ...args] });
}

t.test('a client that leaves within a handshake leaves nothing behind', async (t) => {
  const server = await startEcho(t);
  for (const cut of HANDSHAKE_CUTS) {
    const socket = await beginHandshake(t, server.port, cut);
    await server.untilTotal('tlsHandshakes', cut.records + cut.bytes > 0 ? 1 : 0);
    socket.end();
    await closed(socket.resume());
  }
  await server.untilTotal('connections', 0);
  t.equal(await server.total('tlsHandshakes'), 0);
  t.equal(await server.total('tlsHandshakesTotal'), 0);
  t.equal(await server.total('sessions'), 0);
  await server.stop();
});

t.test(
  `no more than ${HANDSHAKES_MAX} handshakes are under way, and clients are served meanwhile`,
  async (t) => {
    const server = await startEcho(t);
    const early = await secure(server.port);
    // All within the deadline of the first of them.
    const stopped = await Promise.all(
      Array.from({ length: HANDSHAKES_MAX }, () =>
        beginHandshake(t, server.port, { records: 0, bytes: 1 }),
      ),
    );
    await server.untilTotal('tlsHandshakes', HANDSHAKES_MAX);
    const late = secure(server.port);
    const later = secure(server.port);
    await server.untilTotal('connections', HANDSHAKES_MAX + 3);
    t.ok(await echoes(early, Buffer.from('hello')), 'a client that is connected is echoed');
    t.equal(await server.total('tlsHandshakesTotal'), 1, 'and those after the limit wait');
    stopped[0]?.destroy();
    for (const socket of await Promise.all([late, later])) {
      t.ok(await echoes(socket, Buffer.from('hello')), 'their turn comes when one leaves');
    }
    for (const socket of stopped) socket.destroy();
    await server.untilTotal('tlsHandshakes', 0);
    await server.stop();
  },
);
