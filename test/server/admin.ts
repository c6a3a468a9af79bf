// The admin server as monitoring uses it: health, readiness, stats, Prometheus text, and the requests
// that it rejects.
import t from 'tap';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { HEADER_BYTES_MAX, KEEP_ALIVE_TIMEOUT_MS, SILENCE_MS } from '../../lib/api/admin.js';
import { ask as askAt, type Answer } from '../support/admin-ask.js';
import { Clients, connect, root, run, TestServer, until } from '../support/helpers.js';
import { parseMetrics, unfit } from '../support/prometheus-text.js';
import { formatExactJson, parseExactJson } from '../../lib/base/exact-json.js';

/** A request with any method and any header, also those that fetch() does not let one set. */
function ask(
  { adminPort }: TestServer,
  path: string,
  method = 'GET',
  headers: Record<string, string> = {},
): Promise<Answer> {
  return askAt(adminPort, path, { method, headers });
}

const STATS_FIELDS = {
  '': ['version', 'uptimeSeconds', 'protocol', 'listen', 'maxConnections', 'totals', 'workers'],
  totals: [
    ...['connections', 'acceptedTotal', 'closedTotal', 'acceptFailedTotal', 'rejectedTotal'],
    ...['bytesReceivedTotal', 'bytesSentTotal', 'echoedTotal'],
  ],
  kernel: ['tcpInUse', 'tcpMemPages', 'fileNr', 'listenOverflows', 'listenDrops'],
  memory: ['privateBytes', 'userBytesPerConnection'],
};
const WORKER_FIELDS = [
  ...['slot', 'pid', 'state', 'restarts', 'connections', 'heartbeatAgeMs', 'loopLagMaxMs'],
  'privateBytes',
];

t.test('a healthy server is alive and ready', async (t) => {
  const server = await TestServer.start(t);
  const health = await ask(server, '/healthz');
  t.same([health.status, JSON.parse(health.body)], [200, { status: 'alive' }], '/healthz');
  const ready = await ask(server, '/readyz');
  t.equal(ready.status, 200, '/readyz');
  t.same(
    JSON.parse(ready.body),
    { isReady: true, isDraining: false, isLogReady: null, notServing: [] },
    'and its text',
  );
  t.equal(ready.headers['cache-control'], 'no-store', 'caches must not keep the answer');
  t.equal(ready.headers['x-content-type-options'], 'nosniff', 'or guess its type');
  await server.stop();
});

t.test('a server with more than half of its workers stopped is not ready', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '3', '--heartbeat-limit', '60'] });
  const clients = await Clients.open(t, server.port, 30);
  t.equal(await clients.answering(), 30, 'all are answered before');
  const pids = (await server.stats()).workers.map(({ pid }) => pid ?? 0);
  const [first = 0, second = 0] = pids;
  process.kill(first, 'SIGSTOP');
  await until('one to be late', async () => (await server.stats()).workers[0]?.state === 'late');
  t.equal((await ask(server, '/readyz')).status, 200, 'two of three are enough');
  process.kill(second, 'SIGSTOP');
  await until('readiness to end', async () => (await ask(server, '/readyz')).status === 503);
  const { notServing } = JSON.parse((await ask(server, '/readyz')).body) as { notServing: object };
  const late = [0, 1].map((slot) => ({ slot, state: 'late' }));
  t.same(notServing, late, 'the answer names the slots');
  t.equal((await ask(server, '/healthz')).status, 200, 'it is alive all the same');
  const stats = await server.stats();
  t.equal(stats.totals['connections'], 30, 'the stats still count every connection');
  t.equal(stats.totals['echoedTotal'], 30, 'and every echo');
  t.ok((stats.workers[0]?.heartbeatAgeMs ?? 0) >= 3000, 'and say how long the heartbeat is due');
  for (const pid of [first, second]) process.kill(pid, 'SIGCONT');
  await until('readiness to return', async () => (await ask(server, '/readyz')).status === 200);
  t.equal(await clients.answering(), 30, 'and everybody is answered again');
  await server.stop();
});

