// Access to the admin server: the roles of tokens, the addresses that need one, and host names.
import t, { type Test } from 'tap';
import { join } from 'node:path';

import { AdminTokens } from '../../lib/api/admin-tokens.js';
import { ENDPOINTS, ROLES, type Role } from '../../lib/api/endpoints.js';
import { ask, folderFor, SMALL, tokenFile, type Ask } from '../support/admin-ask.js';
import { run, TestServer } from '../support/helpers.js';

/** A body for a POST. */
function bodyOf(path: string): string | undefined {
  const { method } = ENDPOINTS[path as keyof typeof ENDPOINTS];
  return method === 'POST' ? '{"channel":"a","data":"x"}' : undefined;
}

/** Whether the gate let a request through to its handler. */
function isAdmitted(status: number): boolean {
  return ![401, 403, 404, 405, 415].includes(status);
}

const ROLE_TOKENS: Readonly<Record<Role, string>> = {
  metrics: 'the-token-of-the-monitoring',
  publish: 'the-token-of-the-back-end',
  admin: 'the-token-of-the-operator',
};

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
