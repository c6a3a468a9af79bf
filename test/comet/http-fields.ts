// Header fields of every response: the demands of RFC 9110 and the Fetch standard, with any status.
import t from 'tap';

import { exchange, startComet } from '../support/comet-world.js';

const ORIGIN = 'https://app.example';

function requestOf(first: string, ...lines: string[]): string {
  return [first, 'Host: a', 'Connection: close', `Origin: ${ORIGIN}`, ...lines, '', ''].join(
    '\r\n',
  );
}

const get = (target: string, ...lines: string[]): string =>
  requestOf(`GET ${target} HTTP/1.1`, ...lines);

/** Requests with an allowed origin, and the status of the response. */
const REQUESTS: readonly (readonly [what: string, bytes: string, code: number])[] = [
  ['a poll', get('/poll?channel=a&timeout=0'), 204],
  ['a JSONP poll', get('/poll?channel=a&timeout=0&callback=f'), 200],
  ['a stream', requestOf('HEAD /stream?channel=a HTTP/1.1'), 200],
  ['events', requestOf('HEAD /events?channel=a HTTP/1.1'), 200],
  ['a preflight', requestOf('OPTIONS /poll HTTP/1.1'), 204],
  ['no channel', get('/poll'), 400],
  ['a bad target', get('/\xe4'), 400],
  ['a body', get('/poll', 'Content-Length: 1'), 400],
  ['two fields of a kind', get('/poll', 'Host: b'), 400],
  ['an unknown path', get('/x'), 404],
  ['another method', requestOf('PUT /poll HTTP/1.1'), 405],
  ['no upgrade', get('/ws'), 426],
  [
    'another version of WebSocket',
    get('/ws', 'Upgrade: websocket', 'Sec-WebSocket-Version: 8'),
    426,
  ],
  ['too many fields', get('/poll', ...Array.from({ length: 300 }, (_, n) => `X-${n}: y`)), 431],
  ['a long cookie', get('/poll', `Cookie: ${'y'.repeat(70_000)}`), 431],
  ['an unknown method', requestOf('BREW /poll HTTP/1.1'), 501],
  ['HTTP/2', requestOf('GET /poll HTTP/2.0'), 505],
];

t.test('every status has a date, and can be read by pages of allowed origins', async (t) => {
  const world = await startComet(t, { workers: 1, origin: ['https://b.example', ORIGIN] });
  for (const [what, bytes, code] of REQUESTS) {
    const text = await exchange(world.port, bytes);
    const head = text.slice(0, text.indexOf('\r\n\r\n') + 2);
    t.match(head, new RegExp(`^HTTP/1\\.1 ${code} `), what);
    const [, date = ''] = /\r\nDate: ([^\r]*)\r\n/.exec(head) ?? [];
    t.equal(new Date(Date.parse(date)).toUTCString(), date, `${what}: an IMF-fixdate`);
    t.ok(Math.abs(Date.parse(date) - Date.now()) < 60_000, `${what}: the current date`);
    t.match(head, `\r\nAccess-Control-Allow-Origin: ${ORIGIN}\r\n`, what);
    t.match(head, '\r\nAccess-Control-Allow-Credentials: true\r\n', what);
    t.match(head, /\r\nVary: Origin\r\n/, what);
    t.match(head, '\r\nX-Content-Type-Options: nosniff\r\n', what);
    if (code === 426) {
      t.match(head, /\r\nUpgrade: websocket\r\n[^]*\r\nConnection: close, upgrade\r\n/, what);
    }
  }
});

t.test('other origins may not read a response, and * has no credentials', async (t) => {
  const world = await startComet(t, { workers: 1, origin: ['*', ORIGIN] });
  const other = requestOf('GET /x HTTP/1.1').replace(ORIGIN, 'https://c.example');
  const head = await exchange(world.port, other);
  t.match(head, '\r\nAccess-Control-Allow-Origin: *\r\n');
  t.notMatch(head, /Allow-Credentials/);
  t.match(
    await exchange(world.port, get('/x')),
    /\r\nAccess-Control-Allow-Credentials: true\r\n/,
    'a named origin has them, although * is allowed too',
  );
  const closed = await startComet(t, { workers: 1 });
  t.notMatch(await exchange(closed.port, get('/x')), /Access-Control/);
});