t.test('stats have every documented field, and their sums are right', async (t) => {
  const server = await TestServer.start(t);
  const clients = await Clients.open(t, server.port, 40);
  await clients.answering();
  const stats = await server.stats();
  for (const [part, fields] of Object.entries(STATS_FIELDS)) {
    const all = stats as unknown as Record<string, Record<string, unknown>>;
    const object = part === '' ? all : (all[part] ?? {});
    const missing = fields.filter((field) => object[field] === undefined);
    t.same(missing, [], `${part === '' ? 'the top' : part} lacks nothing`);
  }
  for (const worker of stats.workers) {
    t.same(
      WORKER_FIELDS.filter((field) => worker[field] === undefined),
      [],
      `worker ${worker.slot} lacks nothing`,
    );
    t.ok((worker.privateBytes ?? 0) > 1e6, 'and has a plausible memory');
  }
  const sum = stats.workers.reduce((all, worker) => all + Number(worker['connections']), 0);
  t.equal(sum, 40, 'the workers have all connections');
  t.match(stats.totals, { connections: 40, acceptedTotal: 40, closedTotal: 0 }, 'as the totals');
  t.equal(stats.totals['bytesReceivedTotal'], 40, 'every byte in');
  t.equal(stats.totals['bytesSentTotal'], 40, 'every byte out');
  t.equal(stats.memory.privateBytes > 0, true, 'memory is measured');
  t.same(stats.listen, [`[::]:${server.port}`], 'the address is reported');
  await server.stop();
});

t.test('metrics are Prometheus text by every rule, and agree with the stats', async (t) => {
  const server = await TestServer.start(t);
  const clients = await Clients.open(t, server.port, 25);
  await clients.answering();
  const answer = await ask(server, '/metrics');
  t.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/, 'the content type');
  const metrics = parseMetrics(answer.body);
  t.same(unfit(metrics), [], 'every metric keeps the rules of its type');
  const sumOf = (name: string): number =>
    (metrics.get(name)?.samples ?? []).reduce((sum, { value }) => sum + value, 0);
  t.equal(sumOf('megacomet_connections'), 25, 'connections');
  t.equal(sumOf('megacomet_accepted_total'), 25, 'accepted');
  t.equal(sumOf('megacomet_echoed_total'), 25, 'echoed');
  t.equal(sumOf('megacomet_workers_serving'), (await server.stats()).workers.length, 'workers');
  t.ok(sumOf('megacomet_loop_iteration_seconds') > 0, 'loop iterations are counted');
  const again = parseMetrics((await ask(server, '/metrics')).body);
  const first = (all: typeof metrics): unknown => all.get('megacomet_accepted_total')?.samples;
  t.same(first(again), first(metrics), 'a second look adds nothing up');
  t.throws(() => parseMetrics('a_total 1\n'), 'the parser can fail: no HELP');
  t.same(
    unfit(parseMetrics('# HELP a A.\n# TYPE a counter\na 1\n')),
    ['a'],
    'and so can the rules',
  );
  await server.stop();
});

