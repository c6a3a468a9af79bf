// Clients of MegaComet's mailboxes against a real server, over plain sockets: one message and a
// close, in order, and no message leaves its mailbox before it was written completely.
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import type { Server } from '../../lib/index.js';
import { exchange, isRouted, startComet, type World } from '../support/comet-world.js';
import { closed, compile, until } from '../support/helpers.js';

const LARGE = 900_000;
/** Why a test of a client that stops reading is skipped. */
const neverStops = isRouted() && 'the route of this run reads on';

/** A poll that records everything it receives. */
class Poll {
  readonly socket: Socket;
  /** Resolves when the server has closed the connection, or it has failed. */
  readonly closed: Promise<void>;
  text = '';

  constructor(world: World, id: string, headers = '') {
    this.socket = createConnection(world.port, '127.0.0.1');
    this.socket.setEncoding('latin1').on('data', (part: string) => (this.text += part));
    this.closed = closed(this.socket);
    this.socket.write(`GET /${id}.js?c=1 HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
  }

  get body(): string {
    return this.text.split('\r\n\r\n').slice(1).join('\r\n\r\n');
  }

  async get(): Promise<string> {
    await this.closed;
    return this.body;
  }
}

function mailboxes(server: Server): { [key: string]: number } {
  return { ...server.stats().mailboxes };
}

const open = (server: Server, slot: number): number =>
  Number(server.stats().workers[slot]?.['connections']);

/** Opens a poll that waits at the worker of the given slot. */
async function pollAt(world: World, slot: number, id: string): Promise<Poll> {
  for (;;) {
    const [before, polls] = [open(world.server, slot), mailboxes(world.server)['polls'] ?? 0];
    const poll = new Poll(world, id);
    await until('the poll to wait', () => mailboxes(world.server)['polls'] === polls + 1);
    if (open(world.server, slot) > before) return poll;
    poll.socket.destroy();
    await until('the poll to be gone', () => mailboxes(world.server)['polls'] === polls);
  }
}

/** A server whose socket buffers are smaller than a large message. */
async function startSmall(t: Test): Promise<World> {
  const shim = compile(t, 'small-send.c', '-shared', '-fPIC');
  const before = process.env['LD_PRELOAD'];
  process.env['LD_PRELOAD'] = before === undefined ? shim : `${before} ${shim}`;
  t.teardown(() => {
    if (before === undefined) delete process.env['LD_PRELOAD'];
    else process.env['LD_PRELOAD'] = before;
  });
  return startComet(t, { mailboxes: true, messageBytes: LARGE + 100 });
}

/** A poll that holds the lease of a message and has read only its beginning. */
async function pollThatStops(world: World, slot: number, message: string): Promise<Poll> {
  const poll = await pollAt(world, slot, 'a');
  poll.socket.pause();
  await world.server.deliver('a', message);
  await until('queued output', () => {
    const { totals } = world.server.stats();
    return Number(totals['sendQueueConnections']) === 1;
  });
  return poll;
}

t.test('a poll receives one message, unchanged, and a close', async (t) => {
  const world = await startComet(t, { mailboxes: true });
  const poll = new Poll(world, 'Jim');
  await until('the poll', () => mailboxes(world.server)['polls'] === 1);
  t.equal(poll.text, '', 'it waits');
  const message = 'call({"a":"ünï\r\n\r\n"});';
  await world.server.deliver('Jim', message);
  await world.server.deliver('Jim', Buffer.of(0, 255));
  t.equal(await poll.get(), Buffer.from(message).toString('latin1'));
  t.match(poll.text, /^HTTP\/1\.1 200 OK\r\n/);
  t.match(poll.text, /\r\nContent-Type: text\/javascript/);
  t.match(poll.text, /\r\nConnection: close\r\n/);
  t.equal(
    await new Poll(world, 'Jim').get(),
    '\0\xff',
    'the next poll receives the next message, with any bytes',
  );
  await until('both mailboxes to be removed', () => mailboxes(world.server)['mailboxes'] === 0);
  t.match(mailboxes(world.server), {
    deliveredTotal: 2,
    ackedTotal: 2,
    nackedTotal: 0,
    bytes: 0,
  });
});

t.test(
  'an id is an encoded channel name; any query is accepted; HEAD takes no message',
  async (t) => {
    const world = await startComet(t, { mailboxes: true, origin: ['https://app.example'] });
    const { server, port } = world;
    const ids: [string, string][] = [
      ['gr%C3%BC%C3%9F', 'grüß'],
      ['a/b.c', 'a/b.c'],
      ['x.js', 'x.js'],
      ['%2e%2e', '..'],
      ['__proto__', '__proto__'],
    ];
    for (const [path, id] of ids) {
      await server.deliver(id, `to ${path}`);
      t.equal(await new Poll(world, path).get(), `to ${path}`, path);
    }
    const request = (line: string, more = ''): Promise<string> =>
      exchange(port, `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${more}\r\n`);
    for (const path of [
      '/a*.js',
      '/%ff.js',
      '/%.js',
      '/%20a.js',
      '/a%0d.js',
      `/${'x'.repeat(201)}.js`,
    ]) {
      t.match(await request(`GET ${path}`), /^HTTP\/1\.1 400 /, path);
    }
    t.match(await request('GET /.js'), /^HTTP\/1\.1 404 /);
    await server.deliver('a', 'once');
    t.match(await request('HEAD /a.js'), /^HTTP\/1\.1 200 [^]*\r\n\r\n$/);
    const answer = await request('GET /a.js?%&channel=*&c=1', 'Origin: https://app.example\r\n');
    t.match(answer, /Access-Control-Allow-Origin: https:\/\/app\.example\r\n[^]*\r\n\r\nonce$/);
    t.match(await request('GET /news/a.js', 'Content-Length: 1\r\n'), /^HTTP\/1\.1 400 /);
    const both = 'GET /a.js HTTP/1.1\r\nHost: x\r\n\r\n';
    await server.deliver('a', 'first');
    await server.deliver('a', 'second');
    t.match(await exchange(port, both + both), /\r\n\r\nfirst$/, 'one message a connection');
    t.equal(await new Poll(world, 'a').get(), 'second');
  },
);

t.test('a message waits for its client until it expires', async (t) => {
  const world = await startComet(t, { mailboxes: true, mailboxTime: 1, pollTimeout: 1 });
  await world.server.deliver('a', 'in time');
  await until('the message to wait', () => mailboxes(world.server)['messages'] === 1);
  t.equal(await new Poll(world, 'a').get(), 'in time');
  await world.server.deliver('a', 'too late');
  await until('the message to expire', () => mailboxes(world.server)['expiredTotal'] === 1);
  const poll = new Poll(world, 'a');
  t.equal(await poll.get(), '', 'a poll that times out receives nothing');
  t.match(poll.text, /^HTTP\/1\.1 200 OK\r\n[^]*Content-Length: 0\r\n/);
  await until('the mailbox to be removed', () => mailboxes(world.server)['mailboxes'] === 0);
  t.match(mailboxes(world.server), { polls: 0, messages: 0, bytes: 0 });
});

t.test('two polls of one id on two workers get two messages, in order', async (t) => {
  const world = await startComet(t, { mailboxes: true });
  const [first, second] = [await pollAt(world, 1, 'a'), await pollAt(world, 0, 'a')];
  await world.server.deliver('a', '1');
  await world.server.deliver('a', '2');
  t.same(await Promise.all([first.get(), second.get()]), ['1', '2']);
});

t.test('a closed or half-closed poll receives no message', async (t) => {
  const world = await startComet(t, { mailboxes: true });
  const gone = await pollAt(world, 0, 'a');
  const ended = await pollAt(world, 1, 'a');
  const reset = await pollAt(world, 0, 'a');
  gone.socket.destroy();
  ended.socket.end();
  reset.socket.resetAndDestroy();
  await until('the polls to be gone', () => mailboxes(world.server)['polls'] === 0);
  await world.server.deliver('a', 'kept');
  t.equal(await new Poll(world, 'a').get(), 'kept');
});

t.test(
  'a later poll waits until the answer to the earlier one is written completely',
  { skip: neverStops },
  async (t) => {
    const world = await startSmall(t);
    const large = 'x'.repeat(LARGE);
    const slow = await pollThatStops(world, 0, large);
    await world.server.deliver('a', 'next');
    const later = await pollAt(world, 1, 'a');
    const fence = await pollAt(world, 1, 'b');
    await world.server.deliver('b', 'fence');
    t.equal(await fence.get(), 'fence', 'an earlier lease of this worker would be answered');
    t.equal(later.text, '');
    slow.socket.resume();
    t.ok((await slow.get()) === large, 'the first arrived complete');
    t.equal(await later.get(), 'next');
  },
);

t.test(
  'a message that was not written completely goes to the next poll',
  { skip: neverStops },
  async (t) => {
    const world = await startSmall(t);
    const large = 'y'.repeat(LARGE);
    const broken = await pollThatStops(world, 1, large);
    await world.server.deliver('a', 'second');
    const next = await pollAt(world, 0, 'a');
    broken.socket.resetAndDestroy();
    t.ok((await next.get()) === large, 'after a reset');
    t.equal(await new Poll(world, 'a').get(), 'second', 'in order');
    t.match(mailboxes(world.server), { nackedTotal: 1 });
  },
);

t.test('a worker that dies with a lease returns it', { skip: neverStops }, async (t) => {
  const world = await startSmall(t);
  const large = 'z'.repeat(LARGE);
  const broken = await pollThatStops(world, 0, large);
  const waiting = await pollAt(world, 1, 'a');
  await world.server.deliver('a', 'second');
  process.kill(world.server.stats().workers[0]?.pid ?? 0, 'SIGKILL');
  t.ok((await waiting.get()) === large, 'to the poll of another worker');
  t.equal(await new Poll(world, 'a').get(), 'second');
  broken.socket.destroy();
  // The client has its message before the manager receives the ack.
  await until('the message to be acked', () => mailboxes(world.server)['ackedTotal'] === 2);
  t.match(mailboxes(world.server), { nackedTotal: 1, messages: 0 });
});

t.test('killed workers lose no message and keep the order', async (t) => {
  const world = await startComet(t, { mailboxes: true, workers: 3 });
  const clients = Array.from({ length: 20 }, (_, index) => ({ id: `id${index}`, got: [-1] }));
  const count = 40;
  const fetching = clients.map(async ({ id, got }) => {
    while (Math.max(...got) < count - 1) {
      const text = await new Poll(world, id).get();
      if (text !== '') got.push(Number(text));
      else await sleep(20);
    }
  });
  for (let number = 0; number < count; number++) {
    for (const { id } of clients) await world.server.deliver(id, String(number));
    await sleep(25);
    if (number % 10 !== 5) continue;
    const worker = world.server.stats().workers.find(({ state }) => state === 'serving');
    if (worker?.pid) process.kill(worker.pid, 'SIGKILL');
  }
  await Promise.all(fetching);
  for (const { id, got } of clients) {
    // A message may arrive twice: its worker died before it could send the ack.
    const numbers = got.filter((number, index) => number !== got[index - 1]);
    t.same(
      numbers,
      [...numbers.keys()].map((key) => key - 1),
      id,
    );
  }
  t.equal(mailboxes(world.server)['droppedTotal'], 0);
});

t.test('polls are answered and closed when the server shuts down', async (t) => {
  const world = await startComet(t, { mailboxes: true });
  const polls = [await pollAt(world, 0, 'a'), await pollAt(world, 1, 'b')];
  const closed = world.server.close({ drainMs: 200 });
  for (const poll of polls) {
    t.equal(await poll.get(), '');
    t.match(poll.text, /^HTTP\/1\.1 200 /);
  }
  t.same(await closed, { killed: [] });
  await t.rejects(world.server.deliver('a', 'x'), { code: 'ERR_NOT_RUNNING' });
});