t.test('a preflight allows the requested header fields, and may be kept', async (t) => {
  const world = await startComet(t, { workers: 1, origin: [ORIGIN] });
  const ask = (...lines: string[]): Promise<string> =>
    exchange(world.port, requestOf('OPTIONS /poll HTTP/1.1', ...lines));
  const requested = 'authorization, content-type, traceparent,x-requested-with';
  const answer = await ask(`Access-Control-Request-Headers: ${requested}`);
  t.match(answer, `\r\nAccess-Control-Allow-Headers: ${requested}\r\n`);
  t.match(answer, /\r\nAccess-Control-Max-Age: \d+\r\n/);
  t.match(answer, /\r\nAccess-Control-Allow-Methods: GET, HEAD\r\n/);
  for (const odd of ['', 'Access-Control-Request-Headers: a;b', `A: ${'x'.repeat(2000)}`]) {
    t.match(
      await ask(odd === '' ? 'X: y' : odd),
      /Allow-Headers: Authorization, Cache-Control,/,
      odd,
    );
  }
});

t.test('a proxy may not transform an endless response', async (t) => {
  const world = await startComet(t, { workers: 1 });
  for (const path of ['/events', '/stream']) {
    const head = await exchange(world.port, requestOf(`HEAD ${path}?channel=a HTTP/1.1`));
    t.match(head, '\r\nCache-Control: no-store, no-transform\r\n', path);
  }
});

t.test('the error names the limit that was exceeded', async (t) => {
  const world = await startComet(t, { workers: 1 });
  for (const [bytes, error] of [
    [get(`/${'y'.repeat(9000)}`), 'target too long, in bytes: at most 8192 are allowed'],
    [get('/\xe4'), 'target: bytes beyond ASCII must be percent-encoded'],
  ] as const) {
    t.match(await exchange(world.port, bytes), `{"error":"${error}"}`);
  }
});

/** Header fields of a request for a script, and whether the response is sent. */
const SCRIPTS: readonly (readonly [lines: readonly string[], isAllowed: boolean])[] = [
  [[], true],
  [['User-Agent: curl/8'], true],
  [['User-Agent: Mozilla/5.0'], false],
  [['User-Agent: Mozilla/5.0', 'Referer: http://a/page'], true],
  [['User-Agent: Mozilla/5.0', `Referer: ${ORIGIN}/page?x`], true],
  [['User-Agent: Mozilla/5.0', `Referer: ${ORIGIN}.evil/page`], false],
  [['Referer: http://evil.example/a/'], false],
  [['Sec-Fetch-Site: cross-site'], false],
  [['Sec-Fetch-Site: same-site'], false],
  [['Sec-Fetch-Site: cross-site', `Referer: ${ORIGIN}/`], true],
  [['Sec-Fetch-Site: same-origin', 'User-Agent: Mozilla/5.0'], true],
  [['Sec-Fetch-Site: none', 'User-Agent: Mozilla/5.0'], true],
  [['Origin: http://evil.example'], false],
  [['Origin: null', 'User-Agent: Mozilla/5.0'], false],
  [['Origin: http://a'], true],
];

t.test('scripts of other pages get no messages, by JSONP or from a mailbox', async (t) => {
  const world = await startComet(t, {
    workers: 1,
    origin: [ORIGIN],
    pollTimeout: 1,
    mailboxes: true,
  });
  const open = await startComet(t, { workers: 1, origin: ['*'], pollTimeout: 1 });
  const ask = async (port: number, target: string, lines: readonly string[]): Promise<string> => {
    const request = [`GET ${target} HTTP/1.1`, 'Host: a', 'Connection: close', ...lines, '', ''];
    return (await exchange(port, request.join('\r\n'))).slice(9, 12);
  };
  const jsonp = '/poll?channel=a&timeout=0&callback=f';
  for (const [lines, isAllowed] of SCRIPTS) {
    const code = isAllowed ? '200' : '403';
    t.equal(await ask(world.port, jsonp, lines), code, lines.join(', '));
    t.equal(await ask(open.port, jsonp, lines), '200', 'with * all are allowed');
    t.equal(await ask(world.port, '/poll?channel=a&timeout=0', lines), '204', 'CORS guards JSON');
  }
  t.equal(await ask(world.port, '/jim.js', ['Sec-Fetch-Site: cross-site']), '403');
  await world.server.deliver('jim', 'f(1)');
  t.equal(await ask(world.port, '/jim.js', [`Referer: ${ORIGIN}/`]), '200');
});

