// Workers that the kernel holds: state D, as behind a disk or a network file system that does not
// answer. No signal ends them until they are let go, so the server goes on around them. Frozen for
// real, by the freezer of cgroups.
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t, { type Test } from 'tap';

import { createServer } from '../../lib/index.js';
import { procReader, readPrivateBytes } from '../../lib/system/kernel.js';
import { Program, REQUESTS } from '../support/comet-world.js';
import { Clients, connect, isGone, TestServer, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

// These tests mostly wait: those that are buffered do so together.
t.jobs = 3;

const GROUPS = '/sys/fs/cgroup/freezer';
const MIB = 1024 * 1024;
const HUNG = /^worker hung; killed$/;
const UNDYING = /^worker cannot be killed; its slot is unavailable until the kernel releases it$/;
const LEFT = /^worker cannot be killed; the server exits without it$/;

/** A freezer of version 1 leaves its processes in state D; that of version 2 lets SIGKILL through. */
const skip = without('freezer', 'freezing');
let groups = 0;

function statusOf(pid: number, name: string): string {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(text)?.[1] ?? '';
}

/** A group whose processes are frozen and let go together. */
class Freezer {
  readonly #folder = join(GROUPS, `megacomet-test-${process.pid}-${groups++}`);

  constructor(t: Test) {
    mkdirSync(this.#folder);
    t.teardown(async () => {
      this.thaw();
      const procs = join(this.#folder, 'cgroup.procs');
      for (const pid of readFileSync(procs, 'utf8').split('\n').filter(Boolean)) {
        process.kill(Number(pid), 'SIGKILL');
      }
      await until('the group to be empty', () => readFileSync(procs, 'utf8') === '');
      rmdirSync(this.#folder);
    });
  }

  async freeze(pid: number): Promise<void> {
    writeFileSync(join(this.#folder, 'cgroup.procs'), String(pid));
    this.#set('FROZEN');
    const state = join(this.#folder, 'freezer.state');
    await until('it to be frozen', () => readFileSync(state, 'utf8').trim() === 'FROZEN');
  }

  thaw(): void {
    this.#set('THAWED');
  }

  #set(state: string): void {
    writeFileSync(join(this.#folder, 'freezer.state'), state);
  }
}

async function stateOf(server: TestServer, slot: number): Promise<string | undefined> {
  return (await server.stats()).workers[slot]?.state;
}

/** Opens clients; answers whether each is served. */
async function served(t: Test, server: TestServer, count: number): Promise<boolean> {
  const clients = await Clients.open(t, server.port, count);
  const isEach = (await clients.answering()) === count;
  clients.destroy();
  return isEach;
}

/** A client of a slot that is about to be frozen. */
async function heldBy(t: Test, server: TestServer, slot: number): Promise<Clients> {
  return until('a client of the slot', async () => {
    const clients = await Clients.open(t, server.port, 20);
    await clients.answering();
    const { workers } = await server.stats();
    return Number(workers[slot]?.['connections']) > 0 ? clients : null;
  });
}

t.test(
  'a worker in state D is steered around, and replaced once it can die',
  { skip, buffered: true },
  async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '2', '--heartbeat-limit', '4'],
      expectLog: [HUNG, UNDYING, /^worker died$/],
    });
    const freezer = new Freezer(t);
    const held = await heldBy(t, server, 0);
    const [frozen, other] = [await server.pidOf(0), await server.pidOf(1)];
    await freezer.freeze(frozen);
    t.equal(statusOf(frozen, 'State'), 'D');
    await until('it to be noticed', async () => (await stateOf(server, 0)) === 'late');
    t.ok(await served(t, server, 200), 'new clients are served by the other');

    const line = await server.logged(UNDYING);
    t.same([line.worker, line.pid], [0, frozen], 'the log tells which does not die');
    t.equal(statusOf(frozen, 'State'), 'D', 'it is there');
    t.equal(parseInt(statusOf(frozen, 'ShdPnd').slice(-3), 16) & 0x100, 0x100, 'SIGKILL waits');
    t.equal(await stateOf(server, 0), 'hung', 'the stats say so');
    t.equal((await server.get('/readyz')).status, 200, 'half of the server is ready');
    server.child.kill('SIGHUP');
    await server.logged(/^configuration read again$/);
    t.ok(await served(t, server, 200), 'and serves');
    t.same(server.left().sort(), [server.pid, frozen, other].sort(), 'the slot has no other');

    freezer.thaw();
    await until('its end', () => isGone(frozen));
    const death = await server.logged(/^worker died$/);
    t.same([death.pid, death['signal']], [frozen, 'SIGKILL']);
    await until('its successor', async () => (await stateOf(server, 0)) === 'serving');
    t.equal(await server.pidOf(1), other, 'the other stays');
    await until('its clients to lose their connections', () => held.lost > 0);
    t.equal(await server.total('closedByCrashTotal'), held.lost, 'they are counted');
    t.ok(await served(t, server, 200), 'everybody is served');
    await server.stop();
  },
);

t.test('a drain ends though a worker in state D does not', { skip, buffered: true }, async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--drain', '0.2'],
    expectLog: [LEFT],
  });
  const freezer = new Freezer(t);
  const frozen = await server.pidOf(0);
  await freezer.freeze(frozen);
  server.child.kill('SIGTERM');
  t.equal((await server.ended).code, 1, 'the exit code tells');
  const [stopped] = server.log.filter(({ msg }) => msg === 'stopped');
  t.same(stopped?.['killed'], [frozen], 'the log names it');
  t.same(server.left(), [frozen], 'nothing else is left');
  await t.rejects(connect(server.port), { code: 'ECONNREFUSED' }, 'no listener is left');
  const next = await TestServer.start(t, { args: ['--port', String(server.port)] });
  t.ok(await served(t, next, 200), 'the next server has the port');
  freezer.thaw();
  await until('its end', () => isGone(frozen));
  t.ok(await served(t, next, 200), 'which changes nothing for the next server');
  await next.stop();
  await server.assertEnded(1);
});

t.test(
  'close() of the library resolves though a worker in state D does not end',
  { skip, buffered: true },
  async (t) => {
    const server = createServer({ host: '127.0.0.1', port: 0, workers: 2, maxConnections: 100 });
    const exits: (number | null)[] = [];
    server.on('worker', ({ state, pid }) => {
      if (state === 'exited') exits.push(pid);
    });
    await server.listen();
    const freezer = new Freezer(t);
    const [frozen = -1, other = -1] = server.stats().workers.map(({ pid }) => pid ?? -1);
    await freezer.freeze(frozen);
    t.same(await server.close(), { killed: [frozen] }, 'it names the worker');
    freezer.thaw();
    await until('its end', () => isGone(frozen));
    t.same(exits, [other], 'which is not reported any more');
  },
);

t.test(
  'a worker in state D does not make systemd replace the server',
  { skip, buffered: true },
  async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '2', '--heartbeat-limit', '4'],
      env: { NOTIFY_SOCKET: '@megacomet-test-nobody', WATCHDOG_USEC: '1500000' },
      expectLog: [HUNG, UNDYING, /^worker died$/],
    });
    const freezer = new Freezer(t);
    const frozen = await server.pidOf(0);
    await freezer.freeze(frozen);
    const { time } = await server.logged(HUNG);
    // From three limits on a manager that does not replace a worker counts as broken.
    await until('three limits and more', () => Date.now() - Number(time) > 14_000);
    t.notOk(
      server.log.some(({ msg }) => msg === 'systemd watchdog notification withheld'),
      'it is fed',
    );
    freezer.thaw();
    await until('its successor', async () => (await stateOf(server, 0)) === 'serving');
    await server.stop();
  },
);

