// Clients with tokens: the positions of a token, its rights, and the end of its connection.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import WebSocket from 'ws';

import { nowS, Secret, signHs256, signPublic } from '../support/client-tokens.js';
import { exchange, Program, REQUESTS, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import {
  headOf,
  isServed,
  PATHS,
  pollStatus,
  requestOf,
  statusOf,
} from '../support/transport-requests.js';
import { CommandClient } from '../support/websocket-peer.js';

const READ_A = { sub: 'ada', grants: { subscribe: ['a', 'news/*'] } };

/** A server that believes the tokens of one secret. */
async function start(t: Test, options: object = {}): Promise<World & { secret: Secret }> {
  const secret = new Secret(t);
  const world = await startComet(t, { workers: 1, tokenKey: [secret.option], ...options });
  return { ...world, secret };
}

t.test(
  'a token is read from the header, the query and the cookie, on every transport',
  async (t) => {
    const world = await start(t, { tokenCookie: 'session', origin: ['https://app.example'] });
    const token = world.secret.token(READ_A);
    for (const path of PATHS) {
      const status = (query: string, lines: Record<string, string> = {}): Promise<number> =>
        statusOf(world, requestOf(path, query, lines));
      const cookie = { Cookie: `other=1; session=${token}; last=2` };
      const served = [
        await status('channel=a', { Authorization: `Bearer ${token}` }),
        await status('channel=a', { Authorization: `bearer  ${token}` }),
        await status(`channel=news/1&token=${token}`),
        await status('channel=a', { ...cookie, Origin: 'https://app.example' }),
        await status('channel=a', { ...cookie, Origin: 'http://a' }),
        await status('channel=a', { ...cookie, 'Sec-Fetch-Site': 'same-origin' }),
      ];
      t.ok(
        served.every((code) => isServed(path, code)),
        `${path}: ${served.join()}`,
      );
      const rejected = [
        await status('channel=a'),
        await status('channel=a', cookie),
        await status('channel=a', { ...cookie, 'Sec-Fetch-Site': 'cross-site' }),
        await status('channel=a', { Authorization: `Basic ${token}` }),
        await status('channel=a', { Authorization: token }),
        await status(`channel=a&token=${token}x`),
      ];
      t.strictSame(rejected, [401, 401, 401, 401, 401, 401], path);
      const foreign = await status('channel=a', { ...cookie, Origin: 'https://evil.example' });
      t.equal(foreign, 401, `${path}: a foreign page`);
      t.equal(await status(`channel=b&token=${token}`), 403, `${path}: a channel without a grant`);
      t.equal(await status(`channel=a&channel=b&token=${token}`), 403, `${path}: one of two`);
    }
  },
);

t.test('the header comes before the query, and the query before the cookie', async (t) => {
  const world = await start(t, { tokenCookie: 'session' });
  const good = world.secret.token(READ_A);
  const lines = { 'Sec-Fetch-Site': 'same-origin' };
  const status = (query: string, more: Record<string, string>): Promise<number> =>
    statusOf(world, requestOf('/poll', query, { ...lines, ...more }));
  const both = await status('channel=a&token=bad', { Authorization: `Bearer ${good}` });
  t.ok(isServed('/poll', both));
  t.equal(await status(`channel=a&token=${good}`, { Authorization: 'Bearer bad' }), 401);
  t.ok(isServed('/poll', await status(`channel=a&token=${good}`, { Cookie: 'session=bad' })));
  t.equal(await status('channel=a&token=bad', { Cookie: `session=${good}` }), 401);
  t.equal(await status(`channel=a&token=${good}&token=bad`, {}), 400, 'two tokens');
});

t.test('a rejection names its cause in WWW-Authenticate, and never the token', async (t) => {
  const world = await start(t);
  const missing = await headOf(world, requestOf('/events', 'channel=a'));
  t.match(missing, /\r\nWWW-Authenticate: Bearer realm="megacomet-ts"\r\n/);
  const invalid = await headOf(world, requestOf('/events', 'channel=a&token=bad'));
  t.match(
    invalid,
    /^HTTP\/1\.1 401 .*\r\nWWW-Authenticate: Bearer realm="megacomet-ts", error="invalid_token"\r\n/s,
  );
  const token = world.secret.token(READ_A);
  const denied = await exchange(
    world.port,
    requestOf('/events', `channel=z&token=${token}`, {
      Connection: 'close',
    }),
  );
  t.match(
    denied,
    /^HTTP\/1\.1 403 .*\r\nWWW-Authenticate: Bearer realm="megacomet-ts", error="insufficient_scope"\r\n/s,
  );
  t.notOk(denied.includes(token));
});

t.test('each algorithm is verified with its own key, and a key by its name', async (t) => {
  const dir = t.testdir({});
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ed = generateKeyPairSync('ed25519');
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const pem = (pair: typeof rsa): string =>
    pair.publicKey.export({ type: 'spki', format: 'pem' }) as string;
  const jwk = JSON.stringify(ed.publicKey.export({ format: 'jwk' }));
  const world = await startComet(t, {
    workers: 1,
    tokenKey: [
      `RS256=${file('rsa.pem', pem(rsa))}`,
      `ES256=${file('p256.pem', pem(p256))}`,
      `EdDSA=${file('ed.json', jwk)}`,
    ],
  });
  const status = (token: string): Promise<number> =>
    statusOf(world, requestOf('/events', `channel=a&token=${token}`));
  const exp = nowS() + 600;
  const tokens = [
    signPublic('RS256', rsa.privateKey, { ...READ_A, exp }),
    signPublic('ES256', p256.privateKey, { ...READ_A, exp }),
    signPublic('EdDSA', ed.privateKey, { ...READ_A, exp }),
  ];
  for (const token of [...tokens, ...tokens]) t.equal(await status(token), 200);
  for (const token of tokens) {
    const [header = '', , signature = ''] = token.split('.');
    const other = Buffer.from(JSON.stringify({ ...READ_A, sub: 'root', exp })).toString(
      'base64url',
    );
    t.equal(await status(`${header}.${other}.${signature}`), 401, 'a signature of other claims');
  }
  const other = generateKeyPairSync('ed25519');
  t.equal(await status(signPublic('EdDSA', other.privateKey, { ...READ_A, exp })), 401);
});

t.test('a first message connects a WebSocket, and refresh extends it', async (t) => {
  const world = await start(t);
  const client = new CommandClient(world.port, '/ws');
  t.teardown(() => {
    client.close();
  });
  await client.open();
  const answers = async (count: number): Promise<string> => {
    await until(`${count} answers`, () => client.told.length >= count);
    return client.told[count - 1] ?? '';
  };
  client.say('{"type":"subscribe","channel":"a"}');
  t.match(await answers(1), /"error":"token is required","channel":"a"/);
  client.say(JSON.stringify({ type: 'refresh', token: world.secret.token(READ_A) }));
  t.match(await answers(2), /refresh: send connect first/);
  client.say(JSON.stringify({ type: 'connect', token: world.secret.token(READ_A) }));
  t.match(await answers(3), /^\{"type":"connected","user":"ada","expiresInSeconds":3[56]\d\d\}$/);
  client.say('{"type":"subscribe","channels":["a","news/*"]}');
  t.match(await answers(4), /"type":"subscribed"/);
  client.say(JSON.stringify({ type: 'connect', token: world.secret.token(READ_A) }));
  t.match(await answers(5), /connect: send refresh instead/);
  const bob = world.secret.token({ ...READ_A, sub: 'bob' });
  client.say(JSON.stringify({ type: 'refresh', token: bob }));
  t.match(await answers(6), /"error":"token: of another user"/);
  // The new token allows less: the client leaves that channel, and hears of it.
  const less = world.secret.token({ sub: 'ada', grants: { subscribe: ['a'] } });
  client.say(JSON.stringify({ type: 'refresh', token: less }));
  t.equal(await answers(7), '{"type":"unsubscribed","channels":["news/*"]}');
  t.match(await answers(8), /^\{"type":"refreshed","user":"ada","expiresInSeconds":3[56]\d\d\}$/);
  await world.server.publish('news/1', 'lost');
  await world.server.publish('a', 'kept');
  await until('the message', () => client.messages.length > 0);
  t.strictSame(client.messages, ['a']);
});

t.test('the claim channels subscribes at once, on every transport', async (t) => {
  const world = await start(t);
  const token = world.secret.token({ sub: 'ada', channels: ['mine', 'news/*'] });
  const sockets = PATHS.map((path) => {
    const socket = connect(world.port, '127.0.0.1');
    socket.write(requestOf(path, `token=${token}`).replace('&timeout=0', ''));
    return { path, socket, text: '' };
  });
  for (const one of sockets) {
    one.socket.setEncoding('latin1').on('data', (text: string) => (one.text += text));
    t.teardown(() => one.socket.destroy());
  }
  const subscriptions = (): number => Number(world.server.stats().workers[0]?.subscriptions);
  await until('the subscriptions', () => subscriptions() === 8);
  await world.server.publish('news/1', 'hello');
  await until('the message everywhere', () => sockets.every(({ text }) => text.includes('hello')));
  const client = new CommandClient(world.port, '/ws');
  await client.open();
  client.say(JSON.stringify({ type: 'connect', token }));
  await until('both answers', () => client.told.length === 2);
  t.match(client.told[1], /"type":"subscribed".*"channels":\["mine","news\/\*"\]/);
  client.close();
  const bad = world.secret.token({ channels: ['a', 'b\n'] });
  t.equal(await statusOf(world, requestOf('/events', `token=${bad}`)), 401);
  const many = world.secret.token({ channels: Array.from({ length: 128 }, (_, n) => `c${n}`) });
  t.equal(await statusOf(world, requestOf('/events', `token=${many}&channel=a`)), 413);
  t.equal(await statusOf(world, requestOf('/events', `token=${world.secret.token()}`)), 400);
});

t.test('a token for one channel opens that channel, for its user', async (t) => {
  const world = await start(t);
  const ticket = world.secret.token({ sub: 'ada', channel: 'room/7' });
  const free = world.secret.token({ channel: 'room/8' });
  const ada = world.secret.token({ sub: 'ada' });
  const bob = world.secret.token({ sub: 'bob' });
  for (const path of PATHS) {
    const status = (query: string): Promise<number> => statusOf(world, requestOf(path, query));
    const ok = await status(`channel=room/7&token=${ada}&channel_token=${ticket}`);
    t.ok(isServed(path, ok), path);
    const anybody = await status(`channel=room/8&token=${bob}&channel_token=${free}`);
    t.ok(isServed(path, anybody), 'without a user');
    t.equal(await status(`channel=room/8&channel_token=${free}`), 401, 'not without a connection');
    t.equal(
      await status(`channel=room/7&token=${bob}&channel_token=${ticket}`),
      401,
      'another user',
    );
    t.equal(await status(`channel=room/7&channel_token=${ticket}`), 401, 'no user');
    t.equal(
      await status(`channel=room/9&token=${ada}&channel_token=${ticket}`),
      403,
      'another one',
    );
    t.equal(await status(`channel=room/7&token=${ticket}`), 401, 'no token of a connection');
    t.equal(await status(`channel=room/7&channel_token=${ada}`), 401, 'no token of a channel');
  }
  const client = new CommandClient(world.port, `/ws?token=${ada}`);
  await client.open();
  client.say(JSON.stringify({ type: 'subscribe', channel: 'room/7', token: ticket }));
  await until('the answer', () => client.told.length === 1);
  t.match(client.told[0], /"type":"subscribed".*"room\/7"/);
  client.say('{"type":"unsubscribe","channel":"room/7"}');
  client.say('{"type":"subscribe","channel":"room/7"}');
  await until('the rejection', () => client.told.length === 3);
  t.match(client.told[2], /not allowed/);
  client.close();
});

t.test('only a grant lets a client publish', async (t) => {
  const world = await start(t, { clientPublish: true, public: ['open'] });
  const token = world.secret.token({ grants: { subscribe: ['*'], publish: ['chat/*'] } });
  const client = new CommandClient(world.port, `/ws?channel=chat/1&token=${token}`);
  t.teardown(() => {
    client.close();
  });
  await client.open();
  for (const channel of ['open', 'other', 'chat', 'chat/1']) {
    client.say(JSON.stringify({ type: 'publish', channel, data: channel }));
  }
  await until('the message', () => client.messages.length === 1);
  t.strictSame(client.messages, ['chat/1']);
  const errors = client.told.filter((text) => text.includes('publish: not allowed'));
  t.equal(errors.length, 3);
});

t.test('an old cookie does not keep a page from public channels', async (t) => {
  const options = { tokenCookie: 'session', public: ['open'], origin: ['null', '*'] };
  const world = await start(t, options);
  const old = `session=${world.secret.token({ ...READ_A, exp: nowS() - 60 })}`;
  const good = `session=${world.secret.token(READ_A)}`;
  const status = (channel: string, lines: Record<string, string>): Promise<number> =>
    statusOf(world, requestOf('/events', `channel=${channel}`, lines));
  const own = { 'Sec-Fetch-Site': 'same-origin' };
  t.equal(await status('open', { ...own, Cookie: old }), 200);
  t.equal(await status('a', { ...own, Cookie: old }), 401);
  t.equal(await status('a', { ...own, Cookie: good }), 200);
  for (const origin of ['null', 'https://any.example']) {
    t.equal(
      await status('a', { Origin: origin, Cookie: good }),
      401,
      `${origin} is not an identity`,
    );
    const head = await headOf(world, requestOf('/events', 'channel=open', { Origin: origin }));
    t.notMatch(head, /Allow-Credentials/);
  }
});

t.test('a rejected token ends its connection, so that guesses count as handshakes', async (t) => {
  const world = await start(t, { tokenCookie: 'session', public: ['open'] });
  const own = { 'Sec-Fetch-Site': 'same-origin' };
  const two = async (channel: string, query: string, lines: Record<string, string>) => {
    const request = requestOf('/poll', `channel=${channel}${query}`, lines);
    const text = await exchange(world.port, request + request, (all) => {
      return (all.match(/^HTTP/gm) ?? []).length === 2;
    });
    return [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, code]) => code).join();
  };
  const bad = signHs256(randomUUID(), READ_A);
  t.equal(await two('open', '', {}), '204,204', 'two polls of one connection');
  t.equal(await two('a', `&token=${world.secret.token(READ_A)}`, {}), '204,204');
  t.equal(await two('a', `&token=${bad}`, {}), '401');
  t.equal(await two('open', '', { ...own, Cookie: `session=${bad}` }), '204');
  t.equal(await two('a', '', { ...own, Cookie: `session=${bad}` }), '401');
});