t.test('requests that a page of another site may have sent are rejected', async (t) => {
  const server = await TestServer.start(t);
  const own = `127.0.0.1:${server.adminPort}`;
  const rebound = `evil.example:${server.adminPort}`;
  const foreign: Record<string, string>[] = [
    { host: own, origin: 'http://evil.example' },
    { host: own, origin: 'null' },
    { host: own, origin: `http://127.0.0.1:${server.adminPort + 1}` },
    { host: own, 'sec-fetch-site': 'cross-site' },
    { host: own, 'sec-fetch-site': 'same-site' },
    { host: rebound, 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0' },
    { host: rebound, 'accept-language': 'en' },
    { host: rebound, 'sec-fetch-site': 'same-origin' },
    { host: rebound, origin: `http://${rebound}` },
    { host: rebound, referer: `http://${rebound}/` },
    { host: '127.0.0.1.evil.example', 'user-agent': 'Mozilla/5.0' },
    { host: 'localhosts', 'user-agent': 'Mozilla/5.0' },
  ];
  const letThrough: string[] = [];
  for (const headers of foreign) {
    for (const path of ['/stats', '/metrics', '/healthz', '/readyz', '/nowhere']) {
      const { status } = await ask(server, path, 'GET', headers);
      if (status !== 403) letThrough.push(`${path} ${JSON.stringify(headers)}: ${status}`);
    }
  }
  t.same(letThrough, [], 'no page of another site gets an answer, at any path');
  const names = [own, `localhost:${server.adminPort}`, '[::1]', '10.1.2.3:80'];
  for (const host of names) {
    for (const path of ['/stats', '/metrics', '/healthz', '/readyz']) {
      t.equal((await ask(server, path, 'GET', { host })).status, 200, `${host} ${path}`);
    }
  }
  for (const host of [`megacomet:${server.adminPort}`, 'megacomet.default.svc', 'my_service:1']) {
    for (const path of ['/healthz', '/readyz']) {
      t.equal(
        (await ask(server, path, 'GET', { host })).status,
        200,
        `a balancer: ${host} ${path}`,
      );
    }
    for (const path of ['/stats', '/metrics', '/nowhere']) {
      const { status, body } = await ask(server, path, 'GET', { host });
      t.equal(status, 403, `${host} ${path}`);
      t.match(body, /foreign Host: see --admin-allowed-host, or send a token/);
    }
  }
  const same = await ask(server, '/stats', 'GET', { host: own, origin: `http://${own}` });
  t.equal(same.status, 200, 'and so may its own origin');
  t.equal(same.headers['access-control-allow-origin'], undefined, 'which allows no other origin');
  await server.stop();
});

t.test('requests are read as RFC 9112 demands', async (t) => {
  const server = await TestServer.start(t);
  const statusOf = async (...lines: string[]): Promise<string> => {
    const socket = await connect(server.adminPort);
    socket.end(`${lines.join('\r\n')}\r\n\r\n`);
    return (await text(socket)).slice(9, 12);
  };
  const name = `Host: 127.0.0.1:${server.adminPort}`;
  const last = 'Connection: close';
  const rows: [string, string, ...string[]][] = [
    ['200', 'GET /healthz HTTP/1.0'],
    ['200', 'GET http://127.0.0.1:9001/healthz HTTP/1.1', name, last],
    ['200', 'GET http://127.0.0.1:9001/healthz HTTP/1.1', 'Host: elsewhere', last],
    ['200', 'HEAD http://megacomet/readyz?x HTTP/1.1', name, last],
    ['404', 'GET http://127.0.0.1:9001 HTTP/1.1', name, last],
    ['403', 'GET http://evil/stats HTTP/1.1', name, 'User-Agent: Mozilla/5.0', last],
    ['400', 'GET http://u@127.0.0.1/healthz HTTP/1.1', name, last],
    ['400', 'GET * HTTP/1.1', name, last],
    ['400', 'GET /healthz HTTP/1.1', last],
    ['400', 'GET /healthz HTTP/1.1', name, name, last],
    ['400', 'GET /healthz HTTP/1.1', name, 'Host: other', last],
    ['400', 'GET /healthz HTTP/1.1', 'Host: ', last],
    ['400', 'GET /healthz HTTP/1.1', 'Host: u@localhost', last],
    ['400', 'GET /healthz HTTP/1.1', 'Host: localhost/x', last],
    ['400', 'GET /healthz HTTP/1.1', 'Host: localhost, localhost', last],
    ['400', 'POST /publish HTTP/1.1', name, 'Transfer-Encoding: ', 'Content-Length: 0', last],
    ['404', 'POST /publish/ HTTP/1.1', name, 'Content-Length: 0', last],
    ['404', 'POST //publish HTTP/1.1', name, 'Content-Length: 0', last],
    ['404', 'POST /PUBLISH HTTP/1.1', name, 'Content-Length: 0', last],
    ['404', 'GET /healthz/ HTTP/1.1', name, last],
    ['405', 'POST /healthz HTTP/1.1', name, 'Content-Length: 0', last],
  ];
  for (const [wanted, ...lines] of rows) t.equal(await statusOf(...lines), wanted, lines.join(' '));
  const { body } = await ask(server, '/publish', 'POST');
  t.match(body, /this server speaks echo; \/publish needs --protocol comet/, 'the true cause');
  await server.stop();
});

t.test('health is answered beside any other client of the port', async (t) => {
  const server = await TestServer.start(t);
  const isHealthy = async (what: string): Promise<void> => {
    const startedAt = performance.now();
    t.equal((await ask(server, '/healthz')).status, 200, what);
    const ms = performance.now() - startedAt;
    // It took 6 s and more for 3,000 pipelined requests, and 30 s beside 256 silent connections.
    t.ok(ms < 5000, `${what}: it takes ${ms.toFixed(0)} ms`);
  };
  const open = async (): Promise<Awaited<ReturnType<typeof connect>>> => {
    const socket = await connect(server.adminPort);
    socket.on('error', () => undefined);
    t.teardown(() => {
      socket.destroy();
    });
    return socket;
  };
  const request = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n';
  for (let count = 0; count < 5; count++) (await open()).write(request.repeat(3000));
  await isHealthy('pipelined requests');
  for (let count = 0; count < 300; count++) await open();
  await isHealthy('silent connections');
  for (let count = 0; count < 300; count++) (await open()).write(request);
  await isHealthy('connections that do not read');
  await server.stop();
});

t.test('a connection gets its answers in order, one request at a time', async (t) => {
  const server = await TestServer.start(t);
  const socket = await connect(server.adminPort);
  const paths = ['/healthz', '/nowhere', '/readyz', '/healthz'];
  const head = (path: string, last: boolean): string =>
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;
  socket.write(paths.map((path, at) => head(path, at === paths.length - 1)).join(''));
  const statuses = [...(await text(socket)).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code);
  t.same(statuses, ['200', '404', '200', '200']);
  await server.stop();
});

t.test('other methods, unknown paths and long headers are rejected', async (t) => {
  const server = await TestServer.start(t);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const { status, headers } = await ask(server, '/stats', method);
    t.same([status, headers['allow']], [405, 'GET, HEAD'], method);
  }
  for (const path of ['/', '/stats/', '/stat', '/../stats', '/%2e%2e/stats', '//stats']) {
    t.equal((await ask(server, path)).status, 404, path);
  }
  t.equal((await ask(server, '/stats?x=1')).status, 200, 'a query changes nothing');
  const head = await ask(server, '/stats', 'HEAD');
  t.same([head.status, head.body], [200, ''], 'HEAD has no body');
  t.ok(Number(head.headers['content-length']) > 100, 'but its length');
  const long = await ask(server, '/stats', 'GET', { 'x-long': 'x'.repeat(10_000) });
  t.equal(long.status, 431, 'headers beyond 8 KiB');
  t.equal((await ask(server, '/stats')).status, 200, 'and it goes on answering');
  await server.stop();
});

