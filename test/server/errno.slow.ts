// Every error of accept4, epoll_ctl, recv and send, injected into a running worker with strace. Each
// error has one reaction and one counter, and no other client notices it.
import t from 'tap';

import { Program, subscribeAll } from '../support/comet-world.js';
import {
  answers,
  Clients,
  connect,
  cpuMs,
  descriptorsOf,
  echoes,
  TestServer,
  until,
  type Test,
} from '../support/helpers.js';
import { Injection, noTracing } from '../support/injection.js';

const HELD = 10;
const CPU_SHARE_MAX = 0.1;

interface Stage {
  readonly server: TestServer;
  readonly pid: number;
  /** Connected before any error, and never to be harmed. */
  readonly held: Clients;
}

/** One worker, so that every call is made by the process that strace watches. */
async function start(t: Test, expectLog: readonly RegExp[] = []): Promise<Stage> {
  const server = await TestServer.start(t, { args: ['--workers', '1'], expectLog });
  const held = await Clients.open(t, server.port, HELD);
  return { server, pid: await server.pidOf(0), held };
}

async function end(t: Test, { server, held }: Stage): Promise<void> {
  t.equal(await held.answering(), HELD, 'clients from before are answered to the end');
  t.equal(held.lost, 0, 'and none was lost');
  t.equal(server.log.filter(({ msg }) => msg === 'worker ready').length, 1, 'no worker died');
  await server.stop();
}

/** What some counters have gained since `before`. */
async function gains(
  server: TestServer,
  before: Readonly<Record<string, unknown>>,
  ...names: string[]
): Promise<number[]> {
  const { totals } = await server.stats();
  return names.map((name) => Number(totals[name]) - Number(before[name]));
}

const TRANSIENT = [
  ...['ECONNABORTED', 'EPROTO', 'EINTR', 'ENETDOWN', 'ENOPROTOOPT', 'EHOSTDOWN', 'ENONET'],
  ...['EHOSTUNREACH', 'EOPNOTSUPP', 'ENETUNREACH', 'ETIMEDOUT'],
];

t.test(
  "a peer's own error costs no other client, and causes no pause",
  { skip: noTracing },
  async (t) => {
    const stage = await start(t);
    const { server, pid } = stage;
    for (const error of TRANSIENT) {
      const before = (await server.stats()).totals;
      const injection = await Injection.attach(t, pid, `accept4:error=${error}:when=1..20`);
      const answered = await Promise.all(Array.from({ length: 20 }, () => answers(server.port)));
      await injection.detach();
      t.notOk(answered.includes(false), `${error}: every client is answered`);
      const names = ['acceptFailedTransientTotal', 'acceptFailedTotal', 'acceptPausedTotal'];
      t.same(await gains(server, before, ...names), [20, 20, 0], `${error}: counted, no pause`);
    }
    await end(t, stage);
  },
);

const SHORTAGES = [
  ['ENFILE', 'acceptFailedEnfileTotal'],
  ['ENOBUFS', 'acceptFailedEnobufsTotal'],
  ['ENOMEM', 'acceptFailedEnomemTotal'],
  ['EPERM', 'acceptFailedOtherTotal'],
  ['EIO', 'acceptFailedOtherTotal'],
] as const;

t.test(
  'a shortage pauses the listener, which resumes by itself',
  { skip: noTracing },
  async (t) => {
    const stage = await start(t, [/^accept failed; listener paused$/]);
    const { server, pid } = stage;
    for (const [error, counter] of SHORTAGES) {
      const before = (await server.stats()).totals;
      const injection = await Injection.attach(t, pid, `accept4:error=${error}:when=1..4`);
      const waiting = answers(server.port);
      await until(
        `${error}: the listener to rest`,
        async () => (await server.total('listenersPaused')) === 1,
      );
      t.equal(await stage.held.answering(), HELD, `${error}: others are answered meanwhile`);
      t.ok(await waiting, `${error}: the client in the queue is answered in the end`);
      await injection.detach();
      const names = [counter, 'acceptFailedTotal', 'acceptPausedTotal'];
      t.same(
        await gains(server, before, ...names),
        [4, 4, 4],
        `${error}: counted, with its pauses`,
      );
      t.equal(await server.total('listenersPaused'), 0, `${error}: nothing rests any more`);
    }
    const lines = server.log.filter(({ msg }) => msg === 'accept failed; listener paused');
    t.equal(lines.length, 1, 'one line of the log');
    await end(t, stage);
  },
);

