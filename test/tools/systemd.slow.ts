// The server as a service: the notifications of a whole server to systemd, and a service under a
// real systemd.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test as TapTest } from 'tap';

import { Clients, compile, echoes, TestServer, until } from '../support/helpers.js';
import { startService } from '../support/systemd/service.js';
import { noSystemd } from '../support/systemd/systemd.js';

/** A datagram socket like that of systemd, and the messages that it received. */
async function mailbox(t: TapTest, name?: string): Promise<[string, () => string[]]> {
  const program = compile(t, 'mailbox.c');
  const socket = name ?? join(program, '../notify');
  const child = spawn(program, [socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => {
    child.kill('SIGKILL');
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  await until('the socket', () => text.startsWith('bound\n'));
  return [socket, () => text.split('\n').slice(1, -1)];
}

const count = (lines: readonly string[], line: string): number =>
  lines.filter((candidate) => candidate === line).length;

t.test(
  'a server notifies systemd when every worker is ready, and survives a hung worker',
  async (t) => {
    const [notifySocket, messages] = await mailbox(t, `@megacomet-test-${process.pid}`);
    const server = await TestServer.start(t, {
      args: ['--workers', '2', '--heartbeat-limit', '4', '--drain', '0.5'],
      env: { NOTIFY_SOCKET: notifySocket, WATCHDOG_USEC: '1500000' },
      expectLog: [
        /^worker hung; killed$/,
        /^worker died/,
        /^systemd watchdog notification withheld$/,
      ],
    });
    await until('a first message', () => messages().length > 0);
    t.equal(messages()[0], 'READY=1');
    t.equal(server.workerPids.length, 2, 'both workers were ready then');

    const [first = 0, second = 0] = server.workerPids;
    process.kill(first, 'SIGSTOP');
    await until('the status to name the slot', () =>
      /not serving: slot \d \(late\)/.test(messages().join()),
    );
    const before = count(messages(), 'WATCHDOG=1');
    await sleep(2000);
    t.ok(
      count(messages(), 'WATCHDOG=1') - before >= 3,
      'one hung worker does not stop the watchdog notifications',
    );
    await until('a successor of the hung worker', () => server.workerPids.length === 3);

    const others = [second, server.workerPids[2] ?? 0];
    for (const pid of others) process.kill(pid, 'SIGSTOP');
    const isWithheld = (): boolean =>
      server.log.some(({ msg }) => msg === 'systemd watchdog notification withheld');
    await until('the server to withhold the notification', isWithheld);
    const withheld = count(messages(), 'WATCHDOG=1');
    for (const pid of others) process.kill(pid, 'SIGCONT');
    await until('the notifications to resume', () => count(messages(), 'WATCHDOG=1') > withheld);
    await server.stop();
    t.ok(
      messages().includes('STOPPING=1 EXTEND_TIMEOUT_USEC=11000000'),
      'a drain notifies systemd',
    );
  },
);

// ---- Under a real systemd

const REAL = { skip: noSystemd };

t.test('under systemd the service starts, reloads and stops, in its sandbox', REAL, async (t) => {
  const [systemd, port] = await startService(t);
  t.equal(await systemd.show('ActiveState'), 'active');
  t.match(await systemd.show('StatusText'), /^0 of \d+ connections, 2 workers serve$/);
  const clients = await Clients.open(t, port, 100);
  t.equal(await clients.answering(), 100, 'the service serves the socket from systemd');
  const pid = await systemd.show('MainPID');
  const status = await systemd.run('cat', `/proc/${pid}/status`);
  t.match(status, /^CapEff:\t0+\nCapBnd:\t0+\n/m, 'the service has no capability');
  t.match(status, /^NoNewPrivs:\t1\nSeccomp:\t2\n/m, 'the service has a filter of system calls');
  t.not(
    await systemd.systemctl('reload', 'megacomet.service'),
    undefined,
    'systemctl reload succeeds',
  );
  await until('the reload', async () =>
    /configuration read again/.test(await systemd.serviceLog()),
  );
  t.equal(await systemd.show('ActiveState'), 'active', 'the service is active after the reload');
  t.not(await systemd.systemctl('stop', 'megacomet.service'), undefined, 'systemctl stop succeeds');
  t.equal(await systemd.show('Result'), 'success');
  t.equal(await systemd.show('ExecMainStatus'), '0', 'the exit code is 0');
});

t.test('under systemd a drain gets the time that it requests', REAL, async (t) => {
  const [systemd, port] = await startService(t, { options: { DRAIN: '3' } });
  const clients = await Clients.open(t, port, 100);
  t.equal(await clients.answering(), 100, 'clients are served');
  const startedAtMs = performance.now();
  await systemd.systemctl('stop', 'megacomet.service');
  const tookMs = performance.now() - startedAtMs;
  t.ok(tookMs > 2900, `the drain takes longer than TimeoutStopSec=1: ${tookMs.toFixed(0)} ms`);
  t.equal(await systemd.show('Result'), 'success', 'no process was killed');
});

t.test('under systemd a restart loses no client that waits in a queue', REAL, async (t) => {
  const [systemd, port] = await startService(t, { options: { DRAIN: '2' } });
  const old = await Clients.open(t, port, 50);
  t.equal(await old.answering(), 50, 'clients are served');
  const restart = systemd.systemctl('restart', 'megacomet.service');
  await until('the drain', async () => (await systemd.show('SubState')) === 'stop-sigterm');
  const clients = await Clients.open(t, port, 300);
  const pending = clients.sockets.map((socket) => echoes(socket, Buffer.from('x'), 30_000));
  await sleep(500);
  t.equal(await systemd.show('SubState'), 'stop-sigterm', 'the old service still drains');
  const early = clients.sockets.filter((socket) => socket.bytesRead > 0).length;
  t.equal(early, 0, 'the old service accepts no new client');
  t.not(await restart, undefined, 'systemctl restart succeeds');
  const answers = await Promise.all(pending);
  t.equal(answers.filter(Boolean).length, 300, 'the new service serves all waiting clients');
  t.equal(clients.lost, 0);
  t.equal(old.lost, 50, 'the drain of the old service closed its clients');
});

t.test(
  'under systemd a manager that dies is replaced, and waiting clients are served',
  REAL,
  async (t) => {
    const [systemd, port] = await startService(t);
    const pid = await systemd.show('MainPID');
    await systemd.run('kill', '-KILL', pid);
    // The workers may accept a client until they exit, so wait until systemd sees the end.
    await until(
      'the end of the service',
      async () => (await systemd.show('SubState')) === 'auto-restart',
    );
    const clients = await Clients.open(t, port, 300);
    t.equal(await clients.answering(), 300, 'clients that connected meanwhile are served');
    t.not(await systemd.show('MainPID'), pid, 'another manager serves them');
  },
);

t.test('under systemd a frozen manager is killed and replaced', REAL, async (t) => {
  const [systemd, port] = await startService(t);
  const pid = await systemd.show('MainPID');
  await systemd.run('kill', '-STOP', pid);
  await until(
    'the watchdog to kill the manager',
    async () => (await systemd.show('Result')) === 'watchdog',
  );
  await until('another manager', async () => {
    const now = await systemd.show('MainPID');
    return now !== pid && now !== '0' && (await systemd.show('ActiveState')) === 'active';
  });
  const clients = await Clients.open(t, port, 100);
  t.equal(await clients.answering(), 100, 'the service serves clients');
});

t.test(
  'under systemd a frozen worker is replaced, and the service keeps running',
  REAL,
  async (t) => {
    const [systemd, port] = await startService(t, { options: { HEARTBEAT_LIMIT: '4' } });
    const pid = await systemd.show('MainPID');
    const workers = (await systemd.run('pgrep', '-P', pid))?.trim().split('\n') ?? [];
    const [frozen = '', healthy = ''] = workers;
    await systemd.run('kill', '-STOP', frozen);
    await until('the status to name the frozen worker', async () =>
      /late/.test(await systemd.show('StatusText')),
    );
    await until(
      'the end of the frozen worker',
      async () => (await systemd.run('kill', '-0', frozen)) === undefined,
    );
    await until('a successor', async () => {
      return / 2 workers serve$/.test(await systemd.show('StatusText'));
    });
    t.equal(await systemd.show('MainPID'), pid, 'the manager stays');
    t.equal(await systemd.show('NRestarts'), '0', 'systemd did not restart the service');
    t.match(await systemd.run('pgrep', '-P', pid), healthy, 'the other worker stays');
    const clients = await Clients.open(t, port, 100);
    t.equal(await clients.answering(), 100, 'the service serves clients');
  },
);
