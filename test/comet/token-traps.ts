// Tokens that are wrong in one way, in every position that a token may have.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';

import { nowS, Secret, signPublic } from '../support/client-tokens.js';
import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { tokenTraps, type TrapKeys } from '../support/token-traps.js';
import { isServed, PATHS, requestOf, statusOf } from '../support/transport-requests.js';
import { CommandClient } from '../support/websocket-peer.js';

/** The head of a request that has a token in one position. */
type Position = (token: string) => string;

/** The positions of HTTP requests for a connection's token, and for a channel's token. */
function placesOf(own: string): {
  ofConnection: Record<string, Position>;
  ofChannel: Record<string, Position>;
} {
  const ofConnection: Record<string, Position> = {};
  const ofChannel: Record<string, Position> = {};
  const page = { 'Sec-Fetch-Site': 'same-origin' };
  for (const path of PATHS) {
    const query = (token: string): string => encodeURIComponent(token);
    ofConnection[`${path}, header`] = (token) =>
      requestOf(path, 'channel=a', { Authorization: `Bearer ${token}` });
    ofConnection[`${path}, query`] = (token) => requestOf(path, `channel=a&token=${query(token)}`);
    ofConnection[`${path}, cookie`] = (token) =>
      requestOf(path, 'channel=a', { ...page, Cookie: `session=${token}` });
    ofChannel[`${path}, channel_token`] = (token) =>
      requestOf(path, `channel=room&token=${own}&channel_token=${query(token)}`);
  }
  return { ofConnection, ofChannel };
}

interface TrapWorld extends World {
  readonly keys: TrapKeys;
  readonly secret: Secret;
}

/** A server with one key of each algorithm; those of public keys have names. */
async function start(t: Test): Promise<TrapWorld> {
  const secret = new Secret(t);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ed25519 = generateKeyPairSync('ed25519');
  const dir = dirname(secret.path);
  const file = (name: string, { publicKey }: { publicKey: KeyObject }): string => {
    const path = join(dir, name);
    writeFileSync(path, publicKey.export({ type: 'spki', format: 'pem' }));
    return path;
  };
  const world = await startComet(t, {
    workers: 1,
    tokenCookie: 'session',
    tokenLeeway: 0,
    tokenKey: [
      secret.option,
      `RS256:r=${file('rsa.pem', rsa)}`,
      `ES256:p=${file('p256.pem', p256)}`,
      `EdDSA:e=${file('ed25519.pem', ed25519)}`,
    ],
  });
  return { ...world, secret, keys: { secret: secret.text, rsa, p256, ed25519 } };
}

const count = ({ server }: World, name: string): number => Number(server.stats().totals[name]);

t.test('no trap opens a connection, wherever the token stands', async (t) => {
  const world = await start(t);
  const claims = { sub: 'ada', exp: nowS() + 3600, grants: { subscribe: ['a'] } };
  const { ofConnection } = placesOf('');
  const { rsa, p256, ed25519 } = world.keys;
  const valid = [
    world.secret.token(claims),
    signPublic('RS256', rsa.privateKey, claims, { kid: 'r' }),
    signPublic('ES256', p256.privateKey, claims),
    signPublic('EdDSA', ed25519.privateKey, claims, { kid: 'e' }),
  ];
  for (const [name, position] of Object.entries(ofConnection)) {
    for (const token of valid) {
      const [path] = PATHS.filter((one) => name.startsWith(`${one},`));
      const status = await statusOf(world, position(token));
      t.ok(path !== undefined && isServed(path, status), `${name}: a valid token`);
    }
  }
  const accepted = count(world, 'tokensAcceptedTotal');
  t.equal(accepted, 12 * valid.length);
  const wanted = Object.fromEntries(Object.keys(ofConnection).map((name) => [name, 401]));
  for (const [name, token] of Object.entries(tokenTraps(world.keys, claims))) {
    const entries = Object.entries(ofConnection).map(
      async ([where, position]) => [where, await statusOf(world, position(token))] as const,
    );
    const client = new CommandClient(world.port, '/ws');
    await client.open();
    client.say(JSON.stringify({ type: 'connect', token }));
    t.strictSame(Object.fromEntries(await Promise.all(entries)), wanted, name);
    t.equal(await client.closed, 3000, `${name}: in the first message`);
    t.match(client.told, [/"type":"error","error":"token: /], name);
  }
  t.equal(count(world, 'tokensAcceptedTotal'), accepted);
  t.equal(count(world, 'subscriptions'), 0);
});

t.test('no trap extends a connection or opens a channel', async (t) => {
  const world = await start(t);
  const own = world.secret.token({ sub: 'ada', grants: { subscribe: ['a'] } });
  const client = new CommandClient(world.port, `/ws?token=${own}`);
  t.teardown(() => {
    client.close();
  });
  await client.open();
  const refresh = { sub: 'ada', exp: nowS() + 3600, grants: { subscribe: ['*'] } };
  const ticket = { sub: 'ada', exp: nowS() + 3600, channel: 'room' };
  const { ofChannel } = placesOf(own);
  const answers: string[] = [];
  const ask = (command: object): void => {
    client.say(JSON.stringify(command));
  };
  for (const [name, token] of Object.entries(tokenTraps(world.keys, refresh))) {
    ask({ type: 'refresh', token });
    answers.push(`refresh: ${name}`);
  }
  const traps = Object.entries(tokenTraps(world.keys, ticket));
  for (const [name, token] of traps) {
    ask({ type: 'subscribe', channel: 'room', token });
    answers.push(`subscribe: ${name}`);
  }
  await until('all answers', () => client.told.length >= answers.length);
  for (const [at, name] of answers.entries()) t.match(client.told[at], /"type":"error"/, name);
  const wanted = Object.fromEntries(Object.keys(ofChannel).map((name) => [name, 401]));
  for (const [name, token] of traps) {
    const entries = Object.entries(ofChannel).map(
      async ([where, position]) => [where, await statusOf(world, position(token))] as const,
    );
    t.strictSame(Object.fromEntries(await Promise.all(entries)), wanted, name);
  }
  ask({ type: 'subscribe', channel: 'room', token: world.secret.token(ticket) });
  ask({ type: 'refresh', token: world.secret.token(refresh) });
  await until('the last answers', () => client.told.length === answers.length + 2);
  t.match(client.told.slice(-2), [/"type":"subscribed"/, /"type":"refreshed"/]);
});
