// `megacomet-ts serve` as a user meets it: addresses, echo, limits, signals.
import t from 'tap';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { procReader, sysctl } from '../../lib/system/kernel.js';
import {
  answers,
  Clients,
  connect,
  echoes,
  freePort,
  run,
  TestServer,
  until,
  type Test,
} from '../support/helpers.js';

/** Whether a client that comes now to an address, or a path, is answered. */
async function answersAt(host: string, port: number): Promise<boolean> {
  const socket = await connect(port, host).catch(() => null);
  if (socket === null) return false;
  const isAnswered = await echoes(socket, Buffer.from(host));
  socket.destroy();
  return isAnswered;
}

async function answersOn(path: string): Promise<boolean> {
  const socket = createConnection({ path }).on('error', () => undefined);
  const isAnswered = await echoes(socket, Buffer.from(path));
  socket.destroy();
  return isAnswered;
}

/** Ports and paths of all addresses, in the order of the options. */
function addressesOf(server: TestServer): string[] {
  const line = server.log.find(({ msg }) => msg.startsWith('listening on'));
  return line?.['listen'] as string[];
}

function portOf(address: string | undefined): number {
  return Number(/:(\d+)$/.exec(address ?? '')?.[1]);
}

/** A folder with a short path: one of a socket has 108 bytes at most. */
function shortFolder(test: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-'));
  test.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Connects; resolves to the error with which that ended, or '' after an orderly end. */
function endOf(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? '');
    });
    socket.on('end', () => {
      resolve('');
    });
    socket.resume();
  });
}

t.test('a server with no option but its ports echoes, counts, and ends cleanly', async (t) => {
  const server = await TestServer.start(t);
  const clients = await Clients.open(t, server.port, 50);
  t.equal(await clients.answering(), 50, 'every client is answered');
  t.equal(await server.total('connections'), 50, 'the gauge counts them');
  t.equal(await server.total('echoedTotal'), 50, 'the echoes are counted');
  t.ok(server.port > 0 && server.adminPort > 0, 'port 0 became real ports');
  await server.stop();
});

t.test('an IPv4 address takes IPv4 clients only', async (t) => {
  const server = await TestServer.start(t, { args: ['--host', '127.0.0.1', '--port', '0'] });
  t.same(addressesOf(server), [`127.0.0.1:${server.port}`], 'as it says');
  t.ok(await answersAt('127.0.0.1', server.port), 'IPv4');
  t.notOk(await answersAt('::1', server.port), 'IPv6');
  t.notOk(await answersAt('127.0.0.2', server.port), 'another address of this machine');
  await server.stop();
});

t.test('an IPv6 address takes IPv6 clients only', async (t) => {
  const server = await TestServer.start(t, { args: ['--host', '::1', '--port', '0'] });
  t.same(addressesOf(server), [`[::1]:${server.port}`], 'as it says');
  t.ok(await answersAt('::1', server.port), 'IPv6');
  t.notOk(await answersAt('127.0.0.1', server.port), 'IPv4');
  await server.stop();
});

t.test('the default address takes IPv4 and IPv6 clients', async (t) => {
  const server = await TestServer.start(t);
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1']) {
    t.ok(await answersAt(host, server.port), host);
  }
  await server.stop();
});

t.test('IPv4 and IPv6 may share a port as two addresses', async (t) => {
  const port = await freePort();
  const listen = ['--listen', `[::]:${port}`, '--listen', `0.0.0.0:${port}`];
  const server = await TestServer.start(t, { args: listen });
  t.ok(await answersAt('127.0.0.1', port), 'IPv4');
  t.ok(await answersAt('::1', port), 'IPv6');
  await server.stop();
});

t.test('a range of ports is served by all workers alike', async (t) => {
  const first = await freePort(3);
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--host', '127.0.0.1', '--port', `${first}-${first + 2}`],
  });
  const ports = [first, first + 1, first + 2];
  t.same(
    addressesOf(server),
    ports.map((port) => `127.0.0.1:${port}`),
  );
  const line = server.log.find(({ msg }) => msg.startsWith('listening on'))?.msg ?? '';
  t.ok(line.startsWith(`listening on 127.0.0.1:${first}-${first + 2} with 2 workers`), line);
  for (const port of ports) {
    const clients = await Clients.open(t, port, 40);
    t.equal(await clients.answering(), 40, `port ${port}`);
    const { workers } = await server.stats();
    const open = workers.map(({ connections }) => Number(connections));
    t.ok(Math.min(...open) > 0, `both workers serve it: ${open.join(' and ')}`);
    clients.destroy();
    await until('all to be gone', async () => (await server.total('connections')) === 0);
  }
  await server.stop();
  const taken = await run(['serve', '--port', '8000-8064', '--admin-port', '0']);
  t.equal(taken.code, 2);
  t.match(taken.stderr, /--port: "8000-8064" is not a range of 1 to 64 ports/);
});

t.test('a server listens on every address that it was given', async (t) => {
  const path = join(shortFolder(t), 'echo.sock');
  const listen = ['127.0.0.1:0', '127.0.0.1:0', '[::1]:0', `unix:${path}`];
  const server = await TestServer.start(t, {
    args: ['--workers', '2', ...listen.flatMap((address) => ['--listen', address])],
  });
  const found = addressesOf(server);
  t.match(
    found,
    [/^127\.0\.0\.1:\d+$/, /^127\.0\.0\.1:\d+$/, /^\[::1\]:\d+$/, `unix:${path}`],
    'it says where',
  );
  t.not(portOf(found[0]), portOf(found[1]), 'each port 0 is another one');
  t.ok(await answersAt('127.0.0.1', portOf(found[0])), 'the first');
  t.ok(await answersAt('127.0.0.1', portOf(found[1])), 'the second');
  t.ok(await answersAt('::1', portOf(found[2])), 'the third');
  t.ok(await answersOn(path), 'the path');
  t.equal(await server.total('acceptedTotal'), 4, 'the stats count them together');
  await server.stop();
  t.notOk(existsSync(path), 'the socket file goes with the server');
});

