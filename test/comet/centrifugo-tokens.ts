// The claims of Centrifugo's tokens, each handled as docs/tokens.md says.
import { createHmac } from 'node:crypto';
import t, { type Test } from 'tap';

import { nowS, Secret } from '../support/client-tokens.js';
import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient } from '../support/websocket-peer.js';

interface Answer {
  readonly type: string;
  readonly error?: string;
  readonly user?: string;
  readonly expiresInSeconds?: number;
  readonly channels?: readonly string[];
}

async function start(t: Test): Promise<World & { secret: Secret }> {
  const secret = new Secret(t);
  const world = await startComet(t, { workers: 1, tokenKey: [secret.option] });
  return { ...world, secret };
}

/** Connects with a token; the first answer, and a function that sends a command and awaits its answer. */
async function connectWith(
  t: Test,
  world: World,
  token: string,
): Promise<{ first: Answer; ask: (command: object) => Promise<Answer>; client: CommandClient }> {
  const client = new CommandClient(world.port, '/ws');
  t.teardown(() => {
    client.close();
  });
  await client.open();
  const ask = async (command: object): Promise<Answer> => {
    const before = client.told.length;
    client.say(JSON.stringify(command));
    await until('the answer', () => client.told.length > before);
    return JSON.parse(client.told[before] ?? '') as Answer;
  };
  return { first: await ask({ type: 'connect', token }), ask, client };
}

/** All claims of a connection token of Centrifugo. */
const CONNECTION = {
  sub: '42',
  iat: nowS(),
  jti: '7',
  aud: 'centrifugo',
  iss: 'my_app',
  info: { name: 'Ada' },
  b64info: 'eyJhIjoxfQ==',
  channels: ['news'],
  subs: { 'of-subs': { info: { a: 1 }, override: { presence: { value: true } } } },
  meta: { plan: 'free' },
  expire_at: nowS() + 100_000,
  caps: [{ channels: ['of-caps'], allow: ['sub', 'pub', 'prs', 'hst'] }],
};

t.test('a token of Centrifugo connects, and gives the rights of known claims alone', async (t) => {
  const world = await start(t);
  const { first, ask, client } = await connectWith(t, world, world.secret.token(CONNECTION));
  t.match(first, { type: 'connected', user: '42' });
  t.ok((first.expiresInSeconds ?? 0) <= 3600, 'expire_at does not extend the connection');
  await until('the claim channels', () => client.told.length === 2);
  t.match(client.told[1], /"type":"subscribed".*"channels":\["news"\]/);
  for (const channel of ['of-subs', 'of-caps', 'other']) {
    t.match(await ask({ type: 'subscribe', channel }), { error: /not allowed/ }, channel);
  }
});

t.test('a claim or an algorithm that is not taken rejects the token', async (t) => {
  const world = await start(t);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const long = (alg: string, hash: string): string => {
    const text = `${part({ alg })}.${part({ sub: '42', exp: nowS() + 60 })}`;
    return `${text}.${createHmac(hash, world.secret.text).update(text).digest('base64url')}`;
  };
  for (const [name, token] of [
    ['an empty sub', world.secret.token({ ...CONNECTION, sub: '' })],
    ['a sub that is a number', world.secret.token({ ...CONNECTION, sub: 42 })],
    ['nbf in the future', world.secret.token({ ...CONNECTION, nbf: nowS() + 1000 })],
    ['iat in the future', world.secret.token({ ...CONNECTION, iat: nowS() + 1000 })],
    ['HS384', long('HS384', 'sha384')],
    ['HS512', long('HS512', 'sha512')],
  ] as const) {
    const { first, client } = await connectWith(t, world, token);
    t.match(first, { type: 'error', error: /^token: / }, name);
    t.equal(await client.closed, 3000, name);
  }
});

t.test('a subscription token of Centrifugo subscribes its user to its channel', async (t) => {
  const world = await start(t);
  const claims = { channel: 'chat:index', info: { a: 1 }, b64info: 'e30=', expire_at: nowS() + 9 };
  const token = world.secret.token({ sub: '42', ...claims });
  const { ask } = await connectWith(t, world, world.secret.token({ sub: '42' }));
  t.match(await ask({ type: 'subscribe', channel: 'chat:index', token }), { type: 'subscribed' });
  const other = await connectWith(t, world, world.secret.token({ sub: '43' }));
  const command = { type: 'subscribe', channel: 'chat:index', token };
  t.match(await other.ask(command), { error: /another user/ });
});

t.test('names of Centrifugo are channels, and its capabilities are grants', async (t) => {
  const world = await start(t);
  const grants = { subscribe: ['chat:*', '$private', 'dialog#42,43'] };
  const { ask } = await connectWith(t, world, world.secret.token({ sub: '42', grants }));
  for (const channel of ['chat:index', '$private', 'dialog#42,43']) {
    t.match(await ask({ type: 'subscribe', channel }), { type: 'subscribed' }, channel);
  }
  for (const channel of ['chat:a/b', 'chat', '$other', 'dialog#42']) {
    t.match(await ask({ type: 'subscribe', channel }), { error: /not allowed/ }, channel);
  }
});
