// A stalled manager: a client that waits for a replay receives no wrong answer, and a late answer
// is not taken for the answer to another request. A stalled worker: waiting connections are
// accepted first, and a client whose pong arrived in time is not closed as dead.
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import {
  exchange,
  PollClient,
  Program,
  REQUESTS,
  SseClient,
  WebSocketClient,
} from '../support/comet-world.js';
import { connect, until } from '../support/helpers.js';

/** Enough subscribers that one fan-out takes several slices of a millisecond. */
const LISTENERS = 600;
/** More than arrive at random. */
const CONNECTIONS = 40;
/** One worker, whose manager tolerates any stall of this test. */
const PATIENT = ['--workers', '1', '--heartbeat-limit', '60'];

/** Sends requests over a plain socket and collects the text of the answers. */
class RawClient {
  text = '';

  constructor(readonly socket: Socket) {
    socket.setEncoding('latin1').on('data', (part: string) => (this.text += part));
  }

  ask(channel: string, since: string, more = ''): void {
    const target = `/poll?channel=${channel}&since=${since}${more}`;
    this.socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  }
}

/** A server with one worker and ten messages, and the cursor before the first message. */
async function start(t: Test): Promise<{ program: Program; since: string }> {
  const program = await Program.start(t, { args: PATIENT });
  const watcher = new PollClient(program, ['b']);
  await watcher.open();
  const since = watcher.cursor;
  for (let at = 0; at < 5; at++) {
    await program.publish('a', `a${at}`);
    await program.publish('b', `b${at}`);
  }
  await watcher.has(5);
  watcher.close();
  return { program, since };
}

t.test('a poll that times out before the replay keeps its cursor', async (t) => {
  const { program, since } = await start(t);
  const client = new RawClient(await connect(program.port));
  process.kill(program.server.pid, 'SIGSTOP');
  client.ask('a', since, '&timeout=1');
  await until('an answer', () => client.text.includes('\r\n\r\n'));
  t.match(client.text, /^HTTP\/1\.1 204 /);
  t.match(
    client.text,
    `Megacomet-Cursor: ${since}\r\n`,
    'the missed messages are still after the cursor',
  );
  t.match(client.text, /Connection: close/, 'so that the late answer finds no client');
  client.socket.destroy();

  // The next poll sends another replay request, on any connection.
  const next = new RawClient(await connect(program.port));
  next.ask('c', since, '&timeout=3');
  const fence = 'GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
  t.match(await exchange(program.port, fence), / 404 /, 'the worker has read the poll before');
  process.kill(program.server.pid, 'SIGCONT');
  await until('an answer', () => next.text.includes('\r\n\r\n'));
  t.match(next.text, /^HTTP\/1\.1 204 /, 'nothing of another channel');
  next.socket.destroy();
  await program.server.stop();
});

t.test('a poll without a cursor receives messages published while it waits', async (t) => {
  const { program } = await start(t);
  const client = new RawClient(await connect(program.port));
  process.kill(program.server.pid, 'SIGSTOP');
  client.socket.write('GET /poll?channel=d&timeout=1 HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until('an answer', () => client.text.includes('\r\n\r\n'));
  client.socket.destroy();
  process.kill(program.server.pid, 'SIGCONT');
  const cursor = /Megacomet-Cursor: (\S+)/.exec(client.text)?.[1] ?? '';
  await program.publish('d', 'after');
  const next = new RawClient(await connect(program.port));
  next.ask('d', cursor);
  await until('the message', () => next.text.includes('"after"'));
  next.socket.destroy();
  await program.server.stop();
});

/** Opens subscribers of channel `a`; returns the texts that they have received so far. */
async function openListeners(t: Test, { port }: Program, count: number): Promise<string[]> {
  const texts: string[] = [];
  for (let at = 0; at < count; at++) {
    const socket = await connect(port);
    t.teardown(() => socket.destroy());
    texts.push('');
    socket.setEncoding('utf8').on('data', (text: string) => {
      texts[at] = `${texts[at] ?? ''}${text}`;
    });
    socket.write(REQUESTS.stream);
  }
  return texts;
}

/** Whether each text has the messages 0 to `count` - 1 once, in order. */
function areWhole(texts: readonly string[], count: number): boolean {
  const wanted = Array.from({ length: count }, (_, at) => `message ${at}`).join();
  return texts.every((text) => (text.match(/message \d+/g) ?? []).join() === wanted);
}

t.test(
  'fan-out yields while connections wait for accept; all are accepted and receive everything',
  async (t) => {
    const program = await Program.start(t, {
      args: ['--workers', '1', '--max-connections', '2000'],
    });
    const texts = await openListeners(t, program, LISTENERS);
    await program.untilTotal('subscriptions', LISTENERS);
    const pid = await program.server.pidOf(0);
    process.kill(pid, 'SIGSTOP');
    // Their connections wait in the accept queue of a busy worker.
    const waiting = Array.from({ length: CONNECTIONS }, () => new SseClient(program, ['b']));
    const allOpen = Promise.all(waiting.map((client) => client.open()));
    for (let at = 0; at < 20; at++) await program.publish('a', `message ${at}`);
    await sleep(200);
    process.kill(pid, 'SIGCONT');
    await allOpen;
    await until('all to have all', () => areWhole(texts, 20));
    const held = await program.server.total('fanoutSlicesDelayedTotal');
    t.ok(held > 0, `${held} slices were delayed`);

    // No message was delayed for a second.
    await sleep(1500);
    await program.publish('a', 'message 20');
    await until('all to have one more', () => areWhole(texts, 21));
    t.equal(await program.server.total('fanoutSlicesDelayedTotal'), held, 'and none later');
    for (const client of waiting) client.close();
  },
);

t.test('a pong that arrived in time counts, although the worker was stopped', async (t) => {
  const program = await Program.start(t, {
    // A pong in time is at most three seconds late, which a busy machine keeps.
    args: [...PATIENT, '--heartbeat', '3'],
  });
  const clients = Array.from({ length: 20 }, () => new WebSocketClient(program, ['a']));
  for (const client of clients) await client.open();
  const pid = await program.server.pidOf(0);
  // Its pings are sent, and the pongs arrive while it is stopped.
  const before = await program.server.total('heartbeatsTotal');
  let pings = 0;
  for (const { socket } of clients) {
    socket?.on('ping', () => {
      if (++pings === 1) process.kill(pid, 'SIGSTOP');
    });
  }
  await until('a ping', () => pings > 0);
  // Longer than the heartbeat and the last second that a peer has.
  await sleep(5500);
  process.kill(pid, 'SIGCONT');
  await until(
    'them to be pinged again',
    async () => (await program.server.total('heartbeatsTotal')) >= before + 2 * clients.length,
  );
  t.equal(await program.server.total('closedDeadTotal'), 0, 'no client is closed as dead');
  t.ok(clients.every(({ isOpen }) => isOpen));
  for (const client of clients) client.close();
  await program.server.stop();
});
