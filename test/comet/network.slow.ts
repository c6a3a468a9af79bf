// Networks that lose, delay, reorder, split or drop packets, peers that vanish, and calls that
// fail: messages arrive unchanged, or the subscriber is disconnected and receives them after a
// reconnect. Everything runs in a network namespace with its own packet filter and queue.
import { spawn } from 'node:child_process';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import { procReader, readNetCounter } from '../../lib/system/kernel.js';
import {
  PollClient,
  Program,
  REQUESTS,
  SseClient,
  StreamClient,
  subscribeAll,
  WebSocketClient,
  type Client,
} from '../support/comet-world.js';
import { command, compile, connect, until } from '../support/helpers.js';
import { Injection, noTracing } from '../support/injection.js';
import { seededRandom } from '../support/random.js';
import { isInNamespace, runInNamespace } from '../support/own-namespace.js';
import { without } from '../support/requirements.js';

const isInside = isInNamespace();

if (isInside) {
  command('ip', 'link', 'set', 'lo', 'up');
  command('nft', 'add table inet test');
  command('nft', 'add chain inet test in { type filter hook input priority 0; }');
  command('nft', 'add chain inet test out { type filter hook output priority 0; }');
} else {
  runInNamespace(t, import.meta.url, 'ss', 'tc', 'nft');
}

/** A test that runs only inside the namespace. */
function test(
  name: string,
  body: (t: Test) => Promise<void>,
  options: { readonly skip: string | false } = { skip: false },
): void {
  if (isInside) t.test(name, options, body);
}

function addRule(rule: string): void {
  command('nft', `add rule inet test ${rule}`);
}

/** Removes all rules. */
function heal(): void {
  for (const chain of ['in', 'out']) command('nft', `flush chain inet test ${chain}`);
  const found = command('tc', 'qdisc', 'show', 'dev', 'lo');
  if (found.includes('tbf')) command('tc', 'qdisc', 'del', 'dev', 'lo', 'root');
}

/** Drops the packets of clients in both directions: of these ports, or of all. */
function cutOff({ port }: Program, ports?: readonly number[]): void {
  const set = ports === undefined ? '1-65535' : `{ ${ports.join(', ')} }`;
  addRule(`in tcp sport ${set} tcp dport ${port} drop`);
  addRule(`in tcp sport ${port} tcp dport ${set} drop`);
}

interface Stage {
  readonly program: Program;
  /** One client of each transport. */
  readonly clients: readonly Client[];
  readonly sent: string[];
}

async function start(t: Test, ...args: string[]): Promise<Stage> {
  t.teardown(heal);
  const fixed = ['--workers', '1', '--handshake-timeout', '2', '--keep-alive-timeout', '2'];
  const program = await Program.start(t, { args: [...fixed, ...args] });
  const clients = await subscribeAll(program);
  // After a failure, one behind an open partition would keep this process alive.
  t.teardown(() => clients.forEach((client) => client.close()));
  await program.untilTotal('subscriptions', clients.length);
  return { program, clients, sent: [] };
}

async function publish({ program, sent }: Stage, count: number, bytes: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    const data = `${sent.length} `.padEnd(bytes, 'x');
    sent.push(data);
    if ((await program.publish('a', data)) !== 200) throw new Error('not published');
  }
}

/** Reconnects every disconnected client with its cursor; returns how many. */
async function reconnect({ clients }: Stage): Promise<number> {
  const gone = clients.filter(({ isOpen }) => !isOpen);
  for (const client of gone) {
    client.close();
    await client.open();
  }
  return gone.length;
}

/** For slow links, on which the default send queue would overflow. */
const PATIENT = [
  ...['--handshake-timeout', '60', '--keep-alive-timeout', '60'],
  ...['--send-queue-bytes', '67108864'],
];

