// Workers that die, run out of memory, stop or loop during publishing, and a manager that stops or
// dies: subscribers that reconnect with cursors miss nothing, or receive a gap notice; the others
// notice nothing, and the memory of every process stays bounded.
import { mkdirSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import { procReader, readPrivateBytes } from '../../lib/system/kernel.js';
import {
  Reconnecting,
  PollClient,
  Program,
  REQUESTS,
  SseClient,
  subscribeAll,
  WebSocketClient,
} from '../support/comet-world.js';
import { compile, connect, isGone, until } from '../support/helpers.js';
import { Injection, noTracing } from '../support/injection.js';
import { SPIN } from '../support/load.js';
import { without } from '../support/requirements.js';

const SHARED = ['-shared', '-fPIC'];
const MIB = 1024 * 1024;
const DIED = /^worker died(: .*bad_alloc|: \(libev\) epoll_wait: .*)?$/s;
const DEAF = /^worker does not read its control stream; replaced$/;

interface Stage {
  readonly program: Program;
  readonly group: Reconnecting;
  readonly folder: string;
}

async function start(t: Test, ...args: string[]): Promise<Stage> {
  const folder = t.testdir();
  const libraries = ['die.c', 'spin.c'].map((name) => compile(t, name, ...SHARED));
  const program = await Program.start(t, {
    args: ['--workers', '2', '--poll-timeout', '2', ...args],
    env: { LD_PRELOAD: libraries.join(' '), TMPDIR: folder },
    expectLog: [DIED, DEAF],
  });
  return { program, group: await Reconnecting.gather(t, program), folder };
}

/** Writes a command for the next worker that writes a large message. */
function order({ folder }: Stage, name: string, text: string): void {
  writeFileSync(join(folder, 'order'), text);
  renameSync(join(folder, 'order'), join(folder, name));
}

async function pidsOf(program: Program): Promise<(number | null)[]> {
  return (await program.server.stats()).workers.map(({ pid }) => pid);
}

/** Waits until one of these workers was replaced, and no other; returns its slot. */
async function untilOneReplaced(
  t: Test,
  program: Program,
  before: readonly (number | null)[],
  what: string,
): Promise<void> {
  await until(
    `${what}: a successor`,
    async () => {
      const { workers } = await program.server.stats();
      const isServing = workers.every(({ state }) => state === 'serving');
      return isServing && workers.some(({ pid }, slot) => pid !== before[slot]);
    },
    30_000,
  );
  const after = await pidsOf(program);
  t.equal(after.filter((pid) => before.includes(pid)).length, 1, `${what}: the other stays`);
}

async function end({ program, group }: Stage): Promise<void> {
  await group.leave();
  await program.server.stop();
}

const ENDS = ['signal 9', 'signal 11', 'signal 6', 'signal 7', 'exit 0', 'exit 1'];

t.test('a worker that dies while it writes a message loses none', async (t) => {
  const stage = await start(t);
  const { program, group } = stage;
  await group.publish(3, 100);
  for (const how of ENDS) {
    const before = await pidsOf(program);
    order(stage, 'die', how);
    await group.publish(5, 5000);
    await untilOneReplaced(t, program, before, how);
    await group.publish(5, 5000);
    await group.assertWhole(t, how);
  }
  const { totals } = await program.server.stats();
  const open = Number(totals['acceptedTotal']) - Number(totals['closedTotal']);
  t.equal(open, totals['connections'], 'its lost connections are counted');
  await end(stage);
});

t.test('a worker that runs out of memory ends and breaks nothing', async (t) => {
  const stage = await start(t);
  const { program, group } = stage;
  for (const allocations of [0, 1, 7, 40]) {
    const what = `${allocations} more allocations`;
    const before = await pidsOf(program);
    order(stage, 'starve', String(allocations));
    await group.publish(5, 5000);
    await until(`${what}: the end`, async () => {
      await group.publish(1, 5000);
      return before.some((pid) => isGone(pid ?? -1));
    });
    await untilOneReplaced(t, program, before, what);
    await group.assertWhole(t, what);
  }
  const deaths = program.server.log.filter(({ msg }) => DIED.test(msg));
  for (const { msg, signal } of deaths) {
    t.equal(signal, 'SIGABRT', 'it aborted');
    t.match(msg, 'bad_alloc', 'and logged the reason');
  }
  await end(stage);
});

/** Opens subscribers of the flood on both workers; they read and discard it. */
async function openFlood(t: Test, { server, port }: Program): Promise<Socket[]> {
  const request = REQUESTS.stream.replace('channel=a', 'channel=flood');
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  await until('some at both workers', async () => {
    const socket = await connect(port);
    socket.resume().write(request);
    sockets.push(socket);
    const { workers } = await server.stats();
    return workers.every((worker) => Number(worker['channels']) > 1);
  });
  return sockets;
}

/** Publishes enough for the messages queued for one worker to show in the manager's memory. */
async function flood(program: Program, group: Reconnecting, pid: number): Promise<number> {
  const before = readPrivateBytes(procReader, pid) ?? 0;
  const data = 'x'.repeat(60_000);
  let peak = 0;
  for (let at = 0; at < 2000; at++) {
    const status = await program.publish('flood', data, { history: false });
    if (status !== 200) await sleep(20);
    if (at % 60 !== 0) continue;
    await group.publish(1, 100);
    peak = Math.max(peak, (readPrivateBytes(procReader, pid) ?? Infinity) - before);
  }
  return peak;
}

for (const way of ['is stopped', 'loops without end'] as const) {
  t.test(`a worker that ${way} during a flood is bounded and replaced`, async (t) => {
    const stage = await start(t, '--heartbeat-limit', '60');
    const { program, group } = stage;
    const sockets = await openFlood(t, program);
    const before = await pidsOf(program);
    if (way === 'is stopped') process.kill(before[0] ?? -1, 'SIGSTOP');
    else (await connect(program.port)).write(SPIN);
    await group.publish(1, 100);
    const peak = await flood(program, group, program.server.pid);
    t.ok(peak < 90 * MIB, `the manager grew by ${Math.round(peak / MIB)} MiB`);
    await untilOneReplaced(t, program, before, way);
    t.ok(
      program.server.log.some(({ msg }) => DEAF.test(msg)),
      'because of its queue',
    );
    for (const socket of sockets) socket.destroy();
    await group.publish(1, 100);
    await group.assertWhole(t, way);
    await end(stage);
  });
}

t.test('workers and clients wait for a stopped manager', async (t) => {
  const unlimited = ['--client-publish-rate', '0', '--all-clients-publish-rate', '0'];
  const stage = await start(t, '--client-publish', ...unlimited, '--history-count', '10000');
  const { program, group } = stage;
  await group.publish(5, 100);
  await group.untilAllHave();
  const pids = await pidsOf(program);
  const talker = new WebSocketClient(program, ['talk']);
  await talker.open();
  process.kill(program.server.pid, 'SIGSTOP');
  const late = new SseClient(program, ['a']);
  late.cursor = group.clients[0]?.seen[0]?.cursor ?? '';
  const opening = late.open();
  const count = 1500;
  for (let at = 0; at < count; at++) {
    talker.say({ type: 'publish', channel: 'talk', data: `${at} `.padEnd(60_000, 'x') });
  }
  await until('the workers to accept no more', () => talker.errors.length > 0);
  await until('all to be sent', () => talker.socket?.bufferedAmount === 0);
  const memory = pids.map((pid) => readPrivateBytes(procReader, pid ?? 0) ?? Infinity);
  t.ok(Math.max(...memory) < 64 * MIB, `workers of ${memory.join(' and ')} bytes`);
  t.ok(
    group.clients.every(({ isOpen }) => isOpen),
    'no client is disconnected',
  );
  process.kill(program.server.pid, 'SIGCONT');
  await opening;
  await late.has(4);
  t.same(
    late.data,
    group.sent.slice(1),
    'a client that connected meanwhile receives the missed messages',
  );
  await until('all to be answered', () => talker.seen.length + talker.errors.length === count);
  const numbers = talker.data.map((data) => parseInt(data, 10));
  t.same(
    numbers,
    [...new Set(numbers)].sort((a, b) => a - b),
    'accepted messages arrived in order',
  );
  for (const client of [talker, late]) client.close();
  await group.publish(5, 100);
  await group.assertWhole(t, 'afterwards');
  t.same(await pidsOf(program), pids, 'no worker was replaced');
  await end(stage);
});

t.test('subscribers of a killed manager receive a gap notice from the next one', async (t) => {
  const { program, group } = await start(t);
  await group.publish(5, 100);
  await group.untilAllHave();
  const pids = program.server.workerPids;
  process.kill(program.server.pid, 'SIGKILL');
  await until('all to be gone', () => pids.every(isGone));
  const next = await Program.start(t, {
    args: ['--workers', '2', '--poll-timeout', '2', '--port', String(program.port)],
  });
  await until('every client to receive a gap notice', () =>
    group.clients.every(({ lost }) => lost > 0),
  );
  await next.untilTotal('subscriptions', group.clients.length);
  t.equal(await next.publish('a', 'afterwards'), 200);
  await until('every client to have it', () =>
    group.clients.every(({ data }) => data.at(-1) === 'afterwards'),
  );
  await group.leave();
  await program.server.assertEnded(null);
  await next.server.stop();
});

for (const [signal, isGroup] of [
  ['SIGTERM', false],
  ['SIGINT', true],
] as const) {
  t.test(`a message published before ${signal} arrives before the final response`, async (t) => {
    const program = await Program.start(t, {
      args: ['--workers', '2', '--drain', '1'],
      detached: isGroup,
    });
    const clients = [...(await subscribeAll(program)), ...(await subscribeAll(program))];
    const sent = Array.from({ length: 20 }, (_, at) => `${at} `.padEnd(50_000, 'x'));
    const published = sent.map((data) => program.publish('a', data));
    for (const status of await Promise.all(published)) t.equal(status, 200);
    process.kill(isGroup ? -program.server.pid : program.server.pid, signal);
    await program.server.assertEnded(0);
    const order = clients[0]?.data.join() ?? '';
    for (const client of clients) {
      const name = client.constructor.name;
      // A poll that reconnected after its last answer found no server.
      const isPoll = client instanceof PollClient;
      t.ok(isPoll || client.seen.length === sent.length, `${name} has all`);
      t.ok(order.startsWith(client.data.join()), 'in one order, without a gap');
      if (client instanceof WebSocketClient) t.equal(client.closeCode, 1001, 'and a close frame');
      client.close();
    }
  });
}

t.test('a worker whose loop is broken is replaced', { skip: noTracing }, async (t) => {
  const stage = await start(t);
  const { program, group } = stage;
  const before = await pidsOf(program);
  // The worker may end before the tracer has attached to all its threads.
  await Injection.attach(t, before[0] ?? -1, 'epoll_wait:error=EBADF:when=1+').catch(() => null);
  await group.publish(5, 100);
  await untilOneReplaced(t, program, before, 'EBADF');
  await group.publish(5, 100);
  await group.assertWhole(t, 'afterwards');
  t.ok(
    program.server.log.some(({ msg }) => msg.endsWith('epoll_wait: Bad file descriptor')),
    'the log states the reason',
  );
  await end(stage);
});

const GROUPS = '/sys/fs/cgroup/memory';
const noGroup = without('memory groups');

/** Makes a memory cgroup; returns the command that starts a program in it. */
function makeGroup(t: Test, bytes: number): string[] {
  const group = join(GROUPS, `megacomet-test-${process.pid}`);
  mkdirSync(group);
  t.teardown(() => {
    rmdirSync(group);
  });
  writeFileSync(join(group, 'memory.limit_in_bytes'), String(bytes));
  return ['sh', '-c', `echo $$ > ${group}/cgroup.procs && exec "$@"`, 'sh'];
}

t.test(
  'the kernel kills a worker that exceeds its memory group, and messages keep flowing',
  { skip: noGroup },
  async (t) => {
    const limits = ['--message-bytes', '1047552', '--send-queue-bytes', '67108864'];
    const program = await Program.start(t, {
      args: [
        '--workers',
        '2',
        '--poll-timeout',
        '2',
        '--worker-send-queue-bytes',
        '1073741824',
        ...limits,
      ],
      through: makeGroup(t, 320 * MIB),
      expectLog: [DIED],
    });
    const group = await Reconnecting.gather(t, program);
    const before = await pidsOf(program);
    const data = 'x'.repeat(1_000_000);
    await until(
      'a worker to be killed',
      async () => {
        const channel = `slow-${performance.now()}`;
        const socket = await connect(program.port);
        t.teardown(() => socket.destroy());
        socket.pause();
        socket.write(REQUESTS.stream.replace('channel=a', `channel=${channel}`));
        for (let at = 0; at < 50; at++) await program.publish(channel, data, { history: false });
        await group.publish(1, 100);
        return before.some((pid) => isGone(pid ?? -1));
      },
      60_000,
    );
    await until('its successor', async () => {
      return (await program.server.stats()).workers.every(({ state }) => state === 'serving');
    });
    const deaths = program.server.log.filter(({ msg }) => DIED.test(msg));
    for (const { signal } of deaths) t.equal(signal, 'SIGKILL', 'by the kernel');
    await group.publish(5, 100);
    await group.untilAllHave();
    const wanted = group.sent.join();
    t.ok(group.clients.every((client) => client.lost === 0 && client.data.join() === wanted));
    await group.leave();
    await program.server.stop();
  },
);
