// Namespaces in a running server: access to subscribing and publishing, history, join and leave
// messages, and their change while the server runs.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import type { NamespaceOptions } from '../../lib/index.js';
import { nowS, Secret } from '../support/client-tokens.js';
import { Program, startComet, SseClient, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient } from '../support/websocket-peer.js';

type Definitions = Readonly<Record<string, NamespaceOptions>>;

async function open(t: Test, { port }: { port: number }, query = ''): Promise<CommandClient> {
  const client = new CommandClient(port, `/ws${query}`);
  t.teardown(() => {
    client.close();
  });
  await client.open();
  return client;
}

/** The status of a poll that subscribes to a channel or pattern. */
async function statusOf({ port }: { port: number }, name: string, token?: string): Promise<number> {
  const query = new URLSearchParams({ channel: name, timeout: '0', ...(token && { token }) });
  const response = await fetch(`http://127.0.0.1:${port}/poll?${query.toString()}`);
  await response.arrayBuffer();
  return response.status;
}

/** The answer to a publish of a client: its error, or that the message arrived. */
async function published(client: CommandClient, channel: string): Promise<string> {
  const before = client.told.length;
  client.say(JSON.stringify({ type: 'publish', channel, data: 'x' }));
  client.say('{"type":"ping"}');
  await until(
    'the answers',
    () => client.told.at(-1) === '{"type":"pong"}' && client.told.length > before,
  );
  const answers = client.told.slice(before).map((text) => JSON.parse(text) as { error?: string });
  return answers.flatMap(({ error }) => error ?? []).join();
}

t.test('a namespace decides whether clients may subscribe', async (t) => {
  const namespaces: Definitions = {
    'open/*': { public: true },
    'open/secret/*': { public: false },
    'open/news/*': {},
    'closed/*': { public: false },
  };
  const secret = new Secret(t);
  const rows: [name: string, withoutRules: boolean, withPublic: boolean, withKey: boolean][] = [
    ['open/1', true, true, true],
    ['open/secret/1', false, false, false],
    ['open/secret/*', false, false, false],
    ['open/*', false, false, false],
    ['open/x/*', true, true, true],
    ['open/news/1', true, false, false],
    ['closed/1', false, false, false],
    ['closed/*', false, false, false],
    ['other', true, false, false],
    ['lobby', true, true, false],
  ];
  const worlds: World[] = [];
  for (const access of [{}, { public: ['lobby', 'closed/*'] }, { tokenKey: [secret.option] }]) {
    worlds.push(await startComet(t, { workers: 1, namespaces, ...access }));
  }
  for (const [name, ...wanted] of rows) {
    for (const [index, world] of worlds.entries()) {
      const isAllowed = (await statusOf(world, name)) === 204;
      t.equal(isAllowed, wanted[index], `${name} of server ${index}`);
    }
  }
  const token = secret.token({ sub: 'ada', exp: nowS() + 60, grants: { subscribe: ['open/*'] } });
  for (const name of ['open/*', 'open/secret/1', 'open/news/1']) {
    t.equal(await statusOf(worlds[2] as World, name, token), 204, `${name} with a grant`);
  }
});

t.test('a namespace says which clients may publish', async (t) => {
  const secret = new Secret(t);
  const namespaces: Definitions = {
    '*': { public: true },
    'none/*': { public: true, clientPublish: 'nobody' },
    'in/*': { public: true, clientPublish: 'subscribers' },
    'granted/*': { public: true, clientPublish: 'grant' },
  };
  const grants = { publish: ['*'] };
  const notHere = 'clients may not publish here';
  const denied = 'publish: not allowed with this token';
  for (const clientPublish of [false, true]) {
    const world = await startComet(t, {
      workers: 1,
      clientPublish,
      tokenKey: [secret.option],
      namespaces,
    });
    const stranger = await open(t, world, '?channel=in/1');
    const writer = await open(t, world, `?token=${secret.token({ sub: 'ada', grants })}`);
    t.equal(await published(stranger, 'none/1'), notHere);
    t.equal(await published(writer, 'none/1'), notHere, 'a grant changes nothing');
    t.equal(await published(stranger, 'in/1'), '', 'a subscriber');
    t.equal(await published(stranger, 'in/2'), denied, 'of another channel');
    t.equal(await published(writer, 'in/2'), '', 'a grant suffices');
    t.equal(await published(stranger, 'granted/1'), denied);
    t.equal(await published(writer, 'granted/1'), '');
    t.equal(await published(writer, 'x'), clientPublish ? '' : notHere, 'as the server');
    t.equal(await published(stranger, 'x'), clientPublish ? denied : notHere);
    await until('its own message', () => stranger.messages.length === 1);
  }
});

