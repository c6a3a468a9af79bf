// The manager that dies, stops, or is suspended with everything else; clocks that jump; identity
// and environment of the processes that it starts.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import t from 'tap';

import {
  Clients,
  Command,
  compile,
  isGone,
  type Test,
  TestServer,
  until,
} from '../support/helpers.js';
import { SPIN } from '../support/load.js';
import { without } from '../support/requirements.js';

// The tests that mostly wait do so together: those that are buffered.
t.jobs = 4;

const onlyRoot = without('root');
const SHARED = ['-shared', '-fPIC'];
const MANY = 20_000;
const HEARTBEAT_LIMIT_S = 4;

function statusOf(pid: number, name: string): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(status)?.[1] ?? '';
}

async function isHung(server: TestServer): Promise<boolean> {
  const { workers } = await server.stats();
  return workers.some((worker) => Number(worker.heartbeatAgeMs) > 1500);
}

/** Another process that holds many connections. */
async function holdMany(t: Test, server: TestServer): Promise<Command> {
  const target = `127.0.0.1:${server.port}`;
  const args = ['--connections', String(MANY), '--hold', '60', '--admin', '127.0.0.1:1'];
  const holder = new Command(['bench', '--target', target, ...args]);
  t.teardown(async () => {
    holder.child.kill('SIGKILL');
    await holder.run();
  });
  await until('many connections', async () => (await server.total('connections')) >= MANY);
  return holder;
}

for (const fault of ['works', 'is stopped', 'loops without end'] as const) {
  t.test(`a manager killed while a worker ${fault} leaves no process and no port`, async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '2'],
      env: { LD_PRELOAD: compile(t, 'spin.c', ...SHARED) },
    });
    await holdMany(t, server);
    const pids = server.workerPids;
    if (fault === 'is stopped') process.kill(pids[1] ?? -1, 'SIGSTOP');
    if (fault === 'loops without end') {
      const clients = await Clients.open(t, server.port, 1);
      clients.sockets[0]?.write(SPIN);
      await until('a worker without heartbeats', () => isHung(server));
    }
    process.kill(server.pid, 'SIGKILL');
    await until('all to be gone', () => pids.every(isGone));
    const next = await TestServer.start(t, {
      args: ['--workers', '1', '--port', `${server.port}`],
    });
    const clients = await Clients.open(t, server.port, 10);
    t.equal(await clients.answering(), 10, 'a new server takes over the port at once');
    await server.assertEnded(null);
    await next.stop();
  });
}

/** Waits until a resumed manager has had time to check its workers, rightly or wrongly. */
async function assertNobodyReplaced(t: Test, server: TestServer, pids: number[]): Promise<void> {
  await sleep((HEARTBEAT_LIMIT_S + 2) * 1000);
  const { workers, totals } = await server.stats();
  t.same(workers.map(({ pid }) => pid).sort(), [...pids].sort(), 'the same workers serve');
  t.equal(totals['closedByCrashTotal'], 0, 'no connection was lost');
}

t.test(
  'a manager that was stopped for long kills no healthy worker',
  { buffered: true },
  async (t) => {
    const args = ['--workers', '3', '--heartbeat-limit', `${HEARTBEAT_LIMIT_S}`];
    const server = await TestServer.start(t, { args });
    const clients = await Clients.open(t, server.port, 100);
    const pids = server.workerPids;
    process.kill(server.pid, 'SIGSTOP');
    await sleep(HEARTBEAT_LIMIT_S * 3 * 1000);
    t.equal(await clients.answering(), 100, 'the workers serve without their manager');
    process.kill(server.pid, 'SIGCONT');
    await assertNobodyReplaced(t, server, pids);
    await server.stop();
  },
);

t.test('a machine that was suspended does not replace a worker', { buffered: true }, async (t) => {
  const args = ['--workers', '3', '--heartbeat-limit', `${HEARTBEAT_LIMIT_S}`];
  const server = await TestServer.start(t, { args, detached: true });
  const clients = await Clients.open(t, server.port, 100);
  const pids = server.workerPids;
  process.kill(-server.pid, 'SIGSTOP');
  await sleep(HEARTBEAT_LIMIT_S * 2 * 1000);
  process.kill(-server.pid, 'SIGCONT');
  await assertNobodyReplaced(t, server, pids);
  t.equal(await clients.answering(), 100, 'every client is answered');
  await server.stop();
});

