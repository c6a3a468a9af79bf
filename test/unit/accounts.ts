// Users and groups by name or number, the forms of --user, and files that others can read.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { gidOf, lineOf, type LookUp } from '../../lib/system/accounts.js';
import { isOpenToRoot } from '../../lib/system/child-system.js';
import { parseIdentity } from '../../lib/system/identity.js';
import { exposureOf, type Exposure } from '../../lib/system/secret-file.js';
import { without } from '../support/requirements.js';

const FILES = {
  passwd:
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nweb:x:33:34::/:\n' +
    'broken:x:-1:0::/:\n',
  group: 'root:x:0:\nnogroup:x:65534:\npush:x:900:web\n',
};
const find: LookUp = (database, key) => lineOf(FILES[database], key);

t.test('--user is a user, or a user and a group, by name or number', (t) => {
  const cases: [user: string, uid: number, gid: number][] = [
    ['nobody', 65_534, 65_534],
    ['web', 33, 34],
    ['33', 33, 34],
    ['65532', 65_532, 65_532],
    ['nobody:nogroup', 65_534, 65_534],
    ['web:push', 33, 900],
    ['web:0', 33, 0],
    ['1000:1000', 1000, 1000],
    ['4294967294', 4_294_967_294, 4_294_967_294],
  ];
  for (const [name, uid, gid] of cases) t.same(parseIdentity(name, find), { name, uid, gid }, name);
  const faults: [user: string, rule: string][] = [
    ['nosuch', 'is not a user of this machine'],
    ['', 'is not a user of this machine'],
    [':push', 'is not a user of this machine'],
    ['4294967295', 'is not a user of this machine'],
    ['-1', 'is not a user of this machine'],
    ['broken', 'is not a user of this machine'],
    ['root', 'is root; give a user without privileges'],
    ['0:1000', 'is root; give a user without privileges'],
    ['web:nosuch', 'names a group that this machine does not have'],
    ['web:', 'names a group that this machine does not have'],
    ['a:b:c', 'is not USER or USER:GROUP'],
  ];
  for (const [name, rule] of faults) {
    t.throws(() => parseIdentity(name, find), { message: `--user: "${name}" ${rule}` }, name);
  }
  t.equal(gidOf('push', find), 900);
  t.end();
});

t.test(
  'root without capabilities reads files as their mode allows',
  { skip: without('root') },
  (t) => {
    const folder = mkdtempSync('/tmp/megacomet-root-');
    t.teardown(() => {
      rmSync(folder, { recursive: true });
    });
    const home = join(folder, 'home');
    const file = join(home, 'addon');
    mkdirSync(home);
    writeFileSync(file, '');
    const cases: [uid: number, folderMode: number, fileMode: number, isOpen: boolean][] = [
      [0, 0o700, 0o600, true],
      [0, 0o000, 0o600, false],
      [1000, 0o755, 0o644, true],
      [1000, 0o700, 0o644, false],
      [1000, 0o755, 0o600, false],
    ];
    for (const [uid, folderMode, fileMode, isOpen] of cases) {
      for (const path of [home, file]) chownSync(path, uid, 1000);
      chmodSync(home, folderMode);
      chmodSync(file, fileMode);
      chmodSync(folder, 0o755);
      const name = `${uid}: ${folderMode.toString(8)}, ${fileMode.toString(8)}`;
      t.equal(isOpenToRoot(file), isOpen, name);
    }
    t.notOk(isOpenToRoot(join(folder, 'missing')));
    t.end();
  },
);

t.test('a file with a secret that others can read or change is found, with its mode', (t) => {
  const exposed = (file: string, mode: number, uid = 1000): Exposure | null =>
    exposureOf(file, { mode, uid }, 1000, '/run/credentials/megacomet.service');
  const cases: [mode: number, uid: number, want: Exposure | null][] = [
    [0o100600, 1000, null],
    [0o100400, 0, null],
    [0o100644, 1000, { mode: '0644', readers: 'every user', can: 'read' }],
    [0o100604, 0, { mode: '0604', readers: 'every user', can: 'read' }],
    [0o100640, 1000, { mode: '0640', readers: 'its group', can: 'read' }],
    // The group is how this process reads it.
    [0o100640, 0, null],
    [0o100622, 1000, { mode: '0622', readers: 'every user', can: 'change' }],
    [0o100660, 0, { mode: '0660', readers: 'its group', can: 'change' }],
  ];
  for (const [mode, uid, want] of cases) {
    t.same(exposed('/a/token', mode, uid), want, `${mode.toString(8)} of ${uid}`);
  }
  t.equal(exposed('/run/credentials/megacomet.service/token', 0o100440), null, 'systemd guards it');
  t.not(exposed('/run/credentials/megacomet.service-b/token', 0o100440), null, 'another folder');
  t.end();
});