/** Asserts that every client has every message once, in order. */
async function assertWhole(t: Test, stage: Stage): Promise<void> {
  const { clients, sent } = stage;
  for (const client of clients) {
    const name = client.constructor.name;
    await until(`${name} to have all`, () => client.seen.length >= sent.length).catch(
      (error: unknown) => {
        const found = `${client.seen.length} of ${sent.length}, with ${client.lost} gaps`;
        const state = client.isOpen ? 'connected' : 'disconnected';
        throw new Error(`${name}, ${state}, has ${found}`, { cause: error });
      },
    );
    t.ok(client.data.join() === sent.join() && client.lost === 0, `${name} has every message once`);
  }
}

async function end(t: Test, stage: Stage): Promise<void> {
  await publish(stage, 1, 10);
  await assertWhole(t, stage);
  for (const client of stage.clients) client.close();
  await stage.program.untilTotal('subscriptions', 0);
  await stage.program.server.stop();
}

test('sockets destroyed by the kernel are closed, and their clients reconnect', async (t) => {
  const stage = await start(t);
  const { program, clients } = stage;
  await publish(stage, 3, 100);
  await assertWhole(t, stage);
  command('ss', '-K', 'state', 'established', 'sport', '=', `:${program.port}`);
  await until('all to notice', () => clients.every(({ isOpen }) => !isOpen));
  const { totals } = await program.server.stats();
  t.same([totals['connections'], totals['subscriptions']], [0, 0], 'the server noticed too');
  t.equal(totals['closedResetTotal'], totals['closedTotal'], 'each counts as reset');
  await publish(stage, 3, 100);
  t.equal(await reconnect(stage), clients.length);
  await end(t, stage);
});

test('pending messages of a subscriber are sent together, in the order of their numbers', async (t) => {
  const program = await Program.start(t, { args: ['--workers', '1'] });
  const kinds = [SseClient, StreamClient, WebSocketClient];
  const clients = kinds.flatMap((Kind) => [
    new Kind(program, ['a']),
    new Kind(program, ['a']),
    new Kind(program, ['a', 'b']),
  ]);
  for (const client of clients) await client.open();
  const polling = new PollClient(program, ['a']);
  polling.cursor = clients[0]?.cursor ?? '';
  await polling.open();
  await program.untilTotal('subscriptions', 13);
  const [worker = 0] = program.server.workerPids;
  process.kill(worker, 'SIGSTOP');
  const sent: { channel: string; data: string }[] = [];
  for (let at = 0; at < 100; at++) {
    const one = { channel: at % 2 === 0 ? 'a' : 'b', data: String(at) };
    sent.push(one);
    await program.publish(one.channel, one.data);
  }
  const before = Number(readNetCounter(procReader, 'TcpExt', 'TCPOrigDataSent'));
  process.kill(worker, 'SIGCONT');
  for (const client of [...clients, polling]) {
    const wanted = sent.filter(({ channel }) => client.channels.includes(channel));
    await until('the client to have all messages', () => client.seen.length >= wanted.length);
    t.same(
      client.data,
      wanted.map(({ data }) => data),
      client.constructor.name,
    );
  }
  const packets = Number(readNetCounter(procReader, 'TcpExt', 'TCPOrigDataSent')) - before;
  t.ok(packets < sent.length, `${packets} packets for 650 messages`);
  for (const client of [...clients, polling]) client.close();
});

/** Opens subscribers and other clients that will vanish; returns their ports. */
async function openOthers(t: Test, { program }: Stage): Promise<number[]> {
  const mail = 'GET /someone.js HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const texts = ['', 'GET /eve', mail, ...Object.values(REQUESTS)];
  const before = await program.server.total('connections');
  const sockets: Socket[] = [];
  for (const text of texts) {
    const socket = await connect(program.port);
    t.teardown(() => socket.destroy());
    socket.resume().write(text);
    sockets.push(socket);
  }
  await program.untilTotal('connections', before + texts.length);
  return sockets.map(({ localPort }) => localPort ?? 0);
}

const SOON = ['--heartbeat', '1', '--poll-timeout', '2'];

