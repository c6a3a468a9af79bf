// The requirements of RFC 6455 and RFC 7692 for a server, over real sockets: each row is sent in
// one segment with the handshake and again byte by byte, and must produce the same answers.
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import t from 'tap';

import { startComet, type World } from '../support/comet-world.js';
import {
  BINARY,
  CLOSE,
  closeFrame,
  converse,
  deflated,
  fragments,
  frame,
  handshake,
  PING,
  PONG,
  TEXT,
} from '../support/websocket-peer.js';

const MESSAGE_BYTES = 65_536;
const DEFLATE = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' };
/** Sent after frames that must close the connection; must not be echoed. */
const BEHIND = frame(TEXT, 'behind');
const CLOSE_NORMAL = closeFrame(1000);

interface Vector {
  readonly what: string;
  readonly frames: readonly Buffer[];
  readonly wanted: readonly string[];
}

/** Frames that are echoed; the connection stays open. */
function fine(what: string, frames: readonly Buffer[], ...wanted: string[]): Vector {
  return { what, frames: [...frames, CLOSE_NORMAL], wanted: [...wanted, 'close 1000'] };
}

/** Frames that close the connection with a code, after the given answers. */
function fatal(code: number, what: string, frames: readonly Buffer[], ...before: string[]): Vector {
  return { what, frames: [...frames, BEHIND], wanted: [...before, `close ${code}`] };
}

