// Secrets and certificates that a real systemd passes to the service as credentials.
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';

import t, { type Test } from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { nowS, signHs256 } from '../support/client-tokens.js';
import { echoes, freePort, until } from '../support/helpers.js';
import { dynamic, startService, type Units } from '../support/systemd/service.js';
import { noSystemd, type Systemd } from '../support/systemd/systemd.js';

const REAL = { skip: noSystemd };

/** The unit with a file as the credential `token.key`. */
function withCredential(units: Units, file: string): Units {
  const service = units['megacomet.service']?.replace(
    '[Service]\n',
    `[Service]\nLoadCredential=token.key:${file}\n`,
  );
  return { ...units, 'megacomet.service': service ?? '' };
}

/** The user id of a service, which cannot read a file itself. */
async function uidWithout(t: Test, systemd: Systemd, file: string): Promise<string> {
  const pid = await systemd.show('MainPID');
  const [, uid = ''] =
    /^Uid:\t(\d+)/m.exec((await systemd.run('cat', `/proc/${pid}/status`)) ?? '') ?? [];
  const read = ['setpriv', `--reuid=${uid}`, '--clear-groups', 'cat', file];
  t.equal(await systemd.run(...read), undefined, 'a user that cannot read the file itself');
  return uid;
}

const USERS = [
  ['a user of the machine', false],
  ['a dynamic user', true],
] as const;

for (const [user, isSystem] of USERS) {
  const name = `under systemd a service of ${user} gets its secrets as credentials`;
  t.test(name, REAL, async (t) => {
    const token = 'the-token-that-only-root-can-read';
    const file = join(t.testdir(), 'token');
    writeFileSync(file, token, { mode: 0o600 });
    const adminPort = await freePort();
    const key = { TOKEN_KEY: 'HS256=%d/token.key' };
    const options = { PROTOCOL: 'comet', ADMIN_PORT: String(adminPort), ...key };
    const adapt = (units: Units): Units => withCredential(isSystem ? dynamic(units) : units, file);
    const setup = { options, adminTokenFile: file };
    const [systemd, port] = await startService(t, setup, adapt, isSystem);
    const publish = async (admin: string): Promise<number> => {
      const url = `http://127.0.0.1:${adminPort}/publish`;
      const headers = { Authorization: `Bearer ${admin}`, 'Content-Type': 'application/json' };
      const body = JSON.stringify({ channel: 'a', data: 'x' });
      return (await fetch(url, { method: 'POST', headers, body })).status;
    };
    t.equal(await publish(token), 200, 'the service has the token');
    t.equal(await publish('another-token-of-the-same-kind'), 401);
    const grants = { subscribe: ['a'] };
    const client = signHs256(token, { exp: nowS() + 600, grants });
    const poll = `http://127.0.0.1:${port}/poll?channel=a&timeout=0`;
    t.equal((await fetch(`${poll}&token=${client}`)).status, 204, 'and the key of tokens');
    t.equal((await fetch(poll)).status, 401);
    const uid = await uidWithout(t, systemd, file);
    t.ok(isSystem ? Number(uid) >= 61_184 && Number(uid) <= 65_519 : uid === '65534', `as ${uid}`);
    t.not(await systemd.systemctl('stop', 'megacomet.service'), undefined, 'it stops');
  });
}

const AUTHORITY = new Authority();

async function openTls(port: number): Promise<TLSSocket> {
  const options = { host: '127.0.0.1', port, ca: AUTHORITY.cert };
  const socket = connectTls({ ...options, checkServerIdentity: () => undefined });
  await once(socket, 'secureConnect');
  return socket;
}

const hostOf = (socket: TLSSocket): string | undefined =>
  socket.getPeerCertificate().subjectaltname;

async function shownHost(port: number): Promise<string | undefined> {
  const socket = await openTls(port);
  const host = hostOf(socket);
  socket.destroy();
  return host;
}

for (const [user, isSystem] of USERS) {
  const name = `under systemd a service of ${user} gets its certificate as a credential`;
  t.test(name, REAL, async (t) => {
    const folder = t.testdir({});
    const write = (host: string): readonly string[] => {
      const [, cert = '', , key = ''] = filesOf(folder, AUTHORITY.certify(host));
      // Like the files of certbot, which root alone can read.
      for (const file of [cert, key]) chmodSync(file, 0o600);
      return [cert, key];
    };
    const [cert = '', key = ''] = write('old.example');
    const adapt = (units: Units): Units => (isSystem ? dynamic(units) : units);
    const [systemd, port] = await startService(
      t,
      { certificates: [{ cert, key }] },
      adapt,
      isSystem,
    );
    const held = await openTls(port);
    t.equal(hostOf(held), 'DNS:old.example');
    t.ok(await echoes(held, Buffer.from('x')), 'the service has certificate and key');
    await uidWithout(t, systemd, key);

    write('new.example');
    t.not(await systemd.systemctl('reload', 'megacomet.service'), undefined, 'a reload succeeds');
    await until('the reload', async () =>
      /configuration (read again|not changed)/.test(await systemd.serviceLog()),
    );
    t.notMatch(await systemd.serviceLog(), /configuration not changed/, 'its user can read them');
    t.equal(await shownHost(port), 'DNS:old.example', 'systemd copies credentials at a start');
    t.ok(await echoes(held, Buffer.from('y')), 'a connection survives the reload');
    held.destroy();
    t.not(await systemd.systemctl('restart', 'megacomet.service'), undefined, 'it restarts');
    t.equal(await shownHost(port), 'DNS:new.example');
    t.not(await systemd.systemctl('stop', 'megacomet.service'), undefined, 'it stops');
  });
}
