// Keys of --token-jwks-url from a real HTTP server: its faults, its rotations, and the tokens
// meanwhile.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';

import { Secret } from '../support/client-tokens.js';
import { exchange, Program, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { IssuerKey, KeySite } from '../support/key-site.js';
import { recordedLog, type Line } from '../support/recorded-log.js';
import {
  PATHS,
  requestOf,
  statusOf as statusOfRequest,
  type Path,
} from '../support/transport-requests.js';
import { CommandClient } from '../support/websocket-peer.js';

type KeyWorld = World & { lines: Line[] };

async function start(t: Test, site: { url: string }, options: object = {}): Promise<KeyWorld> {
  const { lines, logger } = recordedLog();
  const world = await startComet(t, {
    workers: 1,
    tokenJwksUrl: site.url,
    public: ['public'],
    logger,
    ...options,
  });
  return { ...world, lines };
}

/** The answer up to the end of its head, and the first bytes of its content. */
function answerOf(world: World, path: Path, query: string): Promise<string> {
  return exchange(world.port, requestOf(path, query), (text) =>
    /^HTTP\/1\.1 204 [^]*\r\n\r\n|\r\n\r\n[^]/.test(text),
  );
}

const statusOf = (world: World, token: string): Promise<number> =>
  statusOfRequest(world, requestOf('/stream', `channel=a&token=${token}`));

const counters = ({ server }: World): Record<string, number> =>
  server.stats().messages as unknown as Record<string, number>;

/** Why the keys were not fetched, by the log. */
const failureOf = ({ lines }: KeyWorld): unknown =>
  lines.find(({ message }) => message === 'keys of the issuer not fetched')?.fields;

/** The log lines about keys that verify nothing. */
const ignoredOf = ({ lines }: KeyWorld): unknown =>
  lines.find(({ message }) => message === 'keys of the issuer verify no token')?.fields['ignored'];

t.test('tokens of every algorithm are verified with keys of the URL and of files', async (t) => {
  const keys = [new IssuerKey('r', 'RS256'), new IssuerKey('p'), new IssuerKey('e', 'EdDSA')];
  const site = await KeySite.start(
    t,
    keys.map((key) => key.jwk({ use: 'sig' })),
  );
  const secret = new Secret(t);
  const own = new IssuerKey('own', 'EdDSA');
  const file = join(dirname(secret.path), 'own.pem');
  writeFileSync(file, own.publicKey.export({ type: 'spki', format: 'pem' }));
  const world = await start(t, site, {
    workers: 2,
    tokenKey: [secret.option, `EdDSA:own=${file}`],
  });
  for (const key of [...keys, own]) {
    t.equal(await statusOf(world, key.token()), 200, key.kid);
    t.equal(await statusOf(world, key.token({})), 200, `${key.kid} without kid`);
  }
  t.equal(await statusOf(world, secret.token({ grants: { subscribe: ['a'] } })), 200);
  const [first] = keys;
  t.equal(await statusOf(world, `${first?.token()}x`), 401, 'a wrong signature of a known key');
  t.equal(site.requests, 1);
  t.match(counters(world), { jwksFetchesTotal: 1, jwksFetchFailuresTotal: 0, jwksKeys: 3 });
});

t.test(
  'a server that is down at the start: tokens get 503, public channels are served',
  async (t) => {
    const key = new IssuerKey('a');
    const site = await KeySite.start(t, [key.jwk()]);
    await site.close();
    const secret = new Secret(t);
    const world = await start(t, site, { tokenKey: [secret.option], tokenCookie: 'session' });
    for (const path of PATHS) {
      const text = await answerOf(world, path, `channel=a&token=${key.token()}`);
      if (path === '/events') {
        // An EventSource reconnects after a response that ends, and not after 503.
        t.match(text, /^HTTP\/1\.1 200 [^]*\r\n\r\nevent: megacomet\.unavailable\n/);
        t.match(text, /\nretry: (?:[5-9]|[12]\d|30)000\n/);
      } else {
        t.match(text, /^HTTP\/1\.1 503 [^]*\r\nRetry-After: (?:[5-9]|[12]\d|30)\r\n/, path);
        t.match(text, /"error":"token: its key is not known yet; retry later"/);
      }
      t.match(await answerOf(world, path, 'channel=public'), /^HTTP\/1\.1 (?:200|204|101) /, path);
      t.match(await answerOf(world, path, 'channel=a'), /^HTTP\/1\.1 401 /, 'no token');
    }
    t.equal(await statusOf(world, key.token({})), 503, 'without kid');
    const own = secret.token({ grants: { subscribe: ['a'] } });
    t.equal(await statusOf(world, own), 200, 'keys of files serve');
    t.equal(await statusOf(world, `${own}x`), 401, 'and never wait for the URL');
    const cookie = (channel: string): Promise<string> =>
      exchange(
        world.port,
        `GET /stream?channel=${channel} HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\n` +
          `Cookie: session=${key.token()}\r\n\r\n`,
        (text) => text.includes('\r\n\r\n'),
      );
    t.match(await cookie('a'), / 503 /, 'in a cookie');
    t.match(await cookie('public'), / 200 /, 'in a cookie, for a public channel');
    const client = new CommandClient(world.port, '/ws');
    await client.open();
    client.say(JSON.stringify({ type: 'connect', token: key.token() }));
    t.equal(await client.closed, 1013, 'try again later');
    t.match(failureOf(world), { cause: 'unreachable', err: /connection refused/, hasKeys: false });
    await site.open();
    await until('the keys', async () => (await statusOf(world, key.token())) === 200);
    t.ok(Number(counters(world)['jwksFetchFailuresUnreachableTotal']) > 0);
  },
);

/** Answers that are not keys, with the cause and the reason in the log. */
const BAD_ANSWERS: readonly (readonly [string, (response: ServerResponse) => void, object])[] = [
  ['garbage', (r) => r.end('<html>'), { cause: 'content', err: /is not valid JSON$/ }],
  ['an array', (r) => r.end('[]'), { cause: 'content', err: /is not a JSON Web Key Set$/ }],
  [
    'keys as text',
    (r) => r.end('{"keys":"a"}'),
    { cause: 'content', err: /is not a JSON Web Key/ },
  ],
  [
    'a body of 10 MB',
    (r) => r.end(JSON.stringify({ keys: [], x: 'x'.repeat(10_000_000) })),
    { cause: 'content', err: /has more than 262144 bytes$/ },
  ],
  [
    'an endless body',
    (r) => {
      const timer = setInterval(() => r.write('x'.repeat(65_536)), 1);
      r.on('close', () => {
        clearInterval(timer);
      });
    },
    { cause: 'content', err: /has more than 262144 bytes$/ },
  ],
  [
    '1,000 keys',
    (r) => r.end(JSON.stringify({ keys: Array.from({ length: 1000 }, () => ({})) })),
    { cause: 'content', err: /has 1000 keys; at most 64 are allowed$/ },
  ],
  [
    'a body that is cut off',
    (r) => {
      r.writeHead(200, { 'Content-Length': '1000' });
      r.write('{"keys":');
      setImmediate(() => r.destroy());
    },
    { cause: 'unreachable' },
  ],
  [
    'a compressed body',
    (r) => r.writeHead(200, { 'Content-Encoding': 'gzip' }).end('x'),
    { cause: 'content', err: /is compressed$/ },
  ],
  ['500', (r) => r.writeHead(500).end('{"keys":[]}'), { cause: 'status', err: /status 500$/ }],
  ['no HTTP', (r) => r.socket?.end('what?\r\n\r\n'), { cause: 'unreachable', err: /not HTTP$/ }],
];

t.test('an answer that is not a set of keys is a failure, and the kept keys serve', async (t) => {
  const key = new IssuerKey('a');
  for (const [name, answer, wanted] of BAD_ANSWERS) {
    const site = await KeySite.start(t, [key.jwk()]);
    const world = await start(t, site);
    site.answer = (_, response) => answer(response);
    world.server.reloadKeys();
    await until(name, () => failureOf(world) !== undefined);
    t.match(failureOf(world), wanted, name);
    t.equal(await statusOf(world, key.token()), 200, `${name}: kept keys`);
    t.match(counters(world), { jwksKeys: 1, jwksFetchFailuresTotal: 1 });
    await world.server.close();
  }
});

t.test('a redirect is not followed', async (t) => {
  const key = new IssuerKey('a');
  const other = await KeySite.start(t, [key.jwk()]);
  const site = await KeySite.start(t);
  site.answer = (_, response) => response.writeHead(302, { Location: other.url }).end();
  const world = await start(t, site);
  t.match(failureOf(world), { cause: 'status', err: /status 302; a redirect is not followed$/ });
  t.equal(other.requests, 0);
  t.equal(await statusOf(world, key.token()), 503);
});

t.test('a slow server delays the start by 2 s at most, and its keys count', async (t) => {
  const key = new IssuerKey('a');
  const site = await KeySite.start(t);
  let release = (): void => undefined;
  site.answer = (_, response) => {
    response.write(' ');
    release = () => response.end(JSON.stringify({ keys: [key.jwk()] }));
  };
  const world = await start(t, site);
  t.equal(await statusOf(world, key.token()), 503);
  release();
  await until('the keys', async () => (await statusOf(world, key.token())) === 200);
});

t.test('a server that never answers is a failure by timeout', async (t) => {
  const key = new IssuerKey('a');
  const site = await KeySite.start(t);
  site.answer = () => undefined;
  const world = await start(t, site);
  t.equal(await statusOf(world, key.token()), 503);
  await until('the end of the time', () => failureOf(world) !== undefined);
  t.match(failureOf(world), { cause: 'timeout', err: 'no complete answer in 5 s' });
  t.match(counters(world), { jwksFetchFailuresTimeoutTotal: 1 });
  const closing = Date.now();
  await world.server.close();
  t.ok(Date.now() - closing < 4000, 'close() does not wait for an answer');
});

t.test('keys that must not verify tokens are ignored, each with its reason', async (t) => {
  const good = new IssuerKey('good');
  const other = new IssuerKey('other');
  const rsa = new IssuerKey('rsa', 'RS256');
  const curve = new IssuerKey('curve');
  const coordinates = other.jwk() as { x: string; y: string };
  const keys: readonly unknown[] = [
    other.jwk({ kid: 'enc', use: 'enc' }),
    other.jwk({ kid: 'wrap', key_ops: ['wrapKey'] }),
    other.jwk({ kid: 'alg', alg: 'RS256' }),
    rsa.jwk({ kid: 'pss', alg: 'PS256' }),
    { kty: 'oct', kid: 'oct', k: createHash('sha256').update('x').digest('base64url') },
    { kty: 'RSA', kid: 'weak', e: 'AQAB', n: Buffer.alloc(128, 0xfb).toString('base64url') },
    rsa.jwk({ kid: 'one', e: 'AQ' }),
    curve.jwk({ kid: 'curve', crv: 'P-384' }),
    curve.jwk({ kid: 'swapped', x: coordinates.x }),
    { ...other.jwk(), kid: 'okp', kty: 'OKP', crv: 'X25519' },
    other.jwk({ kid: 7 }),
    other.privateJwk(),
    'text',
    good.jwk(),
  ];
  const site = await KeySite.start(t, keys as readonly object[]);
  const world = await start(t, site);
  t.strictSame(ignoredOf(world), [
    'key "enc" has use "enc"',
    'key "wrap" has key_ops without "verify"',
    'key "alg" has alg "RS256"',
    'key "pss" has alg "PS256"',
    'key "oct" is not a key of RS256, ES256 or EdDSA',
    'key "weak" has 1024 bits; 2048 to 4096 are allowed',
    'key "one" has an exponent that is not between 3 and 2^32',
    'key "curve" is not a key of RS256, ES256 or EdDSA',
    'key "swapped" is not a valid key',
    'key "okp" is not a key of RS256, ES256 or EdDSA',
    'key 11 has a kid that is not a text of at most 200 bytes',
    'key "other" is a private key; a set must have public ones',
    'key 13 is not an object',
  ]);
  t.equal(await statusOf(world, good.token()), 200);
  t.equal(await statusOf(world, other.token({})), 401);
  t.match(counters(world), { jwksKeys: 1, jwksFetchFailuresTotal: 0 });
});

t.test('two keys with one kid are both tried', async (t) => {
  const [one, two] = [new IssuerKey('same'), new IssuerKey('same')];
  const site = await KeySite.start(t, [one.jwk(), two.jwk()]);
  const world = await start(t, site);
  t.equal(await statusOf(world, one.token()), 200);
  t.equal(await statusOf(world, two.token()), 200);
  t.equal(await statusOf(world, new IssuerKey('same').token()), 401);
});

t.test('a new key is fetched once it is met, and no connection closes', async (t) => {
  const old = new IssuerKey('old');
  const site = await KeySite.start(t, [old.jwk()]);
  const world = await start(t, site, { workers: 2 });
  const client = new CommandClient(world.port, `/ws?channel=a&token=${old.token()}`);
  t.teardown(() => {
    client.close();
  });
  await client.open();
  const next = new IssuerKey('next', 'EdDSA');
  site.keys = [next.jwk()];
  t.equal(await statusOf(world, next.token()), 503, 'the first one has to retry');
  await until('the new key', async () => (await statusOf(world, next.token())) === 200);
  t.equal(site.requests, 2);
  // Shortly after that fetch a key that is unknown is wrong, and causes no fetch.
  const strange = new IssuerKey('strange');
  for (let at = 0; at < 20; at++) t.equal(await statusOf(world, strange.token()), 401);
  t.equal(await statusOf(world, old.token()), 401, 'a key that the issuer has removed');
  t.equal(site.requests, 2);
  t.match(counters(world), { jwksFetchesTotal: 2 });
  await world.server.publish('a', 'still there');
  await until('the message', () => client.messages.includes('a'));
});

t.test('a worker that starts later has the keys', async (t) => {
  const key = new IssuerKey('a');
  const site = await KeySite.start(t, [key.jwk()]);
  const world = await start(t, site);
  await site.close();
  const pid = world.server.stats().workers[0]?.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  await until('the successor', () => {
    const [worker] = world.server.stats().workers;
    return worker?.state === 'serving' && worker.pid !== pid;
  });
  t.equal(await statusOf(world, key.token()), 200);
});

t.test('SIGHUP fetches the keys again, and the log names no query', async (t) => {
  const key = new IssuerKey('a');
  const site = await KeySite.start(t, [key.jwk()]);
  const program = await Program.start(t, {
    args: ['--workers', '1', '--token-jwks-url', `${site.url}?secret=7`, '--public', 'x'],
    expectLog: [/^--token-audience is not set/],
  });
  const status = async (token: string): Promise<number> => {
    const url = `http://127.0.0.1:${program.port}/poll?timeout=0&channel=a&token=${token}`;
    return (await fetch(url)).status;
  };
  t.equal(await status(key.token()), 204);
  const next = new IssuerKey('next');
  site.keys = [next.jwk()];
  program.server.child.kill('SIGHUP');
  await until('the new keys', async () => (await status(next.token())) === 204);
  t.not(await status(key.token()), 204, 'and not the old ones');
  t.match(program.server.stdout, `"url":"${site.url}"`);
  t.notMatch(program.server.stdout, 'secret=7');
  await program.server.stop();
});

t.test('a URL that could be changed on its way is rejected', async (t) => {
  const rule =
    'is not an https URL, or an http URL of a loopback address, without user and fragment';
  const rows = [
    ['http://issuer.example/keys', 'http://issuer.example/keys'],
    ['http://127.0.0.1.example/keys', 'http://127.0.0.1.example/keys'],
    ['ftp://127.0.0.1/keys', 'ftp://127.0.0.1/keys'],
    ['https://user:pass@issuer.example/keys?a=b', 'https://issuer.example/keys'],
    ['https://issuer.example/keys#a', 'https://issuer.example/keys'],
    ['/keys', '/keys'],
    ['https://', 'https://…'],
  ] as const;
  for (const [url, shown] of rows) {
    await t.rejects(startComet(t, { tokenJwksUrl: url }), {
      code: 'ERR_OPTION_INVALID',
      message: `token-jwks-url: ${JSON.stringify(shown)} ${rule}`,
    });
  }
});
