// Clients of the public port that send or read slowly: each is cut at its limit and counted, with at
// most 8 KiB of its request held for longer than two seconds, and the others are answered.
import t, { type Test } from 'tap';
import type { Socket } from 'node:net';

import { connect, until } from '../support/helpers.js';
import { startComet, type World } from '../support/comet-world.js';
import { frame, TEXT } from '../support/websocket-peer.js';

/** Seconds of the limits under test. */
const LIMIT_S = 3;
/** A limit is cut within a second; a busy machine adds some. */
const LATE_MS = 1000 + 1500;

const HOST = 'Host: localhost\r\n';
const UPGRADE =
  `GET /ws?channel=a HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n` +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

const POLL = `GET /poll?channel=a HTTP/1.1\r\n${HOST}\r\n`;

/** The first bytes of a masked frame of 60,000 bytes. */
function messageStart(bytes: number, opcode = 1): string {
  const first = String.fromCharCode(0x80 | opcode);
  return `${first}\xfe\xea\x60\0\0\0\0${'x'.repeat(bytes)}`;
}

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
  {
    name: 'a WebSocket message of less than 8 KiB',
    first: UPGRADE + messageStart(8000),
    piece: 'x',
    counter: 'closedMessageTimeoutTotal',
    ...WHOLE,
  },
  {
    name: 'a WebSocket message of more than 8 KiB',
    first: UPGRADE + messageStart(9000),
    piece: 'x',
    counter: 'closedMessageTimeoutTotal',
    limitS: 2,
  },
  {
    name: 'parts of more than 8 KiB together',
    first: UPGRADE + `\x01\xfe\x10\0\0\0\0\0${'x'.repeat(4096)}` + messageStart(5000, 0),
    piece: 'x',
    counter: 'closedMessageTimeoutTotal',
    limitS: 2,
  },
  {
    name: 'a request behind a poll',
    first: `${POLL}${HEAD}X: ${'x'.repeat(9000)}`,
    piece: 'x',
    counter: 'closedHeadTimeoutTotal',
    limitS: 2,
  },
  {
    name: 'polls behind a poll',
    first: POLL.repeat(300),
    piece: '',
    counter: 'closedHeadTimeoutTotal',
    limitS: 2,
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

/** The start of a request or message of a slow client, with as many bytes of padding. */
const BEGUN: Readonly<Record<string, readonly [counter: string, begun: (n: number) => string]>> = {
  heads: ['closedHeadTimeoutTotal', (bytes) => `${HEAD}X: ${'x'.repeat(bytes)}`],
  'WebSocket messages': ['closedMessageTimeoutTotal', (bytes) => UPGRADE + messageStart(bytes)],
  'requests behind a poll': [
    'closedHeadTimeoutTotal',
    (bytes) => `${POLL}${HEAD}X: ${'x'.repeat(bytes)}`,
  ],
};

t.test('a hundred slow clients of each kind hold at most 8 KiB each', async (t) => {
  const world = await startComet(t, { workers: 1, handshakeTimeout: 600, pollTimeout: 600 });
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (const [what, [counter, begun]] of Object.entries(BEGUN)) {
    const before = { cut: total(world, counter), held: total(world, 'inputBudgetBytes') };
    for (let index = 0; index < 100; index++) {
      const socket = await connect(world.port);
      sockets.push(socket);
      socket.resume();
      socket.write(Buffer.from(begun(index % 2 === 0 ? 30_000 : 8000), 'latin1'));
    }
    await until('the long ones to be cut', () => total(world, counter) === before.cut + 50);
    const held = total(world, 'inputBudgetBytes') - before.held;
    t.ok(held > 0 && held <= 50 * 8192, `${held} bytes are held for 50 ${what}`);
  }
  const open = 50 * Object.keys(BEGUN).length;
  t.equal(total(world, 'connections'), open, 'the short ones have their whole time');
});

t.test('a long message that arrives in parts is answered, again and again', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const socket = await connect(world.port);
  t.teardown(() => socket.destroy());
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.write(Buffer.from(UPGRADE, 'latin1'));
  const message = frame(TEXT, `{"type":"ping"}${' '.repeat(65_536 - 15)}`);
  for (let round = 1; round <= 3; round++) {
    for (const at of [0, 20_000, 40_000]) {
      socket.write(message.subarray(at, at + 20_000));
      await until('a part to arrive', () => total(world, 'inputBudgetBytes') > at + 8192);
    }
    socket.write(message.subarray(60_000));
    await until('the answer', () => text.split('"pong"').length === round + 1);
  }
  t.equal(total(world, 'closedMessageTimeoutTotal'), 0);
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
