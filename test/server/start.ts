// Starts that cannot work: one line that names the thing and the rule, an exit code, nothing left.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t, { type Test as TapTest } from 'tap';

import { Clients, Command, type StartOptions, TestServer, until } from '../support/helpers.js';

const STARTED_AFTER_ALL_MS = 60_000;
const isRoot = process.getuid?.() === 0;
const onlyRoot = isRoot ? false : 'only root can become another user';
const AS_NOBODY = isRoot
  ? ['unshare', '--net', 'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
  : [];

interface Failure extends StartOptions {
  readonly wanted: RegExp;
  readonly code: 1 | 2;
  /** Where ports and admin port are part of the case. */
  readonly isBare?: boolean;
}

async function assertFails(t: TapTest, name: string, failure: Failure): Promise<void> {
  const ports = failure.isBare === true ? [] : ['--port', '0', '--admin-port', '0'];
  const command = new Command(['serve', ...ports, ...(failure.args ?? [])], failure);
  // One that starts after all must not hold up the others.
  const timer = setTimeout(() => command.child.kill('SIGKILL'), STARTED_AFTER_ALL_MS);
  const { code, stdout, stderr } = await command.run();
  clearTimeout(timer);
  t.match(stderr, failure.wanted, `${name}: the line names it and the rule`);
  t.match(stderr, /^megacomet-ts: [^\n]+\n$/, `${name}: and is the only one`);
  t.equal(stdout, '', `${name}: nothing on standard output`);
  t.equal(code, failure.code, `${name}: exit code`);
  t.same(command.left(), [], `${name}: no process left`);
}

/** Another program that listens. */
async function foreigner(t: TapTest): Promise<number> {
  const server: Server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => {
    server.close();
  });
  await until('it to listen', () => server.listening);
  return (server.address() as { port: number }).port;
}

t.test('a second server on the same port fails, and the first serves on', async (t) => {
  const first = await TestServer.start(t, { args: ['--workers', '2'] });
  const args = ['--port', String(first.port), '--admin-port', '0'];
  const wanted = new RegExp(
    `cannot listen on \\[::\\]:${first.port}: another program .*EADDRINUSE`,
  );
  await assertFails(t, 'second', { args, isBare: true, code: 1, wanted });
  const clients = await Clients.open(t, first.port, 100);
  t.equal(await clients.answering(), 100, 'the first has all clients');
  await first.stop();
});

t.test('a port of another program is rejected', async (t) => {
  const port = await foreigner(t);
  await assertFails(t, 'taken', {
    args: ['--host', '127.0.0.1', '--port', String(port), '--admin-port', '0'],
    isBare: true,
    code: 1,
    wanted: new RegExp(`127\\.0\\.0\\.1:${port}: another program listens there`),
  });
  await assertFails(t, 'taken for IPv4', {
    args: ['--port', String(port), '--admin-port', '0'],
    isBare: true,
    code: 1,
    wanted: new RegExp(`\\[::\\]:${port}: another program listens there`),
  });
  await assertFails(t, 'admin port taken', {
    args: ['--port', '0', '--admin-port', String(port)],
    isBare: true,
    code: 1,
    wanted: new RegExp(`admin server .*127\\.0\\.0\\.1:${port} \\(EADDRINUSE\\).*--admin-port`),
  });
});

t.test('an address that cannot be listened on is rejected', async (t) => {
  await assertFails(t, 'no permission', {
    args: ['--port', '80', '--admin-port', '0'],
    through: AS_NOBODY,
    isBare: true,
    code: 1,
    wanted: /\[::\]:80: ports below 1024 need root or CAP_NET_BIND_SERVICE/,
  });
  await assertFails(t, 'not of this machine', {
    args: ['--host', '192.0.2.1'],
    code: 1,
    wanted: /192\.0\.2\.1:0: no interface of this machine has that address/,
  });
  await assertFails(t, 'admin address not of this machine', {
    args: ['--admin-host', '192.0.2.1'],
    env: { MEGACOMET_ADMIN_TOKEN: 'what-only-the-operator-knows' },
    code: 1,
    wanted: /admin server cannot listen on 192\.0\.2\.1:0 \(EADDRNOTAVAIL\): see --admin-host/,
  });
  await assertFails(t, 'no address', {
    args: ['--host', 'nowhere'],
    code: 2,
    wanted: /host: "nowhere.*" is not a numeric/,
  });
  for (const text of ['127.0.0.1', '[::1', 'unix:', '127.0.0.1:70000', 'nowhere:80']) {
    await assertFails(t, text, {
      args: ['--listen', text],
      code: 2,
      wanted: /listen: .* is not a numeric/,
    });
  }
});