/** Publishes again while the server answers that a worker reads too slowly. */
async function publishUntilAccepted(program: Program, data: string): Promise<void> {
  await until('the message to be accepted', async () => {
    const status = await program.publish('a', data, { history: false });
    if (status !== 200 && status !== 429) throw new Error(`publish was answered ${status}`);
    return status === 200;
  });
}

t.test(
  'messages published while a worker is in state D take bounded memory',
  { skip },
  async (t) => {
    const program = await Program.start(t, {
      args: ['--workers', '2', '--heartbeat-limit', '60', '--history-bytes', String(MIB)],
      // On a busy machine the messages take longer than the heartbeat limit.
      expectLog: [
        /^worker does not read its control stream; replaced$/,
        UNDYING,
        HUNG,
        /^worker died$/,
      ],
    });
    const { server } = program;
    const freezer = new Freezer(t);
    await until('a subscriber of each worker', async () => {
      const socket = await connect(program.port);
      t.teardown(() => socket.destroy());
      socket.resume().write(REQUESTS.stream);
      const { workers } = await server.stats();
      return workers.every((worker) => Number(worker['subscriptions']) > 0);
    });
    const frozen = await server.pidOf(0);
    await freezer.freeze(frozen);
    await until('it to be noticed', async () => (await stateOf(server, 0)) === 'late');
    const before = readPrivateBytes(procReader, server.pid) ?? NaN;
    const data = 'x'.repeat(60_000);
    let peak = 0;
    for (let count = 0; count < 4000; count++) {
      await publishUntilAccepted(program, data);
      if (count % 100 !== 0) continue;
      peak = Math.max(peak, (readPrivateBytes(procReader, server.pid) ?? Infinity) - before);
    }
    t.ok(peak < 120 * MIB, `of 240 MB the manager keeps ${Math.round(peak / MIB)} MiB`);
    t.equal(statusOf(frozen, 'State'), 'D', 'it is still there');
    freezer.thaw();
    await until('its successor', async () => (await stateOf(server, 0)) === 'serving');
    await server.stop();
  },
);