t.test('the limits of the public port are not those of the admin port', async (t) => {
  const limits = ['--http-header-bytes', '1024', '--http-header-count', '16'];
  const options = ['--protocol', 'comet', ...limits, '--keep-alive-timeout', '1'];
  const server = await TestServer.start(t, { args: options });
  const fields = Object.fromEntries(
    Array.from({ length: 50 }, (_, index) => [`x-field-${index}`, 'x'.repeat(100)]),
  );
  const kept = { ...fields, connection: 'keep-alive' };
  const { status, headers } = await ask(server, '/stats', 'GET', kept);
  t.equal(status, 200, '50 header fields of 100 bytes');
  const long = { 'x-long': 'x'.repeat(HEADER_BYTES_MAX) };
  t.equal((await ask(server, '/stats', 'GET', long)).status, 431);
  t.equal(headers['keep-alive'], `timeout=${KEEP_ALIVE_TIMEOUT_MS / 1000}`);
  const guide = readFileSync(join(root, 'docs/operations.md'), 'utf8').replace(/\s+/g, ' ');
  const [betweenS, silenceS] = [KEEP_ALIVE_TIMEOUT_MS / 1000, SILENCE_MS / 1000];
  const bounds =
    `${HEADER_BYTES_MAX / 1024} KiB of headers, ${betweenS} s between two requests of a ` +
    `connection, ${silenceS} s of silence`;
  t.match(guide, bounds, 'docs/operations.md has the limits');
  await server.stop();
});

t.test('a taken admin port is one sentence that names the option', async (t) => {
  const server = await TestServer.start(t);
  const args = ['serve', '--port', '0', '--admin-port', String(server.adminPort)];
  const { code, stderr } = await run(args);
  t.equal(code, 1, 'exit code');
  t.match(stderr, /^megacomet-ts: the admin server cannot listen on [^\n]+--admin-port\n$/, 'why');
  await server.stop();
});

t.test('JSON keeps integers that numbers cannot hold, and leaves text alone', (t) => {
  const big = 2n ** 64n - 1n;
  t.equal(formatExactJson({ a: big, b: [1n, 2] }), '{"a":18446744073709551615,"b":[1,2]}');
  t.equal(formatExactJson({ text: '12345', a: 0n, none: undefined }), '{"text":"12345","a":0}');
  const texts = [
    'dm:175928847299117063,80351110224678912',
    'room[1234567890123456]',
    '"\\',
    '\0 7',
  ];
  texts.push('x:1234567890123456,y', '{"a":1234567890123456789}', '\u2028', '');
  const value = { texts, deep: { [texts[0] ?? '']: [big, -big, 1.5, -1e300, true, null, {}, []] } };
  t.same(parseExactJson(formatExactJson(value)), value);
  t.same(parseExactJson(` { "a" : [ 1 , 9007199254740993 ] , "b" : "\\u0041" } `), {
    a: [1, 9007199254740993n],
    b: 'A',
  });
  t.equal(parseExactJson('9007199254740991'), 9007199254740991);
  t.equal(parseExactJson('1e30'), 1e30);
  t.equal(parseExactJson('12345678901234567890.5'), Number('12345678901234567890.5'));
  for (const text of ['', '{', '[1,]', '01', '{"a":1,}']) {
    t.throws(() => parseExactJson(text), SyntaxError, text);
  }
  t.end();
});