t.test('a channel token of a client without a token is not even verified', async (t) => {
  const world = await start(t, { public: ['open'] });
  const tickets = [
    world.secret.token({ channel: 'room' }),
    signHs256(randomUUID(), { channel: 'room' }),
    signHs256(randomUUID(), { channel: 'room' }, { kid: 'other' }),
    'garbage',
  ];
  const client = new CommandClient(world.port, '/ws');
  await client.open();
  for (const token of tickets) {
    client.say(JSON.stringify({ type: 'subscribe', channel: 'room', token }));
  }
  await until('the answers', () => client.told.length === tickets.length);
  t.match(client.told[0], /"error":"token: of another user"/);
  t.equal(new Set(client.told).size, 1, 'no answer says whether the signature is right');
  const statuses = tickets.map((token) =>
    statusOf(world, requestOf('/events', `channel=room&channel_token=${token}`)),
  );
  t.strictSame(await Promise.all(statuses), [401, 401, 401, 401]);
  client.close();
});

t.test('a WebSocket without a token must connect in time, or use public channels', async (t) => {
  const world = await start(t, { handshakeTimeout: 1, public: ['open'] });
  const silent = new CommandClient(world.port, '/ws');
  const known = new CommandClient(world.port, `/ws?token=${world.secret.token(READ_A)}`);
  const guest = new CommandClient(world.port, '/ws?channel=open');
  t.equal(await silent.closed, 3000);
  for (const client of [known, guest]) {
    client.say('{"type":"ping"}');
    await until('the answer', () => client.told.some((text) => text.includes('pong')));
    client.close();
  }
});