t.test('a path that cannot be a unix socket is rejected and left alone', async (t) => {
  // Not in the checkout: a socket's path has room for 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-start-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const file = join(folder, 'file');
  writeFileSync(file, 'precious');
  await assertFails(t, 'a file', {
    args: ['--listen', `unix:${file}`],
    code: 1,
    wanted: /cannot listen on unix:.*file: a file that is not a socket is there \(EADDRINUSE\)/,
  });
  t.equal(readFileSync(file, 'utf8'), 'precious', 'the file is untouched');
  await assertFails(t, 'no folder', {
    args: ['--listen', 'unix:nowhere/socket'],
    code: 1,
    wanted: /cannot listen on unix:nowhere\/socket: .*ENOENT/,
  });
  await assertFails(t, 'too long', {
    args: ['--listen', `unix:${'x'.repeat(200)}`],
    code: 1,
    wanted: /path too long/,
  });
});

t.test('a unix socket in use is rejected; one that a crash left is replaced', async (t) => {
  const first = await TestServer.start(t, { args: ['--workers', '1', '--listen', 'unix:socket'] });
  const path = join(first.folder, 'socket');
  await assertFails(t, 'in use', {
    args: ['--listen', `unix:${path}`],
    code: 1,
    wanted: /another program listens there/,
  });
  process.kill(first.pid, 'SIGKILL');
  await first.assertEnded(null);
  const next = await TestServer.start(t, { args: ['--workers', '1', '--listen', `unix:${path}`] });
  const clients = await Clients.open(t, path, 10);
  t.equal(await clients.answering(), 10, 'it serves on the same path');
  await next.stop();
});

t.test('a mistake in an option is named, with the rule', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--port', '70000'], /--port: 70000 is not between 0 and 65535/],
    [['--port', '0x50'], /--port: "0x50" is not a port or a range of ports/],
    [['--workers', '0'], /--workers: 0 is not between 1 and 512, or auto/],
    [['--idle-timeout', '-1'], /--idle-timeout: -1 is not between 0/],
    [['--protocol', 'http'], /--protocol: "http" is not one of echo/],
    [['--heartbeat-limit', '3'], /--heartbeat-limit: 3 is not between 4 and 600/],
    [['--max-conections', '5'], /--max-conections.*--max-connections/],
    [['--port'], /--port.*argument missing/],
    [['--client-publish=maybe'], /--client-publish: "maybe" is not true or false/],
    [['--no-client-publis'], /unknown option --no-client-publis/],
    [['--history-count', '5'], /--history-count: 5 needs --protocol comet/],
    [['stray'], /too many arguments/],
  ];
  for (const [args, wanted] of cases) {
    await assertFails(t, args.join(' '), { args, code: 2, wanted });
  }
});

t.test('a mistake in the environment is named, with the rule', async (t) => {
  await assertFails(t, 'value', {
    env: { MEGACOMET_BACKLOG: 'lots' },
    code: 2,
    wanted: /MEGACOMET_BACKLOG: "lots" is not a whole number between 1 and 65535/,
  });
  await assertFails(t, 'name', {
    env: { MEGACOMET_MAX_CONECTIONS: '5' },
    code: 2,
    wanted: /unknown option MEGACOMET_MAX_CONECTIONS \(did you mean MEGACOMET_MAX_CONNECTIONS\?\)/,
  });
});

t.test('a mistake in the config file is named, with the rule', async (t) => {
  const file = join(t.testdir(), 'config.json');
  const cases: [string, RegExp][] = [
    ['{"backlog": 0}', /config\.json: backlog: 0 is not between 1 and 65535/],
    ['{"backlgo": 1}', /config\.json: unknown option backlgo \(did you mean backlog\?\)/],
    ['{"config": "x"}', /config\.json: unknown option config/],
    ['{"backlog": 5', /--config: .*config\.json is not valid JSON/],
    ['[]', /--config: .*config\.json is not a JSON object/],
    ['', /--config: .*config\.json is not valid JSON/],
  ];
  for (const [text, wanted] of cases) {
    writeFileSync(file, text);
    await assertFails(t, text, { args: ['--config', file], code: 2, wanted });
  }
  await assertFails(t, 'no file', {
    args: ['--config', 'nowhere.json'],
    code: 2,
    wanted: /--config: nowhere\.json cannot be read \(ENOENT\)/,
  });
});

