// The server as a service: the notifications of a whole server to systemd, and a service under a
// real systemd.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test as TapTest } from 'tap';

import { obstacleTo } from '../../lib/cli/commands/install-service.js';
import { PACKAGED, serviceUnit, socketUnit } from '../../lib/systemd/units.js';
import { nowS, signHs256 } from '../support/client-tokens.js';
import { Clients, compile, echoes, freePort, root, TestServer, until } from '../support/helpers.js';
import { noSystemd, Systemd } from '../support/systemd/systemd.js';

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

/** Whether the sandbox of the unit hides the checkout, or Node. */
const isHidden = [process.execPath, root].some((file) => obstacleTo(file) !== null);

/** Without a journal the log is a file. */
const LOG = 'StandardOutput=append:%t/log\n';

interface Setup {
  /** Values of MEGACOMET_ variables. */
  readonly options?: Readonly<Record<string, string>>;
  readonly adminTokenFile?: string | null;
}

type Units = Readonly<Record<string, string>>;

/** The packaged unit with this program. The manager of a user cannot create dynamic users. */
function unitsFor(port: number, { options = {}, adminTokenFile = null }: Setup): Units {
  const plan = {
    ...PACKAGED,
    adminTokenFile,
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
  setup: Setup = {},
  adapt = (units: Units): Units => units,
  isSystem = false,
): Promise<[Systemd, number]> {
  const port = await freePort();
  const systemd = await Systemd.start(t, adapt(unitsFor(port, setup)), isSystem);
  t.not(
    await systemd.systemctl('start', 'megacomet.socket'),
    undefined,
    'systemd starts the socket',
  );
  const started = await systemd.systemctl('start', 'megacomet.service');
  t.not(started, undefined, 'systemctl start returns, so READY=1 arrived');
  return [systemd, port];
}

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

/** The unit as it is installed, for PID 1: its private /tmp has this program. */
function dynamic(units: Units): Units {
  const programs = [process.execPath, root].filter((file) => obstacleTo(file) !== null);
  const shown = programs.map((file) => `BindReadOnlyPaths=${file}\n`).join('');
  const service = units['megacomet.service']?.replace(
    /^User=nobody$/m,
    `DynamicUser=yes\n${shown}`,
  );
  return { ...units, 'megacomet.service': service ?? '' };
}

/** The unit with a file as the credential `token.key`. */
function withCredential(units: Units, file: string): Units {
  const service = units['megacomet.service']?.replace(
    '[Service]\n',
    `[Service]\nLoadCredential=token.key:${file}\n`,
  );
  return { ...units, 'megacomet.service': service ?? '' };
}

for (const [user, isSystem] of [
  ['a user of the machine', false],
  ['a dynamic user', true],
] as const) {
  const name = `under systemd a service of ${user} gets its secrets as credentials`;
  t.test(name, REAL, async (t) => {
    const token = 'the-token-that-only-root-can-read';
    const file = join(t.testdir(), 'token');
    writeFileSync(file, token, { mode: 0o600 });
    const adminPort = await freePort();
    const key = { TOKEN_KEY: 'HS256=%d/token.key' };
    const options = { PROTOCOL: 'comet', ADMIN_PORT: String(adminPort), ...key };
    const adapt = (units: Units): Units => withCredential(isSystem ? dynamic(units) : units, file);
    const setup = { options, adminTokenFile: file };
    const [systemd, port] = await startService(t, setup, adapt, isSystem);
    const publish = async (admin: string): Promise<number> => {
      const url = `http://127.0.0.1:${adminPort}/publish`;
      const headers = { Authorization: `Bearer ${admin}`, 'Content-Type': 'application/json' };
      const body = JSON.stringify({ channel: 'a', data: 'x' });
      return (await fetch(url, { method: 'POST', headers, body })).status;
    };
    t.equal(await publish(token), 200, 'the service has the token');
    t.equal(await publish('another-token-of-the-same-kind'), 401);
    const grants = { subscribe: ['a'] };
    const client = signHs256(token, { exp: nowS() + 600, grants });
    const poll = `http://127.0.0.1:${port}/poll?channel=a&timeout=0`;
    t.equal((await fetch(`${poll}&token=${client}`)).status, 204, 'and the key of tokens');
    t.equal((await fetch(poll)).status, 401);
    const pid = await systemd.show('MainPID');
    const [, uid = ''] =
      /^Uid:\t(\d+)/m.exec((await systemd.run('cat', `/proc/${pid}/status`)) ?? '') ?? [];
    t.ok(isSystem ? Number(uid) >= 61_184 && Number(uid) <= 65_519 : uid === '65534', `as ${uid}`);
    const read = ['setpriv', `--reuid=${uid}`, '--clear-groups', 'cat', file];
    t.equal(await systemd.run(...read), undefined, 'a user that cannot read the file itself');
    t.not(await systemd.systemctl('stop', 'megacomet.service'), undefined, 'it stops');
  });
}

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