t.test('a lasting shortage costs no CPU', { skip: noTracing }, async (t) => {
  const stage = await start(t, [/^accept failed; listener paused$/]);
  const { server, pid } = stage;
  const injection = await Injection.attach(t, pid, 'accept4:error=ENFILE:when=1+');
  const waiting = await Promise.all(Array.from({ length: 20 }, () => connect(server.port)));
  const answered = waiting.map((socket) => echoes(socket, Buffer.from('x')));
  await until('the first failure', () => injection.injected > 0);
  const [cpuBefore, injectedBefore] = [cpuMs(pid), injection.injected];
  const began = performance.now();
  await until('2.5 s', () => performance.now() - began > 2500);
  const seconds = (performance.now() - began) / 1000;
  t.ok(cpuMs(pid) - cpuBefore <= seconds * 1000 * CPU_SHARE_MAX, 'a tenth of a core at most');
  const calls = injection.injected - injectedBefore;
  t.ok(calls >= 1 && calls <= 20 * seconds, `it asks now and then: ${calls} times`);
  await injection.detach();
  t.notOk((await Promise.all(answered)).includes(false), 'all are answered once it is over');
  for (const socket of waiting) socket.destroy();
  await end(t, stage);
});

t.test('a connection that epoll rejects is closed and counted', { skip: noTracing }, async (t) => {
  const stage = await start(t);
  const { server, pid } = stage;
  for (const error of ['ENOSPC', 'ENOMEM']) {
    const before = (await server.stats()).totals;
    const injection = await Injection.attach(t, pid, `epoll_ctl:error=${error}:when=1..3`);
    const answered = [];
    for (let count = 0; count < 5; count++) answered.push(await answers(server.port));
    await injection.detach();
    t.same(answered, [false, false, false, true, true], `${error}: the rejected ones end`);
    const names = ['closedWatchFailedTotal', 'acceptedTotal'];
    t.same(await gains(server, before, ...names), [3, 5], `${error}: and are counted`);
  }
  await until('all to be gone', async () => (await server.total('connections')) === HELD);
  await end(t, stage);
});

t.test('a listener that epoll rejects is tried again', { skip: noTracing }, async (t) => {
  const stage = await start(t, [/^accept failed; listener paused$/, /^cannot watch a listener/]);
  const { server, pid } = stage;
  // The first call takes the paused listener, whose queue is not empty, out of the set.
  const rules = ['accept4:error=ENOBUFS:when=1', 'epoll_ctl:error=ENOMEM:when=2..3'];
  const injection = await Injection.attach(t, pid, ...rules);
  t.ok(await answers(server.port), 'the client is answered in the end');
  t.equal(injection.injected, 3, 'after every error');
  await injection.detach();
  const { totals } = await server.stats();
  t.equal(totals['acceptPausedTotal'], 3, 'it rested after each');
  t.equal(totals['closedWatchFailedTotal'], 0, 'and no connection was hit');
  await end(t, stage);
});

t.test('a worker survives an epoll that forgets nothing', { skip: noTracing }, async (t) => {
  const stage = await start(t, [/^accept failed; listener paused$/]);
  const { server, pid } = stage;
  const descriptors = descriptorsOf(pid).length;
  // The failed removal makes libev build a new epoll set and watch every connection anew.
  const rules = ['accept4:error=ENOBUFS:when=1', 'epoll_ctl:error=ENOMEM:when=1'];
  const injection = await Injection.attach(t, pid, ...rules);
  t.ok(await answers(server.port), 'the client is answered');
  t.equal(injection.injected, 2, 'after both errors');
  await injection.detach();
  await until('it to be gone', async () => (await server.total('connections')) === HELD);
  t.equal(descriptorsOf(pid).length, descriptors, 'the old set is closed');
  await end(t, stage);
});