t.test('public channels need no token, and without keys no other is open', async (t) => {
  const world = await startComet(t, { workers: 1, public: ['news/*', 'team-*/chat'] });
  const status = (query: string): Promise<number> => statusOf(world, requestOf('/events', query));
  for (const channel of ['news/1', 'news/*', 'news/a/b', 'team-1/chat']) {
    t.equal(await status(`channel=${channel}`), 200, channel);
  }
  for (const channel of ['news', 'team-1/chat/x', 'team-1/x/chat', 'a', 'team-1/*']) {
    t.equal(await status(`channel=${channel}`), 401, channel);
  }
  t.equal(await status(`channel=news/1&token=${signHs256('x'.repeat(32), {})}`), 401);
});

t.test('each request of one connection has an identity of its own', async (t) => {
  const world = await start(t);
  const token = world.secret.token(READ_A);
  const poll = (query: string): string => requestOf('/poll', query);
  const text = await exchange(world.port, poll(`channel=a&token=${token}`) + poll('channel=a'));
  const codes = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code);
  t.strictSame(codes, ['204', '401']);
});

/** When a socket has ended, in seconds of the epoch. */
async function endOf(socket: Socket): Promise<number> {
  socket.on('error', () => undefined).resume();
  await once(socket, 'close');
  return Date.now() / 1000;
}

