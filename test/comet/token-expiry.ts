// Tokens without the claim exp: rejected wherever a token may stand, unless the server allows them.
import t, { type Test } from 'tap';

import { nowS, Secret } from '../support/client-tokens.js';
import { exchange, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient, handshake } from '../support/websocket-peer.js';

const PATHS = ['/events', '/stream', '/poll', '/ws'] as const;
const OWN_PAGE = { 'Sec-Fetch-Site': 'same-origin' };

async function start(t: Test, options: object = {}): Promise<World & { secret: Secret }> {
  const secret = new Secret(t);
  const world = await startComet(t, {
    ...{ workers: 1, tokenKey: [secret.option], tokenCookie: 'session' },
    ...options,
  });
  return { ...world, secret };
}

/** The head of the response to a request with a query and fields. */
async function answer(
  { port }: World,
  path: string,
  query: string,
  fields: Readonly<Record<string, string>> = {},
): Promise<string> {
  const target = `${path}?${query}${path === '/poll' ? '&timeout=0' : ''}`;
  const lines = Object.entries({ Host: 'a', ...fields }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  const plain = [`GET ${target} HTTP/1.1`, ...lines, '', ''].join('\r\n');
  const request = path === '/ws' ? handshake(target, { ...fields }) : plain;
  return exchange(port, request, (all) => all.includes('\r\n\r\n'));
}

/** The answers of a WebSocket to commands, as text. */
async function told(world: World, query: string, ...commands: readonly object[]): Promise<string> {
  const client = new CommandClient(world.port, `/ws${query}`);
  await client.open();
  for (const [at, command] of commands.entries()) {
    client.say(JSON.stringify(command));
    await until('the answer', () => client.told.length > at);
  }
  client.close();
  return client.told.join('\n');
}

/** Presents tokens at each position. Resolves to the positions that accept them, by name. */
async function positionsThatAccept(
  world: World & { secret: Secret },
  exp: number | undefined,
): Promise<readonly string[]> {
  const { secret } = world;
  const token = secret.token({ sub: 'ada', grants: { subscribe: ['a'] }, exp });
  const ticket = secret.token({ sub: 'ada', channel: 'room', exp });
  const good = secret.token({ sub: 'ada' });
  const accepted: string[] = [];
  const note = (position: string, text: string, wanted: RegExp): void => {
    if (wanted.test(text)) accepted.push(position);
  };
  const served = /^HTTP\/1\.1 (?:101|200|204) /;
  for (const path of PATHS) {
    note(`query of ${path}`, await answer(world, path, `channel=a&token=${token}`), served);
    const fields = { Authorization: `Bearer ${token}` };
    note(`header of ${path}`, await answer(world, path, 'channel=a', fields), served);
    const cookie = { ...OWN_PAGE, Cookie: `session=${token}` };
    note(`cookie of ${path}`, await answer(world, path, 'channel=a', cookie), served);
    const both = `channel=room&token=${good}&channel_token=${ticket}`;
    note(`channel_token of ${path}`, await answer(world, path, both), served);
  }
  note('connect', await told(world, '', { type: 'connect', token }), /"connected"/);
  const query = `?token=${good}`;
  note('refresh', await told(world, query, { type: 'refresh', token }), /"refreshed"/);
  const subscribe = { type: 'subscribe', channel: 'room', token: ticket };
  note('subscribe', await told(world, query, subscribe), /"subscribed"/);
  return accepted;
}

const POSITIONS = 4 * PATHS.length + 3;

t.test('a token without exp is rejected wherever it stands, with its own reason', async (t) => {
  const world = await start(t);
  t.equal((await positionsThatAccept(world, nowS() + 60)).length, POSITIONS, 'with exp');
  t.strictSame(await positionsThatAccept(world, undefined), []);
  const token = world.secret.token({ exp: undefined });
  t.match(await answer(world, '/events', `channel=a&token=${token}`), / 401 /);
  t.match(await told(world, '', { type: 'connect', token }), /"error":"token: without exp"/);
  const rejected = Number(world.server.stats().workers[0]?.['tokensRejectedOtherTotal']);
  t.ok(rejected >= POSITIONS, `${rejected} rejections are counted`);
});

t.test('a server that allows it accepts a token without exp, and no expired one', async (t) => {
  const world = await start(t, { tokenWithoutExpiry: true });
  t.equal((await positionsThatAccept(world, undefined)).length, POSITIONS);
  t.strictSame(await positionsThatAccept(world, nowS() - 60), []);
  t.strictSame(await positionsThatAccept(world, 0), []);
});

t.test('tokens without exp need keys of tokens', async (t) => {
  await t.rejects(startComet(t, { tokenWithoutExpiry: true }), {
    code: 'ERR_OPTION_INVALID',
    message: 'createServer: tokenWithoutExpiry: needs --token-key or --token-jwks-url',
  });
});
