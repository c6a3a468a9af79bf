// Tokens in files that Docker and Kubernetes mount: of root, and readable by every user.
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t, { type Test } from 'tap';

import { run, TestServer } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const skip = without('root', 'namespaces');
const NOBODY = 65_534;
const AS_NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
const TOKEN = 'what-only-the-operator-knows';
const SMALL = ['--protocol', 'comet', '--host', '127.0.0.1', '--workers', '1'];

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-mounted-'));
  chmodSync(folder, 0o755);
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** A command that sees a folder as read-only. */
const readOnly = (folder: string): string[] => [
  ...['unshare', '--mount', 'sh', '-c'],
  'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"',
  folder,
];

interface Case {
  readonly mode: number;
  readonly uid?: number;
  readonly through?: readonly string[];
}

function secret(folder: string, { mode, uid = 0 }: Case): string {
  const file = join(folder, 'token');
  rmSync(file, { force: true });
  writeFileSync(file, TOKEN);
  chmodSync(file, mode);
  chownSync(file, uid, 0);
  return file;
}

t.test('a mounted secret that every user can read is one warning', { skip }, async (t) => {
  const folder = folderFor(t);
  const cases: Record<string, Case> = {
    'Docker, as root': { mode: 0o444, through: readOnly(folder) },
    'Kubernetes, as root': { mode: 0o644, through: readOnly(folder) },
    'Docker, as another user': { mode: 0o444, through: AS_NOBODY },
    'Kubernetes, as another user': { mode: 0o644, through: [...readOnly(folder), ...AS_NOBODY] },
  };
  for (const [name, row] of Object.entries(cases)) {
    const file = secret(folder, row);
    const warning = new RegExp(
      `^${file} has mode 0${row.mode.toString(8)}, so every user can read`,
    );
    const option = name.startsWith('Docker')
      ? ['--admin-token-file', file]
      : ['--admin-role', `publish=${file}`];
    const server = await TestServer.start(t, {
      args: [...SMALL, ...option],
      through: row.through ?? [],
      expectLog: [warning, /^no admin token/],
    });
    await server.logged(warning);
    t.equal(server.log.filter(({ msg }) => warning.test(msg)).length, 1, name);
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
    const publish = { method: 'POST', headers, body: '{"channel":"a","data":"x"}' };
    const { status } = await fetch(`http://127.0.0.1:${server.adminPort}/publish`, publish);
    t.equal(status, 200, 'the token counts');
    await server.stop();
  }
});

t.test('other files that others can read or change stay errors', { skip }, async (t) => {
  const folder = folderFor(t);
  const cases: Record<string, Case> = {
    'root can change the file': { mode: 0o444 },
    'the server can change the file': { mode: 0o444, uid: NOBODY, through: AS_NOBODY },
    'a file of another user': { mode: 0o444, uid: 12_345, through: readOnly(folder) },
    'every user can change it': { mode: 0o666, through: readOnly(folder) },
    'its group can change it': { mode: 0o664, through: AS_NOBODY },
  };
  for (const [name, row] of Object.entries(cases)) {
    const file = secret(folder, row);
    const args = [...SMALL, '--port', '0', '--admin-port', '0', '--admin-token-file', file];
    const { code, stderr } = await run(['serve', ...args], { through: row.through ?? [] });
    t.match([code, stderr], [2, /admin-token-file: .* has mode 0\d{3}, so /], name);
  }
});
