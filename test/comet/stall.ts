// A manager that does not answer for a while: who waits for what it missed is told nothing wrong,
// and no answer that comes late is taken for that to another question. And a worker that does not:
// who waits to get in goes first, and who was heard in time is not taken for silent.
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import {
  PollClient,
  Program,
  REQUESTS,
  SseClient,
  WebSocketClient,
} from '../support/comet-world.js';
import { connect, until } from '../support/helpers.js';

/** So many that what they are sent takes several slices of a millisecond. */
const LISTENERS = 600;
/** More than come by chance. */
const NEWCOMERS = 40;
/** One worker, whose manager waits for it however long it stands still here. */
const PATIENT = ['--workers', '1', '--heartbeat-limit', '60'];

/** Asks over a plain socket, and answers what came within the time. */
class Asker {
  text = '';

  constructor(readonly socket: Socket) {
    socket.setEncoding('latin1').on('data', (part: string) => (this.text += part));
  }

  ask(channel: string, since: string, more = ''): void {
    const target = `/poll?channel=${channel}&since=${since}${more}`;
    this.socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  }
}

/** A server with one worker that knows of ten messages, and the cursor before the first. */
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

void t.test('a poll whose time is up before the answer keeps its cursor', async (t) => {
  const { program, since } = await start(t);
  const asker = new Asker(await connect(program.port));
  process.kill(program.server.pid, 'SIGSTOP');
  asker.ask('a', since, '&timeout=1');
  await until('an answer', () => asker.text.includes('\r\n\r\n'), 10_000);
  t.match(asker.text, /^HTTP\/1\.1 204 /);
  t.match(asker.text, `Megacomet-Cursor: ${since}\r\n`, 'what it missed is still before it');
  t.match(asker.text, /Connection: close/, 'and the late answer meets nobody');
  asker.socket.destroy();

  // The next one comes with another question, over whatever connection.
  const next = new Asker(await connect(program.port));
  next.ask('c', since, '&timeout=3');
  await sleep(100);
  process.kill(program.server.pid, 'SIGCONT');
  await until('an answer', () => next.text.includes('\r\n\r\n'), 10_000);
  t.match(next.text, /^HTTP\/1\.1 204 /, 'nothing of another channel');
  next.socket.destroy();
  await program.server.stop();
});

void t.test('a poll that asks from now on gets what is published while it waits', async (t) => {
  const { program } = await start(t);
  const asker = new Asker(await connect(program.port));
  process.kill(program.server.pid, 'SIGSTOP');
  asker.socket.write('GET /poll?channel=d&timeout=1 HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until('an answer', () => asker.text.includes('\r\n\r\n'), 10_000);
  asker.socket.destroy();
  process.kill(program.server.pid, 'SIGCONT');
  const cursor = /Megacomet-Cursor: (\S+)/.exec(asker.text)?.[1] ?? '';
  await program.publish('d', 'after');
  const next = new Asker(await connect(program.port));
  next.ask('d', cursor);
  await until('the message', () => next.text.includes('"after"'));
  next.socket.destroy();
  await program.server.stop();
});

/** Subscribers of channel `a`, whose texts grow. */
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

/** Whether each has the messages 0 to `count` - 1 once, in their order. */
function areWhole(texts: readonly string[], count: number): boolean {
  const wanted = Array.from({ length: count }, (_, at) => `message ${at}`).join();
  return texts.every((text) => (text.match(/message \d+/g) ?? []).join() === wanted);
}

void t.test(
  'while clients wait to get in, messages wait too; all get in, and get all',
  async (t) => {
    const program = await Program.start(t, {
      args: ['--workers', '1', '--max-connections', '2000'],
    });
    const texts = await openListeners(t, program, LISTENERS);
    await program.untilTotal('subscriptions', LISTENERS);
    const pid = await program.server.pidOf(0);
    process.kill(pid, 'SIGSTOP');
    // Their connections lie in the queue, and wait for a worker that has too much to do.
    const newcomers = Array.from({ length: NEWCOMERS }, () => new SseClient(program, ['b']));
    const areIn = Promise.all(newcomers.map((newcomer) => newcomer.open()));
    for (let at = 0; at < 20; at++) await program.publish('a', `message ${at}`);
    await sleep(200);
    process.kill(pid, 'SIGCONT');
    await areIn;
    await until('all to have all', () => areWhole(texts, 20));
    const held = await program.server.total('fanoutSlicesDelayedTotal');
    t.ok(held > 0, `${held} slices were held back`);

    // Nobody has had to wait for a second.
    await sleep(1500);
    await program.publish('a', 'message 20');
    await until('all to have one more', () => areWhole(texts, 21));
    t.equal(await program.server.total('fanoutSlicesDelayedTotal'), held, 'and none since');
    for (const newcomer of newcomers) newcomer.close();
  },
);

void t.test('a pong that came in time counts, though the worker stood still', async (t) => {
  const program = await Program.start(t, {
    args: [...PATIENT, '--heartbeat', '1'],
  });
  const clients = Array.from({ length: 20 }, () => new WebSocketClient(program, ['a']));
  for (const client of clients) await client.open();
  const pid = await program.server.pidOf(0);
  // Its pings are out, and the answers come while it stands still.
  const before = await program.server.total('heartbeatsTotal');
  let pings = 0;
  for (const { socket } of clients) {
    socket?.on('ping', () => {
      if (++pings === 1) process.kill(pid, 'SIGSTOP');
    });
  }
  await until('a ping', () => pings > 0);
  await sleep(3500);
  process.kill(pid, 'SIGCONT');
  await until(
    'them to be pinged again',
    async () => (await program.server.total('heartbeatsTotal')) >= before + 2 * clients.length,
  );
  t.equal(await program.server.total('closedDeadTotal'), 0, 'nobody is taken for dead');
  t.ok(clients.every(({ isOpen }) => isOpen));
  for (const client of clients) client.close();
  await program.server.stop();
});
