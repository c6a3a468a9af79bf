// Who is owed bytes when the server leaves, or an operator closes: each hears one word of farewell,
// the operator's own where it gave one, behind everything that it was owed.
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import t from 'tap';

import { Program, REQUESTS, WebSocketClient } from '../support/comet-world.js';
import { connect, until } from '../support/helpers.js';

const MESSAGE_BYTES = 900_000;
const ROOMY = ['--workers', '1', '--message-bytes', '1000000', '--send-queue-bytes', '50000000'];

/** After a drain of 3 s, and many ticks of the second that it gives to farewells. */
const LATE_MS = 3500;

/** Reads all that comes until the server ends. */
async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.on('end', () => socket.end()).resume();
  await until('the end', () => socket.destroyed, 10_000);
  return text;
}

async function untilOwing(program: Program): Promise<void> {
  await until('bytes that wait', async () => (await program.server.total('sendQueueBytes')) > 0);
}

void t.test('who is slow when the server leaves gets all, and one farewell', async (t) => {
  const program = await Program.start(t, { args: [...ROOMY, '--drain', '3'] });
  const socket = await connect(program.port);
  socket.pause();
  socket.write(REQUESTS.websocket);
  await program.untilTotal('subscriptions', 1);
  for (let count = 0; count < 12; count++) await program.publish('a', 'x'.repeat(MESSAGE_BYTES));
  await untilOwing(program);
  program.server.child.kill('SIGTERM');
  await sleep(LATE_MS);
  const text = await readAll(socket);
  t.ok(text.length > 12 * MESSAGE_BYTES, 'all messages');
  t.equal(text.split('server shutting down').length - 1, 1, 'one close frame');
  await program.server.assertEnded(0);
});

void t.test(
  'answers to polls that are on their way when the server leaves get there',
  async (t) => {
    const program = await Program.start(t, { args: [...ROOMY, '--drain', '3'] });
    await program.publish('a', 'x'.repeat(MESSAGE_BYTES));
    const socket = await connect(program.port);
    socket.pause();
    // Of another epoch: each is told all there is, at once.
    socket.write(REQUESTS.poll.replace(' HTTP', '&since=0000000000000001.1 HTTP').repeat(12));
    await untilOwing(program);
    program.server.child.kill('SIGTERM');
    await sleep(LATE_MS);
    const text = await readAll(socket);
    t.ok(text.length > 12 * MESSAGE_BYTES, 'all answers are whole');
    await program.server.assertEnded(0);
  },
);

void t.test('a kick says why, where a transport can', async (t) => {
  const program = await Program.start(t, { args: ['--workers', '1'] });
  for (const [reason, wanted] of [
    ['over for today', 'over for today'],
    ['', 'closed by the operator'],
  ]) {
    const client = new WebSocketClient(program, ['a']);
    await client.open();
    let heard = '';
    client.socket?.on('close', (_code, text: Buffer) => (heard = text.toString()));
    await program.kick('a', reason ?? '');
    await until('the close', () => client.closeCode === 1008);
    t.equal(heard, wanted);
  }
  await program.server.stop();
});
