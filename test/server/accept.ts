// Descriptors run out for real: the test lowers the limit of a running worker. The worker must pause
// instead of spinning, keep its clients, and accept again by itself.
import t from 'tap';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  answers,
  Clients,
  connect,
  cpuMs,
  descriptorsOf,
  echoes,
  limitDescriptors,
  run,
  TestServer,
  until,
  type Test,
} from '../support/helpers.js';
import { Injection, noTracing } from '../support/injection.js';

const PAUSED = /^accept failed; listener paused$/;
const CPU_SHARE_MAX = 0.1;
const MEASURE_MS = 2500;

/** Clients that connect again as soon as they are rejected, as clients without back-off do. */
class Storm {
  rejected = 0;
  readonly #sockets = new Set<Socket>();
  #isOver = false;

  constructor(test: Test, port: number, count: number) {
    test.teardown(() => {
      this.end();
    });
    for (let index = 0; index < count; index++) void this.#insist(port);
  }

  end(): void {
    this.#isOver = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    // It may have connected after end() looked.
    if (this.#isOver) socket.destroy();
  }

  async #insist(port: number): Promise<void> {
    while (!this.#isOver) {
      const socket = await connect(port).catch(() => null);
      if (socket === null) {
        this.rejected++;
        continue;
      }
      this.#keep(socket);
      await new Promise((resolve) => socket.on('error', resolve).on('close', resolve).resume());
      this.#sockets.delete(socket);
      this.rejected++;
    }
  }
}

/** Share of one core that a process uses while this looks at it. */
async function cpuShare(pid: number): Promise<number> {
  const [cpuBefore, before] = [cpuMs(pid), performance.now()];
  await sleep(MEASURE_MS);
  return (cpuMs(pid) - cpuBefore) / (performance.now() - before);
}

/** Leaves a worker no further descriptor. */
function exhaust(pid: number): void {
  const taken = new Set(descriptorsOf(pid));
  let free = 0;
  while (taken.has(free)) free++;
  limitDescriptors(pid, free);
}

t.test('a worker without descriptors pauses, keeps its clients, and recovers', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '1'], expectLog: [PAUSED] });
  const pid = await server.pidOf(0);
  const clients = await Clients.open(t, server.port, 50);
  t.equal(await clients.answering(), 50, 'everybody is answered before');

  exhaust(pid);
  const storm = new Storm(t, server.port, 50);
  await until('a shortage', async () => (await server.total('acceptFailedEmfileTotal')) > 0);
  const share = await cpuShare(pid);
  t.comment(`${(share * 100).toFixed(1)} % of a core`);
  t.ok(share <= CPU_SHARE_MAX, 'the worker uses at most a tenth of a core');
  t.equal(await clients.answering(), 50, 'clients from before are answered meanwhile');
  await until('the listener to rest', async () => (await server.total('listenersPaused')) === 1);
  t.ok(storm.rejected > 0, 'some clients are rejected at once');
  const { totals } = await server.stats();
  t.ok(Number(totals['rejectedDescriptorsTotal']) > 0, 'they are counted');
  t.equal(totals['rejectedTotal'], totals['rejectedDescriptorsTotal'], 'and nothing else is');
  t.equal(totals['acceptFailedTotal'], totals['acceptFailedEmfileTotal'], 'as is each failure');
  t.ok(Number(totals['acceptPausedTotal']) > 0, 'and each rest');
  t.equal(totals['connections'], 50, 'no new client was let in');
  storm.end();

  for (const socket of clients.sockets.slice(0, 10)) socket.destroy();
  // Clients that are still in the queue are accepted first, and may take all ten connections.
  const isIn = (): Promise<boolean> => answers(server.port).catch(() => false);
  t.ok(await until('a new client to be answered', isIn), 'it is, once others have left');
  await until('it to be gone', async () => (await server.total('connections')) === 40);

  exhaust(pid);
  const waiting = new Storm(t, server.port, 1);
  const failedBefore = await server.total('acceptFailedEmfileTotal');
  await until(
    'the second shortage',
    async () => (await server.total('acceptFailedEmfileTotal')) > failedBefore,
  );
  waiting.end();
  await until('the storm to end', async () => (await server.total('connections')) === 40);
  const before = (await server.stats()).totals;
  limitDescriptors(pid, 20_000);
  const late = await connect(server.port);
  t.ok(await echoes(late, Buffer.from('late')), 'and once the limit was raised');
  // One client may still have been queued: it was accepted, and left, after the limit was raised.
  await until('the storm to end', async () => (await server.total('connections')) === 41);
  const after = (await server.stats()).totals;
  const gained = (name: string): number => Number(after[name]) - Number(before[name]);
  t.equal(gained('closedTotal'), gained('acceptedTotal') - 1, 'with no close to wake it');
  t.equal(clients.lost, 10, 'no client was lost but those that left');
  const lines = server.log.filter(({ msg }) => PAUSED.test(msg));
  t.equal(lines.length, 1, 'all this took one line of the log');
  t.match(lines[0], { worker: 0, pid, err: 'EMFILE' }, 'which names worker and error');
  await server.stop();
});

