// HTTP of the whole server. A request that two parsers could read differently is rejected once, and
// nothing after it is read: such differences are how requests are smuggled.
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import t from 'tap';

import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

/** Answered at once with 204; the connection stays open. */
const GOOD = 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n';
const LAST = 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
/** Longer than any answer takes on a busy machine. */
const LIMIT_MS = 60_000;
/** The server's request timeout, where it must not close a connection before that. */
const LONG_S = 300;

interface Talk {
  /** Everything received, one byte per character. */
  readonly text: string;
  /** The status codes of the answers, in order. */
  readonly codes: readonly number[];
  /** Whether the server closed the connection. */
  readonly isEnded: boolean;
}

function codesOf(text: string): number[] {
  // Not only at line starts, because most bodies end without a line end.
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => Number(code));
}

/** Sends each part in its own segment and reads until the server closes the connection. */
async function talk(world: World, ...parts: readonly string[]): Promise<Talk> {
  const socket = createConnection(world.port, '127.0.0.1').setNoDelay(true);
  let text = '';
  let isEnded = false;
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.on('end', () => (isEnded = true));
  // A close while more bytes arrive causes a reset; the answer was read before it.
  socket.on('error', () => (isEnded = true));
  const closed = new Promise((resolve) => socket.on('close', resolve));
  const timer = setTimeout(() => socket.destroy(), LIMIT_MS);
  await once(socket, 'connect');
  for (const [at, part] of parts.entries()) {
    if (at > 0) await sleep(20);
    if (!socket.destroyed) socket.write(part, 'latin1');
  }
  await closed;
  clearTimeout(timer);
  return { text, codes: codesOf(text), isEnded };
}

/** A request with more header lines, and a body. */
function request(lines: readonly string[], body = '', first = 'GET /poll?channel=a'): string {
  return [`${first} HTTP/1.1`, 'Host: a', ...lines, '', body].join('\r\n');
}

const post = (lines: readonly string[], body = ''): string => request(lines, body, 'POST /poll');

/** A second request, hidden in a body. */
const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n';
const CHUNKED = `1c\r\n${HIDDEN.slice(0, 28)}\r\n0\r\n\r\n`;
const CHUNKS = 'Transfer-Encoding: chunked';

const fields = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => `X-${n}: secret`);
const UPGRADE = [
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];

type Vector = readonly [what: string, bytes: string, code?: number];