t.test('header limits are options, and their errors name them', async (t) => {
  const world = await startComet(t, { workers: 1, httpHeaderBytes: 2000, httpHeaderCount: 20 });
  const usual = await startComet(t, { workers: 1 });
  const fields = (count: number): string[] => Array.from({ length: count }, (_, n) => `X-${n}: y`);
  const ask = async (port: number, lines: readonly string[]): Promise<string> =>
    (await exchange(port, get('/x', ...lines))).replace(/^HTTP\/1\.1 (\d+)[^]*\r\n\r\n/, '$1 ');
  t.match(await ask(world.port, fields(17)), /^404 /, '20 with the usual three');
  t.equal(
    await ask(world.port, fields(18)),
    '431 {"error":"too many fields: at most 20 are allowed"}\n',
  );
  const cookie = `Cookie: ${'y'.repeat(2000)}`;
  t.equal(
    await ask(world.port, [cookie]),
    '431 {"error":"head too long, in bytes: at most 2000 are allowed"}\n',
  );
  // Cookies, a token and the tracing fields of a few proxies.
  const large = [
    `Cookie: ${'y'.repeat(8192)}`,
    `Authorization: ${'y'.repeat(8192)}`,
    ...fields(80),
  ];
  t.match(await ask(usual.port, large), /^404 /, 'the defaults have room for real proxies');
});

t.test('a path that ends in .js is a mailbox only where mailboxes are in use', async (t) => {
  const without = await startComet(t, { workers: 1 });
  t.match(await exchange(without.port, get('/wp-includes/x.js')), /^HTTP\/1\.1 404 /);
  await t.rejects(without.server.deliver('jim', 'x'), {
    code: 'ERR_OPTION_INVALID',
    message: 'deliver: needs the option mailboxes or ingest',
  });
  for (const options of [{ mailboxes: true }, { ingest: '127.0.0.1:0' }]) {
    const world = await startComet(t, { workers: 1, origin: [ORIGIN], ...options });
    await world.server.deliver('jim', 'f()');
    t.match(await exchange(world.port, get('/jim.js')), /^HTTP\/1\.1 200 [^]*f\(\)$/);
  }
});

/** Opens a connection, sends a request and perhaps part of another; resolves when it closes. */
async function timeIdle(port: number, more: string): Promise<number> {
  const beganMs = performance.now();
  const text = await exchange(port, `GET /x HTTP/1.1\r\nHost: a\r\n\r\n${more}`);
  t.match(text, /^HTTP\/1\.1 404 /);
  return performance.now() - beganMs;
}

t.test('an idle connection and an incomplete request have times of their own', async (t) => {
  const idle = await startComet(t, { workers: 1, keepAliveTimeout: 1, handshakeTimeout: 300 });
  t.ok((await timeIdle(idle.port, '')) >= 990, 'not before the time for the next request');
  const slow = await startComet(t, { workers: 1, keepAliveTimeout: 300, handshakeTimeout: 1 });
  t.ok((await timeIdle(slow.port, 'GET /x')) >= 990, 'not before the time for the request');
});

t.test(
  'a WebSocket has the first subprotocol that both know, and no compression if off',
  async (t) => {
    const upgrade = (...lines: string[]): string =>
      get(
        '/ws',
        'Upgrade: websocket',
        'Connection: upgrade',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Extensions: permessage-deflate',
        ...lines,
      ).replace('Connection: close\r\n', '');
    const ask = (port: number, ...lines: string[]): Promise<string> =>
      exchange(port, upgrade(...lines), (text) => text.includes('\r\n\r\n'));
    const world = await startComet(t, {
      workers: 1,
      origin: [ORIGIN],
      websocketSubprotocol: ['json', 'bearer'],
      websocketCompression: 'off',
    });
    for (const [offered, chosen] of [
      ['json', 'json'],
      ['other, bearer, json', 'bearer'],
      ['other', undefined],
    ] as const) {
      const head = await ask(world.port, `Sec-WebSocket-Protocol: ${offered}`);
      t.match(head, /^HTTP\/1\.1 101 /);
      t.equal(/\r\nSec-WebSocket-Protocol: ([^\r]*)/.exec(head)?.[1], chosen, offered);
      t.notMatch(head, /Sec-WebSocket-Extensions/);
    }
    const usual = await startComet(t, { workers: 1, origin: [ORIGIN] });
    const head = await ask(usual.port, 'Sec-WebSocket-Protocol: json');
    t.match(head, /\r\nSec-WebSocket-Extensions: permessage-deflate/);
    t.notMatch(head, /Sec-WebSocket-Protocol/);
  },
);
