// Workers that die, stop or loop: the costs of a death, and those it must not have.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { Clients, compile, echoes, isGone, run, TestServer, until } from '../support/helpers.js';
import { Injection, noTracing } from '../support/injection.js';
import { Load, SPIN, TotalsWatch } from '../support/load.js';

const SHARED = ['-shared', '-fPIC'];

function startsIn(folder: string): number {
  const file = join(folder, 'starts');
  return existsSync(file) ? readFileSync(file).length : 0;
}

async function pidsOf(server: TestServer): Promise<(number | null)[]> {
  return (await server.stats()).workers.map(({ pid }) => pid);
}

async function untilReplaced(server: TestServer, slot: number, pid: number): Promise<void> {
  await until(`another worker in slot ${slot}`, async () => {
    const worker = (await server.stats()).workers[slot];
    return worker?.pid !== pid && worker?.state === 'serving';
  });
}

for (const signal of ['SIGKILL', 'SIGSEGV', 'SIGABRT'] as const) {
  t.test(`a worker that dies of ${signal} costs its own clients only`, async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '4'],
      expectLog: [/^worker died/],
    });
    const idle = await Clients.open(t, server.port, 2000);
    const totals = new TotalsWatch(server);
    const load = new Load(t, server.port, 200);
    await until('the load to be served', () => load.served > 100);
    const before = await pidsOf(server);
    const victim = before[1] ?? -1;
    await load.whenQuiet(() => {
      process.kill(victim, signal);
    });
    await untilReplaced(server, 1, victim);
    const served = load.served;
    await until('the load to be served on', () => load.served > served + 300);
    await load.stop();
    await totals.stop();

    t.same(load.failures, [], 'no new connection is rejected or reset');
    t.same(totals.fallen, [], 'no total falls');
    const after = await pidsOf(server);
    t.same([after[0], after[2], after[3]], [before[0], before[2], before[3]], 'others stay');
    const lost = idle.lost + load.clients.lost;
    t.ok(idle.lost > 0, 'the dead worker had clients');
    // Stats that are read often are up to a second old.
    const isOpen = (sums: Readonly<Record<string, unknown>>): boolean =>
      Number(sums['acceptedTotal']) - Number(sums['closedTotal']) === 2000 + load.served - lost;
    const { totals: sums, workers } = await until(
      'accepted - closed to be the number that the clients have open',
      async () => {
        const stats = await server.stats();
        return isOpen(stats.totals) ? stats : undefined;
      },
    );
    t.equal(sums['connections'], 2000 + load.served - lost, 'which is the number open');
    t.equal(sums['closedByCrashTotal'], lost, 'its clients are counted as lost by the crash');
    t.equal(workers[1]?.restarts, 1, 'the restart is counted');
    t.equal(await idle.answering(), 2000 - idle.lost, 'the clients of the others are answered');
    await server.stop();
  });
}

for (const way of ['is stopped', 'loops without end'] as const) {
  t.test(`a worker that ${way} is replaced at the heartbeat limit`, async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '4', '--heartbeat-limit', '4'],
      env: { LD_PRELOAD: compile(t, 'spin.c', ...SHARED) },
      expectLog: [/^worker hung; killed$/, /^worker died$/],
    });
    const clients = await Clients.open(t, server.port, 400);
    const before = await pidsOf(server);
    const hostile = clients.sockets[0];
    if (way === 'is stopped') process.kill(before[0] ?? -1, 'SIGSTOP');
    else hostile?.write(SPIN);
    await until('a worker without heartbeats', async () => {
      return (await server.stats()).workers.some((worker) => Number(worker.heartbeatAgeMs) > 1500);
    });
    // Some of these wait in the queue of the frozen worker, for its successor.
    const late = await Clients.open(t, server.port, 100);
    const answers = late.sockets.map((socket) => echoes(socket, Buffer.from('y'), 30_000));

    const dead = await until('the death of the frozen worker', () =>
      before.find((pid) => isGone(pid ?? -1)),
    );
    const slot = before.indexOf(dead);
    await untilReplaced(server, slot, dead);
    t.ok((await Promise.all(answers)).every(Boolean), 'clients in its queue are served');
    const others = (await pidsOf(server)).filter((_, index) => index !== slot);
    t.same(
      others,
      before.filter((pid) => pid !== dead),
      'no other worker is replaced',
    );
    const { totals } = await server.stats();
    t.equal(totals['closedByCrashTotal'], clients.lost, 'only its own clients are lost');
    t.equal(await clients.answering(), 400 - clients.lost, 'the others are answered');
    await server.stop();
  });
}

t.test('a worker that cannot start ends the server with one line', async (t) => {
  const folder = t.testdir({ abort: '' });
  const env = { LD_PRELOAD: compile(t, 'abort.c', ...SHARED), TMPDIR: folder };
  const { code, stderr } = await run(
    ['serve', '--port', '0', '--admin-port', '0', '--workers', '3', '--log-format', 'json'],
    { env },
  );
  t.equal(code, 1, 'the exit code tells');
  t.match(
    stderr,
    /^megacomet-ts: worker \d failed to start 5 times: SIGABRT\n$/,
    'one line tells why',
  );
  t.ok(startsIn(folder) <= 15, `a bounded number of starts: ${startsIn(folder)}`);
  t.ok(startsIn(folder) >= 5, 'but it did try');
});

