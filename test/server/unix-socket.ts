// The file of a unix socket: its mode and group, and its end.
import { existsSync, mkdtempSync, rmSync, chmodSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t from 'tap';

import { run, TestServer, type Test } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const skip = without('root');

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-unix-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  return folder;
}

interface Case {
  readonly args: readonly string[];
  readonly umask: string;
  readonly mode: string;
  readonly uid?: number;
  readonly gid?: number;
}

const CASES: readonly Case[] = [
  { args: [], umask: '022', mode: '755' },
  { args: ['--socket-mode', '0660'], umask: '022', mode: '660' },
  { args: ['--socket-mode', '666'], umask: '077', mode: '666' },
  { args: ['--socket-mode', '0600'], umask: '000', mode: '600' },
  { args: ['--socket-mode', '0660', '--socket-group', '33'], umask: '022', mode: '660', gid: 33 },
  { args: ['--socket-group', 'nogroup'], umask: '022', mode: '755', gid: 65_534 },
  { args: ['--user', 'nobody'], umask: '022', mode: '755', uid: 65_534, gid: 65_534 },
  {
    args: ['--user', 'nobody', '--socket-group', '33', '--socket-mode', '0660'],
    umask: '022',
    mode: '660',
    uid: 65_534,
    gid: 33,
  },
];

for (const { args, umask, mode, uid = 0, gid = 0 } of CASES) {
  const name = `${args.join(' ') || 'no option'}, umask ${umask}`;
  t.test(`unix sockets with ${name} have mode ${mode}`, { skip }, async (t) => {
    const folder = folderFor(t);
    // As /tmp and /run/lock: the owner of a file may remove it.
    chmodSync(folder, 0o1777);
    const paths = ['a', 'b'].map((file) => join(folder, file));
    const server = await TestServer.start(t, {
      args: ['--workers', '2', ...paths.flatMap((path) => ['--listen', `unix:${path}`]), ...args],
      through: ['sh', '-c', `umask ${umask}; exec "$@"`, '-'],
    });
    for (const path of paths) {
      const stats = statSync(path);
      t.equal((stats.mode & 0o7777).toString(8), mode);
      t.equal(stats.uid, uid, 'owner');
      t.equal(stats.gid, gid, 'group');
    }
    await server.stop();
    t.notOk(
      paths.some((path) => existsSync(path)),
      'the files are removed at the end',
    );
  });
}

t.test('a mode or group that cannot be is an error', async (t) => {
  const path = join(folderFor(t), 'push');
  const unix = ['--listen', `unix:${path}`];
  const cases: [args: string[], message: RegExp][] = [
    [[...unix, '--socket-mode', '99'], /--socket-mode: "?99"? is not three octal digits/],
    [[...unix, '--socket-mode', '1777'], /--socket-mode: "?1777"? is not three octal digits/],
    [[...unix, '--socket-group', 'no-such'], /socket-group: "no-such" is not a group of this/],
    [['--socket-mode', '0660'], /--socket-mode: "0660" needs --listen/],
    [['--socket-group', '33'], /--socket-group: "33" needs --listen/],
    [['--listen', ':0', '--socket-mode', '0660'], /socket-mode: "0660" needs --listen unix:PATH/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await run(['serve', ...args, '--admin-port', '0']);
    t.not(code, 0);
    t.match(stderr, message, args.join(' '));
    t.notOk(existsSync(path), 'no file is left');
  }
});
