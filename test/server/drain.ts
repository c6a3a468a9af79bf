// How a server ends and changes: drains, second signals, Ctrl-C, ends during the start, SIGHUP.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { DRAIN_S } from '../../lib/base/stop-times.js';
import { Clients, connect, echoes, TestServer, until } from '../support/helpers.js';

async function rejection(port: number): Promise<string> {
  try {
    (await connect(port)).destroy();
    return 'accepted';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

t.test('SIGTERM closes all connections evenly over the drain time', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2', '--drain', '3'] });
  const clients = await Clients.open(t, server.port, 2000);
  const startedAtMs = performance.now();
  const closedAtMs: number[] = [];
  for (const socket of clients.sockets) {
    socket.once('close', () => closedAtMs.push(performance.now() - startedAtMs));
  }
  server.child.kill('SIGTERM');
  await until('new clients to be rejected', async () => {
    return (await rejection(server.port)) === 'ECONNREFUSED';
  });
  t.ok(clients.lost < 2000, 'new clients are rejected while old ones are connected');
  const readiness = await server.get('/readyz');
  t.equal(readiness.status, 503, 'the server is not ready any more');
  t.match(await readiness.json(), { isDraining: true }, 'and says why');
  t.ok((await server.stats()).isDraining, 'the stats show it');
  // The last that came is closed last.
  const last = clients.sockets.findLast((socket) => !socket.destroyed);
  t.ok(last && (await echoes(last, Buffer.from('still here'))), 'open connections are served');

  await server.assertEnded(0);
  const tookMs = performance.now() - startedAtMs;
  t.ok(tookMs >= 2900, `not before the drain time: ${tookMs.toFixed(0)} ms`);
  await until('all clients to be closed', () => clients.lost === 2000);
  // A busy machine can delay a close, but nothing makes it early.
  for (const third of [1, 2]) {
    const closed = closedAtMs.filter((ms) => ms <= third * 1000).length;
    t.ok(closed < (2000 * third) / 3 + 350, `after ${third} s ${closed} were closed`);
  }
  const moments = new Set(closedAtMs.map((ms) => Math.floor(ms / 50)));
  t.ok(moments.size >= 10, `the closes were spread over ${moments.size} moments`);
});

t.test('the default drain closes 2,000 subscribers in order, and exits with 0', async (t) => {
  const args = ['--protocol', 'comet', '--workers', '2', '--drain', String(DRAIN_S)];
  const server = await TestServer.start(t, { args });
  const clients = await Clients.open(t, server.port, 2000);
  for (const socket of clients.sockets) {
    socket.resume().write('GET /events?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n');
  }
  await until('all to subscribe', async () => {
    return (await server.stats()).totals.subscriptions === 2000;
  });
  await server.stop('SIGTERM');
  await until('all clients to be closed', () => clients.lost === 2000);
  const steps = server.log.map(({ msg }) => msg).filter((msg) => /^(draining|stopped)$/.test(msg));
  t.same(steps, ['draining', 'stopped']);
  t.same(server.log.find(({ msg }) => msg === 'stopped')?.['killed'], [], 'no worker was killed');
});

t.test('a second SIGTERM ends everything at once', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2', '--drain', '60'] });
  await Clients.open(t, server.port, 200);
  server.child.kill('SIGTERM');
  await until('the drain', async () => (await server.stats()).isDraining);
  server.child.kill('SIGTERM');
  // A server that has drained exits with 0.
  await server.assertEnded(143);
});

t.test('a worker that does not leave is killed after the drain time', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2', '--drain', '0.2'] });
  await Clients.open(t, server.port, 50);
  process.kill(await server.pidOf(1), 'SIGSTOP');
  await server.stop('SIGTERM', 1);
  const [killed] = server.log.filter(({ msg }) => msg === 'stopped').map((line) => line['killed']);
  t.same(killed, [server.log.find((line) => line.worker === 1)?.pid], 'the log names it');
});

t.test('Ctrl-C drains: the signal to the group kills no worker', async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--drain', '1'],
    detached: true,
  });
  const clients = await Clients.open(t, server.port, 200);
  process.kill(-server.pid, 'SIGINT');
  await until('the drain', () => server.log.some(({ msg }) => msg === 'draining'));
  // The last that came is closed last.
  const last = clients.sockets.findLast((socket) => !socket.destroyed);
  t.ok(last && (await echoes(last, Buffer.from('still here'))), 'clients are served meanwhile');
  await server.assertEnded(0);
});