async function tryVectors(
  world: World,
  vectors: readonly Vector[],
  lines: Readonly<Record<string, string>> = {},
  windowBits = 15,
): Promise<string[]> {
  const head = Buffer.from(handshake('/ws-echo', lines));
  const attempt = async ({ what, frames, wanted }: Vector): Promise<string[]> => {
    const whole = Buffer.concat([head, ...frames]);
    const parts =
      whole.length > 2000 ? [head, ...frames] : Array.from(whole, (byte) => Buffer.of(byte));
    const found = await Promise.all([
      converse(world.port, [whole], windowBits),
      converse(world.port, parts, windowBits),
    ]);
    return found.flatMap(({ head, told, isEnded }, way) =>
      told.join() === wanted.join() && isEnded
        ? []
        : [`${what}, way ${way + 1}: ${told.join() || head}${isEnded ? '' : ', not ended'}`],
    );
  };
  const faults: string[] = [];
  // Few at a time: the server lingers for a limited number of rejected clients.
  for (let at = 0; at < vectors.length; at += 8) {
    const some = vectors.slice(at, at + 8).map(attempt);
    faults.push(...(await Promise.all(some)).flat());
  }
  return faults;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const unfinished = { isFinal: false };

const LENGTHS = [0, 1, 125, 126, 127, 128, 65_535, 65_536];

const FRAMING: readonly Vector[] = [
  ...LENGTHS.flatMap((length) => {
    const text = `${'x'.repeat(Math.max(0, length - 1))}y`.slice(0, length);
    const told = length <= 60 ? text : `${length} of xxxxxxxy`;
    return [
      fine(`a text of ${length}`, [frame(TEXT, text)], `text ${told}`),
      fine(`bytes of ${length}`, [frame(BINARY, text)], `binary ${told}`),
    ];
  }),
  fine(
    'several messages',
    [frame(TEXT, 'a'), frame(BINARY, 'b'), frame(TEXT, 'c')],
    'text a',
    'binary b',
    'text c',
  ),
  fine('a mask of zeros', [frame(TEXT, 'a', { mask: Buffer.alloc(4) })], 'text a'),
  fine('a ping', [frame(PING)], 'pong '),
  fine('a ping that is not UTF-8', [frame(PING, hex('00 ff fe fd'))], 'pong \0\xff\xfe\xfd'),
  fine('a ping with 125 bytes', [frame(PING, 'p'.repeat(125))], 'pong 125 of pppppppp'),
  fine(
    'ten pings',
    Array.from({ length: 10 }, (_, n) => frame(PING, `${n}`)),
    ...Array.from({ length: 10 }, (_, n) => `pong ${n}`),
  ),
  fine('an unsolicited pong', [frame(PONG, 'x'), frame(TEXT, 'a')], 'text a'),
  fine('an empty pong, and a ping', [frame(PONG), frame(PING, 'p')], 'pong p'),
  fatal(1002, 'an unmasked text', [frame(TEXT, 'a', { mask: null })]),
  fatal(1002, 'an unmasked ping', [frame(PING, '', { mask: null })]),
  fatal(1002, 'an unmasked close', [frame(CLOSE, '', { mask: null })]),
  ...[1, 2, 3, 4, 5, 6, 7].map((reserved) =>
    fatal(
      1002,
      `reserved bits ${reserved}`,
      [frame(TEXT, 'a'), frame(TEXT, 'b', { reserved })],
      'text a',
    ),
  ),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) =>
    fatal(1002, `opcode ${opcode}`, [frame(PING, 'p'), frame(opcode, 'a')], 'pong p'),
  ),
  ...[CLOSE, PING, PONG].flatMap((opcode) => [
    fatal(1002, `a part of control ${opcode}`, [frame(opcode, '', unfinished)]),
    fatal(1002, `control ${opcode} of 126 bytes`, [frame(opcode, 'x'.repeat(126))]),
    fatal(1002, `control ${opcode} in two bytes`, [frame(opcode, 'ab', { lengthBytes: 2 })]),
  ]),
  fatal(1002, 'none in two bytes', [frame(TEXT, '', { lengthBytes: 2 })]),
  fatal(1002, '125 in two bytes', [frame(TEXT, 'x'.repeat(125), { lengthBytes: 2 })]),
  fatal(1002, '125 in eight bytes', [frame(TEXT, 'x'.repeat(125), { lengthBytes: 8 })]),
  fatal(1002, '65,535 in eight bytes', [frame(TEXT, '', { length: 65_535n, lengthBytes: 8 })]),
  fatal(1002, 'a length with the highest bit', [frame(TEXT, '', { length: 1n << 63n })]),
  fatal(1002, 'the highest length', [frame(TEXT, '', { length: (1n << 64n) - 1n })]),
  fatal(1009, 'a length of 2^63 - 1', [frame(TEXT, '', { length: (1n << 63n) - 1n })]),
  fatal(1009, 'a length of 2^32', [frame(BINARY, '', { length: 1n << 32n })]),
  fatal(
    1000,
    'a ping after a long message and a close',
    [frame(TEXT, 'x'.repeat(60_000)), CLOSE_NORMAL, frame(PING)],
    'text 60000 of xxxxxxxx',
  ),
  fatal(1009, 'one byte too many', [frame(TEXT, '', { length: BigInt(MESSAGE_BYTES + 1) })]),
];

const euro = Buffer.from('€');

