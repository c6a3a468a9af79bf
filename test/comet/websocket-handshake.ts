// The WebSocket handshake and its negotiation: RFC 6455 4 and 9.1, RFC 7692 5 to 7. Only a valid
// request is answered with 101.
import t from 'tap';

import { startComet, type World } from '../support/comet-world.js';
import {
  ACCEPT,
  closeFrame,
  converse,
  deflated,
  frame,
  handshake,
  KEY,
  TEXT,
} from '../support/websocket-peer.js';

type Lines = Readonly<Record<string, string | null>>;

/** The difference from a valid request, and the status code of the answer. */
type Vector = readonly [what: string, code: number, lines: Lines, ...more: string[]];

const BASE64 = (bytes: number): string => Buffer.alloc(bytes, 7).toString('base64');

const VECTORS: readonly Vector[] = [
  ['a valid request', 101, {}],
  ['another case', 101, { Upgrade: 'WEBSOCKET', Connection: 'upgrade' }],
  ['lists', 101, { Upgrade: 'h2c, websocket', Connection: 'keep-alive, Upgrade' }],
  ['lists in two lines', 101, { Connection: 'keep-alive' }, 'Connection: Upgrade'],
  ['protocols', 101, { 'Sec-WebSocket-Protocol': 'chat, superchat' }],
  ['lines that mean nothing here', 101, { Cookie: 'a=b', Authorization: 'Basic x', DNT: '1' }],
  ['no Upgrade', 426, { Upgrade: null }],
  ['another protocol', 426, { Upgrade: 'h2c' }],
  ['a protocol with a version', 426, { Upgrade: 'websocket/13' }],
  ['no Connection', 426, { Connection: null }],
  ['another connection', 426, { Connection: 'keep-alive' }],
  ['no version', 426, { 'Sec-WebSocket-Version': null }],
  ...['0', '7', '8', '12', '14', '13, 8', '8, 13', '013', '+13', '13.0', ''].map(
    (version): Vector => [`version '${version}'`, 426, { 'Sec-WebSocket-Version': version }],
  ),
  ['two versions', 400, {}, 'Sec-WebSocket-Version: 13'],
  ['no key', 400, { 'Sec-WebSocket-Key': null }],
  ['two keys', 400, {}, `Sec-WebSocket-Key: ${KEY}`],
  ...['', 'x', BASE64(15), BASE64(17), BASE64(16).slice(0, -2), `${KEY}=`, `${KEY}, ${KEY}`].map(
    (key): Vector => [`a key of '${key}'`, 400, { 'Sec-WebSocket-Key': key }],
  ),
  ['a key in the alphabet of URLs', 400, { 'Sec-WebSocket-Key': '-_HhlIHNhbXBsZSBub25jZQ==' }],
  ['a key with bits left', 400, { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZR==' }],
  ['no host', 400, { Host: null }],
  ['a body', 400, { 'Content-Length': '5' }],
  ['a body in chunks', 400, { 'Transfer-Encoding': 'chunked' }],
];

/** Origins of requests to `Host: a`, with https://ok.example on the list. */
const ORIGINS: readonly (readonly [origin: string, code: number])[] = [
  ...['http://a', 'http://a:80', 'https://a', 'https://a:443', 'http://A'].map(
    (own) => [own, 101] as const,
  ),
  ['https://ok.example', 101],
  ...['null', '', 'a', '//a', 'http://', 'http://a:81', 'http://a:8000', 'http://b', 'file://'].map(
    (other) => [other, 403] as const,
  ),
  ...['http://a.evil.example', 'http://evil.example/a', 'http://a@evil.example'].map(
    (trick) => [trick, 403] as const,
  ),
  ...['https://ok.example.evil', 'http://ok.example', 'https://ok.example:8443', '*'].map(
    (trick) => [trick, 403] as const,
  ),
];

async function codeOf(world: World, request: string): Promise<{ code: number; head: string }> {
  // A close frame, so that an opened connection ends too.
  const { head } = await converse(world.port, [request, closeFrame(1000)]);
  return { code: Number(head.slice(9, 12)), head };
}

t.test('only a valid request is answered with 101', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true });
  for (const [what, wanted, lines, ...more] of VECTORS) {
    const { code, head } = await codeOf(world, handshake('/ws-echo', lines, more));
    t.equal(code, wanted, what);
    if (wanted === 101) {
      t.match(head, `\r\nSec-WebSocket-Accept: ${ACCEPT}`, 'with the answer to its key');
      t.notMatch(
        head,
        /^Sec-WebSocket-(Protocol|Extensions)/im,
        'and nothing that was not offered',
      );
    }
    if (wanted === 426)
      t.match(head, '\r\nSec-WebSocket-Version: 13\r\n', 'names the supported version');
  }
  for (const [method, wanted] of [
    ['POST', 405],
    ['HEAD', 426],
    ['OPTIONS', 204],
  ] as const) {
    const request = handshake('/ws-echo', { Connection: 'Upgrade, close' }).replace('GET', method);
    t.equal((await codeOf(world, request)).code, wanted, method);
  }
  const old = handshake('/ws-echo').replace('HTTP/1.1', 'HTTP/1.0');
  t.equal((await codeOf(world, old)).code, 426, 'HTTP/1.0');
  t.equal((await codeOf(world, handshake('/ws?channel='))).code, 400, 'an invalid channel');
});