/** Errors by the call that fails, and whether the client keeps its connection. */
const TRANSFERS = [
  ['recvfrom', 'ECONNRESET', false],
  ['recvfrom', 'ETIMEDOUT', false],
  ['recvfrom', 'EIO', false],
  ['recvfrom', 'EINTR', true],
  ['recvfrom', 'EAGAIN', true],
  ['sendto', 'EPIPE', false],
  ['sendto', 'ECONNRESET', false],
  ['sendto', 'ENOBUFS', false],
  ['sendto', 'EINTR', true],
  ['sendto', 'EAGAIN', true],
] as const;

t.test('a failed read or write ends that connection only', { skip: noTracing }, async (t) => {
  const stage = await start(t);
  const { server, pid } = stage;
  for (const [call, error, survives] of TRANSFERS) {
    const before = (await server.stats()).totals;
    const socket = await connect(server.port);
    const injection = await Injection.attach(t, pid, `${call}:error=${error}:when=1`);
    const isAnswered = await echoes(socket, Buffer.from('x'));
    t.equal(injection.injected, 1, `${call} answered ${error}`);
    await injection.detach();
    t.equal(isAnswered, survives, survives ? 'and was called again' : 'and the connection ended');
    t.same(await gains(server, before, 'closedResetTotal'), [survives ? 0 : 1], 'as counted');
    t.equal(await stage.held.answering(), HELD, 'and the others noticed nothing');
    socket.destroy();
  }
  const { totals } = await server.stats();
  t.same([totals['sendQueueBytes'], totals['sendQueueConnections']], [0, 0], 'nothing is queued');
  await end(t, stage);
});

t.test('an interrupted wait goes on', { skip: noTracing }, async (t) => {
  const stage = await start(t);
  const injection = await Injection.attach(t, stage.pid, 'epoll_wait:error=EINTR:when=1..50');
  await until('every interruption', () => injection.injected >= 50);
  t.ok(await answers(stage.server.port), 'a new client is answered');
  await injection.detach();
  await end(t, stage);
});

/** Those of libev for timers and threads; it has its timers from epoll's timeout, and no threads. */
const NEVER_MADE = ['timerfd_create', 'timerfd_settime', 'timerfd_gettime', 'eventfd2'];

t.test('a worker needs neither timerfd nor eventfd to serve', { skip: noTracing }, async (t) => {
  const stage = await start(t);
  const program = await Program.start(t, { args: ['--workers', '1', '--heartbeat', '1'] });
  const { server } = program;
  const injections = [];
  for (const pid of [stage.pid, await server.pidOf(0)]) {
    const rules = NEVER_MADE.map((call) => `${call}:error=ENOMEM`);
    injections.push(await Injection.attach(t, pid, ...rules));
  }
  t.ok(await answers(stage.server.port), 'clients are answered');
  const clients = await subscribeAll(program);
  t.equal(await program.publish('a', 'x'.repeat(10_000)), 200);
  for (const client of clients) await client.has(1);
  const bytesSent = await server.total('bytesSentTotal');
  await until('heartbeats', async () => (await server.total('bytesSentTotal')) > bytesSent);
  for (const client of clients) client.close();
  await program.untilTotal('connections', 0);
  for (const injection of injections) {
    await injection.detach();
    t.equal(injection.injected, 0, 'no such call was made');
  }
  await server.stop();
  await end(t, stage);
});

t.test('SIGPIPE changes nothing', { skip: noTracing }, async (t) => {
  const stage = await start(t);
  process.kill(stage.pid, 'SIGPIPE');
  const injection = await Injection.attach(t, stage.pid, 'sendto:signal=SIGPIPE:when=1..5');
  t.equal(await stage.held.answering(), HELD, 'all are answered while it comes');
  await injection.detach();
  t.equal(await stage.server.total('closedTotal'), 0, 'and no client is closed');
  await end(t, stage);
});