t.test(
  'a worker that stopped with its manager and stays stopped is replaced',
  { buffered: true },
  async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '3', '--heartbeat-limit', `${HEARTBEAT_LIMIT_S}`],
      expectLog: [/^worker hung; killed$/, /^worker died$/],
    });
    const [frozen = -1, ...others] = server.workerPids;
    process.kill(frozen, 'SIGSTOP');
    process.kill(server.pid, 'SIGSTOP');
    await sleep(HEARTBEAT_LIMIT_S * 1000);
    process.kill(server.pid, 'SIGCONT');
    await until('the frozen worker to be gone', () => isGone(frozen));
    await until('its successor', () => server.workerPids.length === 4);
    const pids = (await server.stats()).workers.map(({ pid }) => pid);
    t.ok(
      others.every((pid) => pids.includes(pid)),
      'the others stay',
    );
    await server.stop();
  },
);

t.test('jumps of the wall clock change nothing', { buffered: true }, async (t) => {
  const folder = t.testdir({ offset: '0' });
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--heartbeat-limit', '4', '--idle-timeout', '600'],
    env: { LD_PRELOAD: compile(t, 'clock.c', ...SHARED), TMPDIR: folder },
  });
  const clients = await Clients.open(t, server.port, 100);
  const pids = server.workerPids;
  for (const seconds of [3600, -3600, 86_400 * 365 * 40]) {
    writeFileSync(join(folder, 'offset'), String(seconds));
    process.kill(server.pid, 'SIGHUP');
    const line = await until('a log line of the new time', () => {
      return server.log.find(
        ({ time }) => Math.abs(Number(time) - Date.now() - seconds * 1000) < 9e5,
      );
    });
    t.match(line.msg, 'configuration read again', `the manager sees a jump of ${seconds} s`);
    // As long as the heartbeat limit, and then some: a wrong clock would show by now.
    await sleep(1500);
    t.equal(await clients.answering(), 100, 'every client is answered');
  }
  await sleep(3000);
  for (const pid of pids) {
    const seen = readFileSync(join(folder, `seen-${pid}`), 'utf8');
    t.equal(seen, 'x', 'the worker sees the jumps too');
  }
  t.same(server.workerPids, pids, 'no worker was replaced');
  t.equal(clients.lost, 0, 'no connection was closed for idling');
  await server.stop();
});

t.test(
  '--user: manager and workers keep no privilege, and serve',
  { skip: onlyRoot },
  async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '2', '--user', 'nobody'],
      through: ['setpriv', '--groups', '4,24'],
    });
    for (const pid of [server.pid, ...server.workerPids]) {
      t.equal(statusOf(pid, 'Uid'), '65534\t65534\t65534\t65534', 'every user id');
      t.equal(statusOf(pid, 'Gid'), '65534\t65534\t65534\t65534', 'every group id');
      t.equal(statusOf(pid, 'Groups'), '', 'no supplementary group');
      t.equal(BigInt(`0x${statusOf(pid, 'CapEff')}`), 0n, 'no effective capability');
      t.equal(BigInt(`0x${statusOf(pid, 'CapPrm')}`), 0n, 'no permitted capability');
      t.equal(statusOf(pid, 'NoNewPrivs'), '1', 'and no way to get one');
    }
    const clients = await Clients.open(t, server.port, 50);
    t.equal(await clients.answering(), 50, 'it serves');
    const pids = server.workerPids;
    process.kill(server.pid, 'SIGKILL');
    await until('all to be gone', () => pids.every(isGone));
    await server.assertEnded(null);
  },
);

t.test('a worker gets the allowed variables of the environment and no others', async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', '2'],
    env: { NODE_OPTIONS: '--inspect=127.0.0.1:0', SECRET: 'x', TZ: 'UTC', LANG: 'C' },
  });
  const manager = readFileSync(`/proc/${server.pid}/environ`, 'utf8');
  t.match(manager, 'SECRET=x', 'the manager has them');
  t.match(server.stderr, /^Debugger listening/, 'and is debugged');
  const allowed = /^(PATH|HOME|TZ|LANG|TMPDIR|LD_PRELOAD|(A|L|UB)SAN_OPTIONS)=/;
  for (const pid of server.workerPids) {
    const lines = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
    t.same(
      lines.filter((line) => !allowed.test(line)),
      [],
      'nothing else is inherited',
    );
    t.ok(lines.includes('TZ=UTC'), 'an allowed variable is passed on');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    t.notMatch(command, 'inspect', 'no debugger on the command line either');
  }
  server.stderr = '';
  await server.stop();
});
