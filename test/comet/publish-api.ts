// Publishing, listing and kicking over HTTP: accepted and rejected requests, and truncated, malformed
// or hostile bodies.
import t from 'tap';

import { until } from '../support/helpers.js';
import { MoodyTarget, NDJSON, post, site, TOKEN, type Answer } from '../support/publish-site.js';

t.test('one message is published with its fields', async (t) => {
  const { ask, broker, worker, api } = await site(t);
  broker.onFrame(0, { name: 'Interest', fields: { channel: 'news', count: 3, wanted: 1 } });
  const first = await ask(
    '/publish',
    post(
      JSON.stringify({
        channel: 'news',
        data: 'grüß dich',
        id: 'i',
        event: 'e',
        spreadMs: 5,
        policy: 'dropOldest',
        ttlMs: 1000,
        history: { count: 5 },
        idempotencyKey: 'k',
      }),
      'Application/JSON; Charset="UTF-8"',
    ),
  );
  t.equal(first.status, 200);
  t.same(first.lines, [{ cursor: '0000000000000001.1', delivered: 3 }]);
  t.equal(first.headers.get('content-type'), 'application/json');
  const again = JSON.stringify({ channel: 'news', data: 'x', idempotencyKey: 'k' });
  t.same((await ask('/publish', post(again))).lines, [
    { cursor: '0000000000000001.1', delivered: 3, duplicate: true },
  ]);
  const bytes = JSON.stringify({ channel: 'news', base64: 'AP8=', history: false });
  t.match((await ask('/publish', post(bytes))).lines, [{ cursor: '0000000000000001.2' }]);
  const nested = '{"channel":"news", "data" : {"n": 12345678901234567890, "n": [1.0]} }';
  t.match((await ask('/publish', post(nested))).lines, [{ cursor: '0000000000000001.3' }]);
  const frames = worker.take().map(({ fields }) => fields);
  t.match(frames, [
    // Flag 8 marks a message that is kept for less than the default time.
    { id: 'i', event: 'e', spreadMs: 5, flags: 2 | 8, data: Buffer.from('grüß dich') },
    { flags: 1 | 8, data: Buffer.of(0, 255) },
    { flags: 0, data: Buffer.from('{"n": 12345678901234567890, "n": [1.0]}') },
  ]);
  t.match(api.counters, { apiRequestsTotal: 4, apiMessagesTotal: 4, apiMessagesRejectedTotal: 0 });
});

t.test('publish, list and kick need the token', async (t) => {
  const { ask, gate, broker } = await site(t);
  const body = '{"channel":"a","data":"x"}';
  const wrong = ['', 'falsch', 'geheim2', 'gehei', 'GEHEIM', TOKEN.repeat(1000)];
  for (const token of [null, ...wrong]) {
    for (const [path, init] of [
      ['/publish', post(body)],
      ['/kick', post('{"all":true}')],
      ['/channels', {}],
    ] as const) {
      const { status, headers, lines } = await ask(path, { ...init, token });
      t.equal(status, 401);
      t.equal(headers.get('www-authenticate'), 'Bearer');
      t.match(lines, [{ error: /token/ }]);
    }
  }
  for (const authorization of ['geheim', 'Basic geheim', 'Bearer', `Bearer ${TOKEN} x`]) {
    const headers = { Authorization: authorization };
    t.equal((await ask('/channels', { headers, token: null })).status, 401, authorization);
  }
  t.equal(gate.counters.unauthorizedTotal, 25);
  t.equal(broker.counters.messagesPublishedTotal, 0);
  const lower = { headers: { Authorization: `bearer  ${TOKEN}` }, token: null };
  t.equal((await ask('/channels', lower)).status, 200, 'the scheme is case-insensitive');
  const closed = await site(t, { token: null });
  t.match(await closed.ask('/publish', post(body)), {
    status: 403,
    lines: [{ error: /no admin token/ }],
  });
  t.match(await ask('/other'), { status: 404 }, 'an unknown path is not found');
});