t.test('a namespace has its own history, policy and spread', async (t) => {
  const world = await startComet(t, {
    workers: 1,
    historyCount: 100,
    namespaces: { 'few/*': { historyCount: 2 }, 'none/*': { historyCount: 0 } },
  });
  const { server } = world;
  const first = await server.publish('start', 'x');
  for (let count = 0; count < 5; count++) {
    for (const channel of ['few/1', 'none/1', 'many/1'])
      await server.publish(channel, String(count));
  }
  await server.publish('few/2', 'all', { history: { count: 50 } });
  const resumed = async (channel: string, end = 'last'): Promise<[string[], number]> => {
    const client = new SseClient(world, [channel]);
    t.teardown(() => {
      client.close();
    });
    client.cursor = first.cursor;
    await client.open();
    await server.publish(channel, end);
    await until('the last message', () => client.data.includes(end));
    return [client.data, client.lost];
  };
  t.strictSame(await resumed('many/1'), [['0', '1', '2', '3', '4', 'last'], 0]);
  t.strictSame(await resumed('few/1'), [['3', '4', 'last'], 1]);
  t.strictSame(await resumed('none/1'), [['last'], 1]);
  // Once more: the worker's cache must not give messages that the history has dropped.
  t.strictSame(await resumed('few/1', 'end'), [['4', 'last', 'end'], 1]);
});

t.test('the longest prefix decides which clients list a history', async (t) => {
  const secret = new Secret(t);
  const world = await startComet(t, {
    workers: 1,
    tokenKey: [secret.option],
    namespaces: {
      'a/*': { clientHistory: false, historyCount: 3 },
      'a/b/*': { clientHistory: true, public: true },
      'a/b/c/*': { clientHistory: false },
      'open/*': { public: true, historyCount: 2 },
      'open/own/*': { public: false, historyCount: 1 },
    },
  });
  const names = ['x', 'a/1', 'a/b/1', 'a/b/c/1', 'a/bc/1', 'a/b', 'open/1', 'open/own/1'];
  for (const name of names) {
    for (const data of ['1', '2', '3', '4']) await world.server.publish(name, data);
  }
  const token = secret.token({ sub: 'ada', grants: { history: ['*'] } });
  const granted = await open(t, world, `?token=${token}`);
  const stranger = await open(t, world);
  /** The data that a client lists of a channel or pattern; `no` for an error. */
  const list = async (client: CommandClient, channel: string): Promise<string> => {
    const before = client.told.length;
    client.say(JSON.stringify({ type: 'history', channel }));
    await until('the answer', () => client.told.length > before);
    const { messages } = JSON.parse(client.told[before] ?? '') as { messages?: { data: string }[] };
    return messages?.map(({ data }) => data).join('') ?? 'no';
  };
  const rows: [string, string, string][] = [
    ['x', '1234', 'no'],
    ['a/1', 'no', 'no'],
    ['a/b', 'no', 'no'],
    ['a/bc/1', 'no', 'no'],
    ['a/b/1', '1234', '1234'],
    ['a/b/c/1', 'no', 'no'],
    ['a/b/*', 'no', 'no'],
    ['a/*', 'no', 'no'],
    ['open/1', '34', '34'],
    ['open/own/1', '4', 'no'],
    ['open/*', '344', 'no'],
    ['open/own/*', '4', 'no'],
  ];
  for (const [channel, withGrant, without] of rows) {
    t.equal(await list(granted, channel), withGrant, channel);
    t.equal(await list(stranger, channel), without, `${channel}, without a token`);
  }
});

