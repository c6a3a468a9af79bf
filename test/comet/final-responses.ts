// Clients with queued output when the server shuts down or an operator disconnects them: each
// receives all of it and then one final message, with the operator's reason if there is one.
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import t from 'tap';

import { Program, REQUESTS, WebSocketClient } from '../support/comet-world.js';
import { Clients, connect, until } from '../support/helpers.js';

const MESSAGE_BYTES = 900_000;
const ROOMY = ['--workers', '1', '--message-bytes', '1000000', '--send-queue-bytes', '50000000'];

/** Longer than a drain of 3 s; the server allows one more second for queued output. */
const LATE_MS = 3100;

/** More messages than the buffers of the kernel can hold. */
const MESSAGES_MAX = 12;

/** Reads until the server closes the connection. */
async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.on('end', () => socket.end()).resume();
  await until('the end', () => socket.destroyed);
  return text;
}

/**
 * Repeats `queueOne` until the server has output that the kernel does not accept; returns how often.
 * Not more than needed: the client has less than a second to read all of it.
 */
async function untilBlocked(program: Program, queueOne: () => unknown): Promise<number> {
  for (let count = 1; count <= MESSAGES_MAX; count++) {
    const sentBytes = await program.server.total('bytesSentTotal');
    await queueOne();
    await until(
      'the message to be sent or queued',
      async () =>
        (await program.server.total('sendQueueBytes')) > 0 ||
        (await program.server.total('bytesSentTotal')) >= sentBytes + MESSAGE_BYTES,
    );
    if ((await program.server.total('sendQueueBytes')) > 0) return count;
  }
  throw new Error(`the kernel took ${MESSAGES_MAX} messages of ${MESSAGE_BYTES} bytes`);
}

/** Shuts the server down; reads when only the second for queued output is left. */
async function readLate(program: Program, socket: Socket): Promise<string> {
  program.server.child.kill('SIGTERM');
  await program.server.logged(/^draining$/);
  await sleep(LATE_MS);
  return readAll(socket);
}

t.test(
  'a client that reads slowly at shutdown receives all messages and one final message',
  async (t) => {
    const program = await Program.start(t, { args: [...ROOMY, '--drain', '3'] });
    const socket = await connect(program.port);
    socket.pause();
    socket.write(REQUESTS.websocket);
    await program.untilTotal('subscriptions', 1);
    const data = 'x'.repeat(MESSAGE_BYTES);
    const count = await untilBlocked(program, () => program.publish('a', data));
    const text = await readLate(program, socket);
    t.ok(text.length > count * MESSAGE_BYTES, `all ${count} messages`);
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
  const request = REQUESTS.poll.replace(' HTTP', '&since=0000000000000001.1 HTTP');
  const count = await untilBlocked(program, () => socket.write(request));
  const text = await readLate(program, socket);
  t.ok(text.length > count * MESSAGE_BYTES, `all ${count} answers are whole`);
  await program.server.assertEnded(0);
});

/** Subscribers over each transport that wait for a message when the server closes them. */
const CROWD = 800;

for (const [name, disconnect] of [
  ['a kick', (program: Program) => program.kick('a', 'over')],
  ['a drain of no time', (program: Program) => program.server.child.kill('SIGTERM')],
  ['a drain', (program: Program) => program.server.child.kill('SIGTERM')],
] as const) {
  t.test(`a message that was acknowledged before ${name} reaches every subscriber`, async (t) => {
    const drain = name === 'a drain' ? '2' : '0';
    const program = await Program.start(t, { args: ['--workers', '2', '--drain', drain] });
    const crowd = await Clients.open(t, program.port, CROWD);
    const requests = Object.values(REQUESTS);
    const texts = crowd.sockets.map((socket, index) => {
      socket.write(requests[index % requests.length] ?? '');
      return readAll(socket);
    });
    await program.untilTotal('subscriptions', CROWD);
    await program.publish('a', 'last words');
    await disconnect(program);
    // A poll and a WebSocket stay open after their last message until the client ends.
    if (name === 'a kick') program.server.child.kill('SIGTERM');
    const missing = (await Promise.all(texts)).filter((text) => !text.includes('last words'));
    t.equal(missing.length, 0);
    await program.server.assertEnded(0);
  });
}

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