t.test('a mistake that only comet can make is found before anything is bound', async (t) => {
  // Another program has the port: a server that binds first complains of that.
  const port = await foreigner(t);
  const folder = t.testdir({ short: 'secret\n', empty: '', two: 'first line\nsecond line\n' });
  for (const name of ['short', 'empty', 'two']) chmodSync(join(folder, name), 0o600);
  const rule = 'the token is not 16 to 512 visible ASCII characters';
  const cases: [string, string[], RegExp][] = [
    ['echo', ['--ingest', '127.0.0.1:0'], /ingest: "127\.0\.0\.1:0" needs --protocol comet/],
    ['comet', ['--ingest', '9000'], /ingest: "9000" is not a numeric HOST:PORT/],
    ['comet', ['--ingest', 'unix:x'], /ingest: "unix:x" is not a numeric HOST:PORT/],
    [
      'comet',
      ['--admin-token-file', '/none'],
      /admin-token-file: \/none cannot be read \(ENOENT\)/,
    ],
    ...['short', 'empty', 'two'].map((name): [string, string[], RegExp] => {
      const path = join(folder, name);
      return [
        'comet',
        ['--admin-token-file', path],
        new RegExp(`admin-token-file: ${path}: ${rule}`),
      ];
    }),
  ];
  for (const [protocol, option, wanted] of cases) {
    const args = ['--host', '127.0.0.1', '--port', String(port), '--protocol', protocol, ...option];
    await assertFails(t, option.join(' '), { args, isBare: true, code: 2, wanted });
  }
  await assertFails(t, 'a token in the environment', {
    args: ['--host', '127.0.0.1', '--port', String(port), '--protocol', 'comet'],
    env: { MEGACOMET_ADMIN_TOKEN: 'short' },
    isBare: true,
    code: 2,
    wanted: new RegExp(`admin-token: ${rule}`),
  });
  await assertFails(t, 'without a mistake', {
    args: ['--host', '127.0.0.1', '--port', String(port), '--protocol', 'comet'],
    isBare: true,
    code: 1,
    wanted: /another program listens there/,
  });
});

t.test('an admin host that is not an address is rejected before anything is bound', async (t) => {
  // Another program has the port: a server that binds first complains of that.
  const place = ['--host', '127.0.0.1', '--port', String(await foreigner(t)), '--admin-port', '0'];
  for (const host of ['nowhere', '127.0.0.256', '127.1', '[::1]', '::1::', '127.0.0.1:9001']) {
    await assertFails(t, host, {
      args: [...place, '--admin-host', host],
      isBare: true,
      code: 2,
      wanted:
        /^megacomet-ts: --admin-host: ".*" is not a numeric address, such as 127.0.0.1 or ::1\n$/,
    });
  }
  await assertFails(t, 'in the environment', {
    args: place,
    env: { MEGACOMET_ADMIN_HOST: 'nowhere' },
    isBare: true,
    code: 2,
    wanted: /MEGACOMET_ADMIN_HOST: "nowhere" is not a numeric address/,
  });
  for (const host of ['127.0.0.2', '::1', '::', 'fe80::1%lo']) {
    await assertFails(t, `${host}, which is one`, {
      args: [...place, '--admin-host', host],
      env: { MEGACOMET_ADMIN_TOKEN: 'a-token-for-other-machines' },
      isBare: true,
      code: 1,
      wanted: /another program listens there/,
    });
  }
});

t.test('more connections than the machine can hold are rejected', async (t) => {
  await assertFails(t, 'one worker', {
    args: ['--workers', '1', '--max-connections', '1000000'],
    through: ['prlimit', '--nofile=1000'],
    code: 1,
    wanted:
      /1 workers hold \d+ connections at 1000 open files each, fewer than 1000000: raise the limit/,
  });
  await assertFails(t, 'no descriptors', {
    through: ['prlimit', '--nofile=64'],
    code: 1,
    wanted: /a limit of 64 open files (?:leaves none|is too low)/,
  });
});

t.test('a user that the server cannot become is rejected', { skip: onlyRoot }, async (t) => {
  await assertFails(t, 'unknown', {
    args: ['--user', 'no-such-user'],
    code: 1,
    wanted: /--user: "no-such-user" is not a user of this machine/,
  });
  await assertFails(t, 'root', {
    args: ['--user', 'root'],
    code: 1,
    wanted: /--user: "root" is root/,
  });
  await assertFails(t, 'not by root', {
    args: ['--user', 'nobody'],
    through: AS_NOBODY,
    code: 1,
    wanted: /--user: "nobody" requires root/,
  });
});

t.test(
  'an image without a shell, PATH and HOME is enough; workers have the library path',
  async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '1'],
      through: ['env', '-i', 'LD_LIBRARY_PATH=/nowhere', 'NODE_DEBUG=x'],
    });
    const worker = await server.pidOf(0);
    const environment = readFileSync(`/proc/${worker}/environ`, 'utf8').split('\0').filter(Boolean);
    t.same(environment, ['LD_LIBRARY_PATH=/nowhere'], 'and no other variable of the manager');
    const clients = await Clients.open(t, server.port, 1);
    t.equal(await clients.answering(), 1, 'it serves');
    await server.stop();
  },
);
