// The command refresh of a client that the application has identified: it extends the connection, for
// the same user alone, and an answer without a decision changes nothing.
import t, { type Test } from 'tap';

import { until } from '../support/helpers.js';
import { answer, type Behaviour } from '../support/hook-server.js';
import { startHooked, type HookWorld } from '../support/hook-world.js';
import { CommandClient } from '../support/websocket-peer.js';

/** Sends a command, and returns the messages of the server until the answer of a type. */
async function ask(client: CommandClient, command: object, type: string): Promise<string[]> {
  const before = client.told.length;
  client.say(JSON.stringify(command));
  await until(`the answer ${type}`, () =>
    client.told.slice(before).some((text) => text.startsWith(`{"type":"${type}"`)),
  );
  return client.told.slice(before);
}

const CHANNELS = ['a', 'b'];
const ADA = {
  ...{ allow: true, user: 'ada', expiresInSeconds: 1000 },
  grants: { subscribe: CHANNELS, publish: CHANNELS },
};

/** A client that is ada, on both channels. */
async function connected(t: Test, { port, hook }: HookWorld): Promise<CommandClient> {
  hook.behaviour = answer({ ...ADA, channels: CHANNELS });
  const client = new CommandClient(port, '/ws');
  t.teardown(() => {
    client.close();
  });
  await client.open();
  await ask(client, { type: 'connect', token: 's1' }, 'subscribed');
  return client;
}

t.test('an answer to refresh has the new time and the new grants', async (t) => {
  const world = await startHooked(t);
  const client = await connected(t, world);
  t.match(client.told[0], /^\{"type":"connected","user":"ada","expiresInSeconds":\d{3,4}\}$/);
  world.hook.behaviour = answer({ ...ADA, expiresInSeconds: 50_000, grants: { subscribe: ['b'] } });
  const told = await ask(client, { type: 'refresh', token: 's2', id: '7' }, 'refreshed');
  t.equal(told[0], '{"type":"unsubscribed","channels":["a"]}', 'the channel without a grant');
  t.match(told[1], /^\{"type":"refreshed","user":"ada","expiresInSeconds":49\d{3},"id":"7"\}$/);
  t.strictSame(world.hook.about('refresh'), [
    {
      ...{ action: 'refresh', channels: [], user: 'ada', transport: 'websocket' },
      ...{ address: '127.0.0.1', token: 's2', headers: {}, cookies: {} },
    },
  ]);
  world.hook.behaviour = answer({ allow: true, user: 'ada' });
  const last = await ask(client, { type: 'refresh' }, 'refreshed');
  t.equal(last.at(-1), '{"type":"refreshed","user":"ada"}', 'without a time, and without a token');
  t.equal(world.hook.about('refresh')[1]?.token, '');
});

const status =
  (code: number): Behaviour =>
  (_asked, response) => {
    response.writeHead(code).end('{}');
  };

const REJECTED: readonly (readonly [string, Behaviour, RegExp])[] = [
  ['another user', answer({ allow: true, user: 'bob' }), /"error":"token: /],
  ['without a user', answer({ allow: true }), /"error":"token: /],
  ['a denial', answer({ allow: false, reason: 'log in again' }), /"error":"log in again"/],
  ['an error', status(500), /"error":"no decision about this client now; retry later"/],
  ['an invalid answer', answer({ allow: true, user: 5 }), /"error":"no decision about this/],
  ['no answer in time', () => undefined, /"error":"no decision about this client now/],
];

t.test('a rejected refresh changes nothing, and the client stays', async (t) => {
  const world = await startHooked(t, { clientPublish: true });
  const client = await connected(t, world);
  for (const [name, behaviour, wanted] of REJECTED) {
    world.hook.behaviour = behaviour;
    const told = await ask(client, { type: 'refresh', token: 's2', id: name }, 'error');
    t.match(told.join(), wanted, name);
    t.match(told.join(), `"id":"${name}"`);
  }
  const published = { type: 'publish', channel: 'a', data: 'x', id: 'p' };
  t.match(await ask(client, published, 'published'), [/"id":"p"/], 'by its first grants');
  await until('its own message', () => client.messages.length === 1);
  t.equal(world.hook.about('publish').length, 0);
  const hook = world.server.stats().hook;
  t.match(hook, { deniedTotal: 1, failedTotal: 3, failedTimeoutTotal: 1, callsInFlight: 0 });
});

t.test('refresh comes after connect, and connect once', async (t) => {
  const world = await startHooked(t);
  const client = await connected(t, world);
  t.match(await ask(client, { type: 'connect', token: 's2' }, 'error'), [/send refresh instead/]);
  const unknown = new CommandClient(world.port, '/ws');
  await unknown.open();
  t.match(await ask(unknown, { type: 'refresh', token: 's1' }, 'error'), [/send connect first/]);
  t.equal(world.hook.asked.length, 1, 'the application is asked about neither');
  unknown.close();
});

/** A client that may have ended before its command is answered. */
class ShortLived {
  readonly client: CommandClient;
  hasEnded = false;

  constructor(t: Test, port: number) {
    this.client = new CommandClient(port, '/ws');
    void this.client.closed.then(() => (this.hasEnded = true));
    t.teardown(() => {
      this.client.close();
    });
  }

  /** Whether the command got the answer of a type. The hook may be late, or the client's end early. */
  async isAnswered(command: object, type: string): Promise<boolean> {
    const before = this.client.told.length;
    this.client.say(JSON.stringify(command));
    await until('an answer or the end', () => this.hasEnded || this.client.told.length > before);
    return this.client.told[before]?.startsWith(`{"type":"${type}"`) === true;
  }
}

/** Two clients that end after some seconds, of which the first has refreshed; null if it was late. */
async function refreshedOne(
  t: Test,
  { port, hook }: HookWorld,
  seconds: number,
): Promise<readonly [ShortLived, ShortLived] | null> {
  hook.behaviour = answer({ ...ADA, expiresInSeconds: seconds });
  const both = [new ShortLived(t, port), new ShortLived(t, port)] as const;
  await Promise.all(both.map(({ client }) => client.open()));
  const connect = { type: 'connect', token: 's1' };
  const known = await Promise.all(both.map((one) => one.isAnswered(connect, 'connected')));
  hook.behaviour = answer(ADA);
  const isInTime =
    known.every(Boolean) && (await both[0].isAnswered({ type: 'refresh' }, 'refreshed'));
  return isInTime ? both : null;
}

t.test('a client that refreshes in time stays, and another one ends', async (t) => {
  const world = await startHooked(t);
  let both = null;
  // On a busy machine a short time may end before the refresh.
  for (let seconds = 2; both === null && seconds < 100; seconds *= 2) {
    both = await refreshedOne(t, world, seconds);
  }
  if (both === null) throw new Error('no refresh was answered in time');
  const [stays, ends] = both;
  t.equal(await ends.client.closed, 3000, 'its time is over');
  t.ok(await stays.isAnswered({ type: 'ping' }, 'pong'));
  t.notOk(stays.hasEnded);
});