t.test('pages of the same origin and of allowed origins may open a WebSocket', async (t) => {
  const world = await startComet(t, { workers: 1, origin: ['https://ok.example'] });
  for (const [origin, wanted] of ORIGINS) {
    const { code } = await codeOf(world, handshake('/ws', { Origin: origin }));
    t.equal(code, wanted, `origin '${origin}'`);
  }
  const two = handshake('/ws', { Origin: 'http://a' }, ['Origin: http://b']);
  t.equal((await codeOf(world, two)).code, 400, 'two origins');
});

const BASE = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

/** Offers and the answer to each: empty for none, null for a rejection. */
const OFFERS: readonly (readonly [offer: string, answer: string | null])[] = [
  ['permessage-deflate', BASE],
  ['permessage-deflate; server_no_context_takeover', BASE],
  ['permessage-deflate; client_no_context_takeover', BASE],
  ['permessage-deflate;client_no_context_takeover;server_no_context_takeover', BASE],
  ['permessage-deflate; client_max_window_bits', `${BASE}; client_max_window_bits=15`],
  ['permessage-deflate; client_max_window_bits=15', `${BASE}; client_max_window_bits=15`],
  ['permessage-deflate; client_max_window_bits=8', `${BASE}; client_max_window_bits=8`],
  ['permessage-deflate; client_max_window_bits="10"', `${BASE}; client_max_window_bits=10`],
  ...[9, 10, 11, 12, 13, 14, 15].map(
    (bits) =>
      [
        `permessage-deflate; server_max_window_bits=${bits}`,
        `${BASE}; server_max_window_bits=${bits}`,
      ] as const,
  ),
  [
    'permessage-deflate; server_max_window_bits=12; client_max_window_bits=9',
    `${BASE}; server_max_window_bits=12; client_max_window_bits=9`,
  ],
  // Declined: the connection opens without it.
  ...['7', '16', '0', '999', '08', '015', '-9', '1e1', '99999999999999999999', 'x'].flatMap(
    (bits) => [
      [`permessage-deflate; server_max_window_bits=${bits}`, ''] as const,
      [`permessage-deflate; client_max_window_bits=${bits}`, ''] as const,
    ],
  ),
  ['permessage-deflate; server_max_window_bits=8', ''],
  ['permessage-deflate; server_max_window_bits', ''],
  ['permessage-deflate; server_no_context_takeover=1', ''],
  ['permessage-deflate; client_no_context_takeover=true', ''],
  ['permessage-deflate; server_no_context_takeover; server_no_context_takeover', ''],
  ['permessage-deflate; client_max_window_bits; client_max_window_bits=9', ''],
  ['permessage-deflate; server_max_window_bits=9; server_max_window_bits=9', ''],
  ['permessage-deflate; unknown', ''],
  ['permessage-deflate; unknown=1', ''],
  ['x-webkit-deflate-frame', ''],
  ['permessage-bzip2, deflate-stream', ''],
  // The first acceptable offer.
  ['permessage-deflate; unknown, permessage-deflate', BASE],
  [
    'x-webkit-deflate-frame, permessage-deflate; client_max_window_bits',
    `${BASE}; client_max_window_bits=15`,
  ],
  ['permessage-deflate; server_max_window_bits=8, permessage-deflate', BASE],
  [
    'permessage-deflate; server_max_window_bits=10, permessage-deflate',
    `${BASE}; server_max_window_bits=10`,
  ],
  [', ,permessage-deflate,', BASE],
  ['', ''],
  // Not a valid list of extensions.
  ...['permessage-deflate;', 'permessage-deflate; =9', ';', 'permessage-deflate;; x', 'a b'].map(
    (broken) => [broken, null] as const,
  ),
  ...[
    'permessage-deflate; client_max_window_bits=',
    'a; b="c',
    'a; b="',
    'a; b=""',
    'a; b=c d',
  ].map((broken) => [broken, null] as const),
];