const FRAGMENTS: readonly Vector[] = [
  fine('two parts', fragments(TEXT, ['a', 'b']), 'text ab'),
  fine('parts without content', fragments(TEXT, ['', '', '']), 'text '),
  fine('parts of bytes', fragments(BINARY, ['a', '', 'b', '']), 'binary ab'),
  fine('1000 parts', fragments(TEXT, Array<string>(1000).fill('x')), 'text 1000 of xxxxxxxx'),
  fine(
    'a ping in between',
    [frame(TEXT, 'a', unfinished), frame(PING, 'p'), frame(0, 'b')],
    'pong p',
    'text ab',
  ),
  fine(
    'pongs and pings in between',
    [
      ...[frame(BINARY, 'a', unfinished), frame(PONG, 'x'), frame(PING, '1')],
      ...[frame(0, 'b', unfinished), frame(PING, '2'), frame(0, 'c'), frame(TEXT, 'next')],
    ],
    ...['pong 1', 'pong 2', 'binary abc', 'text next'],
  ),
  fine('the longest message', fragments(TEXT, ['x'.repeat(65_535), 'y']), 'text 65536 of xxxxxxxy'),
  fatal(1009, 'one byte more', fragments(TEXT, ['x'.repeat(65_535), 'yz'])),
  fatal(1000, 'a close in between', [frame(TEXT, 'a', unfinished), CLOSE_NORMAL, frame(0, 'b')]),
  fatal(1002, 'a part without a start', [frame(0, 'a')]),
  fatal(1002, 'a part without a start, unfinished', [frame(0, 'a', unfinished)]),
  fatal(1002, 'a part after the end', [frame(TEXT, 'a'), frame(0, 'b')], 'text a'),
  fatal(1002, 'a text within a text', [frame(TEXT, 'a', unfinished), frame(TEXT, 'b')]),
  fatal(1002, 'bytes within a text', [
    frame(TEXT, 'a', unfinished),
    frame(BINARY, 'b', unfinished),
  ]),
  {
    what: 'parts without end',
    frames: [
      frame(TEXT, '', unfinished),
      Buffer.concat(Array<Buffer>(65_536).fill(frame(0, '', unfinished))),
    ],
    wanted: ['close 1008'],
  },
];

/** Bytes that are not UTF-8. */
const NO_UTF8 = [
  ...['80', 'bf', 'c0 80', 'c0 af', 'c1 bf', 'c2', 'c2 00', 'c2 c0', 'e0 80 80', 'e0 9f bf'],
  ...['e2 82', 'e2 28 a1', 'ed a0 80', 'ed bf bf', 'f0 80 80 80', 'f0 8f bf bf', 'f0 9f 98'],
  ...['f4 90 80 80', 'f5 80 80 80', 'f8 88 80 80 80', 'fe', 'ff', '61 80 61', 'ed a0 bd ed b8 80'],
];

const TEXTS: readonly Vector[] = [
  ...['κόσμε', '\ufeff', '\ufffe\uffff', '\ud7ff\ue000', '\u{10ffff}\u{10000}', '\0', '😀'].map(
    (text) =>
      fine('a valid text', [frame(TEXT, text)], `text ${Buffer.from(text).toString('latin1')}`),
  ),
  fine(
    'a character in parts',
    fragments(TEXT, [euro.subarray(0, 1), euro.subarray(1, 2), euro.subarray(2)]),
    `text ${euro.toString('latin1')}`,
  ),
  fine(
    'a character around a ping',
    [frame(TEXT, euro.subarray(0, 2), unfinished), frame(PING), frame(0, euro.subarray(2))],
    'pong ',
    `text ${euro.toString('latin1')}`,
  ),
  ...NO_UTF8.flatMap((bytes) => [
    fatal(1007, `text ${bytes}`, [frame(TEXT, hex(bytes))]),
    fatal(1007, `text ${bytes} in a later part`, fragments(TEXT, ['ä', hex(bytes), 'ä'])),
    fine(`bytes ${bytes}`, [frame(BINARY, hex(bytes))], `binary ${hex(bytes).toString('latin1')}`),
  ]),
  // Rejected at once, before the rest arrives.
  fatal(1007, 'a wrong start of a long text', [frame(TEXT, hex('ff'), { length: 60_000n })]),
  fatal(1007, 'a wrong first part', [frame(TEXT, hex('ce ba ff'), unfinished)]),
  fatal(1007, 'half a character at the end', fragments(TEXT, ['a', euro.subarray(0, 2), ''])),
];

const RIGHT_CODES = [
  1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
];
const WRONG_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];