const SMUGGLING: readonly Vector[] = [
  ['a length and chunks', post(['Content-Length: 6', CHUNKS], `0\r\n\r\n${HIDDEN}`)],
  ['chunks and a length', post([CHUNKS, 'Content-Length: 6'], `0\r\n\r\n${HIDDEN}`)],
  ['a GET with a length that hides a request', request(['Content-Length: 35'], HIDDEN)],
  ['a GET with chunks that hide a request', request([CHUNKS], CHUNKED)],
  ['a HEAD with a body', request(['Content-Length: 35'], HIDDEN, 'HEAD /poll?channel=a')],
  ['an OPTIONS with a body', request(['Content-Length: 35'], HIDDEN, 'OPTIONS *')],
  ['two lengths', post(['Content-Length: 0', 'Content-Length: 35'], HIDDEN)],
  ['two equal lengths', post(['Content-Length: 0', 'Content-Length: 0'])],
  ['a length with zeros in front', request(['Content-Length: 00'], '', 'OPTIONS *')],
  ...['+0', '-1', '0x0', '0,0', '0, 0', '0 0', '1e1', '', '0.0', '\t0', '0\x0b', '"0"'].map(
    (value): Vector => [
      `a length of ${JSON.stringify(value)}`,
      post([`Content-Length: ${value}`], HIDDEN),
    ],
  ),
  ...['9223372036854775808', '18446744073709551616', '9'.repeat(100)].map((value): Vector => [
    `a length of ${value.slice(0, 20)}`,
    post([`Content-Length: ${value}`]),
  ]),
  ...['xchunked', 'chunked, identity', 'gzip, chunked', 'chunked, chunked', 'identity', ''].map(
    (value): Vector => [`a coding of '${value}'`, post([`Transfer-Encoding: ${value}`], CHUNKED)],
  ),
  ...[
    '\tchunked',
    'chunked\t',
    '\x0bchunked',
    'chunked\x0c',
    '"chunked"',
    'chunked\0',
    'chunked;a',
    'CHUNKED ',
  ].map((value): Vector => [
    `a coding of ${JSON.stringify(value)}`,
    request([`Transfer-Encoding:${value}`], CHUNKED),
  ]),
  ['chunks in HTTP/1.0', `POST /poll HTTP/1.0\r\nHost: a\r\n${CHUNKS}\r\n\r\n${CHUNKED}`],
  ['two codings', request([CHUNKS, 'Transfer-Encoding: identity'], CHUNKED)],
  ['a coding behind a blank', request([` ${CHUNKS}`], CHUNKED)],
  ['a coding in a folded line', request(['X: y', ` ${CHUNKS}`], CHUNKED)],
  ['a blank before the colon', request(['Transfer-Encoding : chunked'], CHUNKED)],
  ['a tab before the colon', request(['Content-Length\t: 35'], HIDDEN)],
  ['a zero byte in a name', request(['Transfer-Encoding\0: chunked'], CHUNKED)],
  ['a coding behind a bare line feed', request([`X: y\n${CHUNKS}`], CHUNKED)],
  ['a coding behind a bare carriage return', request([`X: y\r${CHUNKS}`], CHUNKED)],
  ['a chunk of a bad size', post([CHUNKS], `zz\r\n${HIDDEN}`)],
  ['a chunk of a huge size', post([CHUNKS], `ffffffffffffffff1\r\n${HIDDEN}`)],
  ['a chunk with a line feed in its extension', post([CHUNKS], `2;\nxx\r\n0\r\n\r\n${HIDDEN}`)],
  ['a chunk that is longer than it says', post([CHUNKS], `1\r\nxx\r\n0\r\n\r\n`)],
  ...['Content-Length: 35', CHUNKS, 'Host: b'].map((line): Vector => [
    `a trailer of ${line}`,
    post([CHUNKS], `0\r\n${line}\r\n\r\n${HIDDEN}`),
  ]),
];