for (const [what, hasLeft] of [
  ['whose machine vanishes', false],
  ['whose machine lost the connection', true],
] as const) {
  test(`peers ${what} without a FIN or a reset are detected`, async (t) => {
    const stage = await start(t, ...SOON, '--write-timeout', '3');
    const { program } = stage;
    const ports = await openOthers(t, stage);
    cutOff(program, ports);
    if (hasLeft) {
      const each = ports.flatMap((port) => ['or', 'sport', '=', `:${port}`]).slice(1);
      command('ss', '-K', '(', ...each, ')');
      heal();
    }
    // A polling reader may be between two connections.
    await until(
      'all to be gone',
      async () => (await program.server.total('subscriptions')) <= stage.clients.length,
      40_000,
    );
    const gone = async (): Promise<number> => program.server.total('closedTotal');
    await until('each to be closed', async () => (await gone()) >= ports.length);
    t.equal(await program.server.total('sendQueueBytes'), 0, 'no output is queued for them');
    await end(t, stage);
  });
}

test('a network that loses one packet in twenty changes no message', async (t) => {
  // A client that waits for retransmissions must not time out or fall out of the history.
  const stage = await start(t, ...PATIENT, '--history-count', '1000');
  for (const end of ['sport', 'dport']) {
    addRule(`in tcp ${end} ${stage.program.port} numgen random mod 100 < 5 drop`);
  }
  await publish(stage, 200, 2000);
  await assertWhole(t, stage);
  t.equal(await reconnect(stage), 0, 'no client was disconnected');
  heal();
  await end(t, stage);
});

test('a short partition is not noticed, and a long one is recovered from', async (t) => {
  // Much longer than the short partition takes on a busy machine.
  const stage = await start(t, '--write-timeout', '10');
  const { program, clients } = stage;
  cutOff(program);
  await publish(stage, 20, 1000);
  await sleep(500);
  t.ok(clients.every(({ seen }) => seen.length === 0));
  heal();
  await assertWhole(t, stage);
  t.equal(await reconnect(stage), 0, 'no client was disconnected');
  cutOff(program);
  await publish(stage, 20, 2000);
  await until(
    'all to be disconnected',
    async () => (await program.server.total('connections')) === 0,
  );
  heal();
  // The clients received nothing and would wait without end: only their own timeouts can end them.
  for (const client of clients) client.close();
  t.equal(await reconnect(stage), clients.length);
  await end(t, stage);
});

test('a slow link and segments of 88 bytes change no message', async (t) => {
  // The timeout of a poll's next request starts when the kernel accepts the answer, which queues here.
  const stage = await start(t, ...PATIENT);
  addRule('out tcp flags syn tcp option maxseg size set 88');
  for (const client of stage.clients) client.close();
  await reconnect(stage);
  await publish(stage, 5, 40_000);
  await assertWhole(t, stage);
  t.match(command('ss', '-tiH', 'sport', '=', `:${stage.program.port}`), / mss:(7\d|88) /);
  heal();
  command('tc', ...'qdisc add dev lo root tbf rate 4mbit burst 70kb latency 100ms'.split(' '));
  await publish(stage, 10, 30_000);
  await assertWhole(t, stage);
  heal();
  t.equal(await reconnect(stage), 0, 'no client was disconnected');
  await end(t, stage);
});

test('subscribers behind a path that drops large packets recover all messages', async (t) => {
  const stage = await start(t, '--write-timeout', '4', '--poll-timeout', '5');
  const { program, clients } = stage;
  // A poll that reconnects late receives all three small messages in one answer.
  addRule(`in tcp sport ${program.port} meta length > 1200 drop`);
  await publish(stage, 3, 100);
  await assertWhole(t, stage);
  await publish(stage, 1, 20_000);
  const before = await program.server.total('closedTotal');
  await until(
    'them to be disconnected',
    async () => {
      return (await program.server.total('closedTotal')) >= before + clients.length;
    },
    40_000,
  );
  heal();
  for (const client of clients) client.close();
  await reconnect(stage);
  await end(t, stage);
});

