// Listening sockets of another process, as systemd passes them: taken, named, rejected.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';

import t, { type Test as TapTest } from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import {
  Clients,
  Command,
  compile,
  freePort,
  type StartOptions,
  TestServer,
  until,
} from '../support/helpers.js';

const QUIET = ['--admin-port', '0', '--drain', '0', '--log-format', 'json', '--workers', '2'];

/** A server without a word about addresses: TestServer always gives a port. */
async function startBare(t: TapTest, options: StartOptions): Promise<[Command, string[]]> {
  const command = new Command(['serve', ...QUIET, ...(options.args ?? [])], options);
  t.teardown(async () => {
    command.child.kill('SIGKILL');
    await command.run();
  });
  const line = await until('it to listen', () => {
    if (command.child.exitCode !== null) throw new Error(command.stdout + command.stderr);
    return command.stdout.split('\n').find((text) => text.includes('listening on'));
  });
  return [command, (JSON.parse(line) as { listen: string[] }).listen];
}

function portOf(address: string): number {
  return Number(/:(\d+)$/.exec(address)?.[1]);
}

async function stop(t: TapTest, command: Command): Promise<void> {
  command.child.kill('SIGTERM');
  t.same(await command.ended, { code: 0, signal: null }, 'it ends cleanly');
}

t.test('inherited sockets are served instead of the default address', async (t) => {
  const activate = compile(t, 'activate.c');
  const path = join(activate, '../push.sock');
  const through = [activate, 'web=tcp', `local=unix:${path}`, 'v6=tcp6', '--'];
  const [server, listen] = await startBare(t, { through });
  t.equal(listen.length, 3, 'they and nothing else');
  t.match(listen, [/^127\.0\.0\.1:\d+$/, `unix:${path}`, /^\[::1\]:\d+$/], 'in their order');
  for (const target of [portOf(listen[0] ?? ''), path]) {
    const clients = await Clients.open(t, target, 50);
    t.equal(await clients.answering(), 50, `everybody is answered on ${target}`);
    clients.destroy();
  }
  for (const name of ['web', 'local', 'v6']) {
    t.match(server.stdout, `"name":"${name}"`, 'the log names each');
  }
  const environment = readFileSync(`/proc/${server.left().at(-1) ?? 0}/environ`, 'utf8');
  t.notMatch(environment, 'LISTEN_', 'no worker takes them for its own');
  await stop(t, server);
  t.equal(readFileSync('/proc/net/unix', 'utf8').includes(path), false, 'the socket is closed');
});

t.test('with an address among the options both are served', async (t) => {
  const through = [compile(t, 'activate.c'), 'tcp', '--'];
  const server = await TestServer.start(t, { through, args: ['--workers', '2'] });
  const line = server.log.find(({ msg }) => msg.startsWith('listening on'));
  const listen = line?.['listen'] as string[];
  t.match(listen, [/^127\.0\.0\.1:\d+$/, /^\[::\]:\d+$/]);
  for (const address of listen) {
    const clients = await Clients.open(t, portOf(address), 20);
    t.equal(await clients.answering(), 20, address);
  }
  await server.stop();
});

t.test('an inherited socket stands for the same address among the options', async (t) => {
  // The test holds the port as systemd does; the server must not try to bind it a second time.
  const probe = createServer().listen(0, '127.0.0.1');
  await until('a free port', () => probe.listening);
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  const through = [compile(t, 'activate.c'), `tcp:${port}`, '--'];
  const args = ['--listen', `127.0.0.1:${port}`];
  const [server, listen] = await startBare(t, { through, args });
  t.same(listen, [`127.0.0.1:${port}`], 'it is served once');
  await stop(t, server);
});

t.test('an inherited socket has TLS if the options say so', async (t) => {
  const authority = new Authority();
  const files = filesOf(t.testdir({}), authority.certify());
  const activate = compile(t, 'activate.c');
  const [plainPort, tlsPort] = [await freePort(), await freePort()];
  const mixed = ['--listen', `127.0.0.1:${plainPort}`, '--listen', `tls:127.0.0.1:${tlsPort}`];
  for (const [sockets, args, wanted] of [
    [[`tcp:${tlsPort}`], [], [`tls:127.0.0.1:${tlsPort}`]],
    [
      [`tcp:${plainPort}`, `tcp:${tlsPort}`],
      mixed,
      [`127.0.0.1:${plainPort}`, `tls:127.0.0.1:${tlsPort}`],
    ],
  ] as const) {
    const through = [activate, ...sockets, '--'];
    const [server, listen] = await startBare(t, { through, args: [...args, ...files] });
    t.same(listen, wanted);
    const socket = connectTls({ host: '127.0.0.1', port: tlsPort, ca: authority.cert });
    await once(socket, 'secureConnect');
    socket.destroy();
    await stop(t, server);
  }
});

t.test('sockets that are announced to another process are left alone', async (t) => {
  const through = [compile(t, 'activate.c'), 'tcp', '--'];
  const server = await TestServer.start(t, {
    through,
    env: { LISTEN_PID: '1' },
    args: ['--workers', '1'],
  });
  t.equal((await server.stats()).listen.length, 1, 'it serves its own address');
  t.ok(
    server.log.some(({ msg }) => msg === 'LISTEN_PID names process 1, not this one'),
    'the log of debugging says so',
  );
  await server.stop();
});

const REJECTIONS: readonly [string, readonly string[], NodeJS.ProcessEnv, RegExp][] = [
  ['none', [], {}, /LISTEN_FDS: "0" is not a whole number of sockets from 1 to 64/],
  ['no number', ['tcp'], { LISTEN_FDS: 'one' }, /LISTEN_FDS: "one" is not a whole number/],
  ['too many', ['tcp'], { LISTEN_FDS: '65' }, /LISTEN_FDS: "65" is not .* from 1 to 64/],
  ['no process', ['tcp'], { LISTEN_PID: 'me' }, /LISTEN_PID: "me" is not a process id/],
  [
    'a name too few',
    ['tcp', 'tcp'],
    { LISTEN_FDNAMES: 'one' },
    /LISTEN_FDNAMES: "one" is not a name for each of LISTEN_FDS=2 sockets/,
  ],
  [
    'not open',
    ['tcp'],
    { LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' },
    /descriptor 4 \("b"\) cannot be served: it is not (open|a socket) \((EBADF|ENOTSOCK)\)/,
  ],
  [
    'a file',
    ['x=file'],
    {},
    /descriptor 3 \("x"\) cannot be served: it is not a socket \(ENOTSOCK\)/,
  ],
  ['datagrams', ['x=udp'], {}, /"x"\) cannot be served: it is not a stream socket \(EPROTOTYPE\)/],
  [
    'not listening',
    ['ok=tcp', 'x=bound'],
    {},
    /descriptor 4 \("x"\) .* is not listening \(EINVAL\)/,
  ],
];

t.test(
  'sockets that cannot be served are rejected in one sentence, and nothing is left',
  async (t) => {
    const activate = compile(t, 'activate.c');
    for (const [name, sockets, env, wanted] of REJECTIONS) {
      const command = new Command(['serve', ...QUIET], {
        through: [activate, ...sockets, '--'],
        env,
      });
      const { code, stderr } = await command.run();
      t.match(stderr, wanted, name);
      t.match(stderr, /^megacomet-ts: [^\n]+\n$/, 'one sentence');
      t.equal(code, 1, 'exit code');
    }
  },
);