const MALFORMED: readonly Vector[] = [
  ['no host', 'GET /poll?channel=a HTTP/1.1\r\n\r\n'],
  ['an empty host', 'GET /poll?channel=a HTTP/1.1\r\nHost:\r\n\r\n'],
  ['two hosts', request(['Host: b'])],
  ['two equal hosts', request(['Host: a'])],
  ...['a, b', 'user@a', 'a/path', 'a:b', 'a:99999', 'a b', '[::1', 'a\\b', 'a\x7f', 'a?b'].map(
    (host): Vector => [
      `a host of ${JSON.stringify(host)}`,
      `GET /poll?channel=a HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    ],
  ),
  ['bare line feeds', 'GET /poll?channel=a HTTP/1.1\nHost: a\n\n'],
  ['a bare line feed at the end', 'GET /poll?channel=a HTTP/1.1\r\nHost: a\r\n\n'],
  ['a bare line feed after the first line', 'GET /poll?channel=a HTTP/1.1\nHost: a\r\n\r\n'],
  ['a bare carriage return', 'GET /poll?channel=a HTTP/1.1\rHost: a\r\r'],
  ['a carriage return in a value', request(['X: a\rb'])],
  ['two empty lines in front', `\r\n\r\n${GOOD}`],
  ['a line feed in front', `\n${GOOD}`],
  ['a blank in front', ` ${GOOD}`],
  ['a folded line', request(['X: y', '\tz'])],
  ['a line without a colon', request(['nothing'])],
  ['a field without a name', request([': y'])],
  ['a blank in a name', request(['a b: c'])],
  ['a zero byte in a value', request(['X: a\0b'])],
  ['a control byte in a value', request(['X: a\x08b'])],
  ['a byte above ASCII in a name', request(['\xe4: b'])],
  ['two blanks in the first line', 'GET  /poll?channel=a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a tab in the first line', 'GET\t/poll?channel=a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a blank at its end', 'GET /poll?channel=a HTTP/1.1 \r\nHost: a\r\n\r\n'],
  ['no version', 'GET /poll?channel=a\r\nHost: a\r\n\r\n'],
  ['a version in small letters', 'GET /poll?channel=a http/1.1\r\nHost: a\r\n\r\n'],
  ['a version with more digits', 'GET /poll?channel=a HTTP/1.10\r\nHost: a\r\n\r\n'],
  ['HTTP/2.0', 'GET /poll?channel=a HTTP/2.0\r\nHost: a\r\n\r\n', 505],
  ['HTTP/0.9 with a version', 'GET /poll?channel=a HTTP/0.9\r\nHost: a\r\n\r\n', 505],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['a command of Redis', '*1\r\n$4\r\nPING\r\n'],
  ['a command of NATS', 'CONNECT {"verbose":false}\r\nPING\r\n'],
  ['a line of SMTP', 'HELO a\r\n'],
  ['zero bytes', '\0\0\0\0\0\0\0\0'],
  ['an unknown method', request([], '', 'BREW /'), 501],
  ['a method in small letters', request([], '', 'get /'), 501],
  ['a long method', `${'A'.repeat(100)} / HTTP/1.1\r\n`, 501],
  ['a method without end', 'A'.repeat(20_000), 501],
  ['a method with a bracket', request([], '', 'G(T /')],
  ['a target without a slash', request([], '', 'GET poll?channel=a')],
  ['a target with a fragment', request([], '', 'GET /poll?channel=a#b')],
  ['a target with a zero byte', request([], '', 'GET /poll\0?channel=a')],
  ['a target with a bare byte above ASCII', request([], '', 'GET /poll?channel=\xe4')],
  ['a star with GET', request([], '', 'GET *')],
  ['a host as a target of GET', request([], '', 'GET a:80')],
  ['CONNECT with a path', request([], '', 'CONNECT /poll')],
  ['an unknown expectation', request(['Expect: 200-ok']), 417],
  ['CONNECT', request([], '', 'CONNECT a:80'), 405],
  ['TRACE', request(['X: secret'], '', 'TRACE /poll'), 405],
  ['POST', post(['Content-Length: 0']), 405],
  ['DELETE', request([], '', 'DELETE /poll?channel=a'), 405],
  ['a body that waits for 100 Continue', post(['Content-Length: 9', 'Expect: 100-continue'])],
  ['a TLS ClientHello of a browser', `\x16\x03\x01\x02\x00${'\r\n\r\n'.repeat(128)}`],
  ['a command of Redis in a line', 'EVAL "secret" 0\r\n'],
  ['101 fields of an upgrade', request([...UPGRADE, ...fields(96)], '', 'GET /ws'), 431],
  ['101 fields', request(fields(100)), 431],
  ['a long field', request([`X: ${'y'.repeat(32_768)}`]), 431],
  ['a long name', request([`${'x'.repeat(32_768)}: y`]), 431],
  ['a long target', request([], '', `GET /poll?channel=a&x=${'y'.repeat(8192)}`), 414],
];

/** Must not appear in an answer: the start of a second request, a field, a command. */
const ECHOED = /hidden|secret|PING|verbose|SM\r/;

/** Sends a vector in three ways, each with the answers that precede its own. */
async function tryVector(world: World, [what, bytes, code = 400]: Vector): Promise<string[]> {
  const half = Math.floor(bytes.length / 2);
  const ways = [
    { wanted: [code], talked: talk(world, bytes + GOOD) },
    { wanted: [204, code], talked: talk(world, GOOD + bytes + GOOD) },
    { wanted: [204, code], talked: talk(world, GOOD, bytes.slice(0, half), bytes.slice(half)) },
  ];
  const faults: string[] = [];
  for (const [at, { wanted, talked }] of ways.entries()) {
    const { codes, isEnded, text } = await talked;
    if (codes.join() === wanted.join() && isEnded && !ECHOED.test(text)) continue;
    faults.push(`${what}, way ${at + 1}: ${codes.join()}${isEnded ? '' : ', not ended'}`);
  }
  return faults;
}

for (const [kind, vectors] of [
  ['that hides another', SMUGGLING],
  ['that is malformed', MALFORMED],
] as const) {
  t.test(`a request ${kind} is rejected once, and the connection closed`, async (t) => {
    const world = await startComet(t, { workers: 1, handshakeTimeout: LONG_S });
    const faults: string[] = [];
    // Few at a time: the server lingers for a limited number of rejected clients.
    for (let at = 0; at < vectors.length; at += 8) {
      const some = vectors.slice(at, at + 8).map((vector) => tryVector(world, vector));
      faults.push(...(await Promise.all(some)).flat());
    }
    t.strictSame(faults, []);
    const rejected = (): unknown => world.server.stats().totals['badRequestsTotal'];
    await until('each to be counted', () => rejected() === 3 * vectors.length);
    const alive = await talk(world, LAST);
    t.strictSame(alive.codes, [204], 'the server keeps serving');
  });
}

/** Requests that are answered at once and keep the connection alive unless they ask for a close. */
const FINE: readonly Vector[] = [
  ['an empty line in front', `\r\n${GOOD}`, 204],
  ['an unknown path', request([], '', 'GET /nothing'), 404],
  ['the root', request([], '', 'GET /'), 404],
  ['the echo, which is off', request([], '', 'GET /ws-echo'), 404],
  ['a path with a trailing slash', request([], '', 'GET /poll/?channel=a'), 404],
  ['a path with dots', request([], '', 'GET /x/../poll?channel=a'), 404],
  ['a path with an escape', request([], '', 'GET /%70oll?channel=a'), 404],
  ['no channel', request([], '', 'GET /poll'), 400],
  ['an empty channel', request([], '', 'GET /events?channel='), 400],
  ['a channel with a zero byte', request([], '', 'GET /poll?channel=%00'), 400],
  ['a channel with a line end', request([], '', 'GET /poll?channel=a%0d%0aX:%20y'), 400],
  ['a channel that is not UTF-8', request([], '', 'GET /poll?channel=%ff'), 400],
  ['a bad escape', request([], '', 'GET /poll?channel=%4'), 400],
  ['a since that is not a cursor', request([], '', 'GET /poll?channel=a&since=1'), 400],
  ['a timeout that is not a number', request([], '', 'GET /poll?channel=a&timeout=-1'), 400],
  ['a callback with a bracket', request([], '', 'GET /poll?channel=a&callback=f('), 400],
  ['a callback with a line end', request([], '', 'GET /poll?channel=a&callback=f%0d%0aX:y'), 400],
  ['a callback with a tag', request([], '', 'GET /poll?channel=a&callback=%3Cscript%3E'), 400],
  ['an OPTIONS of any path', request([], '', 'OPTIONS /poll?channel=a'), 204],
  ['an OPTIONS of an unknown path', request([], '', 'OPTIONS /nothing'), 204],
  ['a length of nothing', request(['Content-Length: 0'], '', 'OPTIONS *'), 204],
  ['an expectation without a body', request(['Expect: 100-continue'], '', 'OPTIONS *'), 204],
  ['HTTP/1.2', 'OPTIONS * HTTP/1.2\r\nHost: a\r\n\r\n', 204],
  ['an absolute target of another host', 'OPTIONS http://b:1/x HTTP/1.1\r\nHost: a\r\n\r\n', 204],
  ['an absolute target', 'OPTIONS http://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n', 204],
  ['HTTP/1.0 with keep-alive', 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', 404],
  ['blanks around a value', 'OPTIONS * HTTP/1.1\r\nHost: \t a \t\r\n\r\n', 204],
  ['names in any case', 'OPTIONS * HTTP/1.1\r\nhOST: a\r\n\r\n', 204],
  ['bytes above ASCII in a value', request(['X: \xe4'], '', 'OPTIONS *'), 204],
  ['100 fields', request(fields(99), '', 'OPTIONS *'), 204],
  ['the longest target', request([], '', `OPTIONS /${'y'.repeat(8191)}`), 204],
  [
    'a request to upgrade to h2c',
    request(['Upgrade: h2c', 'Connection: upgrade'], '', 'OPTIONS *'),
    204,
  ],
];

t.test('valid requests are answered in order over one connection', async (t) => {
  const world = await startComet(t, { workers: 1, handshakeTimeout: LONG_S });
  const wanted = FINE.map(([, , code]) => code);
  const all = FINE.map(([, bytes]) => bytes);
  const whole = await talk(world, all.join('') + LAST);
  t.strictSame(whole.codes, [...wanted, 204], 'in one segment');
  t.ok(whole.isEnded, 'and the last request closes it');
  const single = await talk(world, ...all, LAST);
  t.strictSame(single.codes, [...wanted, 204], 'one after the other');
  const bytes = await talk(world, ...Array.from(`${all[1] ?? ''}${LAST}`));
  t.strictSame(bytes.codes, [404, 204], 'byte by byte');
  t.notMatch(whole.text, /^x: ?y/im, 'no client injects a header field');
  const old = await talk(world, 'GET / HTTP/1.0\r\n\r\n' + GOOD);
  t.strictSame([old.codes, old.isEnded], [[404], true], 'HTTP/1.0 is closed without keep-alive');
});

t.test('a rejected client receives the reason even while it keeps sending', async (t) => {
  const world = await startComet(t, { workers: 1, handshakeTimeout: LONG_S });
  for (const bytes of [
    request([`X: ${'y'.repeat(4_194_304)}`]),
    post(['Content-Length: 4194304']),
  ]) {
    const { codes, isEnded } = await talk(world, bytes + 'y'.repeat(4_194_304) + GOOD);
    t.strictSame([codes, isEnded], [[bytes.length > 1000 ? 431 : 400], true]);
  }
});

t.test('a rejection states the error as JSON, and the allowed methods', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const { text } = await talk(world, request([], '', 'PUT /poll'));
  t.match(text, /^HTTP\/1\.1 405 Method Not Allowed\r\n/);
  t.match(text, /\r\nAllow: GET, HEAD, OPTIONS\r\n/);
  t.match(text, /\r\nConnection: close\r\n/);
  t.match(text, /\r\nX-Content-Type-Options: nosniff\r\n/);
  t.match(text, /\r\n\r\n\{"error":"[^"]+"\}\n$/);
});

/** The first response head, without its date. */
function headOf({ text }: Talk): string {
  return withoutDate(text.slice(0, text.indexOf('\r\n\r\n')));
}

function withoutDate(text: string): string {
  return text.replace(/\r\nDate: [^\r]*/, '');
}

t.test('a JSONP answer is a script and nothing else', async (t) => {
  const world = await startComet(t, { workers: 1, pollTimeout: 1 });
  const poll = 'GET /poll?channel=a&callback=app.on$1';
  const found = await talk(world, request(['Connection: close'], '', poll));
  t.match(headOf(found), /\r\nContent-Type: (text|application)\/javascript\b/);
  t.match(headOf(found), /\r\nX-Content-Type-Options: nosniff/);
  t.match(found.text, /\r\n\r\n\/\*\*\/app\.on\$1\(\{[^\r\n]*\}\);$/);
});

t.test('unfinished request heads are dropped and take no more than the head limit', async (t) => {
  const world = await startComet(t, { workers: 1, handshakeTimeout: 1 });
  const started = 'GET /poll?channel=a HTTP/1.1\r\nHost: a\r\nX: ';
  const found = await Promise.all(
    Array.from({ length: 50 }, (_, n) => talk(world, started + 'y'.repeat(n * 300), 'y')),
  );
  t.strictSame([...new Set(found.map(({ isEnded }) => isEnded))], [true]);
  const left = (): unknown[] =>
    ['connections', 'sessions'].map((name) => world.server.stats().totals[name]);
  await until('all their memory to be free', () => left().join() === '0,0');
});

/** Waits for the first subscriber of a channel. */
function subscribed(world: World, channel: string): Promise<unknown> {
  return until(`a subscriber of ${channel}`, async () =>
    (await world.server.channels()).channels.some(
      (one) => one.channel === channel && one.subscribers > 0,
    ),
  );
}

t.test('HEAD gets the head of GET and no body', async (t) => {
  const world = await startComet(t, { workers: 1, pollTimeout: 1 });
  const { cursor: since } = await world.server.publish('other', 'before');
  await world.server.publish('a', 'x');
  const poll = `/poll?channel=a&since=${since}`;
  for (const path of ['/events?channel=e', '/stream?channel=s', poll, `${poll}&callback=f`, '/']) {
    const get = talk(world, request(['Connection: close'], '', `GET ${path}`));
    const [, channel = ''] = /\?channel=([es])$/.exec(path) ?? [];
    if (channel !== '') {
      await subscribed(world, channel);
      await world.server.disconnect(channel);
    }
    const head = await talk(world, request(['Connection: close'], '', `HEAD ${path}`));
    t.equal(headOf(head), headOf(await get), path);
    t.equal(withoutDate(head.text), `${headOf(head)}\r\n\r\n`, 'without content');
  }
  const empty = await talk(world, request([], '', 'HEAD /poll?channel=b') + LAST);
  t.strictSame(empty.codes, [204, 204], 'also when a poll times out');
  const next = await talk(world, request([], '', `HEAD ${poll}`) + LAST);
  t.strictSame(next.codes, [200, 204], 'and the next request is answered');
  t.match(next.text, /\r\n\r\nHTTP\/1\.1 204 /, 'directly after it');
});

t.test('a cursor is accepted, or answered with a gap notice', async (t) => {
  const world = await startComet(t, { workers: 1, pollTimeout: 1 });
  const { cursor } = await world.server.publish('a', 'first');
  await world.server.publish('a', 'second');
  const [epoch = ''] = cursor.split('.');
  const ask = async (value: string): Promise<string> => {
    const lines = [`Last-Event-ID: ${value}`, 'Connection: close'];
    const { codes, text } = await talk(world, request(lines));
    return `${codes.join()} ${text.slice(text.indexOf('\r\n\r\n') + 4)}`;
  };
  for (const known of [cursor, ` ${cursor}\t`]) {
    t.match(
      await ask(known),
      /^200 \{"messages":\[[^\]]*"second"\}\],.*"recovered":true\}$/,
      known,
    );
  }
  const numbers = [
    '999',
    '18446744073709551615',
    '18446744073709551616',
    '-1',
    '+1',
    '01',
    '',
    '1.1',
  ];
  const unknown = [
    ...numbers.map((number) => `${epoch}.${number}`),
    ...['0', 'garbage', '1', epoch, `${epoch}1`, '\xe4', 'ffffffffffffffff.1', '%00', '{"a":1}'],
    ...['0000000000000000.0', `ffffffffffffffff.${'9'.repeat(20)}`, 'x'.repeat(10_000)],
    `${epoch.toUpperCase()}x.1`,
  ];
  for (const value of unknown) {
    const told = await ask(value);
    t.match(told, /^200 \{.*"recovered":false\}$/, `told of the gap after ${value.slice(0, 40)}`);
  }
  t.match(await ask(''), /^204 $/, 'without a cursor nothing is missed');
});

/** Queries after `/poll?timeout=0`, where C is the cursor before the second message, and the code. */
const QUERIES: readonly (readonly [query: string, code: number])[] = [
  ...[
    'since',
    'Since',
    'cursor',
    'lastEventId',
    'lastEventID',
    'Last-Event-ID',
    'last_event_id',
  ].map((name) => [`channel=a&${name}=C`, 200] as const),
  ['channel=a&lastEventId=C&last-event-id=C&since=C&cursor=C', 200],
  ['channel=a&since=C&since=C', 200],
  // A library adds its own, newer cursor to the URL of the page.
  ['channel=a&since=ffffffffffffffff.1&lastEventId=C', 200],
  ['channel=a&lastEventId=garbage', 200],
  ['channel=a&lastEventId=', 204],
  ['channel=a&since=C&cursor=ffffffffffffffff.1', 400],
  ['channel=a&lastEventId=C&lastEventID=ffffffffffffffff.1', 400],
  ['channel=a&utm=100%', 204],
  ['channel=a&utm=%zz&%&%=&=%', 204],
  ['channel=a&utm=%00&x=%E9', 204],
  ['channel=%zz', 400],
  [`${'channel=a&'.repeat(129)}x=1`, 204],
  [Array.from({ length: 129 }, (_, at) => `channel=a${at}`).join('&'), 413],
  ['channel=a&timeout=0', 204],
  ['channel=a&timeout=5', 400],
];

t.test('every spelling of a parameter means the same, and unknown ones mean nothing', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const { cursor } = await world.server.publish('a', 'first');
  await world.server.publish('a', 'second');
  for (const [query, code] of QUERIES) {
    const path = `/poll?timeout=0&${query}`.replaceAll('=C', `=${cursor}`);
    const { codes, text } = await talk(world, request(['Connection: close'], '', `GET ${path}`));
    t.strictSame(codes, [code], query.slice(0, 70));
    if (code === 200) t.match(text, /"data":"second"/, query.slice(0, 70));
  }
  const reversed = await talk(
    world,
    request(['Connection: close'], '', 'GET /poll?channel=a&timeout=5&timeout=0'),
  );
  t.strictSame(reversed.codes, [400], 'in either order');
});

t.test('a request pipelined behind a poll waits for its answer', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const waiting = (channel: string): string => request([], '', `GET /poll?channel=${channel}`);
  for (const [channel, behind, codes] of [
    ['a', LAST, [200, 204]],
    ['b', GOOD + LAST, [200, 204, 204]],
    ['c', 'nonsense\r\n\r\n' + GOOD, [200, 400]],
    ['d', request(['Content-Length: 35'], HIDDEN), [200, 400]],
    // As much as the limit of a request head.
    ['e', GOOD.repeat(400) + LAST, [200, ...Array<number>(401).fill(204)]],
  ] as const) {
    const talked = talk(world, waiting(channel) + behind);
    await subscribed(world, channel);
    await world.server.publish(channel, 'x');
    const found = await talked;
    t.strictSame([found.codes, found.isEnded], [codes, true]);
  }
  const flood = await talk(world, waiting('f'), GOOD.repeat(2000));
  t.strictSame([flood.codes, flood.isEnded], [[], true], 'but not more than a head may have');
});

t.test('bytes behind a stream request are not read', async (t) => {
  const world = await startComet(t, { workers: 1 });
  for (const path of ['events', 'stream']) {
    const first = request([], GOOD, `GET /${path}?channel=${path}`);
    const talked = talk(world, first, GOOD, 'nonsense');
    await subscribed(world, path);
    await world.server.publish(path, 'x');
    await sleep(100);
    await world.server.disconnect(path);
    const found = await talked;
    t.strictSame([found.codes, found.isEnded], [[200], true], path);
    t.match(found.text, /\r\nConnection: close\r\n/);
  }
});
