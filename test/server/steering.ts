// New connections go to workers that can take them, and first to those with the most headroom.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import t from 'tap';

import { procReader, readCores } from '../../lib/system/kernel.js';
import { Clients, echoes, TestServer, until } from '../support/helpers.js';

// These tests mostly wait: those that are buffered do so together.
t.jobs = 3;

const cores = readCores(procReader);

/** Waits until the manager steers new connections around these slots. */
async function untilLate(server: TestServer, slots: readonly number[]): Promise<void> {
  await until('the frozen workers to count as late', async () => {
    const { workers } = await server.stats();
    return slots.every((slot) => workers[slot]?.state === 'late');
  });
}

async function acceptedOf(server: TestServer): Promise<number[]> {
  return (await server.stats()).workers.map((worker) => Number(worker['acceptedTotal']));
}

/** Opens clients at once and answers how many were served. */
async function served(clients: Clients, target: number | string, count: number): Promise<number> {
  const sockets = await Promise.all(Array.from({ length: count }, () => clients.add(target)));
  const answers = await Promise.all(sockets.map((socket) => echoes(socket, Buffer.from('z'))));
  return answers.filter(Boolean).length;
}

t.test('a worker that froze loses its share of new clients', { buffered: true }, async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', '4', '--heartbeat-limit', '60'],
  });
  const clients = await Clients.open(t, server.port, 0);
  const pid = await server.pidOf(2);
  process.kill(pid, 'SIGSTOP');
  await untilLate(server, [2]);
  const before = await acceptedOf(server);
  t.equal(await served(clients, server.port, 200), 200, 'every client is served by the others');
  const after = await acceptedOf(server);
  const shares = after.map((count, slot) => count - (before[slot] ?? 0));
  t.equal(shares[2], 0, 'none went to the frozen one');
  t.ok(
    [0, 1, 3].every((slot) => (shares[slot] ?? 0) > 20),
    `the others share them: ${shares.join(', ')}`,
  );
  t.equal((await server.stats()).workers[2]?.pid, pid, 'it was not replaced meanwhile');

  process.kill(pid, 'SIGCONT');
  await until('the worker to serve again', async () => {
    return (await server.stats()).workers[2]?.state === 'serving';
  });
  t.equal(await served(clients, server.port, 200), 200, 'every client is served');
  t.ok(((await acceptedOf(server))[2] ?? 0) > 20, 'and it has its share again');
  await server.stop();
});

t.test('a restarted worker is filled first', { buffered: true }, async (t) => {
  const server = await TestServer.start(t, {
    // Small workers, so that the connections of the others already count.
    args: ['--workers', '4'],
    through: ['prlimit', '--nofile=500'],
    expectLog: [/^worker died$/],
  });
  const clients = await Clients.open(t, server.port, 1400);
  t.equal(await clients.answering(), 1400, 'all are served');
  const pid = await server.pidOf(3);
  process.kill(pid, 'SIGKILL');
  await until('its successor', async () => {
    const worker = (await server.stats()).workers[3];
    return worker?.pid !== pid && worker?.state === 'serving';
  });
  const before = await acceptedOf(server);
  t.equal(await served(clients, server.port, 200), 200, 'new clients are served');
  const after = await acceptedOf(server);
  const shares = after.map((count, slot) => count - (before[slot] ?? 0));
  // It can take about 400 more and each of the others about 50: eight to one.
  t.ok((shares[3] ?? 0) > 100, `most of them by the new worker: ${shares.join(', ')}`);
  await server.stop();
});

t.test(
  'a unix socket is watched by as many workers as there are cores, until they are full',
  { buffered: true },
  async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', String(2 * cores), '--listen', 'unix:socket'],
      through: ['prlimit', '--nofile=400'],
    });
    const path = join(server.folder, 'socket');
    const clients = await Clients.open(t, path, 100);
    t.equal(await clients.answering(), 100, 'clients are served');
    const watching = (await acceptedOf(server)).filter((count) => count > 0).length;
    t.ok(watching <= cores, `by at most ${cores} workers: ${watching}`);

    const limits = (await server.stats()).workers.map((worker) => Number(worker['connectionsMax']));
    const wanted = Math.floor(0.9 * limits.reduce((sum, count) => sum + count, 0));
    t.ok(wanted > Math.max(...limits) * cores, 'more clients than those can hold');
    let unserved = 0;
    const add = async (): Promise<void> => {
      unserved += 5 - (await served(clients, path, 5));
    };
    const full = await until('a worker to be full to 95 %', async () => {
      await add();
      const counts = (await acceptedOf(server)).map((count, slot) => ({ count, slot }));
      return counts.find(({ count, slot }) => count >= 0.95 * (limits[slot] ?? 0));
    });
    // Time for its frame and the manager's; the little headroom left would soon be used.
    await sleep(300);
    const count = (await acceptedOf(server))[full.slot];
    for (let round = 0; round < 20; round++) await add();
    t.equal((await acceptedOf(server))[full.slot], count, 'the watch has moved away from it');
    while (clients.sockets.length < wanted) await add();
    t.equal(unserved, 0, 'all are served');
    t.equal(clients.lost, 0, 'none was rejected');
    const { totals } = await server.stats();
    t.equal(totals['connections'], clients.sockets.length, 'all are open');
    await server.stop();
  },
);

t.test('a frozen worker does not hold up a unix socket', { buffered: true }, async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', String(2 * cores), '--listen', 'unix:socket', '--heartbeat-limit', '60'],
  });
  const path = join(server.folder, 'socket');
  const clients = await Clients.open(t, path, 0);
  const watching = await until('every watcher to have accepted', async () => {
    await served(clients, path, 50);
    const slots = (await acceptedOf(server)).flatMap((count, slot) => (count > 0 ? [slot] : []));
    return slots.length >= cores ? slots : null;
  });
  const pids = await Promise.all(watching.map((slot) => server.pidOf(slot)));
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  await untilLate(server, watching);
  t.equal(await served(clients, path, 100), 100, 'others watch it now, and serve');
  const before = clients.sockets.length;
  for (const pid of pids) process.kill(pid, 'SIGCONT');
  await until('all workers to serve', async () => {
    return (await server.stats()).workers.every(({ state }) => state === 'serving');
  });
  t.equal(await clients.answering(), before, 'everybody is answered');
  await server.stop();
});
