// A manager that does not answer for a while: who waits for what it missed is told nothing wrong,
// and no answer that comes late is taken for that to another question.
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import { PollClient, Program } from './comet-world.js';
import { connect, until } from './helpers.js';

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
  const program = await Program.start(t, { args: ['--workers', '1', '--heartbeat-limit', '60'] });
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
