// The tokens of the admin server: the one that the server generates, and the files that may hold one.
import t from 'tap';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { stateFolderOf } from '../../lib/system/state-folder.js';
import { ask, folderFor, SMALL, tokenFile } from '../support/admin-ask.js';
import { run, TestServer } from '../support/helpers.js';
import { without } from '../support/requirements.js';

t.test('a server generates its token once, and the commands of its user find it', async (t) => {
  const home = folderFor(t);
  const env = { XDG_STATE_HOME: home };
  const file = join(home, 'megacomet/admin.token');
  const first = await TestServer.start(t, { args: SMALL, env });
  await first.logged(new RegExp(`^the admin token is in ${file}$`));
  const token = readFileSync(file, 'utf8');
  t.match(token, /^[\w-]{43}\n$/, '256 bits');
  t.equal(statSync(file).mode & 0o7777, 0o600, 'only its user can read the file');
  t.equal(statSync(join(home, 'megacomet')).mode & 0o7777, 0o700, 'and enter the folder');
  t.notMatch(first.stdout, token.trim(), 'the log does not have it');
  await first.stop();
  const second = await TestServer.start(t, { args: SMALL, env });
  await second.logged(/^the admin token is in /);
  t.equal(readFileSync(file, 'utf8'), token, 'the next start uses it again');
  const admin = ['--admin', `127.0.0.1:${second.adminPort}`];
  for (const [wanted, ...args] of [
    [/^[0-9a-f]{16}\.1 to 0 subscribers\n$/, 'publish', 'news', 'hello'],
    [/^news {2}0 subscribers, 1 message/, 'channels'],
    [/^closing 0 subscribers\n$/, 'kick', 'news'],
    [/^megacomet-ts .*, up /, 'status'],
  ] as const) {
    const { code, stdout, stderr } = await run([...args, ...admin], { env });
    t.match([code, stdout, stderr], [0, wanted, /^$/], args.join(' '));
  }
  const other = await run(['publish', 'news', 'x', ...admin]);
  t.match([other.code, other.stderr], [1, /\/publish needs the role publish/], 'another user');
  await second.stop();
});

t.test('the token is never sent to another machine', async (t) => {
  const { tokenOfThisUser } = await import('../../lib/api/generated-token.js');
  const home = folderFor(t);
  mkdirSync(join(home, 'megacomet'));
  const token = 'what-only-this-user-knows';
  tokenFile(join(home, 'megacomet'), 'admin.token', token);
  const env = { XDG_STATE_HOME: home };
  const at = (host: string, isUnix = false): string | null =>
    tokenOfThisUser(env, { host, isUnix });
  for (const host of ['127.0.0.1', '127.8.8.8', '::1', 'localhost']) t.equal(at(host), token, host);
  t.equal(at('/run/admin.sock', true), token, 'a unix socket');
  for (const host of ['192.0.2.1', '2001:db8::1', 'localhost.example', 'admin', '10.0.0.1']) {
    t.equal(at(host), null, host);
  }
});

t.test('servers that start together have one token', async (t) => {
  const env = { XDG_STATE_HOME: folderFor(t) };
  const servers = [0, 1, 2].map(() => TestServer.launch(t, { args: SMALL, env }));
  for (const server of servers) await server.ready();
  const token = readFileSync(join(env.XDG_STATE_HOME, 'megacomet/admin.token'), 'utf8').trim();
  for (const server of servers) {
    t.equal((await ask(server.adminPort, '/channels', { token })).status, 200);
    await server.stop();
  }
});

t.test('the folder of the generated token is that of the service or the user', (t) => {
  const rows: [string, number, NodeJS.ProcessEnv, string | null][] = [
    ['systemd', 1000, { STATE_DIRECTORY: '/var/lib/a:/var/lib/b', HOME: '/h' }, '/var/lib/a'],
    ['XDG', 1000, { XDG_STATE_HOME: '/s', HOME: '/h' }, '/s/megacomet'],
    ['XDG of root', 0, { XDG_STATE_HOME: '/s' }, '/s/megacomet'],
    [
      'a relative path does not count',
      1000,
      { XDG_STATE_HOME: 's', HOME: '/h' },
      '/h/.local/state/megacomet',
    ],
    ['root', 0, { HOME: '/root' }, '/var/lib/megacomet'],
    ['a user', 1000, { HOME: '/h' }, '/h/.local/state/megacomet'],
    ['no home', 1000, { HOME: '' }, null],
  ];
  for (const [name, uid, env, wanted] of rows) t.equal(stateFolderOf(env, uid), wanted, name);
  t.end();
});