const message = (fields: object): string => JSON.stringify({ channel: 'a', data: 'x', ...fields });
const DEPTH = '['.repeat(33) + ']'.repeat(33);
/** Status, name and body of rejected requests. */
const REJECTED: [number, string, string][] = [
  [400, 'empty', ''],
  [400, 'no JSON', 'x'],
  [400, 'cut', '{"channel":"a","data":"x"'],
  [400, 'two objects', '{"channel":"a","data":"x"}{}'],
  [400, 'a list', '[{"channel":"a","data":"x"}]'],
  [400, 'null', 'null'],
  [400, 'no channel', '{"data":"x"}'],
  [400, 'no data', '{"channel":"a"}'],
  [400, 'both data and base64', message({ base64: 'AA==' })],
  [400, 'two channels', '{"channel":"a","data":"x","channel":"b"}'],
  [400, 'two channels, one escaped', '{"channel":"a","data":"x","ch\\u0061nnel":"b"}'],
  [400, 'an unknown member', message({ chanel: 'b' })],
  [400, '__proto__', '{"channel":"a","data":"x","__proto__":{"id":"y"}}'],
  [400, 'constructor', message({ constructor: 1 })],
  [400, 'a channel of another type', message({ channel: 5 })],
  [400, 'a bad channel', message({ channel: 'a\nb' })],
  [400, 'a pattern', message({ channel: 'a/*' })],
  [400, 'an id with CR', message({ id: 'a\rb' })],
  [400, 'an event with LF', message({ event: 'a\nb' })],
  [400, 'a number for an id', message({ id: 5 })],
  [400, 'a ttl of 0', message({ ttlMs: 0 })],
  [400, 'a ttl as text', message({ ttlMs: '5' })],
  [400, 'history true', message({ history: true })],
  [400, 'history null', message({ history: null })],
  [400, 'history of -1', message({ history: { count: -1 } })],
  [400, 'history of more', message({ history: { size: 1 } })],
  [400, 'an unknown policy', message({ policy: 'never' })],
  [400, 'bad base64', '{"channel":"a","base64":"A"}'],
  [400, 'bad base64', '{"channel":"a","base64":"A_=="}'],
  [400, 'too deep', `{"channel":"a","data":${DEPTH}}`],
  [400, 'very deep', `{"channel":"a","data":${'['.repeat(6000)}`],
  [413, 'too much data', message({ data: 'x'.repeat(1001) })],
  [413, 'too much JSON', message({ data: 'x'.repeat(20_000) })],
  [413, 'far too much', message({ data: 'x'.repeat(3_000_000) })],
];

t.test('an invalid message is answered with a status and one sentence', async (t) => {
  const { ask, api } = await site(t);
  for (const [status, name, body] of REJECTED) {
    const answer = await ask('/publish', post(body));
    t.equal(answer.status, status, name);
    const error = String(answer.lines[0]?.['error']);
    t.ok(error.length > 10 && error.length < 300 && answer.lines.length === 1, error);
  }
  t.equal(
    (await ask('/publish', post(Buffer.from('{"channel":"a","data":"\xff"}', 'latin1')))).status,
    400,
  );
  const rejected = REJECTED.length - 2;
  t.equal(api.counters.apiMessagesTotal, 0);
  t.ok(api.counters.apiMessagesRejectedTotal >= rejected - 5, 'and counted');
  t.equal(api.counters.apiTooLargeTotal, REJECTED.filter(([status]) => status === 413).length);
  t.equal((await ask('/publish', post(message({ data: 'x'.repeat(1000) })))).status, 200);
  const escaped = `{"channel":"a","data":"${'\\u0041'.repeat(1000)}"}`;
  t.equal(
    (await ask('/publish', post(escaped))).status,
    200,
    'the limit applies to the decoded data',
  );
  t.equal(
    (await ask('/publish', post(`{"channel":"a","data":${DEPTH.slice(1, -1)}}`))).status,
    200,
  );
});

t.test('a client whose body is far too large can send its next request at once', async (t) => {
  const { ask } = await site(t);
  for (let n = 0; n < 5; n++) {
    t.equal((await ask('/publish', post(message({ data: 'x'.repeat(3_000_000) })))).status, 413);
  }
  t.equal((await ask('/publish', post(message({ data: 'x' })))).status, 200);
});

t.test('a rejection is sent before the end of the body, which is not read for long', async (t) => {
  const { open, port } = await site(t);
  for (const [token, type, status] of [
    ['falsch', 'application/json', '401 Unauthorized'],
    [TOKEN, 'application/json', '413 Payload Too Large'],
    [TOKEN, NDJSON, '200 OK'],
  ] as const) {
    const socket = await open();
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
    socket.write(
      `POST /publish HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\n` +
        `Content-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n`,
    );
    let isClosed = false;
    socket.on('close', () => (isClosed = true));
    let chunks = 0;
    const timer = setInterval(() => {
      if (socket.writableNeedDrain) return;
      socket.write(`4000\r\n${'x'.repeat(0x4000)}\r\n`);
      chunks++;
    }, 2);
    await until('the end', () => isClosed);
    clearInterval(timer);
    t.ok(answer.startsWith(`HTTP/1.1 ${status}\r\n`), status);
    t.equal(answer.includes('"status":413'), type === NDJSON, 'in a batch it is the last line');
    t.ok(chunks < 500, `after ${chunks} chunks of 16 KiB`);
  }
  const socket = await open();
  let answers = '';
  socket.setEncoding('utf8').on('data', (text: string) => (answers += text));
  socket.write(
    `POST /publish HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: 300000\r\n\r\n`,
  );
  await until('the rejection', () => answers.includes('HTTP/1.1 401 '));
  socket.write(
    `${'x'.repeat(300_000)}GET /channels HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n` +
      `Authorization: Bearer ${TOKEN}\r\n\r\n`,
  );
  await until('the next request', () => answers.includes('HTTP/1.1 200 '));
  t.pass('a short body is read to its end, and the connection stays open');
});