const CLOSING: readonly Vector[] = [
  ...RIGHT_CODES.map((code) => fatal(code, `code ${code}`, [closeFrame(code, 'why')])),
  ...WRONG_CODES.map((code) => fatal(1002, `code ${code}`, [closeFrame(code)])),
  fatal(1000, 'no code', [frame(CLOSE)]),
  fatal(1002, 'half a code', [frame(CLOSE, hex('03'))]),
  fatal(1000, 'the longest reason', [closeFrame(1000, 'x'.repeat(123))]),
  fatal(1000, 'a reason that is not ASCII', [closeFrame(1000, '日本語')]),
  ...NO_UTF8.map((bytes) => fatal(1007, `reason ${bytes}`, [closeFrame(1000, hex(bytes))])),
  fatal(1000, 'a second close frame', [CLOSE_NORMAL, closeFrame(1001)]),
  fatal(1000, 'a ping after it', [CLOSE_NORMAL, frame(PING)]),
];

const long = 'abcdefgh'.repeat(1000);
const longTold = '8000 of abcdefgh';
const rsv1 = { reserved: 4 };
const packed = (data: Buffer | string, options?: object): Buffer =>
  frame(TEXT, deflated(data, options), rsv1);
const bytesOfLong = deflated(long);

const DEFLATED: readonly Vector[] = [
  fine('a short text', [packed('hello')], 'text hello'),
  fine('a long text', [packed(long)], `deflated text ${longTold}`),
  fine('bytes', [frame(BINARY, bytesOfLong, rsv1)], `deflated binary ${longTold}`),
  fine('a text as it is', [frame(TEXT, long)], `deflated text ${longTold}`),
  fine(
    'several',
    [packed('a'), frame(TEXT, 'b'), packed(long), packed('c')],
    'text a',
    'text b',
    `deflated text ${longTold}`,
    'text c',
  ),
  fine('nothing', [frame(TEXT, hex('00'), rsv1)], 'text '),
  fine('nothing, as bytes', [frame(BINARY, hex('00'), rsv1)], 'binary '),
  fine(
    'parts',
    fragments(TEXT, [bytesOfLong.subarray(0, 1), '', bytesOfLong.subarray(1)], 4),
    `deflated text ${longTold}`,
  ),
  fine(
    'parts of a byte',
    fragments(
      TEXT,
      Array.from(bytesOfLong, (byte) => Buffer.of(byte)),
      4,
    ),
    `deflated text ${longTold}`,
  ),
  fine(
    'a ping within',
    [
      frame(TEXT, bytesOfLong.subarray(0, 9), { ...rsv1, ...unfinished }),
      frame(PING, 'p'),
      frame(0, bytesOfLong.subarray(9)),
    ],
    'pong p',
    `deflated text ${longTold}`,
  ),
  fine('stored blocks', [packed(long, { level: 0 })], `deflated text ${longTold}`),
  fine('fixed codes', [packed(long, { strategy: 4 })], `deflated text ${longTold}`),
  fine('a narrow window', [packed(long, { windowBits: 9 })], `deflated text ${longTold}`),
  // RFC 7692 7.2.3.3 and 7.2.3.4: several blocks, and a final one.
  fine(
    'two blocks',
    [frame(TEXT, hex('f2 48 05 00 00 00 ff ff ca c9 c9 07 00'), rsv1)],
    'text Hello',
  ),
  fine('a final block', [frame(TEXT, hex('f3 48 cd c9 c9 07 00 00'), rsv1)], 'text Hello'),
  fine(
    'the longest message',
    [packed('x'.repeat(MESSAGE_BYTES))],
    'deflated text 65536 of xxxxxxxx',
  ),
  fatal(1009, 'one byte more', [packed('x'.repeat(MESSAGE_BYTES + 1))]),
  fatal(1009, 'a thousandfold', [frame(BINARY, deflated(Buffer.alloc(10_000_000)), rsv1)]),
  fatal(
    1009,
    'a thousandfold in parts',
    fragments(BINARY, [deflated(Buffer.alloc(10_000_000)), ''], 4),
  ),
  fatal(1002, 'RSV1 on a part', [
    frame(TEXT, bytesOfLong.subarray(0, 9), { ...rsv1, ...unfinished }),
    frame(0, bytesOfLong.subarray(9), rsv1),
  ]),
  fatal(1002, 'RSV1 on a part of a message that is not deflated', [
    frame(TEXT, 'a', unfinished),
    frame(0, 'b', rsv1),
  ]),
  fatal(1002, 'RSV1 on a ping', [frame(PING, '', rsv1)]),
  fatal(1002, 'RSV1 on a close', [frame(CLOSE, '', rsv1)]),
  ...[1, 2, 3, 5, 6, 7].map((reserved) =>
    fatal(1002, `reserved bits ${reserved}`, [frame(TEXT, bytesOfLong, { reserved })]),
  ),
  fatal(1007, 'not deflate data', [frame(TEXT, 'this is not deflate', rsv1)]),
  fatal(1007, 'a wrong block', [frame(TEXT, hex('06'), rsv1)]),
  fatal(1007, 'half of it', [frame(TEXT, bytesOfLong.subarray(0, 9), rsv1)]),
  fatal(1007, 'a text that is not UTF-8', [packed(hex('61 ff'))]),
  fatal(1007, 'a text that ends within a character', [packed(euro.subarray(0, 2))]),
  fine('bytes that are not UTF-8', [frame(BINARY, deflated(hex('61 ff')), rsv1)], 'binary a\xff'),
  // The client has agreed to start each message with an empty window.
  fatal(
    1007,
    'a message that refers back to the previous one',
    [packed(long), packed(long, { dictionary: Buffer.from(long) })],
    `deflated text ${longTold}`,
  ),
];

