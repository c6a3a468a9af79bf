// The admin server on unix sockets: the commands, the file, its mode and group.
import t from 'tap';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ask, folderFor, SMALL } from '../support/admin-ask.js';
import { connect, run, TestServer, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

t.test('the admin server listens on unix sockets, and the commands use them', async (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'admin.sock');
  const env = { XDG_STATE_HOME: folder };
  const args = [...SMALL, '--admin-listen', `unix:${path}`];
  const isUp = async (server: TestServer): Promise<void> => {
    await server.logged(/^listening on/);
  };
  const server = TestServer.launch(t, { args, env });
  await isUp(server);
  t.equal(statSync(path).mode & 0o7777, 0o600, 'only the user may connect');
  t.match(await server.logged(/^listening on/), { admin: [`unix:${path}`], adminPort: null });
  t.equal((await ask(path, '/healthz')).status, 200);
  t.equal((await ask(path, '/metrics')).status, 200, 'metrics need no token');
  const admin = ['--admin', `unix:${path}`];
  for (const [wanted, ...command] of [
    [/ to 0 subscribers\n$/, 'publish', 'news', 'hello'],
    [/^news /, 'channels'],
    [/^closing /, 'kick', 'news'],
    [/^megacomet-ts /, 'status'],
  ] as const) {
    const { code, stdout, stderr } = await run([...command, ...admin], { env });
    t.match([code, stdout, stderr], [0, wanted, /^$/], command.join(' '));
  }
  const variable = { ...env, MEGACOMET_ADMIN_LISTEN: `unix:${path}` };
  t.match((await run(['status'], { env: variable })).stdout, /^megacomet-ts /, 'by the variable');
  const second = await run(['serve', '--port', '0', ...args], { env });
  t.match(
    [second.code, second.stderr],
    [
      1,
      new RegExp(
        `the admin server cannot listen on unix:${path} \\(EADDRINUSE\\): choose another --admin-listen`,
      ),
    ],
    'the socket of a running server is an error',
  );
  t.equal((await ask(path, '/healthz')).status, 200, 'which goes on');
  await server.stop();
  t.notOk(existsSync(path), 'the file is removed at the end');
  const dead = TestServer.launch(t, { args, env });
  await isUp(dead);
  dead.child.kill('SIGKILL');
  await dead.ended;
  await until('its workers to be gone', () => dead.left().length === 0);
  t.ok(existsSync(path), 'a server that is killed leaves it');
  const next = TestServer.launch(t, { args: [...args, '--admin-socket-mode', '0666'], env });
  await isUp(next);
  t.equal((await ask(path, '/healthz')).status, 200, 'and the next one replaces it');
  t.equal(statSync(path).mode & 0o7777, 0o666, 'with the mode of the option');
  await next.stop();
  writeFileSync(path, 'a file of the user');
  const plain = await run(['serve', '--port', '0', ...args], { env });
  t.match([plain.code, plain.stderr], [1, /EADDRINUSE/], 'a file that is not a socket stays');
  t.equal(readFileSync(path, 'utf8'), 'a file of the user');
});

t.test('the group of the option may use the unix socket', { skip: without('root') }, async (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'admin.sock');
  const options = ['--admin-listen', `unix:${path}`, '--admin-socket-group', '12345'];
  const server = TestServer.launch(t, { args: [...SMALL, ...options, '--user', '12346'] });
  await server.logged(/^listening on/);
  const { mode, uid, gid } = statSync(path);
  t.same([mode & 0o7777, uid, gid], [0o660, 12_346, 12_345]);
  await server.stop();
});

t.test('a connection to the unix socket that says nothing does not keep it busy', async (t) => {
  const path = join(folderFor(t), 'admin.sock');
  const server = TestServer.launch(t, { args: [...SMALL, '--admin-listen', `unix:${path}`] });
  await server.logged(/^listening on/);
  for (let count = 0; count < 300; count++) {
    const socket = await connect(path);
    t.teardown(() => {
      socket.destroy();
    });
  }
  t.equal((await ask(path, '/healthz')).status, 200);
  await server.stop();
});