t.test('wrong methods and content types are rejected', async (t) => {
  const { ask } = await site(t);
  const body = '{"channel":"a","data":"x"}';
  const types = [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=application/json',
    'application/jsonp',
    'application/json; charset=utf-16',
    'application/json; charset=utf-7; charset=utf-8',
    'application/x-ndjson; charset=latin1',
    '',
  ];
  for (const type of types) t.equal((await ask('/publish', post(body, type))).status, 415, type);
  const gzip = { ...post(body), headers: { 'Content-Encoding': 'gzip' } };
  t.equal((await ask('/publish', gzip)).status, 415);
  const lines = { 'Content-Type': 'application/jsonl', 'Content-Encoding': 'br' };
  t.equal((await ask('/publish', { ...post(body), headers: lines })).status, 415);
  for (const [path, method, allowed] of [
    ['/publish', 'GET', 'POST'],
    ['/publish', 'PUT', 'POST'],
    ['/kick', 'DELETE', 'POST'],
    ['/channels', 'POST', 'GET, HEAD'],
  ] as const) {
    const { status, headers } = await ask(path, { method });
    t.equal(status, 405, `${method} ${path}`);
    t.equal(headers.get('allow'), allowed);
  }
});

t.test('a busy server answers 429 with Retry-After, a stopped one 503', async (t) => {
  const { ask } = await site(t, { target: new MoodyTarget() });
  const say = (channel: string): Promise<Answer> =>
    ask('/publish', post(JSON.stringify({ channel, data: 'x' })));
  for (const [channel, status] of [
    ['busy', 429],
    ['stopped', 503],
  ] as const) {
    const answer = await say(channel);
    t.equal(answer.status, status);
    t.match(answer.headers.get('retry-after'), /^[1-5]$/);
  }
  await t.rejects(say('bug'), 'a bug is not answered');
  t.equal((await say('fine')).status, 200, 'and does not stop the server');
});

t.test('channels are listed, and the query is validated', async (t) => {
  const { ask, broker } = await site(t);
  for (const channel of ['news/1', 'news/2', 'ä b', 'news/*']) {
    broker.onFrame(0, { name: 'Interest', fields: { channel, count: 2, wanted: 1 } });
  }
  await broker.publish('news/1', 'x');
  const found: unknown[] = [];
  for (let from: number | null = 0; from !== null;) {
    const { status, text } = await ask(`/channels?prefix=news%2F&limit=1&from=${from}`);
    t.equal(status, 200);
    const page = JSON.parse(text) as { channels: unknown[]; next: number | null };
    found.push(...page.channels);
    from = page.next;
  }
  const sorted = found.map((info) => JSON.stringify(info)).sort();
  t.equal(sorted.length, 3);
  t.match(sorted[0], /^\{"channel":"news\/\*","subscribers":2,"messages":0,"bytes":0\}$/);
  t.match(sorted[1], /^\{"channel":"news\/1","subscribers":2,"messages":1,"bytes":\d+\}$/);
  t.match((await ask('/channels?prefix=%C3%A4+b')).lines, [{ channels: [{ channel: 'ä b' }] }]);
  for (const query of [
    'limit=-1',
    'limit=x',
    'limit=10001',
    'from=1e9',
    'from=9007199254740993',
    'name=a',
  ]) {
    t.match(await ask(`/channels?${query}`), { status: 400, lines: [{ error: /.{20}/ }] }, query);
  }
});

t.test('a kick is for a channel or for all', async (t) => {
  const { ask, broker, worker } = await site(t);
  broker.onFrame(0, { name: 'Interest', fields: { channel: 'a', count: 4, wanted: 1 } });
  const one = await ask('/kick', post('{"channel":"a","reason":"bye"}'));
  t.same([one.status, one.lines], [200, [{ subscribers: 4 }]]);
  t.same((await ask('/kick', post('{"all":true}'))).lines, [{ all: true }]);
  t.same(worker.take(), [
    { name: 'Kick', fields: { channel: 'a', reason: 'bye' } },
    { name: 'Kick', fields: { channel: '', reason: '' } },
  ]);
  const bad = [
    '{}',
    '{"all":false}',
    '{"all":true,"channel":"a"}',
    '{"channel":""}',
    '{"channel":"a","reason":5}',
    '{"channel":"a","reason":"a\\nb"}',
    `{"channel":"a","reason":"${'x'.repeat(124)}"}`,
    '{"channel":"a","why":"b"}',
  ];
  for (const body of bad) t.equal((await ask('/kick', post(body))).status, 400, body);
  t.equal((await ask('/kick', post('{"all":true}', NDJSON))).status, 415);
  t.same(worker.take(), []);
});