const SUITES = [
  ['frames are parsed as RFC 6455 5 says', FRAMING, {}],
  ['messages arrive in fragments, with control frames between', FRAGMENTS, {}],
  ['texts must be UTF-8, and invalid bytes are rejected at once', TEXTS, {}],
  ['Close is answered with its code, if the code is valid', CLOSING, {}],
  ['deflated messages are inflated independently', DEFLATED, DEFLATE],
  ['compression changes nothing for uncompressed messages', [...CLOSING, ...TEXTS], DEFLATE],
] as const;

for (const [sentence, vectors, lines] of SUITES) {
  t.test(sentence, async (t) => {
    const world = await startComet(t, { workers: 1, wsEcho: true, messageBytes: MESSAGE_BYTES });
    t.strictSame(await tryVectors(world, vectors, lines), []);
    const alive = await converse(world.port, [handshake('/ws-echo'), BEHIND, CLOSE_NORMAL]);
    t.strictSame(alive.told, ['text behind', 'close 1000'], 'the server keeps serving');
  });
}

t.test('a client that keeps sending after Close receives Close, not a reset', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true });
  const socket = createConnection({ port: world.port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  const faults: string[] = [];
  socket.on('error', (error) => faults.push(error.message));
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.resume().write(handshake('/ws-echo'));
  socket.write(CLOSE_NORMAL);
  await once(socket, 'end');
  // After an early close the first write would cause a reset, and the second write would fail.
  for (let count = 0; count < 2; count++) {
    await new Promise((resolve) => socket.write(BEHIND, resolve));
    await delay(50);
  }
  socket.end();
  await closed;
  t.strictSame(faults, []);
});

t.test('a rejected client receives the reason even while it keeps sending', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true, messageBytes: MESSAGE_BYTES });
  const many = Buffer.alloc(4_194_304);
  for (const [code, first] of [
    [1009, frame(BINARY, many)],
    [1002, Buffer.concat([frame(TEXT, '', { reserved: 1 }), many])],
    [1007, frame(TEXT, Buffer.concat([hex('ff'), many.subarray(0, 60_000)]))],
  ] as const) {
    const found = await converse(world.port, [handshake('/ws-echo'), first]);
    t.strictSame([found.told, found.isEnded], [[`close ${code}`], true]);
  }
});
