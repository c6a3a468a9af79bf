// A certificate that expires while a server runs, and its replacement.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import t from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { TestServer, until, type LogLine } from '../support/helpers.js';

const AUTHORITY = new Authority();
const SOON = /^a certificate expires soon; replace its file and send SIGHUP$/;
const EXPIRED = /^a certificate has expired; replace its file and send SIGHUP$/;
const READ = 'configuration read again';
const NOT_CHANGED = 'configuration not changed';
/** Enough for SIGHUP and a handshake on a busy machine; doubled if it was not. */
const LIFE_MS = 4000;

/** A handshake: its connection, or the code of its error. */
async function shake(port: number, verifies = true): Promise<TLSSocket | string> {
  const options = { host: '127.0.0.1', port, ca: AUTHORITY.cert, rejectUnauthorized: verifies };
  const socket = connect(options);
  try {
    await once(socket, 'secureConnect');
    return socket;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  }
}

/** Checks the certificate within the handshake and sends an alert, which Node's client does not. */
const STRICT_CLIENT = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
try:
    context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="127.0.0.1")
    print("accepted")
except ssl.SSLCertVerificationError as error:
    print(error.verify_message)
`;

async function strictResult(port: number, folder: string): Promise<string> {
  const file = join(folder, 'ca.pem');
  writeFileSync(file, AUTHORITY.cert);
  const args = ['-c', STRICT_CLIENT, file, String(port)];
  return (await promisify(execFile)('python3', args)).stdout.trim();
}

async function open(port: number, verifies = true): Promise<TLSSocket> {
  const socket = await shake(port, verifies);
  if (typeof socket === 'string') throw new Error(socket);
  return socket;
}

async function isEchoed(socket: TLSSocket): Promise<boolean> {
  const answer = once(socket, 'data') as Promise<[Buffer]>;
  socket.write('still here');
  return (await answer)[0].toString() === 'still here';
}

async function daysLeft(server: TestServer): Promise<number> {
  const text = await (await server.get('/metrics')).text();
  return Number(/^megacomet_tls_certificate_days_left\{.*\} (\S+)$/m.exec(text)?.[1]);
}

/** Sends SIGHUP; whether the server took the files. */
async function reload(server: TestServer): Promise<boolean> {
  const before = server.log.length;
  const answer = (): LogLine | undefined =>
    server.log.slice(before).find(({ msg }) => msg === READ || msg === NOT_CHANGED);
  server.child.kill('SIGHUP');
  const { msg } = await until('the answer to SIGHUP', answer);
  return msg === READ;
}

const count = (server: TestServer, line: RegExp): number =>
  server.log.filter(({ msg }) => line.test(msg)).length;

/** Gives the server a certificate that ends soon, and opens a connection that has it. */
async function openWithShortLife(server: TestServer, folder: string): Promise<TLSSocket> {
  for (let lifeMs = LIFE_MS; ; lifeMs *= 2) {
    filesOf(folder, AUTHORITY.certify(undefined, Date.now() + lifeMs));
    if (!(await reload(server))) continue;
    const isNew = async (): Promise<TLSSocket | string | null> => {
      const socket = await shake(server.port);
      if (typeof socket === 'string') return socket;
      const isShort = Date.parse(socket.getPeerCertificate().valid_to) < Date.now() + 3_600_000;
      if (!isShort) socket.destroy();
      return isShort ? socket : null;
    };
    const socket = await until('the certificate of a short life', isNew);
    if (typeof socket !== 'string') return socket;
  }
}

t.test('a certificate that expires ends no connection, and SIGHUP replaces it', async (t) => {
  const folder = t.testdir({});
  const args = ['--workers', '1', ...filesOf(folder, AUTHORITY.certify())];
  const server = await TestServer.start(t, {
    args,
    expectLog: [SOON, EXPIRED, new RegExp(NOT_CHANGED)],
  });
  const held = await openWithShortLife(server, folder);
  t.ok(count(server, SOON) > 0, 'the warning at SIGHUP');
  t.equal(await daysLeft(server), 0);
  t.equal(count(server, EXPIRED), 0, 'it is valid');

  await until('the line of the end', () => count(server, EXPIRED) === 1);
  t.equal(await daysLeft(server), -1);
  t.equal(await shake(server.port), 'CERT_HAS_EXPIRED', 'a client that verifies rejects it');
  t.equal(await strictResult(server.port, folder), 'certificate has expired');
  await server.untilTotal('tlsHandshakesFailedTotal', 1);
  t.ok(await isEchoed(held), 'an established connection stays');
  const careless = await open(server.port, false);
  t.ok(await isEchoed(careless), 'the server serves clients that accept it');

  filesOf(folder, AUTHORITY.certify());
  t.ok(await reload(server), 'a valid certificate is taken');
  t.equal(await daysLeft(server), 29);
  const isCured = async (): Promise<TLSSocket | null> => {
    const socket = await shake(server.port);
    return typeof socket === 'string' ? null : socket;
  };
  const next = await until('a handshake with the new certificate', isCured);
  t.equal(await strictResult(server.port, folder), 'accepted');
  for (const socket of [held, careless, next]) {
    t.ok(await isEchoed(socket), 'each connection is open');
    socket.destroy();
  }
  await server.stop();
});
