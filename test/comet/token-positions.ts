// Tokens whose claims, issuer or signature are wrong, in every position that a token may have.
import t, { type Test } from 'tap';

import { startComet, type World } from '../support/comet-world.js';
import { Secret } from '../support/client-tokens.js';
import { until } from '../support/helpers.js';
import { isServed, PATHS, requestOf, statusOf, type Path } from '../support/transport-requests.js';
import {
  CLOSE,
  CommandClient,
  converse,
  frame,
  handshake,
  TEXT,
} from '../support/websocket-peer.js';
import { ISSUER, wrongTokens } from '../support/wrong-tokens.js';

const CLAIMS = {
  ...{ iss: ISSUER, aud: 'push', sub: 'ada' },
  grants: { subscribe: ['a', 'news/*'] },
};

/** A server that believes the tokens of one secret, for its audience. */
async function start(t: Test): Promise<World & { secret: Secret }> {
  const secret = new Secret(t);
  const world = await startComet(t, {
    ...{ workers: 1, tokenKey: [secret.option], tokenCookie: 'session' },
    ...{ tokenIssuer: ISSUER, tokenAudience: 'push' },
  });
  return { ...world, secret };
}

const cookieOf = (token: string): Record<string, string> => ({
  Cookie: `session=${token}`,
  Origin: 'http://a',
});

/** Where a request may have a token of a connection. */
const POSITIONS: readonly ((path: Path, token: string) => string)[] = [
  (path, token) => requestOf(path, `channel=a&token=${token}`),
  (path, token) => requestOf(path, 'channel=a', { Authorization: `Bearer ${token}` }),
  (path, token) => requestOf(path, 'channel=a', cookieOf(token)),
];

/** The statuses of a token in each position of the requests of all transports. */
async function statusesOf(world: World, token: string): Promise<number[]> {
  const requests = POSITIONS.flatMap((position) => PATHS.map((path) => position(path, token)));
  const statuses: number[] = [];
  for (const request of requests) statuses.push(await statusOf(world, request));
  return statuses;
}

/** A request target has a limit of its own. */
const inQuery = (token: string): number => (token.length > 8000 ? 414 : 401);

/** Opens a WebSocket; the function sends a command, and resolves to the answer. */
async function openClient(
  t: Test,
  { port }: World,
  query: string,
): Promise<(command: object) => Promise<string>> {
  const client = new CommandClient(port, `/ws?${query}`);
  t.teardown(() => {
    client.close();
  });
  await client.open();
  return async (command) => {
    const before = client.told.length;
    client.say(JSON.stringify(command));
    await until('an answer', () => client.told.length > before);
    return client.told[before] ?? '';
  };
}

t.test('a token that is wrong in one way is rejected everywhere', async (t) => {
  const world = await start(t);
  const good = world.secret.token(CLAIMS);
  const wrong = wrongTokens(world.secret, CLAIMS);
  const list = world.secret.token({
    ...{ ...CLAIMS, aud: ['pull', 'push'] },
    'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier': 'ada',
  });
  for (const token of [good, list]) {
    const statuses = await statusesOf(world, token);
    const served = statuses.filter((status, at) => isServed(PATHS[at % 4] ?? '/ws', status));
    t.equal(
      served.length,
      POSITIONS.length * PATHS.length,
      'a right one is served in each position',
    );
  }
  for (const [name, token] of Object.entries(wrong)) {
    const query = Array<number>(PATHS.length).fill(inQuery(token));
    const others = Array<number>((POSITIONS.length - 1) * PATHS.length).fill(401);
    t.strictSame(await statusesOf(world, token), [...query, ...others], name);
    const client = new CommandClient(world.port, '/ws');
    await client.open();
    client.say(JSON.stringify({ type: 'connect', token }));
    t.equal(await client.closed, 3000);
    t.match(client.told.at(-1), /"type":"error","error":"token: /, `${name}: in a message`);
  }
  const { totals } = world.server.stats();
  t.equal(totals['tokensAcceptedTotal'], 2 * POSITIONS.length * PATHS.length);
  const tries = Object.keys(wrong).length * (POSITIONS.length * PATHS.length + 1);
  const longInQuery = 2 * PATHS.length;
  t.equal(totals['tokensRejectedTotal'], tries - longInQuery, 'each is counted');
});

t.test('a wrong token in a cookie gives no identity, and refresh leaves it', async (t) => {
  const world = await start(t);
  const good = world.secret.token(CLAIMS);
  const say = await openClient(t, world, `token=${good}`);
  const refresh = (token: string): object => ({ type: 'refresh', token });
  for (const [name, token] of Object.entries(wrongTokens(world.secret, CLAIMS))) {
    const { told } = await converse(world.port, [
      handshake('/ws', cookieOf(token)),
      frame(TEXT, JSON.stringify(refresh(good))),
      frame(CLOSE),
    ]);
    t.match(told[0], /refresh: send connect first/, `${name}: in a cookie`);
    t.match(await say(refresh(token)), /"error":"token: /, `${name}: in refresh`);
    t.match(await say({ type: 'subscribe', channel: 'a' }), /"subscribed"/, 'the grants stay');
    t.match(await say({ type: 'subscribe', channel: 'b' }), /not allowed/);
  }
  const bob = world.secret.token({ ...CLAIMS, sub: 'bob' });
  t.match(await say(refresh(bob)), /token: of another user/, 'the user stays');
  t.match(await say(refresh(good)), /"refreshed","user":"ada"/);
});

t.test('a token for one channel that is wrong in one way is rejected everywhere', async (t) => {
  const world = await start(t);
  const ada = world.secret.token(CLAIMS);
  const say = await openClient(t, world, `token=${ada}`);
  const ask = (path: Path, token: string): Promise<number> =>
    statusOf(world, requestOf(path, `channel=room/7&token=${ada}&channel_token=${token}`));
  const wrong = {
    ...wrongTokens(world.secret, { ...CLAIMS, channel: 'room/7' }),
    // The claim channels means nothing in these tokens.
    'a pattern in channels': world.secret.token({ ...CLAIMS, channel: 'room/*' }),
    'for no channel': ada,
  };
  // They are right, for another channel.
  const others = ['a pattern in channels', 'for one channel'];
  for (const [name, token] of Object.entries(wrong)) {
    const status = others.includes(name) ? 403 : inQuery(`${ada}${token}`);
    for (const path of PATHS) t.equal(await ask(path, token), status, `${name}: ${path}`);
    const answer = await say({ type: 'subscribe', channel: 'room/7', token });
    t.match(answer, status === 403 ? /"error":"channel: not/ : /"error":"token: /, name);
  }
  const right = world.secret.token({ ...CLAIMS, channel: 'room/7' });
  for (const path of PATHS) t.ok(isServed(path, await ask(path, right)), path);
  t.match(await say({ type: 'subscribe', channel: 'room/7', token: right }), /"subscribed"/);
});
