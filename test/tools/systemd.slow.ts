// The server as a service: what it reads from systemd, what it tells it, when it feeds the watchdog;
// and all of that under a real systemd.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test as TapTest } from 'tap';

import { obstacleTo } from '../../lib/cli/commands/install-service.js';
import {
  formatHealth,
  reasonToStarve,
  ServiceNotifier,
  type Health,
} from '../../lib/systemd/service.js';
import { readSystemd, takeSystemd, type Systemd } from '../../lib/systemd/systemd.js';
import { PACKAGED, serviceUnit, socketUnit } from '../../lib/systemd/units.js';
import { Clients, compile, echoes, root, TestServer, until } from '../support/helpers.js';
import { noSystemd, UserManager } from '../support/systemd/user-manager.js';

const NOTHING: Systemd = { sockets: [], notifySocket: null, watchdogMs: null, ignored: [] };

void t.test('the environment of a service is read as sd_listen_fds and its like do', (t) => {
  const rows: [string, NodeJS.ProcessEnv, Partial<Systemd>][] = [
    ['none', {}, {}],
    [
      'sockets with names',
      { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' },
      {
        sockets: [
          { fd: 3, name: 'a' },
          { fd: 4, name: 'b' },
        ],
      },
    ],
    [
      'without names',
      { LISTEN_PID: '7', LISTEN_FDS: '1' },
      { sockets: [{ fd: 3, name: 'unknown' }] },
    ],
    [
      'for another process',
      { LISTEN_PID: '8', LISTEN_FDS: '1' },
      { ignored: ['LISTEN_PID names process 8, not this one'] },
    ],
    ['half of it', { LISTEN_FDS: '1' }, {}],
    ['a path', { NOTIFY_SOCKET: '/run/x' }, { notifySocket: '/run/x' }],
    ['an abstract name', { NOTIFY_SOCKET: '@x' }, { notifySocket: '@x' }],
    [
      'neither',
      { NOTIFY_SOCKET: 'vsock:2:1' },
      { ignored: ['NOTIFY_SOCKET "vsock:2:1" is no path and no @name'] },
    ],
    ['a watchdog', { WATCHDOG_USEC: '30000000' }, { watchdogMs: 30_000 }],
    ['ours', { WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, { watchdogMs: 30_000 }],
    ["another's", { WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, {}],
    ['no time', { WATCHDOG_USEC: 'soon' }, { ignored: ['WATCHDOG_USEC "soon" is no time'] }],
  ];
  for (const [name, env, wanted] of rows) {
    t.same(readSystemd(env, 7), { ...NOTHING, ...wanted }, name);
  }
  const env = { LISTEN_PID: '7', LISTEN_FDS: '1', NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '1', A: 'b' };
  takeSystemd(env, 7);
  t.same(env, { A: 'b' }, 'what is for us alone is no longer there for children');
  t.end();
});

const WELL: Health = {
  connections: 982_113,
  maxConnections: 1_000_000,
  slots: 56,
  notServing: [],
  isDraining: false,
  periodsUnsupervised: 0.3,
  limitsHung: 0,
};

const out = (count: number, state = 'hung'): Health['notServing'] =>
  Array.from({ length: count }, (_, slot) => ({ slot, state }));

void t.test('the watchdog is fed while the manager does its work, and only then', (t) => {
  const rows: [string, Partial<Health>, string | null][] = [
    ['all is well', {}, null],
    ['a stuck worker is the business of the manager', { notServing: out(1), limitsHung: 2 }, null],
    ['so is all but one', { notServing: out(55) }, null],
    ['nobody serves', { notServing: out(56) }, 'no worker serves'],
    ['a worker cannot be replaced', { limitsHung: 3.1 }, 'a stuck worker is not replaced'],
    ['supervision was late', { periodsUnsupervised: 1.9 }, null],
    ['supervision is dead', { periodsUnsupervised: 2.1 }, 'supervision does not run'],
    [
      'a drain has its own deadline',
      { isDraining: true, notServing: out(56, 'draining'), periodsUnsupervised: 99 },
      null,
    ],
  ];
  for (const [name, change, wanted] of rows) {
    t.equal(reasonToStarve({ ...WELL, ...change }), wanted, name);
  }
  t.end();
});

void t.test('the status line tells the load, and which slots do not serve', (t) => {
  t.equal(formatHealth(WELL), '982113 of 1000000 connections, 56 workers serve');
  const some = [
    { slot: 3, state: 'hung' },
    { slot: 17, state: 'waiting' },
  ];
  t.equal(
    formatHealth({ ...WELL, notServing: some }),
    '982113 of 1000000 connections, 54 of 56 workers serve, not serving: slot 3 (hung), ' +
      '17 (waiting)',
  );
  const many = formatHealth({ ...WELL, notServing: out(50) });
  t.match(many, /slot 0 \(hung\), .*, 7 \(hung\) and 42 more$/);
  t.equal(formatHealth({ ...WELL, isDraining: true }), 'draining, 982113 connections left');
  t.end();
});

/** Messages that services send, by a datagram socket as systemd's. */
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

class Lines {
  readonly all: string[] = [];
  readonly debug = (_: object, message: string): void => void this.all.push(`debug ${message}`);
  readonly info = this.debug;
  readonly warn = this.debug;
  readonly error = (fields: object, message: string): void =>
    void this.all.push(`error ${message} ${JSON.stringify(fields)}`);
}

void t.test('a notifier tells what happens, in order, and feeds at a third', async (t) => {
  const [notifySocket, messages] = await mailbox(t);
  const log = new Lines();
  let health = WELL;
  const service = new ServiceNotifier({ ...NOTHING, notifySocket, watchdogMs: 600 }, log);
  t.teardown(() => {
    service.close();
  });
  let isReloaded = false;
  service.reload(() => (isReloaded = true));
  t.ok(isReloaded, 'a reload before the start has ended');
  await sleep(300);
  t.same(messages(), [], 'is not told: READY=1 after it would end the start');
  service.ready(() => health);
  await sleep(2000);
  t.equal(messages()[0], 'READY=1', 'first that it is ready');
  t.equal(messages()[2], `STATUS=${formatHealth(WELL)}`, 'how it is');
  const fed = count(messages(), 'WATCHDOG=1');
  t.ok(fed >= 8 && fed <= 11, `fed every 200 ms: ${fed}`);

  health = { ...WELL, notServing: out(56) };
  await sleep(100);
  const before = count(messages(), 'WATCHDOG=1');
  await sleep(900);
  t.ok(count(messages(), 'WATCHDOG=1') - before <= 1, 'not fed while nobody serves');
  t.match(messages().at(-1), /^STATUS=.*0 of 56 workers serve/, 'slots are told at once');
  const complaints = log.all.filter((line) => line.startsWith('error'));
  t.same(complaints, ['error watchdog not fed {"reason":"no worker serves"}'], 'one line of log');

  health = { ...WELL, connections: 5 };
  service.reload(() => undefined);
  service.stopping(5, 30);
  await sleep(300);
  const later = messages().filter((line) => !/^(WATCHDOG|STATUS)/.test(line));
  t.match(later[1], /^RELOADING=1 MONOTONIC_USEC=\d{6,}$/);
  t.same(later[2], 'READY=1', 'ready again');
  t.same(
    later[3],
    'STOPPING=1 EXTEND_TIMEOUT_USEC=41000000',
    '30 s of drain, 10 s, one rounded up',
  );
});

void t.test('a notifier that reaches nobody is silent, and nothing stops', async (t) => {
  const log = new Lines();
  const service = new ServiceNotifier(
    { ...NOTHING, notifySocket: '/nowhere', watchdogMs: 300 },
    log,
  );
  service.ready(() => WELL);
  await sleep(700);
  service.stopping(1, 1);
  service.close();
  t.same(log.all, ['debug systemd cannot be told'], 'one line for those who debug');
  const alone = new ServiceNotifier(NOTHING, log);
  alone.ready(() => {
    throw new Error('nobody asks');
  });
  alone.stopping(1, 1);
  alone.close();
});

void t.test(
  'a server is ready when every worker has been, and lives with a stuck one',
  async (t) => {
    const [notifySocket, messages] = await mailbox(t, `@megacomet-test-${process.pid}`);
    const server = await TestServer.start(t, {
      args: ['--workers', '2', '--heartbeat-limit', '4', '--drain', '0.5'],
      env: { NOTIFY_SOCKET: notifySocket, WATCHDOG_USEC: '1500000' },
      expectLog: [/^worker hung; killed$/, /^worker died/, /^watchdog not fed$/],
    });
    await until('a first message', () => messages().length > 0);
    t.equal(messages()[0], 'READY=1');
    t.equal(server.workerPids.length, 2, 'both workers were ready then');

    const [first = 0, second = 0] = server.workerPids;
    process.kill(first, 'SIGSTOP');
    await until('the slot to be told', () =>
      /not serving: slot \d \(late\)/.test(messages().join()),
    );
    const before = count(messages(), 'WATCHDOG=1');
    await sleep(2000);
    t.ok(count(messages(), 'WATCHDOG=1') - before >= 3, 'one stuck worker is no reason to starve');
    await until('its successor', () => server.workerPids.length === 3);

    const others = [second, server.workerPids[2] ?? 0];
    for (const pid of others) process.kill(pid, 'SIGSTOP');
    const isStarved = (): boolean => server.log.some(({ msg }) => msg === 'watchdog not fed');
    await until('nobody to serve', isStarved);
    const starved = count(messages(), 'WATCHDOG=1');
    for (const pid of others) process.kill(pid, 'SIGCONT');
    await until('it to be fed again', () => count(messages(), 'WATCHDOG=1') > starved);
    await server.stop();
    t.ok(messages().includes('STOPPING=1 EXTEND_TIMEOUT_USEC=11000000'), 'a drain is told');
  },
);

// ---- Under a real systemd

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await until('a free port', () => probe.listening);
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Hidden from the service when the checkout, or Node, lies there. */
const isHidden = [process.execPath, root].some((file) => obstacleTo(file) !== null);

/** There is no journal. */
const LOG = 'StandardOutput=append:%t/log\n';

/** The packaged unit with this program; a user manager can make no dynamic users. */
function unitsFor(port: number, options: Readonly<Record<string, string>>): Record<string, string> {
  const plan = {
    ...PACKAGED,
    command: [process.execPath, join(root, 'lib/bin.js')] as const,
    listen: [`127.0.0.1:${port}`],
  };
  const all = { WORKERS: '2', ADMIN_PORT: '0', DRAIN: '0', LOG_LEVEL: 'debug', ...options };
  const environment = Object.entries(all).map(([name, value]) => {
    return `Environment=MEGACOMET_${name}=${value}\n`;
  });
  const service = serviceUnit(plan)
    .replace(/^DynamicUser=yes$/m, `User=nobody\n${environment.join('')}${LOG}`)
    .replace(/^WatchdogSec=.*$/m, 'WatchdogSec=3')
    .replace(/^RestartSec=.*$/m, 'RestartSec=1')
    .replace(/^TimeoutStopSec=.*$/m, 'TimeoutStopSec=1')
    .replace(/^(PrivateTmp|ProtectHome)=yes$/gm, isHidden ? '' : '$&');
  return { 'megacomet.service': service, 'megacomet.socket': socketUnit(plan) };
}

async function startService(
  t: TapTest,
  options: Readonly<Record<string, string>> = {},
): Promise<[UserManager, number]> {
  const port = await freePort();
  const systemd = await UserManager.start(t, unitsFor(port, options));
  t.not(await systemd.systemctl('start', 'megacomet.socket'), undefined, 'the socket is there');
  const started = await systemd.systemctl('start', 'megacomet.service');
  t.not(started, undefined, 'systemctl start returns, so READY=1 has come');
  return [systemd, port];
}

const REAL = { skip: noSystemd };

void t.test(
  'under systemd the service starts, reloads and stops, in its sandbox',
  REAL,
  async (t) => {
    const [systemd, port] = await startService(t);
    t.equal(await systemd.show('ActiveState'), 'active');
    t.match(await systemd.show('StatusText'), /^0 of \d+ connections, 2 workers serve$/);
    const clients = await Clients.open(t, port, 100);
    t.equal(await clients.answering(), 100, 'it serves the socket of systemd');
    const pid = await systemd.show('MainPID');
    const status = await systemd.run('cat', `/proc/${pid}/status`);
    t.match(status, /^CapEff:\t0+\nCapBnd:\t0+\n/m, 'no capability');
    t.match(status, /^NoNewPrivs:\t1\nSeccomp:\t2\n/m, 'and a filter of system calls');
    t.not(await systemd.systemctl('reload', 'megacomet.service'), undefined, 'it reloads');
    await until('the reload', async () =>
      /configuration read again/.test(await systemd.serviceLog()),
    );
    t.equal(await systemd.show('ActiveState'), 'active', 'and is active again');
    t.not(await systemd.systemctl('stop', 'megacomet.service'), undefined, 'it stops');
    t.equal(await systemd.show('Result'), 'success');
    t.equal(await systemd.show('ExecMainStatus'), '0', 'with 0');
  },
);

void t.test('under systemd a drain gets the time that it asks for', REAL, async (t) => {
  const [systemd, port] = await startService(t, { DRAIN: '3' });
  const clients = await Clients.open(t, port, 100);
  t.equal(await clients.answering(), 100, 'clients are served');
  const startedAtMs = performance.now();
  await systemd.systemctl('stop', 'megacomet.service');
  const tookMs = performance.now() - startedAtMs;
  t.ok(tookMs > 2900, `longer than the second that the unit has: ${tookMs.toFixed(0)} ms`);
  t.equal(await systemd.show('Result'), 'success', 'nobody was killed');
});

void t.test('under systemd a restart loses nobody who waits', REAL, async (t) => {
  const [systemd, port] = await startService(t, { DRAIN: '2' });
  const old = await Clients.open(t, port, 50);
  t.equal(await old.answering(), 50, 'clients are served');
  const restart = systemd.systemctl('restart', 'megacomet.service');
  await until('the drain', async () => (await systemd.show('SubState')) === 'stop-sigterm');
  const clients = await Clients.open(t, port, 300);
  const pending = clients.sockets.map((socket) => echoes(socket, Buffer.from('x'), 30_000));
  await sleep(500);
  t.equal(await systemd.show('SubState'), 'stop-sigterm', 'the old service still drains');
  const early = clients.sockets.filter((socket) => socket.bytesRead > 0).length;
  t.equal(early, 0, 'and takes nobody who came since');
  t.not(await restart, undefined, 'it restarts');
  const answers = await Promise.all(pending);
  t.equal(answers.filter(Boolean).length, 300, 'the new one serves all of them');
  t.equal(clients.lost, 0);
  t.equal(old.lost, 50, 'those of the old service were closed by its drain');
});

void t.test(
  'under systemd a manager that dies is replaced, and nobody waits in vain',
  REAL,
  async (t) => {
    const [systemd, port] = await startService(t);
    const pid = await systemd.show('MainPID');
    await systemd.run('kill', '-KILL', pid);
    // Its workers may still take a client in their last moment; from here on nobody does.
    await until('its end', async () => (await systemd.show('SubState')) === 'auto-restart');
    const clients = await Clients.open(t, port, 300);
    t.equal(await clients.answering(), 300, 'clients that came meanwhile are served');
    t.not(await systemd.show('MainPID'), pid, 'by another manager');
  },
);

void t.test('under systemd a frozen manager is killed and replaced', REAL, async (t) => {
  const [systemd, port] = await startService(t);
  const pid = await systemd.show('MainPID');
  await systemd.run('kill', '-STOP', pid);
  await until('the watchdog', async () => (await systemd.show('Result')) === 'watchdog');
  await until('another manager', async () => {
    const now = await systemd.show('MainPID');
    return now !== pid && now !== '0' && (await systemd.show('ActiveState')) === 'active';
  });
  const clients = await Clients.open(t, port, 100);
  t.equal(await clients.answering(), 100, 'it serves');
});

void t.test(
  'under systemd a frozen worker is replaced, and the service goes on',
  REAL,
  async (t) => {
    const [systemd, port] = await startService(t, { HEARTBEAT_LIMIT: '4' });
    const pid = await systemd.show('MainPID');
    const workers = (await systemd.run('pgrep', '-P', pid))?.trim().split('\n') ?? [];
    const [frozen = '', healthy = ''] = workers;
    await systemd.run('kill', '-STOP', frozen);
    await until('the status to name it', async () => /late/.test(await systemd.show('StatusText')));
    await until('its end', async () => (await systemd.run('kill', '-0', frozen)) === undefined);
    await until('its successor', async () => {
      return / 2 workers serve$/.test(await systemd.show('StatusText'));
    });
    t.equal(await systemd.show('MainPID'), pid, 'the same manager');
    t.equal(await systemd.show('NRestarts'), '0', 'systemd did nothing');
    t.match(await systemd.run('pgrep', '-P', pid), healthy, 'the other worker stays');
    const clients = await Clients.open(t, port, 100);
    t.equal(await clients.answering(), 100, 'it serves');
  },
);