t.test('a socket file that a crash left is replaced, one in use is not', async (t) => {
  const folder = shortFolder(t);
  const [path, plain] = [join(folder, 'echo.sock'), join(folder, 'plain')];
  const args = ['--workers', '2', '--listen', `unix:${path}`];
  const crashed = await TestServer.start(t, { args });
  t.ok(await answersOn(path), 'a server answers on the path');

  const second = await run(['serve', ...args, '--admin-port', '0']);
  t.equal(second.code, 1, 'a second server does not start');
  t.match(
    second.stderr,
    /^megacomet-ts: cannot listen on unix:[^\n]+EADDRINUSE\)\n$/,
    'and says why',
  );
  t.ok(await answersOn(path), 'the first goes on');

  crashed.child.kill('SIGKILL');
  await crashed.assertEnded(null);
  t.ok(statSync(path).isSocket(), 'a crash leaves the file');
  const server = await TestServer.start(t, { args });
  t.ok(await answersOn(path), 'the next server replaces it');
  await server.stop();

  writeFileSync(plain, '');
  const third = await run(['serve', '--listen', `unix:${plain}`, '--admin-port', '0']);
  t.equal(third.code, 1, 'a file that is not a socket is not replaced');
  t.ok(statSync(plain).isFile(), 'it is still there');
});

t.test('a path is served by all workers in turn, after one of them died', async (t) => {
  const path = join(shortFolder(t), 'echo.sock');
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--listen', `unix:${path}`],
    expectLog: [/^worker died/],
  });
  process.kill(await server.pidOf(0), 'SIGKILL');
  await until('its end to be seen', () => server.log.some(({ msg }) => /^worker died/.test(msg)));
  t.ok(await answersOn(path), 'the other one answers');
  process.kill(await server.pidOf(1), 'SIGKILL');
  t.ok(await until('an answer', () => answersOn(path)), 'and then its successor');
  await server.stop();
});

t.test('beyond --max-connections a client is reset at once, and counted', async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--max-connections', '10'],
  });
  const clients = await Clients.open(t, server.port, 10);
  t.equal(await clients.answering(), 10, 'ten clients are answered');
  for (let count = 1; count <= 5; count++) {
    t.equal(await endOf(server.port), 'ECONNRESET', 'one more is reset');
  }
  const { totals } = await server.stats();
  t.match(totals, { rejectedFullTotal: 5, rejectedTotal: 5, connections: 10 }, 'as counted');
  t.equal(await clients.answering(), 10, 'the others notice nothing');
  clients.sockets[0]?.destroy();
  await until('a connection to close', async () => (await server.total('connections')) === 9);
  // The manager takes some milliseconds to give the room to any worker.
  await until('the freed connection to be used again', () =>
    answers(server.port).catch(() => false),
  );
  t.equal(clients.lost, 1, 'no other connection was lost');
  await server.stop();
});

t.test('--idle-timeout closes silent clients, and no others', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '1', '--idle-timeout', '2'] });
  const silent = await Clients.open(t, server.port, 20);
  const active = await Clients.open(t, server.port, 5);
  await until('the silent ones to be closed', async () => {
    await active.answering();
    return silent.lost === 20;
  });
  await until('the active ones to be seen after that', async () => {
    await active.answering();
    return (await server.stats()).uptimeSeconds >= 5;
  });
  t.equal(active.lost, 0, 'the active ones are still there');
  t.equal(await active.answering(), 5, 'and answered');
  t.equal(await server.total('closedIdleTotal'), 20, 'the cause is counted');
  await until('those to be closed as well', () => active.lost === 5);
  t.equal(await server.total('closedIdleTotal'), 25, 'once they fall silent');
  await server.stop();
});

t.test('--accept-rate lets clients in one after the other', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '1', '--accept-rate', '50'] });
  const began = performance.now();
  const clients = await Clients.open(t, server.port, 55);
  t.equal(await clients.answering(), 55, 'all of them are answered in the end');
  // A tenth of a second's worth may come at once.
  t.ok(performance.now() - began >= 1000 - 5, 'fifty took a second at least');
  const { totals } = await server.stats();
  t.ok(Number(totals['acceptPausedTotal']) > 0, 'the rests are counted');
  t.match(totals, { acceptFailedTotal: 0, rejectedTotal: 0 }, 'as no failure');
  await until('the next token', async () => (await server.total('listenersPaused')) === 0);
  await server.stop();
});

const somaxconn = sysctl(procReader, 'net.core.somaxconn') ?? 0;
const isEnough = somaxconn >= 65_535 ? 'net.core.somaxconn does not cut any backlog here' : false;

t.test('a backlog that the kernel cuts is said at the start', { skip: isEnough }, async (t) => {
  const server = await TestServer.start(t, {
    args: ['--backlog', '65535'],
    expectLog: [/^net\.core\.somaxconn limits the backlog$/],
  });
  const line = await server.logged(/somaxconn/);
  t.match(line, { somaxconn, backlog: 65_535 }, 'with both values');
  t.ok(await answers(server.port), 'and the server serves');
  await server.stop();
});