/** A proxy that forwards bytes late, in pieces of random size. */
async function slowProxy(t: Test, port: number): Promise<number> {
  const random = seededRandom(t);
  const proxy = createServer((near) => {
    const far = createConnection(port, '127.0.0.1').setNoDelay(true);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      let last = Promise.resolve();
      from.on('error', () => undefined).on('close', () => to.destroy());
      from.on('data', (bytes: Buffer) => {
        last = last.then(async () => {
          for (let at = 0; at < bytes.length;) {
            const size = 1 + Math.floor(random() ** 4 * 20_000);
            await sleep(random() * 10);
            to.write(bytes.subarray(at, (at += size)));
          }
        });
      });
    }
  });
  t.teardown(() => proxy.close());
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return (proxy.address() as AddressInfo).port;
}

test('a proxy that delays and splits data changes no message', async (t) => {
  const stage = await start(t, '--send-queue-bytes', '67108864');
  const { program, clients } = stage;
  const endpoint = { port: await slowProxy(t, program.port) };
  const behind = await subscribeAll(endpoint);
  const both = { ...stage, clients: [...clients, ...behind] };
  await publish(both, 60, 5000);
  await assertWhole(t, both);
  await end(t, both);
});

const DELAY_MS = 5;

/** A link with delay that reorders every fourth packet; returns the address of its far end. */
async function slowLine(t: Test): Promise<string> {
  const program = compile(t, 'reorder.c');
  const line = [program, 'line', String(DELAY_MS), '4', '15', '120'];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...line], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  await until('the link', () => text === 'ready\n');
  command('ip', 'address', 'add', '10.9.0.1', 'peer', '10.9.0.2', 'dev', 'line');
  command('ip', 'link', 'set', 'line', 'up');
  return '10.9.0.2';
}

test(
  'late and reordered packets change no message',
  async (t) => {
    const stage = await start(t, ...PATIENT, '--history-count', '1000');
    const { program, clients } = stage;
    const endpoint = { host: await slowLine(t), port: program.port };
    const both = { ...stage, clients: [...clients, ...(await subscribeAll(endpoint))] };
    // Reordered packets as the receivers count them, and as the senders detect them.
    const names = ['TCPOFOQueue', 'TCPSACKReorder'];
    const counts = (): number[] =>
      names.map((name) => Number(readNetCounter(procReader, 'TcpExt', name)));
    const before = counts();
    await publish(both, 200, 2000);
    await assertWhole(t, both);
    t.equal(await reconnect(both), 0, 'no client was disconnected');
    const gained = counts().map((count, index) => count - (before[index] ?? 0));
    t.ok(gained[0] !== undefined && gained[0] >= 50, `reordered packets: ${gained.join(', ')}`);
    t.ok(gained[1] !== undefined && gained[1] >= 1, 'and the senders detected them');
    const times = command('ss', '-tiH', 'dst', endpoint.host, 'sport', '=', `:${program.port}`);
    const fastest = Math.min(
      ...[...times.matchAll(/ minrtt:([\d.]+)/g)].map(([, ms]) => Number(ms)),
    );
    t.ok(fastest >= 2 * DELAY_MS, `none was faster than the link: ${fastest} ms`);
    await end(t, both);
  },
  { skip: without('tun') },
);

