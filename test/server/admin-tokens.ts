// Access to the admin server: the generated token, tokens with roles, files of tokens, host names,
// and unix sockets.
import t, { type Test } from 'tap';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { AdminTokens } from '../../lib/api/admin-tokens.js';
import { ENDPOINTS, ROLES, type Role } from '../../lib/api/endpoints.js';
import { stateFolderOf } from '../../lib/system/state-folder.js';
import { connect, run, TestServer, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const COMET = ['--protocol', 'comet', '--host', '127.0.0.1', '--workers', '1'];
const SMALL = [...COMET, '--max-connections', '100'];

/** A folder that every user can enter, removed at the end. */
function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-admin-'));
  chmodSync(folder, 0o755);
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** A file with a token. */
function tokenFile(folder: string, name: string, token: string, mode = 0o600): string {
  const file = join(folder, name);
  writeFileSync(file, `${token}\n`);
  chmodSync(file, mode);
  return file;
}

interface Ask {
  readonly token?: string | undefined;
  readonly headers?: Record<string, string>;
  readonly method?: string;
  readonly body?: string | undefined;
}

/** Sends a request to a port or to the path of a unix socket. */
function ask(
  at: number | string,
  path: string,
  { token, headers = {}, method = 'GET', body }: Ask = {},
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  const address = typeof at === 'string' ? { socketPath: at } : { host: '127.0.0.1', port: at };
  const fields = {
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...headers,
  };
  return new Promise((resolve, reject) => {
    const sent = request(
      { ...address, path, method, headers: fields, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** A body for a POST. */
function bodyOf(path: string): string | undefined {
  const { method } = ENDPOINTS[path as keyof typeof ENDPOINTS];
  return method === 'POST' ? '{"channel":"a","data":"x"}' : undefined;
}

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

const ROLE_TOKENS: Readonly<Record<Role, string>> = {
  metrics: 'the-token-of-the-monitoring',
  publish: 'the-token-of-the-back-end',
  admin: 'the-token-of-the-operator',
};

/** Whether the gate let a request through to its handler. */
function isAdmitted(status: number): boolean {
  return ![401, 403, 404, 405, 415].includes(status);
}

/** A server with a token of each role, and a second one that may publish. */
async function serverWithRoles(t: Test, second: string): Promise<TestServer> {
  const folder = folderFor(t);
  const roles = ROLES.map((role) => `${role}=${tokenFile(folder, role, ROLE_TOKENS[role])}`);
  roles.push(`publish=${tokenFile(folder, 'second', second)}`);
  const args = [...SMALL, ...roles.flatMap((role) => ['--admin-role', role])];
  return TestServer.start(t, { args });
}

t.test('each role may use its endpoints alone, and admin all', async (t) => {
  const second = 'the-second-token-of-the-back-end';
  const server = await serverWithRoles(t, second);
  let rejected = 0;
  for (const [path, { method, role }] of Object.entries(ENDPOINTS)) {
    const send = async (token?: string): ReturnType<typeof ask> =>
      ask(server.adminPort, path, { method, token, body: bodyOf(path) });
    for (const own of ROLES) {
      const { status, body, headers } = await send(ROLE_TOKENS[own]);
      if (role === null || own === role || own === 'admin') {
        t.ok(isAdmitted(status), `${own}: ${path}`);
        continue;
      }
      rejected++;
      t.equal(status, 403, `${own}: ${path}`);
      t.match(body, `${path} needs the role ${role}; the token has the role ${own}`);
      t.equal(headers['www-authenticate'], `Bearer error="insufficient_scope", scope="${role}"`);
    }
    for (const token of [undefined, 'not-a-token-of-this-server', ROLE_TOKENS.admin.slice(1)]) {
      const { status, body, headers } = await send(token);
      if (role === null) {
        t.equal(status, 200, `without a token: ${path}`);
        continue;
      }
      t.equal(status, 401, `${token ?? 'without a token'}: ${path}`);
      t.match(body, `missing or invalid admin token; ${path} needs the role ${role}`);
      t.equal(headers['www-authenticate'], 'Bearer');
    }
  }
  const stats = await ask(server.adminPort, '/stats', { token: ROLE_TOKENS.metrics });
  const { admin } = JSON.parse(stats.body) as { admin: Record<string, number> };
  const guarded = Object.values(ENDPOINTS).filter(({ role }) => role !== null);
  t.match(admin, { unauthorizedTotal: guarded.length * 3, forbiddenTotal: rejected }, 'counted');
  const { status } = await ask(server.adminPort, '/publish', {
    ...{ method: 'POST', token: second, body: bodyOf('/publish') },
  });
  t.equal(status, 200, 'a role may have two tokens');
  await server.stop();
});

t.test('wrong roles are errors that name the rule', async (t) => {
  const folder = folderFor(t);
  const file = tokenFile(folder, 'token', 'what-only-the-operator-knows');
  const rows: [RegExp, ...string[]][] = [
    [
      /admin-role: "root=x" is not one of metrics=FILE, publish=FILE, admin=FILE/,
      '--admin-role',
      'root=x',
    ],
    [/admin-role: "metrics" is not one of/, '--admin-role', 'metrics'],
    [/admin-role: "metrics=" is not one of/, '--admin-role', 'metrics='],
    [/admin-role: \/none cannot be read \(ENOENT\)/, '--admin-role', 'metrics=/none'],
    [
      /admin-role: "metrics=.*" has the token of the role admin/,
      ...['--admin-token-file', file, '--admin-role', `metrics=${file}`],
    ],
    [/--admin-allowed-host: "a b" is not a host name/, '--admin-allowed-host', 'a b'],
    [/--admin-allowed-host: "10\.0\.0" is not a host name/, '--admin-allowed-host', '10.0.0'],
    [/admin-socket-mode: "0660" needs --admin-listen/, '--admin-socket-mode', '0660'],
    [
      /admin-socket-mode: "0660" needs --admin-listen unix:PATH/,
      ...['--admin-listen', '127.0.0.1:0', '--admin-socket-mode', '0660'],
    ],
    [
      /admin-socket-group: "no-such-group" is not a group of this machine/,
      ...['--admin-listen', 'unix:a.sock', '--admin-socket-group', 'no-such-group'],
    ],
    [/--admin-listen: "nowhere" is not a numeric HOST:PORT/, '--admin-listen', 'nowhere'],
  ];
  for (const [wanted, ...args] of rows) {
    const { code, stderr } = await run(['serve', ...SMALL, '--port', '0', ...args]);
    t.match([code, stderr], [2, wanted], args.join(' '));
  }
});

t.test(
  'an admin server that other machines reach needs a token, also for its metrics',
  async (t) => {
    for (const args of [
      ['--admin-host', '0.0.0.0'],
      ['--admin-host', '::'],
      ['--admin-listen', ':0'],
      ['--admin-listen', '127.0.0.1:0', '--admin-listen', '192.0.2.1:0'],
    ]) {
      for (const protocol of ['echo', 'comet']) {
        const { code, stderr } = await run([
          'serve',
          '--protocol',
          protocol,
          '--port',
          '0',
          ...args,
        ]);
        t.match(
          [code, stderr],
          [2, / is not a loopback address, so it needs --admin-token-file, /],
          args.join(' '),
        );
      }
    }
    const folder = folderFor(t);
    const token = 'the-token-of-the-monitoring';
    const role = `metrics=${tokenFile(folder, 'token', token)}`;
    const server = await TestServer.start(t, {
      args: ['--admin-host', '0.0.0.0', '--admin-role', role],
    });
    for (const path of ['/stats', '/metrics']) {
      t.equal((await ask(server.adminPort, path)).status, 401, path);
      t.equal((await ask(server.adminPort, path, { token })).status, 200, `${path} with the token`);
    }
    for (const path of ['/healthz', '/readyz']) {
      t.equal((await ask(server.adminPort, path)).status, 200, path);
    }
    await server.stop();
  },
);

t.test('requests name an address, an allowed host, or carry a token', async (t) => {
  const folder = folderFor(t);
  const token = 'what-only-the-operator-knows';
  const file = tokenFile(folder, 'token', token);
  const hosts = ['--admin-allowed-host', 'Admin.Example.com', '--admin-allowed-host', 'megacomet'];
  const server = await TestServer.start(t, {
    args: [...SMALL, ...hosts, '--admin-token-file', file],
  });
  const browser = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0' };
  const rows: [number, string, Record<string, string>, string?][] = [
    [200, 'admin.example.com', {}],
    [200, 'ADMIN.example.com:9001', browser],
    [200, 'admin.example.com.', browser],
    [200, 'admin.example.com', { ...browser, origin: 'http://admin.example.com' }],
    [200, 'megacomet:9001', browser],
    [403, 'evil.example', {}],
    [403, 'evil.example', browser],
    [403, 'admin.example.com.evil.example', {}],
    [403, 'xadmin.example.com', {}],
    [200, 'evil.example', {}, token],
    [200, 'evil.example', browser, token],
    [403, 'evil.example', {}, 'not-a-token-of-this-server'],
    [403, 'admin.example.com', { origin: 'http://evil.example' }],
    [403, 'admin.example.com', { origin: 'http://evil.example' }, token],
  ];
  for (const [wanted, host, headers, given] of rows) {
    for (const path of ['/stats', '/metrics']) {
      const sent = {
        headers: { ...headers, host },
        ...(given === undefined ? {} : { token: given }),
      };
      const { status } = await ask(server.adminPort, path, sent);
      t.equal(
        status,
        wanted,
        `${path} at ${host}, ${JSON.stringify(headers)}, token ${given ?? 'none'}`,
      );
    }
  }
  await server.stop();
});

t.test(
  'a change of state needs POST, JSON and a token, on loopback and unix sockets',
  async (t) => {
    const folder = folderFor(t);
    const token = 'what-only-the-operator-knows';
    const file = tokenFile(folder, 'token', token);
    const path = join(folder, 'admin.sock');
    const listen = ['--admin-listen', '127.0.0.1:0', '--admin-listen', `unix:${path}`];
    const server = await TestServer.start(t, {
      args: [...SMALL, ...listen, '--admin-token-file', file],
    });
    const changes = Object.entries(ENDPOINTS).filter(([, { method }]) => method === 'POST');
    t.ok(changes.length >= 3);
    for (const at of [server.adminPort, path]) {
      for (const [endpoint] of changes) {
        const body = bodyOf(endpoint);
        const status = async (sent: Ask): Promise<number> =>
          (await ask(at, endpoint, { method: 'POST', token, body, ...sent })).status;
        t.ok(isAdmitted(await status({})), `${endpoint} at ${at}`);
        t.equal((await ask(at, endpoint, { method: 'POST', body })).status, 401, 'without a token');
        t.equal(await status({ method: 'GET' }), 405, 'with GET');
        t.equal(await status({ method: 'PUT' }), 405, 'with PUT');
        for (const type of ['text/plain', 'application/x-www-form-urlencoded', '']) {
          t.equal(await status({ headers: { 'Content-Type': type } }), 415, `as ${type}`);
        }
      }
    }
    await server.stop();
  },
);

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

t.test('a token is compared with every token of the server', (t) => {
  const tokens = new AdminTokens([
    { role: 'metrics', token: 'the-first-token' },
    { role: 'publish', token: 'the-second-token' },
    { role: 'admin', token: 'the-third-token' },
  ]);
  const rolesOf = (text: string): string => [...tokens.rolesOf(text)].sort().join();
  t.equal(rolesOf('Bearer the-first-token'), 'metrics');
  t.equal(rolesOf('bearer  the-second-token'), 'publish');
  t.equal(rolesOf('Bearer the-third-token'), 'admin,metrics,publish');
  for (const text of [
    '',
    'Bearer',
    'Bearer the-first-toke',
    'the-first-token',
    'Basic the-first-token',
  ]) {
    t.equal(rolesOf(text), '', text);
  }
  t.equal(rolesOf('Bearer the-first-token the-third-token'), '');
  t.equal(tokens.rolesOf(undefined).size, 0);
  t.end();
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
