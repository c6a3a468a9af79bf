// Clients with queued output when the server shuts down or an operator disconnects them: each
// receives all of it and then one final message, with the operator's reason if there is one.
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import t from 'tap';

import { Program, REQUESTS, WebSocketClient } from '../support/comet-world.js';
import { connect, until } from '../support/helpers.js';

const MESSAGE_BYTES = 900_000;
const ROOMY = ['--workers', '1', '--message-bytes', '1000000', '--send-queue-bytes', '50000000'];

/** Longer than a drain of 3 s and the second after it for final responses. */
const LATE_MS = 3500;

/** Reads until the server closes the connection. */
async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.on('end', () => socket.end()).resume();
  await until('the end', () => socket.destroyed, 10_000);
  return text;
}

async function untilBlocked(program: Program): Promise<void> {
  await until('queued bytes', async () => (await program.server.total('sendQueueBytes')) > 0);
}

t.test(
  'a client that reads slowly at shutdown receives all messages and one final message',
  async (t) => {
    const program = await Program.start(t, { args: [...ROOMY, '--drain', '3'] });
    const socket = await connect(program.port);
    socket.pause();
    socket.write(REQUESTS.websocket);
    await program.untilTotal('subscriptions', 1);
    for (let count = 0; count < 12; count++) await program.publish('a', 'x'.repeat(MESSAGE_BYTES));
    await untilBlocked(program);
    program.server.child.kill('SIGTERM');
    await sleep(LATE_MS);
    const text = await readAll(socket);
    t.ok(text.length > 12 * MESSAGE_BYTES, 'all messages');
    t.equal(text.split('server shutting down').length - 1, 1, 'one close frame');
    await program.server.assertEnded(0);
  },
);

t.test('queued answers to polls arrive when the server shuts down', async (t) => {
  const program = await Program.start(t, { args: [...ROOMY, '--drain', '3'] });
  await program.publish('a', 'x'.repeat(MESSAGE_BYTES));
  const socket = await connect(program.port);
  socket.pause();
  // A cursor of another epoch: each poll is answered at once with the whole history.
  socket.write(REQUESTS.poll.replace(' HTTP', '&since=0000000000000001.1 HTTP').repeat(12));
  await untilBlocked(program);
  program.server.child.kill('SIGTERM');
  await sleep(LATE_MS);
  const text = await readAll(socket);
  t.ok(text.length > 12 * MESSAGE_BYTES, 'all answers are whole');
  await program.server.assertEnded(0);
});

t.test('a kick sends its reason on transports that can carry it', async (t) => {
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