t.test('SIGTERM while the server starts leaves nothing behind', async (t) => {
  const after = (ms: number): [string, () => boolean] => {
    return [`after ${ms} ms`, () => Date.now() - startedAtMs >= ms];
  };
  const withReady = (count: number): [string, (server: TestServer) => boolean] => {
    return [`with ${count} ready`, (server) => server.workerPids.length >= count];
  };
  const moments = [after(20), after(80), after(140), after(200), withReady(1), withReady(4)];
  let startedAtMs = 0;
  for (const [name, moment] of moments) {
    startedAtMs = Date.now();
    const server = TestServer.launch(t, { args: ['--workers', '12'] });
    await until(name, () => moment(server));
    server.child.kill('SIGTERM');
    const { code, signal } = await server.ended;
    // Before the command has its handler the signal itself ends it.
    t.ok(code === 0 || signal === 'SIGTERM', `${name}: ends with ${code ?? signal ?? ''}`);
    await server.assertEnded(code);
  }
});

t.test('SIGHUP changes the reloadable options, and a mistake changes nothing', async (t) => {
  const file = join(t.testdir(), 'config.json');
  const configure = (values: object): void => {
    writeFileSync(file, JSON.stringify({ 'log-level': 'debug', ...values }));
  };
  configure({ 'max-connections': 100, 'idle-timeout': 0 });
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--config', file],
    expectLog: [/^configuration not changed$/, /^changed options need a restart: /],
  });
  const reread = async (wanted: RegExp, count: number): Promise<void> => {
    server.child.kill('SIGHUP');
    await until(
      'the answer',
      () => server.log.filter(({ msg }) => wanted.test(msg)).length >= count,
    );
  };
  const clients = await Clients.open(t, server.port, 20);
  t.equal(await clients.answering(), 20, 'clients are served');
  const pids = server.workerPids;

  configure({ 'max-connections': 25, 'idle-timeout': 0, 'accept-rate': 0 });
  await reread(/^configuration read again$/, 1);
  t.equal((await server.stats()).maxConnections, 25, 'max-connections changes');
  const more = await Clients.open(t, server.port, 0);
  // A rejection meets some while they still connect.
  const added = await Promise.allSettled(Array.from({ length: 10 }, () => more.add(server.port)));
  const failed = added.filter(({ status }) => status === 'rejected').length;
  await until('five to be rejected', () => failed + more.lost === 5);

  writeFileSync(file, '{"max-connections": "many"}');
  await reread(/^configuration not changed$/, 1);
  const complaint = server.log.find(({ msg }) => msg === 'configuration not changed')?.['err'];
  t.match(complaint, /: max-connections: "many" is not a whole number/, 'a mistake is named');
  t.equal((await server.stats()).maxConnections, 25, 'and changes nothing');
  t.same(
    (await server.stats()).workers.map(({ pid }) => pid).sort(),
    [...pids].sort(),
    'no restart',
  );

  configure({ 'max-connections': 200, 'idle-timeout': 1, 'accept-rate': 0, backlog: 9, user: 'x' });
  await reread(/^configuration read again$/, 2);
  await server.logged(/^changed options need a restart: backlog, user$/);
  await until('idle connections to be closed', () => clients.lost + failed + more.lost === 30);
  t.equal(await server.total('closedIdleTotal'), 25, 'they are counted');
  await server.stop();
});

t.test('SIGHUP changes the accept rate and the log level', async (t) => {
  const file = join(t.testdir(), 'config.json');
  writeFileSync(file, '{"log-level": "debug"}');
  const server = await TestServer.start(t, { args: ['--workers', '2', '--config', file] });
  const timeFor = async (count: number): Promise<number> => {
    const startedAtMs = performance.now();
    const clients = await Clients.open(t, server.port, count);
    t.equal(await clients.answering(), count, 'all are served');
    return performance.now() - startedAtMs;
  };
  await timeFor(60);
  writeFileSync(file, '{"accept-rate": 20, "log-level": "error", "max-connections": 500}');
  // A line of the start may arrive later than this.
  const signalledAtMs = Date.now();
  server.child.kill('SIGHUP');
  await until('the change', async () => (await server.stats()).maxConnections === 500);
  const tookMs = await timeFor(60);
  t.ok(tookMs > 1000, `60 clients at 20 a second take their time: ${tookMs.toFixed(0)} ms`);
  const later = server.log.filter((line) => Number(line['time']) >= signalledAtMs);
  t.same(later, [], 'no line below the new level');
  await server.stop();
});
