// Signed URLs: what their signature covers on every transport, when they end, and signed mailboxes.
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';

import { signUrl } from '../../lib/index.js';
import { nowS, Secret } from '../support/client-tokens.js';
import { exchange, startComet, type World } from '../support/comet-world.js';
import { root, run, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';
import { CommandClient, handshake } from '../support/websocket-peer.js';

const PATHS = ['/events', '/stream', '/poll', '/ws'] as const;

type SignedWorld = World & { secret: Secret };

async function start(t: Test, options: object = {}): Promise<SignedWorld> {
  const secret = new Secret(t);
  const world = await startComet(t, { workers: 1, signKey: [secret.path], ...options });
  return { ...world, secret };
}

/** The signature of a text, written as docs/tokens.md describes it and not by the product. */
function signatureOf(secret: Secret, lines: readonly string[]): string {
  return createHmac('sha256', secret.text).update(lines.join('\n')).digest('base64url');
}

/** A signed path and query whose parameters need no encoding. */
function signed(secret: Secret, path: string, parameters: readonly string[]): string {
  return `${path}?${parameters.join('&')}&signature=${signatureOf(secret, [path, ...parameters])}`;
}

function requestOf(target: string, lines: Record<string, string> = {}): string {
  if (target.startsWith('/ws')) return handshake(target, lines);
  const head = Object.entries({ Host: 'a', ...lines }).map(([name, value]) => `${name}: ${value}`);
  return [`GET ${target} HTTP/1.1`, ...head, '', ''].join('\r\n');
}

async function headOf(world: World, request: string): Promise<string> {
  const text = await exchange(world.port, request, (all) => all.includes('\r\n\r\n'));
  return text.slice(0, text.indexOf('\r\n\r\n'));
}

async function statusOf(
  world: World,
  target: string,
  lines: Record<string, string> = {},
): Promise<number> {
  return Number((await headOf(world, requestOf(target, lines))).split(' ')[1]);
}

/** A poll is answered at once. */
const atOnce = (path: string): readonly string[] => (path === '/poll' ? ['timeout=0'] : []);

const isServed = (status: number): boolean => [101, 200, 204].includes(status);

function total(world: World, name: string): number {
  const { workers } = world.server.stats();
  return workers.reduce(
    (sum, worker) => sum + Number((worker as unknown as Record<string, unknown>)[name]),
    0,
  );
}

t.test('a signed URL subscribes to exactly its channels, on every transport', async (t) => {
  const world = await start(t);
  for (const path of PATHS) {
    const target = signed(world.secret, path, [
      ...['channel=a', 'channel=news/1', ...atOnce(path)],
      `expires=${nowS() + 60}`,
    ]);
    t.ok(isServed(await statusOf(world, target)), path);
    t.equal(await statusOf(world, `${path}?channel=a`), 401, `${path} without a signature`);
    for (const more of ['since=abc', 'cursor=1-1', 'lastEventId=x', 'last-event-id=', '_=1234']) {
      const status = await statusOf(world, `${target}&${more}`);
      // An invalid cursor is rejected for itself.
      const isFine = more.startsWith('since') || more.startsWith('cursor') ? 400 : status;
      t.equal(status, isFine, `${path}: ${more}`);
      t.not(status, 401, `${path}: ${more} is not covered`);
    }
  }
  t.equal(total(world, 'signedUrlsRejectedTotal'), 0);
  t.ok(total(world, 'signedUrlsAcceptedTotal') >= 4);
  t.equal(total(world, 'tokensAcceptedTotal'), 0);
});

/** The fault of the target of a request; `path` and `ends` are those of a valid one. */
const WRONG: Readonly<
  Record<string, (secret: Secret, path: string, rest: readonly string[]) => string>
> = {
  'another channel': (secret, path, rest) =>
    signed(secret, path, ['channel=a', ...rest]).replace('channel=a', 'channel=b'),
  'one channel more': (secret, path, rest) =>
    `${signed(secret, path, ['channel=a', ...rest])}&channel=b`,
  'one channel less': (secret, path, rest) =>
    signed(secret, path, ['channel=a', 'channel=b', ...rest]).replace('&channel=b', ''),
  'a repeated channel': (secret, path, rest) =>
    `${signed(secret, path, ['channel=a', ...rest])}&channel=a`,
  'another order': (secret, path, rest) =>
    signed(secret, path, ['channel=a', 'channel=b', ...rest]).replace(
      'channel=a&channel=b',
      'channel=b&channel=a',
    ),
  'an unknown parameter more': (secret, path, rest) =>
    `${signed(secret, path, ['channel=a', ...rest])}&x=1`,
  'a name that cannot be decoded': (secret, path, rest) =>
    `${signed(secret, path, ['channel=a', ...rest])}&%zz=1`,
  'a channel in another case': (secret, path, rest) =>
    signed(secret, path, ['channel=a', ...rest]).replace('channel=a', 'channel=A'),
  'a later expiry': (secret, path, rest) =>
    signed(secret, path, ['channel=a', ...rest]).replace(/expires=(\d+)/, 'expires=4000000000'),
  'two expiries': (secret, path, rest) => signed(secret, path, ['channel=a', ...rest, ...rest]),
  'two equal signatures': (secret, path, rest) => {
    const target = signed(secret, path, ['channel=a', ...rest]);
    return `${target}&${target.slice(target.indexOf('signature='))}`;
  },
  'an empty signature': (secret, path, rest) =>
    signed(secret, path, ['channel=a', ...rest]).replace(/signature=.*/, 'signature='),
  'a signature without a value': (secret, path, rest) =>
    signed(secret, path, ['channel=a', ...rest]).replace(/signature=.*/, 'signature'),
  'a shorter signature': (secret, path, rest) =>
    signed(secret, path, ['channel=a', ...rest]).slice(0, -1),
  'a padded signature': (secret, path, rest) => `${signed(secret, path, ['channel=a', ...rest])}=`,
  'no expiry': (secret, path) => signed(secret, path, ['channel=a', ...atOnce(path)]),
  'an expiry of the past': (secret, path) =>
    signed(secret, path, ['channel=a', ...atOnce(path), `expires=${nowS()}`]),
  'an oversized expiry': (secret, path) =>
    signed(secret, path, ['channel=a', ...atOnce(path), 'expires=4294967295']),
  'an expiry beyond 64 bits': (secret, path) =>
    signed(secret, path, ['channel=a', ...atOnce(path), `expires=1${'0'.repeat(30)}`]),
  'an expiry with a sign': (secret, path) =>
    signed(secret, path, ['channel=a', ...atOnce(path), `expires=-${nowS() + 60}`]),
  'an expiry with a zero in front': (secret, path) =>
    signed(secret, path, ['channel=a', ...atOnce(path), `expires=0${nowS() + 60}`]),
  'an expiry with a fraction': (secret, path) =>
    signed(secret, path, ['channel=a', ...atOnce(path), `expires=${nowS() + 60}.5`]),
  'the signature of another path': (secret, path, rest) => {
    const other = path === '/stream' ? '/events' : '/stream';
    return signed(secret, other, ['channel=a', ...rest]).replace(other, path);
  },
  'a line feed in a value': (secret, path, rest) =>
    // The same lines as channel=a and channel=b.
    signed(secret, path, ['channel=a', 'channel=b', ...rest]).replace(
      'channel=a&channel=b',
      'x=1&channel=a%0Achannel=b',
    ),
  'another secret': (_, path, rest) =>
    `${path}?channel=a&${rest.join('&')}&signature=${createHmac('sha256', 'x'.repeat(32))
      .update([path, 'channel=a', ...rest].join('\n'))
      .digest('base64url')}`,
};

t.test('a URL that is wrong in one way is rejected on every transport', async (t) => {
  const world = await start(t, { public: ['public'] });
  for (const [name, targetOf] of Object.entries(WRONG)) {
    for (const path of PATHS) {
      const target = targetOf(world.secret, path, [...atOnce(path), `expires=${nowS() + 60}`]);
      const status = await statusOf(world, target);
      // A name that no channel can have is rejected before.
      t.equal(status, name === 'a line feed in a value' ? 400 : 401, `${path}: ${name}`);
    }
  }
  t.equal(total(world, 'signedUrlsAcceptedTotal'), 0);
  const head = await headOf(
    world,
    requestOf(signed(world.secret, '/events', ['channel=a', 'expires=1'])),
  );
  t.match(head, /\r\nWWW-Authenticate: Bearer realm="megacomet-ts", error="invalid_token"\r\n/);
  const bad = signed(world.secret, '/events', ['channel=public', 'expires=1']);
  t.equal(await statusOf(world, bad), 401, 'also for a public channel');
});

t.test('every spelling of the same names and values has the same signature', async (t) => {
  const world = await start(t);
  const ends = `expires=${nowS() + 60}`;
  const signature = signatureOf(world.secret, ['/stream', 'channel=a b/ü', ends]);
  for (const spelled of ['a%20b/%C3%BC', 'a+b%2F%c3%bc', '%61%20b%2f%C3%BC']) {
    const target = `/stream?channel=${spelled}&${ends}&signature=${signature}`;
    t.equal(await statusOf(world, target), 200, spelled);
  }
  const decomposed = `/stream?channel=a%20b/u%CC%88&${ends}&signature=${signature}`;
  t.equal(await statusOf(world, decomposed), 401, 'another Unicode form is another name');
  const first = `/stream?signature=${signature}&channel=a%20b/%C3%BC&${ends}`;
  t.equal(await statusOf(world, first), 200, 'the signature may stand anywhere');
});

t.test('a signed URL has no user, and no other channel on its WebSocket', async (t) => {
  const secret = new Secret(t);
  const options = { signKey: [secret.path], tokenKey: [secret.option], workers: 1 };
  const world = { ...(await startComet(t, options)), secret };
  const target = signed(world.secret, '/ws', ['channel=a', `expires=${nowS() + 60}`]);
  const client = new CommandClient(world.port, target);
  t.teardown(() => {
    client.close();
  });
  await client.open();
  await until('the subscription', () => client.told.length === 1);
  client.say('{"type":"subscribe","channel":"b"}');
  await until('the answer', () => client.told.length === 2);
  t.match(client.told[1], /"error":"channel: not allowed with this token"/);
  client.say('{"type":"unsubscribe","channel":"a"}');
  client.say('{"type":"subscribe","channel":"a"}');
  await until('the answers', () => client.told.length === 4);
  t.match(client.told[3], /"type":"subscribed"/);
  const token = secret.token({ sub: 'ada', grants: { subscribe: ['b'] } });
  client.say(JSON.stringify({ type: 'refresh', token }));
  await until('the answer', () => client.told.length === 5);
  t.match(client.told[4], /"error":"token: of another user"/);
  const both = `${target.replace('/ws', '/stream')}&token=${token}`;
  t.equal(await statusOf(world, both), 400, 'a token besides the signature');
  const header = await statusOf(world, target.replace('/ws', '/stream'), {
    Authorization: `Bearer ${token}`,
  });
  t.equal(header, 400, 'also in the header');
});

t.test('a connection ends when its URL expires, on every transport', async (t) => {
  const world = await start(t);
  const endsAtS = nowS() + 4;
  const closings = PATHS.map(
    (path) =>
      new Promise<number>((resolve, reject) => {
        const socket = connect(world.port, '127.0.0.1');
        socket.on('error', reject).on('close', () => {
          resolve(Date.now() / 1000);
        });
        socket.resume();
        socket.write(requestOf(signed(world.secret, path, ['channel=a', `expires=${endsAtS}`])));
      }),
  );
  await until('the subscriptions', () => total(world, 'subscriptions') === PATHS.length);
  for (const closedAtS of await Promise.all(closings)) {
    t.ok(closedAtS < endsAtS + 1, `closed ${closedAtS - endsAtS} s after the expiry`);
    t.ok(closedAtS > endsAtS - 4, 'and not at once');
  }
  t.equal(total(world, 'closedExpiredTotal'), PATHS.length - 1, 'a poll has its answer, 204');
});

t.test('a mailbox needs a signed URL where the server says so', async (t) => {
  const world = await start(t, { mailboxes: true, mailboxAuth: 'signed' });
  const ends = `expires=${nowS() + 60}`;
  const unsigned = [
    '/box.js',
    '/box.js?1234',
    `/box.js?${ends}`,
    `/other.js${signed(world.secret, '/box.js', [ends]).slice('/box.js'.length)}`,
    signed(world.secret, '/box.js', ['expires=1']),
    `${signed(world.secret, '/box.js', [ends])}&x=1`,
  ];
  for (const target of unsigned) t.equal(await statusOf(world, target), 401, target);
  const waiting = (): number => world.server.stats().mailboxes?.['polls'] ?? NaN;
  t.equal(waiting(), 0, 'and the manager has no poll');
  const target = `${signed(world.secret, '/box.js', [ends])}&_=99`;
  const poll = exchange(world.port, requestOf(target));
  await until('the poll', () => waiting() === 1);
  await world.server.deliver('box', 'hello');
  t.match(await poll, /hello/);
  const encoded = signed(world.secret, '/box.js', [ends]).replace('/box', '/%62ox');
  const again = exchange(world.port, requestOf(encoded));
  await world.server.deliver('box', 'encoded');
  t.match(await again, /encoded/, 'the id in another spelling');
  const short = exchange(
    world.port,
    requestOf(signed(world.secret, '/box.js', [`expires=${nowS() + 3}`])),
  );
  t.match(await short, /\r\nContent-Length: 0\r\n/, 'a poll ends with its URL, without a message');
  const kept = exchange(world.port, requestOf(target));
  await world.server.deliver('box', 'kept');
  t.match(await kept, /kept/);
  const open = await start(t, { mailboxes: true });
  const unsignedPoll = exchange(open.port, requestOf('/box.js'));
  await open.server.deliver('box', 'open');
  t.match(await unsignedPoll, /open/, 'without the option the id is enough');
});

t.test('old and new keys are valid together, and SIGHUP reads them again', async (t) => {
  const [old, next] = [new Secret(t), new Secret(t)];
  const folder = t.testdir({ one: old.text, two: next.text });
  const world = await startComet(t, {
    workers: 1,
    signKey: [join(folder, 'one'), join(folder, 'two')],
  });
  const target = (secret: Secret): string =>
    signed(secret, '/stream', ['channel=a', `expires=${nowS() + 60}`]);
  t.equal(await statusOf(world, target(old)), 200);
  t.equal(await statusOf(world, target(next)), 200);
  writeFileSync(join(folder, 'one'), next.text);
  world.server.reloadKeys();
  await until('the end of the old key', async () => (await statusOf(world, target(old))) === 401);
  t.equal(await statusOf(world, target(next)), 200);
});

t.test('signUrl() and the command sign URLs that the server accepts', async (t) => {
  const world = await start(t, { mailboxes: true, mailboxAuth: 'signed' });
  const { path } = world.secret;
  const urls = [
    '/stream?channel=a',
    '/stream?channel=a b&channel=ü%2F1&since=0-0',
    `http://127.0.0.1:${world.port}/stream?channel=a+b`,
    `/ws?channel=news/*`,
    `wss://push.example/ws?channel=a&x="`,
  ];
  for (const url of urls) {
    const made = signUrl(path, url, { expiresInSeconds: 60 });
    t.ok(made.startsWith(url.slice(0, url.indexOf('?'))), made);
    const target = made.replace(/^\w+:\/\/[^/]+/, '');
    const status = await statusOf(world, target);
    t.ok(isServed(status) || (status === 400 && url.includes('since')), `${status} ${made}`);
  }
  const { code, stdout } = await run(['sign', '--key', path, '--ttl', '60', '/stream?channel=c']);
  t.equal(code, 0);
  t.equal(await statusOf(world, stdout.trim()), 200);
  t.equal(await statusOf(world, stdout.trim().replace('=c', '=d')), 401);
  const mistakes: readonly (readonly [string, RegExp])[] = [
    ['/stream', /with a channel, or of \/ID\.js$/],
    ['/other?channel=a', /with a channel, or of \/ID\.js$/],
    ['stream?channel=a', /is not an http or ws URL, or its path and query$/],
    ['//a/stream?channel=a', /is not an http or ws URL/],
    ['/stream?channel=a#b', /is not an http or ws URL/],
    ['/stream?channel=a&expires=1', /is not a URL without expires and signature$/],
    ['/stream?channel=a&signature=x', /is not a URL without expires and signature$/],
    ['/stream?channel=%zz', /is not a URL with valid percent-encoding$/],
    ['/stream?channel=a%0Ab', /is not a URL without control characters/],
    ['/stream?channel=a&b%3Dc=d', /without = in the name of a parameter$/],
  ];
  for (const [url, message] of mistakes) {
    t.throws(() => signUrl(path, url), { code: 'ERR_OPTION_INVALID', message }, url);
  }
  t.throws(() => signUrl(path, '/stream?channel=a', { expiresInSeconds: 0 }), {
    message: /^signUrl: expiresInSeconds: 0 is not a whole number between 1 and/,
  });
  t.throws(() => signUrl('/no/such', '/stream?channel=a'), {
    message: /^key: \/no\/such cannot be read \(ENOENT\)$/,
  });
  const missing = await run(['sign', '/stream?channel=c']);
  t.match(missing.stderr, /sign: --key FILE is required/);
});

t.test(
  'the example of the documents signs a URL with openssl',
  { skip: without('openssl', 'curl') },
  async (t) => {
    const world = await start(t);
    const guide = readFileSync(join(root, 'docs/tokens.md'), 'utf8');
    const [, script = ''] = /```sh\n([^`]*openssl dgst[^`]*)```/.exec(guide) ?? [];
    t.match(script, /curl/);
    const key = join(t.testdir({ 'sign.key': `${world.secret.text}\n` }), 'sign.key');
    const adapted = script
      .replaceAll('sign.key', key)
      .replaceAll('127.0.0.1:8000', `127.0.0.1:${world.port}`)
      .replace('curl ', 'curl --max-time 2 --silent ');
    // The stream does not end, so curl fails at its time limit.
    const { stdout } = await promisify(execFile)('sh', ['-c', `${adapted}\ntrue`]);
    t.match(stdout, /event: megacomet\.subscribed/, adapted);
  },
);

t.test('mistakes in the options name them', async (t) => {
  const short = join(t.testdir({ short: 'short' }), 'short');
  const rows: readonly (readonly [object, string | RegExp])[] = [
    [{ mailboxAuth: 'signed', mailboxes: true }, 'mailbox-auth: "signed" needs --sign-key'],
    [
      { mailboxAuth: 'signed', signKey: [short] },
      'createServer: mailboxAuth: "signed" needs --mailboxes or --ingest',
    ],
    [{ signKey: [short] }, `sign-key: ${short}: the secret has 5 bytes; 32 to 1024 are allowed`],
    [{ signKey: Array(9).fill(short) }, 'sign-key: 9 keys; at most 8 are allowed'],
  ];
  for (const [options, message] of rows) {
    await t.rejects(startComet(t, options), { code: 'ERR_OPTION_INVALID', message });
  }
});
