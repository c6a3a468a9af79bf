// Each limit of a WebSocket has a counter of its own, which no other limit changes.
import t, { type Test } from 'tap';

import { totalOf } from '../support/address-peer.js';
import { Secret } from '../support/client-tokens.js';
import { exchange, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import {
  CommandClient,
  converse,
  deflated,
  frame,
  handshake,
  TEXT,
} from '../support/websocket-peer.js';

interface TokenWorld extends World {
  token(user: string): string;
  /** The head of a WebSocket of this user. */
  head(user: string, lines?: Record<string, string>): string;
}

/** A server whose users may subscribe to everything, with up to 40 channels each. */
async function start(t: Test): Promise<TokenWorld> {
  const secret = new Secret(t);
  const world = await startComet(t, {
    ...{ workers: 1, tokenKey: [secret.option], handshakeTimeout: 1 },
    ...{ channelsPerConnection: 40, messageBytes: 4096 },
  });
  const token = (user: string): string => secret.token({ sub: user, grants: { subscribe: ['*'] } });
  return {
    ...world,
    token,
    head: (user, lines = {}) => handshake(`/ws?token=${token(user)}`, lines),
  };
}

const say = (command: object): Buffer => frame(TEXT, JSON.stringify(command));
/** A ping command of 4,000 bytes, compressed: many of them arrive in one read. */
const LONG_PING = frame(TEXT, deflated('{"type":"ping"}'.padEnd(4000)), { reserved: 4 });
const CLOSE = frame(8);
const names = (count: number, end = ''): string[] =>
  Array.from({ length: count }, (_, n) => `c${n}${end}`);
/** A cursor of another epoch: only the manager knows the messages after it. */
const SINCE = '3f9c0a71d25be846.1';

type Row = readonly [what: string, counter: string, last: string, sent: readonly Buffer[]];

const ROWS: readonly Row[] = [
  [
    'too many channels at once',
    'limitedSubscriptionsTotal',
    'close',
    [say({ type: 'subscribe', channels: names(41) }), CLOSE],
  ],
  [
    'too many patterns',
    'limitedSubscriptionsTotal',
    'close',
    [say({ type: 'subscribe', channels: names(33, '/*') }), CLOSE],
  ],
  [
    'too many commands behind a replay',
    'waitingCommandsLimitTotal',
    'close 1008',
    [
      say({ type: 'subscribe', channel: 'a', since: SINCE }),
      ...Array.from({ length: 65 }, () => say({ type: 'ping' })),
    ],
  ],
  [
    'too many bytes behind a replay',
    'waitingCommandsLimitTotal',
    'close 1008',
    [
      say({ type: 'subscribe', channel: 'a', since: SINCE }),
      ...Array.from({ length: 17 }, () => LONG_PING),
    ],
  ],
  ['a long message', 'messagesTooBigTotal', 'close 1009', [frame(TEXT, 'x'.repeat(4097))]],
  [
    'a message that is long after its parts',
    'messagesTooBigTotal',
    'close 1009',
    [frame(TEXT, 'x'.repeat(4000), { isFinal: false }), frame(0, 'x'.repeat(97))],
  ],
  [
    'a message that inflates to a long one',
    'messagesTooBigTotal',
    'close 1009',
    [frame(TEXT, deflated('x'.repeat(4097)), { reserved: 4 })],
  ],
];

const COUNTERS = [
  ...new Set(ROWS.map(([, counter]) => counter)),
  'connectTimeoutsTotal',
  'limitedCommandsTotal',
  'controlFrameLimitTotal',
];

const valuesOf = (world: World): Record<string, number> =>
  Object.fromEntries(COUNTERS.map((name) => [name, totalOf(world, name)]));

t.test('a WebSocket beyond a limit is counted by its cause, and by no other', async (t) => {
  const world = await start(t);
  const wanted = valuesOf(world);
  const head = world.head('ada', { 'Sec-WebSocket-Extensions': 'permessage-deflate' });
  for (const [what, counter, last, sent] of ROWS) {
    const { told } = await converse(world.port, [head, Buffer.concat(sent)]);
    t.ok(told.at(-1)?.startsWith(last), `${what}: ${told.at(-1)}`);
    wanted[counter] = Number(wanted[counter]) + 1;
    t.strictSame(valuesOf(world), wanted, what);
  }
  const client = new CommandClient(world.port, `/ws?token=${world.token('ada')}`);
  await client.open();
  for (const channels of [names(40), ['one more']]) {
    client.say(JSON.stringify({ type: 'subscribe', channels }));
  }
  await until('both answers', () => client.told.length === 2);
  client.say(JSON.stringify({ type: 'subscribe', channel: 'c0', since: SINCE }));
  for (let n = 0; n < 16; n++) client.say('{"type":"ping"}'.padEnd(4000));
  await until('64,000 bytes to be answered', () => client.told.length === 2 + 1 + 16);
  client.close();
  wanted['limitedSubscriptionsTotal'] = Number(wanted['limitedSubscriptionsTotal']) + 1;
  t.strictSame(valuesOf(world), wanted, 'too many channels one after the other');
  const { told } = await converse(world.port, [handshake('/ws')]);
  t.equal(told.at(-1), 'close 3000', 'a client that does not connect');
  wanted['connectTimeoutsTotal'] = Number(wanted['connectTimeoutsTotal']) + 1;
  t.strictSame(valuesOf(world), wanted);
});

t.test('a revoked token has a counter of its own, and revocations are counted', async (t) => {
  const world = await start(t);
  t.equal(world.server.stats().messages?.revocations, 0);
  const head = world.head('bob');
  await world.server.revoke({ user: 'bob' });
  await world.server.revoke({ user: 'eve', keepSeconds: 1 });
  const answer = await exchange(world.port, head);
  t.match(answer, /^HTTP\/1\.1 401 [^]*revoked/);
  t.equal(totalOf(world, 'tokensRejectedRevokedTotal'), 1);
  t.equal(totalOf(world, 'tokensRejectedOtherTotal'), 0);
  t.equal(totalOf(world, 'tokensRejectedTotal'), 1);
  await until(
    'the short one to be forgotten',
    () => world.server.stats().messages?.revocations === 1,
  );
  t.equal(world.server.stats().messages?.revocationsRejectedTotal, 0);
});
