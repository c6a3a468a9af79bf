// Clients of the public port that send or read slowly: each is cut at its limit and counted, with at
// most 8 KiB of its request held for longer than two seconds, and the others are answered.
import t, { type Test } from 'tap';
import type { Socket } from 'node:net';

import { connect, until } from '../support/helpers.js';
import { startComet, type World } from '../support/comet-world.js';

/** Seconds of the limits under test. */
const LIMIT_S = 3;
/** A limit is cut within a second; a busy machine adds some. */
const LATE_MS = 1000 + 1500;

const HOST = 'Host: localhost\r\n';
const UPGRADE =
  `GET /ws?channel=a HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n` +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

interface Slow {
  readonly name: string;
  /** Sent at once. */
  readonly first: string;
  /** Sent again and again. */
  readonly piece: string;
  /** The counter of the cut. */
  readonly counter: string;
  /** Seconds until the cut. */
  readonly limitS: number;
}

/** Sends slowly; resolves to the milliseconds until the server ends the connection. */
async function cutAfter(t: Test, world: World, { first, piece }: Slow): Promise<number> {
  const socket = await connect(world.port);
  const startedAt = performance.now();
  socket.resume();
  socket.write(Buffer.from(first, 'latin1'));
  const timer = setInterval(() => {
    if (piece !== '' && socket.writable) socket.write(Buffer.from(piece, 'latin1'));
  }, 100);
  t.teardown(() => {
    clearInterval(timer);
    socket.destroy();
  });
  await new Promise((resolve) => socket.once('close', resolve).once('end', resolve));
  clearInterval(timer);
  socket.destroy();
  return performance.now() - startedAt;
}

const total = (world: World, name: string): number => Number(world.server.stats().totals[name]);

const ANSWERED = `GET /nothing HTTP/1.1\r\n${HOST}\r\n`;
const HEAD = `GET /events?channel=a HTTP/1.1\r\n${HOST}`;
const WHOLE = { limitS: LIMIT_S };
const ROWS: readonly Slow[] = [
  { name: 'silence', first: '', piece: '', counter: 'closedIdleTotal', ...WHOLE },
  {
    name: 'silence after a request',
    first: ANSWERED,
    piece: '',
    counter: 'closedIdleTotal',
    ...WHOLE,
  },
  {
    name: 'a byte of a head',
    first: `${HEAD}X: `,
    piece: 'x',
    counter: 'closedHeadTimeoutTotal',
    ...WHOLE,
  },
  {
    name: 'a field of a head',
    first: HEAD,
    piece: 'a: b\r\n',
    counter: 'closedHeadTimeoutTotal',
    ...WHOLE,
  },
  {
    name: 'a byte of a second head',
    first: `${ANSWERED}${HEAD}X: `,
    piece: 'x',
    counter: 'closedHeadTimeoutTotal',
    ...WHOLE,
  },
  {
    name: 'a head of 8 KiB',
    first: `${HEAD}X: ${'x'.repeat(8000)}`,
    piece: '',
    counter: 'closedHeadTimeoutTotal',
    ...WHOLE,
  },
  {
    name: 'a head of more than 8 KiB',
    first: `${HEAD}X: ${'x'.repeat(20_000)}`,
    piece: 'x',
    counter: 'closedHeadTimeoutTotal',
    limitS: 2,
  },
  {
    name: 'a body',
    first: `POST /poll HTTP/1.1\r\n${HOST}Content-Length: 1000\r\n\r\n`,
    piece: 'x',
    counter: 'badRequestsOtherTotal',
    limitS: 0,
  },
  {
    name: 'a part of a WebSocket message',
    first: `${UPGRADE}\x01\x81\0\0\0\0x`,
    piece: '\0\x81\0\0\0\0x',
    counter: 'closedMessageTimeoutTotal',
    ...WHOLE,
  },
];

t.test('slow senders are cut at their limits, each with its counter', async (t) => {
  const world = await startComet(t, {
    ...{ workers: 1, handshakeTimeout: LIMIT_S, keepAliveTimeout: LIMIT_S, heartbeat: 60 },
  });
  const before = new Map(ROWS.map(({ counter }) => [counter, total(world, counter)]));
  const times = await Promise.all(ROWS.map((row) => cutAfter(t, world, row)));
  for (const [index, { name, limitS }] of ROWS.entries()) {
    const ms = times[index] ?? NaN;
    t.ok(ms >= (limitS - 1) * 1000, `${name}: not before its limit (${ms.toFixed(0)} ms)`);
    t.ok(ms <= limitS * 1000 + LATE_MS, `${name}: within a second after it`);
  }
  for (const [counter, count] of before) {
    const wanted = ROWS.filter((row) => row.counter === counter).length;
    await until(`${counter} to count ${wanted}`, () => total(world, counter) - count === wanted);
    t.pass(`${counter} counts ${wanted}`);
  }
  await until('all their memory to be free', () => total(world, 'inputBudgetBytes') === 0);
});

t.test('a hundred slow heads hold at most 8 KiB each', async (t) => {
  const world = await startComet(t, { workers: 1, handshakeTimeout: 600 });
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  const head = `GET /events?channel=a HTTP/1.1\r\n${HOST}X: `;
  for (let index = 0; index < 100; index++) {
    const socket = await connect(world.port);
    sockets.push(socket);
    socket.write(head + 'x'.repeat(index % 2 === 0 ? 30_000 : 8000));
  }
  await until('the long ones to be cut', () => total(world, 'closedHeadTimeoutTotal') === 50);
  const held = total(world, 'inputBudgetBytes');
  t.ok(held > 0 && held <= 50 * 8192, `${held} bytes are held for 50 clients`);
  t.equal(total(world, 'connections'), 50, 'the short ones have their whole time');
});

t.test('a long head that arrives at once is answered', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const socket = await connect(world.port);
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  const head = `GET /nothing HTTP/1.1\r\n${HOST}X: ${'x'.repeat(30_000)}`;
  socket.write(head);
  await until('a part to arrive', () => total(world, 'inputBudgetBytes') > 8192);
  socket.write('\r\n\r\n');
  await until('the answer', () => text.startsWith('HTTP/1.1 404'));
  t.equal(total(world, 'closedHeadTimeoutTotal'), 0);
  socket.destroy();
});