t.test('a connection ends with its token, on every transport', async (t) => {
  const world = await start(t);
  const exp = nowS() + 4;
  const token = world.secret.token({ ...READ_A, exp });
  const closed = PATHS.map((path) => {
    const socket = connect(world.port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.write(requestOf(path, `channel=a&token=${token}`).replace('&timeout=0', ''));
    return endOf(socket);
  });
  const socket = new WebSocket(`ws://127.0.0.1:${world.port}/ws?channel=a&token=${token}`);
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
  t.strictSame([code, reason.toString()], [3000, 'token: expired']);
  for (const end of await Promise.all(closed)) t.ok(end < exp + 1, `${exp - end} s before exp`);
  // The poll ended with its answer.
  t.equal(world.server.stats().workers[0]?.closedExpiredTotal, 4);
  await until('the token to be rejected', async () => {
    return (await statusOf(world, requestOf('/events', `channel=a&token=${token}`))) === 401;
  });
});

t.test('tokens that were issued together do not end together', async (t) => {
  const world = await start(t);
  const iat = nowS() - 590;
  const token = world.secret.token({ ...READ_A, iat, exp: iat + 600 });
  const sockets = Array.from({ length: 60 }, () => {
    const socket = connect(world.port, '127.0.0.1');
    socket.write(requestOf('/events', `channel=a&token=${token}`));
    t.teardown(() => socket.destroy());
    return endOf(socket);
  });
  const ends = (await Promise.all(sockets)).map((end) => Math.round(end));
  // Clients that present it so late keep at least half of the remaining time.
  t.ok(new Set(ends).size >= 3, `${new Set(ends).size} seconds`);
  t.ok(Math.max(...ends) <= iat + 601 && Math.min(...ends) >= iat + 593);
});

t.test('a changed key file counts after SIGHUP, and no log shows a token', async (t) => {
  const secret = new Secret(t);
  const program = await Program.start(t, {
    args: ['--token-key', secret.option, '--workers', '1'],
  });
  const status = (token: string): Promise<number> => pollStatus(program, token);
  const old = secret.token(READ_A);
  t.equal(await status(old), 204);
  const next = randomUUID() + randomUUID();
  writeFileSync(secret.path, next);
  program.server.child.kill('SIGHUP');
  const fresh = signHs256(next, { ...READ_A, exp: nowS() + 60 });
  await until('the new key to count', async () => (await status(fresh)) === 204);
  t.equal(await status(old), 401);
  const log = program.server.stdout;
  for (const token of [old, fresh, secret.text, next]) t.notOk(log.includes(token));
  await program.server.stop();
});

t.test('without keys everybody may subscribe, and tokens are not read', async (t) => {
  const world = await startComet(t, { workers: 1 });
  t.equal(await statusOf(world, requestOf('/events', 'channel=a&token=x')), 200);
  t.equal(await statusOf(world, REQUESTS.sse), 200);
  const client = new CommandClient(world.port, '/ws');
  await client.open();
  client.say('{"type":"connect","token":"x"}');
  await until('the answer', () => client.told.length === 1);
  t.match(client.told[0], /this server reads no tokens/);
  client.close();
});