t.test('compression is negotiated as offered, or not at all', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true });
  const extensions = (head: string): string =>
    /^Sec-WebSocket-Extensions: (.*)$/im.exec(head)?.[1]?.trim() ?? '';
  for (const [offer, wanted] of OFFERS) {
    const { code, head } = await codeOf(
      world,
      handshake('/ws-echo', { 'Sec-WebSocket-Extensions': offer }),
    );
    t.strictSame([code, extensions(head)], wanted === null ? [400, ''] : [101, wanted], offer);
  }
  const lines = ['Sec-WebSocket-Extensions: foo', 'Sec-WebSocket-Extensions: permessage-deflate'];
  t.equal(extensions((await codeOf(world, handshake('/ws-echo', {}, lines))).head), BASE, 'lines');
});

t.test('the server keeps to the window that the client offered', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true });
  // Repeats at a distance that only a wide window covers.
  const noise = Array.from({ length: 3000 }, (_, n) => String((n * 7919) % 9973)).join();
  const text = noise + noise;
  for (const bits of [9, 10, 12, 15]) {
    const offer = {
      'Sec-WebSocket-Extensions': `permessage-deflate; server_max_window_bits=${bits}`,
    };
    const parts = [
      handshake('/ws-echo', offer),
      frame(TEXT, deflated(text), { reserved: 4 }),
      closeFrame(1000),
    ];
    // Inflating with a window of that size fails at any longer distance.
    const { told } = await converse(world.port, parts, bits);
    t.strictSame(
      told,
      [`deflated text ${text.length} of ${text.slice(-8)}`, 'close 1000'],
      `${bits}`,
    );
  }
});

t.test('bytes that arrive with the handshake belong to the WebSocket', async (t) => {
  const world = await startComet(t, { workers: 1, wsEcho: true, clientPublish: true });
  const all = [handshake('/ws-echo'), frame(TEXT, 'a'), closeFrame(1000)].map((part) =>
    Buffer.from(part),
  );
  const { told } = await converse(world.port, [Buffer.concat(all)]);
  t.strictSame(told, ['text a', 'close 1000']);
  const second = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const hidden = await converse(world.port, [
    Buffer.concat([Buffer.from(handshake('/ws-echo')), second]),
  ]);
  t.strictSame(hidden.told, ['close 1002'], 'a pipelined request is not a WebSocket frame');
});

t.test('the comet socket accepts only texts with JSON objects', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const say = async (...frames: Buffer[]): Promise<readonly string[]> =>
    (await converse(world.port, [handshake('/ws'), ...frames, closeFrame(1000)])).told;
  t.strictSame(await say(frame(2, 'x')), ['close 1003']);
  for (const text of ['', 'x', '[]', '1', '{', '{"type":1}', '{"type":"x"}', '{"a":1,"a":2}']) {
    const told = await say(frame(TEXT, text), frame(TEXT, '{"type":"ping"}'));
    t.match(told, [/^text .*/, 'text {"type":"pong"}', 'close 1000'], `an error for ${text}`);
  }
});