test('IPv6, IPv4-mapped and link-local addresses all work', async (t) => {
  command('ip', 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
  for (const name of ['near', 'far']) command('ip', 'link', 'set', name, 'up');
  const own = (): string | undefined =>
    networkInterfaces()['near']?.find(({ scopeid }) => scopeid !== 0 && scopeid !== undefined)
      ?.address;
  const linkLocal = await until('a link-local address', own);
  const program = await Program.start(t, { args: ['--handshake-timeout', '2', '--host', '::'] });
  const { port } = program;
  const hosts = ['::1', '127.0.0.1', '::ffff:127.0.0.1'];
  const clients = await Promise.all(hosts.map((host) => subscribeAll({ host, port })));
  // A URL cannot contain a zone.
  const stage = {
    program,
    clients: [...clients.flat(), new StreamClient({ host: `${linkLocal}%near`, port }, ['a'])],
    sent: [],
  };
  await until('the address to be usable', async () => (await reconnect(stage)) === 0);
  await publish(stage, 5, 1000);
  await end(t, stage);
});

/** Errors of a call, and whether the affected client keeps its connection. */
const FAILURES = [
  ['sendto', 'EPIPE', false],
  ['sendto', 'ECONNRESET', false],
  ['sendto', 'ENOBUFS', false],
  ['sendto', 'ENOMEM', false],
  ['sendto', 'ETIMEDOUT', false],
  ['sendto', 'EINTR', true],
  ['sendto', 'EAGAIN', true],
  ['recvfrom', 'ECONNRESET', false],
  ['recvfrom', 'ETIMEDOUT', false],
  ['recvfrom', 'EINTR', true],
  ['recvfrom', 'EAGAIN', true],
] as const;

test(
  'a failed read or write costs one connection, and no message',
  async (t) => {
    const stage = await start(t, '--handshake-timeout', '60');
    const { program } = stage;
    const pid = await program.server.pidOf(0);
    for (const [call, error, survives] of FAILURES) {
      const before = await program.server.total('closedResetTotal');
      const injection = await Injection.attach(t, pid, `${call}:error=${error}:when=1`);
      // After a message every poll sends a new request, which the server reads.
      await publish(stage, 1, 1000);
      await until('the error', () => injection.injected === 1);
      await injection.detach();
      await program.untilTotal('closedResetTotal', before + (survives ? 0 : 1));
      await until('all to reconnect', async () => (await reconnect(stage)) === 0);
      await assertWhole(t, stage);
      t.pass(`${call}: ${error}`);
    }
    const injection = await Injection.attach(t, pid, 'sendto:signal=SIGPIPE:when=1..5');
    await publish(stage, 3, 1000);
    await assertWhole(t, stage);
    await injection.detach();
    t.equal(await reconnect(stage), 0, 'SIGPIPE changes nothing');
    await end(t, stage);
  },
  { skip: noTracing },
);

test(
  'a subscriber that epoll rejects is disconnected, and no other',
  async (t) => {
    const stage = await start(t, '--send-queue-bytes', '67108864', '--history-count', '1000');
    const { program } = stage;
    const pid = await program.server.pidOf(0);
    for (const error of ['ENOSPC', 'ENOMEM']) {
      const before = await program.server.total('closedWatchFailedTotal');
      const late = await Injection.attach(t, pid, `epoll_ctl:error=${error}:when=1`);
      const rejected = await connect(program.port);
      await until('it to be disconnected', () => rejected.resume().readableEnded);
      await late.detach();
      const slow = await connect(program.port);
      slow.pause();
      slow.write(REQUESTS.stream);
      await program.untilTotal('subscriptions', stage.clients.length + 1);
      // The next epoll_ctl call registers a blocked subscriber for writing.
      const blocked = await Injection.attach(t, pid, `epoll_ctl:error=${error}:when=1`);
      await publish(stage, 150, 60_000);
      await program.untilTotal('closedWatchFailedTotal', before + 2);
      await blocked.detach();
      slow.destroy();
      await until('all to reconnect', async () => (await reconnect(stage)) === 0);
      await assertWhole(t, stage);
    }
    const injection = await Injection.attach(t, pid, 'epoll_wait:error=EINTR:when=1..50');
    await publish(stage, 3, 1000);
    await assertWhole(t, stage);
    await until('every interruption', () => injection.injected >= 50);
    await injection.detach();
    await end(t, stage);
  },
  { skip: noTracing },
);