t.test('a worker that Node itself cannot start says why, in the one line', async (t) => {
  const { code, stdout, stderr } = await run(
    ['serve', '--port', '0', '--admin-port', '0', '--workers', '1', '--log-format', 'json'],
    { env: { LD_PRELOAD: compile(t, 'no-eventfd.c', ...SHARED) } },
  );
  t.equal(code, 1, 'the exit code tells');
  t.match(
    stderr,
    /^megacomet-ts: worker 0 failed to start 5 times: [^\n]*uv_loop_init[^\n]*\n$/,
    'the line names what failed',
  );
  const deaths = stdout.split('\n').filter((line) => line.includes('worker died: '));
  t.equal(deaths.length, 5, 'each death has its line of the log, with the whole report');
});

t.test('a slot whose worker dies at every start is retried ever less often', async (t) => {
  const folder = t.testdir();
  const server = await TestServer.start(t, {
    args: ['--workers', '3'],
    env: { LD_PRELOAD: compile(t, 'abort.c', ...SHARED), TMPDIR: folder },
    expectLog: [/^worker died$/],
  });
  t.equal(startsIn(folder), 3, 'one start each');
  writeFileSync(join(folder, 'abort'), '');
  process.kill(await server.pidOf(0), 'SIGKILL');
  await until('four failed starts', () => startsIn(folder) >= 3 + 4);

  const clients = await Clients.open(t, server.port, 100);
  t.equal(await clients.answering(), 100, 'the others serve meanwhile');
  t.equal((await server.get('/readyz')).status, 200, 'and the server is ready');
  const deaths = await until('their lines', () => {
    const lines = server.log.filter(({ msg }) => msg === 'worker died');
    return lines.length >= 5 ? lines : null;
  });
  const pausesMs = deaths.slice(1).map((line, index) => {
    return Number(line['time']) - Number(deaths[index]?.['time']);
  });
  // The pauses are 0 after the first death, then 200, 400 and 800 ms; a start adds its own time.
  for (const [index, pauseMs] of [200, 400, 800].entries()) {
    t.ok((pausesMs[index + 1] ?? 0) >= pauseMs, `a pause of ${pauseMs} ms: ${pausesMs.join(', ')}`);
  }

  rmSync(join(folder, 'abort'));
  await until('a worker in the slot again', async () => {
    return (await server.stats()).workers[0]?.state === 'serving';
  });
  t.ok(startsIn(folder) <= 3 + 7, `a bounded number of starts: ${startsIn(folder)}`);
  t.equal(await clients.answering(), 100, 'no other client was disturbed');
  await server.stop();
});

t.test('a server whose worker cannot be restarted still ends cleanly', async (t) => {
  const folder = t.testdir();
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--drain', '1'],
    env: { LD_PRELOAD: compile(t, 'abort.c', ...SHARED), TMPDIR: folder },
    expectLog: [/^worker died$/],
  });
  const clients = await Clients.open(t, server.port, 100);
  writeFileSync(join(folder, 'abort'), '');
  process.kill(await server.pidOf(0), 'SIGKILL');
  await until('three failed starts', () => startsIn(folder) >= 2 + 3);
  await server.stop();
  t.equal(startsIn(folder), 5, 'no start is tried while it ends');
  await until('all clients to be closed', () => clients.lost === 100);
});

for (const error of ['EAGAIN', 'ENOMEM']) {
  t.test(
    `a worker whose fork fails with ${error} is replaced later`,
    { skip: noTracing },
    async (t) => {
      const server = await TestServer.start(t, {
        args: ['--workers', '3'],
        expectLog: [/^worker died$/, /^a process cannot be started/],
      });
      const injection = await Injection.attach(t, server.pid, `clone:error=${error}`);
      process.kill(await server.pidOf(0), 'SIGKILL');
      await until('two forks to fail', () => injection.injected >= 2);
      const clients = await Clients.open(t, server.port, 100);
      t.equal(await clients.answering(), 100, 'the others serve meanwhile');
      const line = server.log.find(({ msg }) => msg.startsWith('a process cannot'));
      t.equal(line?.worker, 0, 'the log tells');
      await injection.detach();
      await until('a worker in the slot again', async () => {
        return (await server.stats()).workers[0]?.state === 'serving';
      });
      t.equal(await clients.answering(), 100, 'no client was disturbed');
      await server.stop();
    },
  );
}

/** The pause before the second start of a worker that fails. */
const FIRST_PAUSE_MS = 100;

/** Why the loop of libuv that Node makes at its start is not there: the worker's own makes no eventfd. */
for (const error of ['EMFILE', 'ENOMEM', 'EINTR']) {
  t.test(
    `a worker whose start meets ${error} says why, and is retried ever less often`,
    { skip: noTracing },
    async (t) => {
      const server = await TestServer.start(t, {
        args: ['--workers', '2'],
        expectLog: [/^worker died$/, /^worker died: .*uv_loop_init/s],
      });
      const clients = await Clients.open(t, server.port, 100);
      const injection = await Injection.attach(t, server.pid, `eventfd2:error=${error}`);
      process.kill(await server.pidOf(0), 'SIGKILL');
      await until('four starts to fail', () => injection.injected >= 4);
      const deaths = await until('their lines', () => {
        const lines = server.log.filter(({ msg }) => msg.startsWith('worker died: '));
        return lines.length >= 4 ? lines : null;
      });
      const times = deaths.map((line) => Number(line['time']));
      const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
      // A start of its own takes longer on a busy machine, but never less than the pause before it.
      t.ok(
        pauses.every((pause, at) => pause >= FIRST_PAUSE_MS * 2 ** at),
        `pauses double: ${pauses.join(', ')}`,
      );
      t.equal(await clients.answering(), 100 - clients.lost, 'the other serves on');
      await injection.detach();
      await until('a worker in the slot again', async () => {
        return (await server.stats()).workers[0]?.state === 'serving';
      });
      const late = await Clients.open(t, server.port, 100);
      t.equal(await late.answering(), 100, 'and all is well');
      await server.stop();
    },
  );
}