t.test('subscribers learn who joins and leaves, where the namespace says so', async (t) => {
  const world = await startComet(t, {
    workers: 2,
    namespaces: { 'room/*': { joinLeave: true, historyCount: 10 } },
  });
  const { server } = world;
  const watcher = new SseClient(world, ['room/1', 'hall']);
  await watcher.open();
  t.teardown(() => {
    watcher.close();
  });
  const events = (): string[] => watcher.seen.map(({ event = '' }) => event);
  await until('its own join', () => events().length === 1);
  await server.publish('room/1', 'a');
  const other = await open(t, world, '?channel=room/1&channel=hall');
  await until('a join', () => events().length === 3);
  other.close();
  await until('a leave', () => events().length === 4);
  t.strictSame(
    events().map((event) => event || 'message'),
    ['join', 'message', 'join', 'leave'],
  );
  const [own, , joined, left] = watcher.seen.map(({ data }) => data);
  t.equal(joined, left, 'the same connection');
  t.not(own, joined);
  t.match(JSON.parse(joined ?? '') as object, { member: /^\d+-/ });
  t.strictSame([...new Set(watcher.seen.map(({ channel = 'room/1' }) => channel))], ['room/1']);
  t.equal(server.stats().messages?.['joinLeaveMessagesTotal'], 3);

  const late = new SseClient(world, ['room/1']);
  t.teardown(() => {
    late.close();
  });
  late.cursor = watcher.seen[0]?.cursor ?? '';
  await late.open();
  await until('the message', () => late.data.includes('a'));
  t.equal(late.lost, 0, 'join and leave messages are not kept, and do not count as missed');
});

t.test('a crowd gets no join and leave messages', async (t) => {
  const world = await startComet(t, {
    workers: 1,
    channelsPerConnection: 1024,
    namespaces: { 'room/*': { joinLeave: true } },
  });
  const { server } = world;
  const sockets = await Promise.all(
    Array.from({ length: 1002 }, () => open(t, world, '?channel=room/1')),
  );
  t.equal(sockets.length, 1002);
  const known = async (): Promise<number | undefined> =>
    (await server.channels({ prefix: 'room/' })).channels[0]?.subscribers;
  await until('all subscribers', async () => (await known()) === 1002);
  await open(t, world, '?channel=room/1');
  await until(
    'a skipped message',
    () => Number(server.stats().messages?.['joinLeaveSkippedTotal']) > 0,
  );
});

t.test('SIGHUP changes namespaces, and loses no message', async (t) => {
  const config = join(t.testdir(), 'config.json');
  const write = (namespaces: object | string): void => {
    const text = typeof namespaces === 'string' ? namespaces : JSON.stringify(namespaces);
    writeFileSync(config, `{\n"protocol": "comet",\n"namespaces": ${text}\n}`);
  };
  write({ 'a/*': { public: false } });
  const program = await Program.start(t, {
    args: ['--workers', '2', '--config', config],
    expectLog: [/^configuration not changed$/],
  });
  const lines = (msg: string): number =>
    program.server.log.filter((line) => line.msg === msg).length;
  const reload = async (msg = 'configuration read again'): Promise<void> => {
    const before = lines(msg);
    process.kill(program.server.pid, 'SIGHUP');
    await until(msg, () => lines(msg) > before);
  };
  t.equal(await statusOf(program, 'a/1'), 401);
  const watcher = await open(t, program, '?channel=b/1');
  let sent = 0;
  const publish = async (): Promise<void> => {
    t.equal(await program.publish('b/1', String(sent++)), 200);
  };
  await publish();
  write({ 'a/*': { public: true }, 'b/*': { 'history-count': 0, public: false } });
  await reload();
  await publish();
  await until('the new rules in all workers', async () => (await statusOf(program, 'b/1')) === 401);
  t.equal(await statusOf(program, 'a/1'), 204);
  write('{"a/*": {\n"histry-count": 5}}');
  await reload('configuration not changed');
  const failure = program.server.log.find(({ msg }) => msg === 'configuration not changed');
  t.match(failure?.err, /config\.json:4: namespaces: a\/\*: unknown option histry-count/);
  await publish();
  t.equal(await statusOf(program, 'b/1'), 401, 'the old rules stay');
  write({});
  await reload();
  await until('the end of all rules', async () => (await statusOf(program, 'b/1')) === 204);
  await publish();
  await until('all messages', () => watcher.messages.length === sent);
  t.equal(lines('changed options need a restart: namespaces'), 0);
});