t.test('without its spare descriptor a worker only pauses', { skip: noTracing }, async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '1'], expectLog: [PAUSED] });
  const clients = await Clients.open(t, server.port, 20);
  const pid = await server.pidOf(0);
  const descriptors = descriptorsOf(pid).length;
  // The spare is used at the first shortage and cannot be had again; a client has its number.
  const injection = await Injection.attach(
    t,
    pid,
    'accept4:error=EMFILE:when=1',
    'openat:error=EMFILE:when=1..2',
  );
  const first = await connect(server.port).catch(() => null);
  await until('the spare to be out of reach', () => injection.injected >= 2);
  t.ok(await answers(server.port), 'a later client is answered');
  t.equal(await clients.answering(), 20, 'and so are all from before');
  await until('every error to be used up', () => injection.injected === 3);
  await injection.detach();
  first?.destroy();
  await until('the spare to be back', () => descriptorsOf(pid).length === descriptors);
  const before = await server.total('rejectedDescriptorsTotal');
  exhaust(pid);
  const storm = new Storm(t, server.port, 1);
  await until(
    'a rejection with the spare',
    async () => (await server.total('rejectedDescriptorsTotal')) > before,
  );
  storm.end();
  t.equal(clients.lost, 0, 'no connection was lost');
  await server.stop();
});

t.test('an error names a limit that leaves no connection, and nothing starts', async (t) => {
  const { code, stdout, stderr } = await run(['serve', '--port', '0', '--admin-port', '0'], {
    through: ['prlimit', '--nofile=64:64'],
  });
  t.equal(code, 1, 'exit code');
  t.match(
    stderr,
    /^megacomet-ts: a limit of 64 open files [^\n]+: raise the limit\n$/,
    'one sentence',
  );
  t.equal(stdout, '', 'and nothing else');
});

t.test('a server accepts up to a small limit, and rejects the others at once', async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', '1'],
    through: ['prlimit', '--nofile=120:120'],
  });
  const max = (await server.stats()).maxConnections;
  t.equal(max, 120 - 32 - 1 - 64, 'the capacity follows from the limit');
  const clients = await Clients.open(t, server.port, max);
  t.equal(await clients.answering(), max, 'all of them are answered');
  const storm = new Storm(t, server.port, 4);
  await until('refusals', async () => (await server.total('rejectedFullTotal')) > 10);
  t.equal(await clients.answering(), max, 'also while others are rejected');
  storm.end();
  t.equal(await server.total('acceptFailedTotal'), 0, 'the kernel never had to say no');
  clients.sockets[0]?.destroy();
  await until('a connection to close', async () => (await server.total('connections')) < max);
  t.ok(await answers(server.port), 'the freed connection is used again');
  t.equal(clients.lost, 1, 'no connection was lost');
  await server.stop();
});

t.test('a client that waits for a full worker costs no CPU, and is accepted later', async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', '2'],
    through: ['prlimit', '--nofile=120:120'],
  });
  const { maxConnections, workers } = await server.stats();
  const clients = await Clients.open(t, server.port, maxConnections - 1);
  const pids = workers.map(({ pid }) => pid ?? 0);
  const shares = await Promise.all(pids.map((pid) => cpuShare(pid)));
  t.ok(Math.max(...shares) <= CPU_SHARE_MAX, 'no worker spins');
  // The kernel's hash may have given one worker more than it may hold while the other had room.
  const answered = await Promise.all(
    clients.sockets.map(async (socket) => {
      const isAnswered = await echoes(socket, Buffer.from('x'));
      socket.destroy();
      return isAnswered;
    }),
  );
  t.notOk(answered.includes(false), 'every client is answered in its turn');
  await server.stop();
});
