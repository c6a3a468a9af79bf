// Limits of one user over all connections and workers, and of the commands of one WebSocket.
import t, { type Test } from 'tap';

import { AddressPeer, openIn, totalOf, TRANSPORTS } from '../support/address-peer.js';
import { Secret } from '../support/client-tokens.js';
import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient } from '../support/websocket-peer.js';

const READ = { subscribe: ['a'], publish: ['a'] };

interface UserWorld extends World {
  token(user: string): string;
}

async function start(t: Test, options: object): Promise<UserWorld> {
  const secret = new Secret(t);
  const world = await startComet(t, { tokenKey: [secret.option], ...options });
  return { ...world, token: (user) => secret.token({ sub: user, grants: READ }) };
}

for (const workers of [1, 2]) {
  for (const transport of TRANSPORTS) {
    t.test(`${transport}, ${workers} workers: a user has its connections`, async (t) => {
      const world = await start(t, { workers, connectionsPerUser: 2 });
      const open = (user: string): AddressPeer =>
        AddressPeer.request(t, world, { query: `&token=${world.token(user)}`, transport });
      const first = open('ada');
      open('ada');
      await until('both', () => totalOf(world, 'tokensAcceptedTotal') === 2);
      const over = open('ada');
      t.equal(await over.answer(), transport === 'sse' ? '200' : '429');
      t.match(
        over.text,
        transport === 'sse'
          ? /event: megacomet\.limited/
          : /Retry-After: \d+[^]*user: too many connections; retry later/,
      );
      open('bob');
      await until('another user', () => openIn(world) === 3);
      await first.close();
      await until('its close', () => openIn(world) === 2);
      open('ada');
      await until('its return', () => openIn(world) === 3);
      t.equal(totalOf(world, 'limitedUsersTotal'), 1);
      t.equal(totalOf(world, 'badRequestsLimitedTotal'), 1);
    });
  }
}

t.test('a poll that repeats its token counts once', async (t) => {
  const world = await start(t, { workers: 1, connectionsPerUser: 1 });
  const request =
    `GET /poll?channel=a&timeout=0&token=${world.token('ada')} HTTP/1.1\r\n` + 'Host: a\r\n\r\n';
  const peer = new AddressPeer(t, world.port, request);
  for (let count = 1; count <= 5; count++) {
    await until('an answer', () => peer.text.split('HTTP/1.1 2').length === count + 1);
    peer.socket.write(request);
  }
  t.equal(totalOf(world, 'limitedUsersTotal'), 0);
});

/** An open WebSocket. */
async function commands(t: Test, { port }: World, query = ''): Promise<CommandClient> {
  const client = new CommandClient(port, `/ws${query}`);
  t.teardown(() => {
    client.close();
  });
  await client.open();
  return client;
}

const count = (client: CommandClient, part: string): number =>
  client.told.filter((text) => text.includes(part)).length;

t.test('the first message of a WebSocket may exceed the limit of its user', async (t) => {
  const world = await start(t, { workers: 2, connectionsPerUser: 1 });
  const connect = JSON.stringify({ type: 'connect', token: world.token('ada') });
  const first = await commands(t, world);
  first.say(connect);
  await until('the answer', () => count(first, '"connected"') === 1);
  const over = await commands(t, world);
  over.say(connect);
  t.equal(await over.closed, 1013);
  t.equal(count(over, 'user: too many connections; retry later'), 1);
});

t.test('a user publishes at one rate over all connections', async (t) => {
  const world = await start(t, { workers: 2, clientPublish: true, publishesPerUser: 10 });
  const query = `?token=${world.token('ada')}`;
  const clients = await Promise.all([1, 2, 3, 4].map(() => commands(t, world, query)));
  for (const client of clients) {
    for (let id = 0; id < 50; id++) {
      client.say(JSON.stringify({ type: 'publish', channel: 'a', data: 'x' }));
    }
  }
  const limited = (): number => totalOf(world, 'limitedUserPublishesTotal');
  const published = (): number =>
    Number(world.server.stats().messages?.clientMessagesPublishedTotal);
  await until('all messages', () => limited() + published() === 200);
  t.ok(published() >= 10 && published() < 100, `${published()} were published`);
  const error = 'too many messages of this user: at most 10 a second are allowed; retry later';
  const errors = (): number =>
    clients.map((client) => count(client, error)).reduce((sum, one) => sum + one, 0);
  await until('an error for each other', () => errors() === limited());
});

/** Commands that cause no message, and their errors if they have one besides the rate. */
const REJECTED: readonly (readonly [what: string, error: string, command: object | string])[] = [
  ['a ping', 'too many commands: at most 20 a second are allowed', { type: 'ping' }],
  ['a message without a grant', 'publish: not allowed with', { channel: 'secret', data: 'x' }],
  ['a message without data', 'data is required', { channel: 'a' }],
  ['a message for two channels', 'channel: must be one', { channel: ['a', 'b'], data: 'x' }],
  ['a message for a pattern', 'channel: must be one', { channel: 'a/*', data: 'x' }],
  ['a message with a long id', 'id and event', { channel: 'a', data: 'x', id: 'i'.repeat(129) }],
  ['a message whose data is a number', 'data: must be', { channel: 'a', data: 1 }],
  ['a message that is not complete', 'too many commands', '{"type":"publish"'],
  ['more messages than its rate', 'too many messages: at most 10', { channel: 'a', data: 'x' }],
];

t.test('a WebSocket whose commands are all rejected receives errors, and is closed', async (t) => {
  const world = await start(t, {
    ...{ workers: 1, clientPublish: true },
    ...{ commandsPerConnection: 20, clientPublishRate: 10 },
  });
  const query = `?token=${world.token('ada')}`;
  const slow = await commands(t, world, query);
  for (const [what, error, command] of REJECTED) {
    const before = totalOf(world, 'limitedCommandsTotal');
    const flood = await commands(t, world, query);
    const text =
      typeof command === 'string' ? command : JSON.stringify({ type: 'publish', ...command });
    for (let sent = 0; sent < 100; sent++) flood.say(text);
    t.equal(await flood.closed, 1008, what);
    t.ok(count(flood, error) >= 15, `${what}: errors came first`);
    t.ok(totalOf(world, 'limitedCommandsTotal') >= before + 16, `${what}: counted`);
  }
  for (let id = 0; id < 20; id++) slow.say('{"type":"ping"}');
  await until('the pongs', () => count(slow, '"pong"') === 20);
});

t.test('a client of a server where no client may publish is closed too', async (t) => {
  const world = await startComet(t, { workers: 1, commandsPerConnection: 20 });
  const flood = await commands(t, world);
  for (let sent = 0; sent < 100; sent++) flood.say('{"type":"publish","channel":"a","data":"x"}');
  t.equal(await flood.closed, 1008);
  t.ok(count(flood, 'clients may not publish here') >= 15);
});

t.test('messages that are sent do not count as commands', async (t) => {
  const world = await startComet(t, {
    ...{ workers: 1, clientPublish: true },
    ...{ commandsPerConnection: 20, clientPublishRate: 0 },
  });
  const client = await commands(t, world);
  for (let sent = 0; sent < 500; sent++) {
    client.say('{"type":"publish","channel":"a","data":"x","id":"1"}');
  }
  await until('all to be published', () => count(client, '"published"') === 500);
  t.equal(totalOf(world, 'limitedCommandsTotal'), 0);
});