t.test('a file of a token that others can use is an error that names its mode', async (t) => {
  const folder = folderFor(t);
  const state = join(folder, 'megacomet');
  mkdirSync(state);
  const token = 'what-only-the-operator-knows';
  const fails = async (
    wanted: RegExp,
    args: string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<void> => {
    const result = await run(['serve', ...SMALL, '--port', '0', '--admin-port', '0', ...args], {
      env,
    });
    t.match([result.code, result.stderr, result.stdout], [2, wanted, /^$/]);
    t.notMatch(result.stderr, token, 'the token is not shown');
  };
  for (const [mode, rule] of [
    [0o644, 'mode 0644, so every user can read the secret: chmod 600'],
    [0o640, 'mode 0640, so its group can read the secret: chmod 600'],
    [0o620, 'mode 0620, so its group can change the secret: chmod 600'],
    [0o602, 'mode 0602, so every user can change the secret: chmod 600'],
  ] as const) {
    const file = tokenFile(folder, 'token', token, mode);
    const name = `${file} has ${rule}`;
    await fails(new RegExp(`admin-token-file: ${name} ${file}\n$`), ['--admin-token-file', file]);
    await fails(new RegExp(`admin-role: ${name}`), ['--admin-role', `metrics=${file}`]);
  }
  tokenFile(state, 'admin.token', token, 0o644);
  await fails(/admin token: .*megacomet\/admin\.token has mode 0644, so every user/, [], {
    XDG_STATE_HOME: folder,
  });
  rmSync(join(state, 'admin.token'));
  symlinkSync('/nowhere', join(state, 'admin.token'));
  await fails(/admin token: .*admin\.token cannot be read \(ENOENT\)/, [], {
    XDG_STATE_HOME: folder,
  });
  const config = join(folder, 'config.json');
  writeFileSync(config, JSON.stringify({ 'admin-token': token }), { mode: 0o644 });
  await fails(/admin-token: .*config\.json has mode 0644, so every user can read/, [
    '--config',
    config,
  ]);
  const exposed = tokenFile(folder, 'token', token, 0o644);
  const kick = await run(['kick', 'a', '--admin', '127.0.0.1:1', '--admin-token-file', exposed]);
  t.match([kick.code, kick.stderr], [2, /has mode 0644/], 'a command checks it too');
});

t.test('a token of another user is an error', { skip: without('root') }, async (t) => {
  const folder = folderFor(t);
  const file = tokenFile(folder, 'token', 'what-only-the-operator-knows');
  chownSync(file, 12_345, 0);
  const serve = ['serve', ...SMALL, '--port', '0', '--admin-port', '0', '--admin-token-file', file];
  const { code, stderr } = await run(serve);
  t.match([code, stderr], [2, /token belongs to user 12345, not to 0: see chown\(1\)\n$/]);
  const server = await TestServer.start(t, {
    args: [...SMALL, '--user', '12345', '--admin-token-file', file],
  });
  t.pass('but the user that the server becomes may own it');
  await server.stop();
  const credentials = { CREDENTIALS_DIRECTORY: folder };
  const service = await TestServer.start(t, {
    args: [...SMALL, '--admin-token-file', file],
    env: credentials,
  });
  t.pass('and systemd guards the credentials of a service');
  await service.stop();
});

t.test('a service finds the credential admin.token by itself', async (t) => {
  const folder = folderFor(t);
  const token = 'what-systemd-passes-to-the-service';
  const file = tokenFile(folder, 'admin.token', token, 0o440);
  const server = await TestServer.start(t, { args: SMALL, env: { CREDENTIALS_DIRECTORY: folder } });
  await server.logged(new RegExp(`^the admin token is in ${file}$`));
  t.equal((await ask(server.adminPort, '/channels', { token })).status, 200);
  await server.stop();
});

t.test('a credential that cannot be read is an error', { skip: without('root') }, async (t) => {
  const folder = folderFor(t);
  tokenFile(folder, 'admin.token', 'what-the-service-cannot-read');
  chmodSync(folder, 0o700);
  const { code, stderr } = await run(['serve', ...SMALL, '--port', '0', '--admin-port', '0'], {
    through: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'],
    env: { CREDENTIALS_DIRECTORY: folder },
  });
  t.match([code, stderr], [2, /admin token: .*admin\.token cannot be read \(EACCES\)\n$/]);
});
