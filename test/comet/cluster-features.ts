// Each feature over three servers that share a log in Redis or NATS: a request at one node concerns the
// clients, channels and mailboxes of all of them.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import t, { type Test } from 'tap';

import { RecordKind } from '../../lib/broker/log-batch.js';
import { nowS, Secret } from '../support/client-tokens.js';
import { command, EngineOrder, publishOnce, startCluster } from '../support/cluster.js';
import { SseClient, WebSocketClient, type Client, type Program } from '../support/comet-world.js';
import { ENGINES, type EngineKind } from '../support/engines.js';
import { until } from '../support/helpers.js';
import { IngestPeer, pollMailbox } from '../support/mailbox-peer.js';
import { without } from '../support/requirements.js';
import { pollStatus } from '../support/transport-requests.js';

const NAMESPACES = {
  'few/*': { public: true, 'history-count': 2 },
  'room/*': { public: true, 'join-leave': true },
  'write/*': { public: true, 'client-publish': 'subscribers' },
};

interface World {
  readonly nodes: readonly [Program, Program, Program];
  readonly secret: Secret;
  readonly order: EngineOrder;
}

async function start(t: Test, { start: startEngine, urlOf }: EngineKind): Promise<World> {
  const engine = await startEngine(t);
  const secret = new Secret(t);
  const config = join(dirname(secret.path), 'config.json');
  const options = { 'token-key': [secret.option], public: ['*'], namespaces: NAMESPACES };
  writeFileSync(config, JSON.stringify(options, null, 1));
  const args = ['--workers', '1', '--config', config, '--ingest', '127.0.0.1:0'];
  const nodes = await startCluster(t, { nodes: 3, port: engine.port, urlOf, args });
  const [a, b, c] = nodes.map(({ program }) => program);
  if (a === undefined || b === undefined || c === undefined) throw new Error('three nodes');
  const order = await EngineOrder.follow(engine.log());
  await until('the nodes to know each other', async () => {
    const all = await Promise.all([a, b, c].map(({ server }) => server.stats()));
    return all.every(({ logState }) => logState?.nodes.length === 3);
  });
  return { nodes: [a, b, c], secret, order };
}

/** Subscribes a client, which ends with the test. */
async function subscribed<C extends Client>(t: Test, client: C, token = ''): Promise<C> {
  t.teardown(() => {
    client.close();
  });
  client.token = token;
  await client.open();
  return client;
}

/** One WebSocket at each node, subscribed to a channel with the same token. */
function atEach(
  t: Test,
  { nodes }: World,
  channel: string,
  token = '',
): Promise<WebSocketClient[]> {
  const clients = nodes.map((node) => new WebSocketClient(node, [channel]));
  return Promise.all(clients.map((client) => subscribed(t, client, token)));
}

interface Presence {
  readonly subscribers: number;
  readonly users: number;
  readonly complete: boolean;
  readonly members: readonly { readonly user?: string; readonly names: readonly string[] }[];
}

/** The presence of a channel as a node answers, when all of its subscribers are counted. */
function presenceAt(node: Program, channel: string, subscribers: number): Promise<Presence> {
  return until(`${subscribers} subscribers`, async () => {
    const found = (await node.query(`/presence?channel=${channel}`)) as Presence;
    return found.complete && found.subscribers === subscribers ? found : null;
  });
}

async function jsonOf(answer: Promise<Response>): Promise<Record<string, unknown>> {
  return (await (await answer).json()) as Record<string, unknown>;
}

type Row = (t: Test, world: World) => Promise<void>;

const MAILBOXES: Readonly<Record<string, Row>> = {
  'a message that one node accepts over --ingest reaches a poll of another': async (
    t,
    { nodes: [a, b, c] },
  ) => {
    const application = await IngestPeer.open(t, a);
    const early = await pollMailbox(t, b, 'early');
    await application.deliver('early', 'it waits');
    await until('the message', () => early.isEnded);
    t.equal(early.text, 'it waits');
    await application.deliver('late', 'one', 'two');
    for (const [node, text] of [[c, 'one'] as const, [b, 'two'] as const]) {
      const poll = await pollMailbox(t, node, 'late');
      await until('the message', () => poll.isEnded);
      t.equal(poll.text, text, 'in their order, at any node');
    }
  },

  'of polls at two nodes one receives a message, and the other the next': async (
    t,
    { nodes: [a, b, c] },
  ) => {
    const application = await IngestPeer.open(t, a);
    const polls = [await pollMailbox(t, b, 'both'), await pollMailbox(t, c, 'both')];
    await application.deliver('both', 'one');
    await until('one to have it', () => polls.some(({ isEnded }) => isEnded));
    await until('every node to have the ack', async () => {
      const all = await Promise.all([a, b, c].map(({ server }) => server.stats()));
      return all.every(({ mailboxes }) => mailboxes?.['messages'] === 0);
    });
    t.equal(polls.filter(({ isEnded }) => isEnded).length, 1);
    await application.deliver('both', 'two');
    await until('both to have one', () => polls.every(({ isEnded }) => isEnded));
    t.same(polls.map(({ text }) => text).sort(), ['one', 'two']);
  },

  'the lease of a worker that dies returns, and another node has the message': async (
    t,
    { nodes: [a, b, c], order },
  ) => {
    const application = await IngestPeer.open(t, a);
    const poll = await pollMailbox(t, b, 'leased');
    const worker = await b.server.pidOf(0);
    const claims = order.count(RecordKind.claim);
    process.kill(worker, 'SIGSTOP');
    await application.deliver('leased', 'once');
    await until('the claim', () => order.count(RecordKind.claim) > claims);
    const other = await pollMailbox(t, c, 'leased');
    t.notOk(other.isEnded, 'the first poll has the lease');
    process.kill(worker, 'SIGKILL');
    await until('the message', () => other.isEnded);
    t.equal(other.text, 'once');
    t.equal(poll.text, null);
  },
};

const QUESTIONS: Readonly<Record<string, Row>> = {
  'presence and counts are those of all nodes, at each node': async (t, world) => {
    const { nodes, secret } = world;
    const tokens = ['ada', 'ada', 'bob'].map((sub) => secret.token({ sub }));
    for (const [at, node] of nodes.entries())
      await subscribed(t, new SseClient(node, ['present']), tokens[at]);
    for (const node of nodes) {
      const { users, members } = await presenceAt(node, 'present', 3);
      t.equal(users, 2);
      const found = members.map(({ user, names }) => [user, names.length]).sort();
      t.same(found, [
        ['ada', 2],
        ['bob', 1],
      ]);
    }
    const request = { channel: 'present', data: 'x', count: 'cluster' };
    await until('a count of all nodes', async () => {
      const { delivered, nodes: answered } = await jsonOf(nodes[1].request('/publish', request));
      return delivered === 3 && answered === 3;
    });
  },

  'channels lists those of all nodes once': async (t, { nodes }) => {
    for (const [at, node] of nodes.entries()) {
      await subscribed(t, new SseClient(node, ['list/all', `list/${at}`, 'list/some/*']));
    }
    await publishOnce(nodes[2], 'list/old', 'x');
    const wanted = [
      'list/0 1',
      'list/1 1',
      'list/2 1',
      'list/all 3',
      'list/old 0',
      'list/some/* 3',
    ];
    for (const node of nodes) {
      await until('all channels', async () => {
        const found: string[] = [];
        for (let from: number | null = 0; from !== null;) {
          const page = (await node.query(`/channels?prefix=list/&from=${from}`)) as {
            readonly channels: readonly {
              readonly channel: string;
              readonly subscribers: number;
            }[];
            readonly next: number | null;
            readonly complete: boolean;
          };
          if (!page.complete) return false;
          found.push(...page.channels.map((one) => `${one.channel} ${one.subscribers}`));
          from = page.next;
        }
        return found.sort().join() === wanted.join();
      });
    }
  },
};

const MESSAGES: Readonly<Record<string, Row>> = {
  'a key that several nodes get at once is published once': async (t, { nodes, order }) => {
    const [client] = (await Promise.all(
      nodes.map((node) => subscribed(t, new SseClient(node, ['keys']))),
    )) as [SseClient];
    for (let round = 0; round < 10; round++) {
      const message = { channel: 'keys', data: `key ${round}`, idempotencyKey: `key ${round}` };
      const answers = await until('an answer of each node', async () => {
        const requests = nodes.map((node) => jsonOf(node.request('/publish', message)));
        const all = await Promise.all(requests);
        return all.every(({ cursor }) => cursor !== undefined) ? all : null;
      });
      t.equal(new Set(answers.map(({ cursor }) => cursor)).size, 1, 'one cursor');
      t.ok(answers.filter(({ duplicate }) => duplicate === true).length >= 2);
    }
    await publishOnce(nodes[0], 'keys', 'last');
    await until('the last', () => client.data.at(-1) === 'last');
    t.same(
      client.data,
      order.of('keys').map(({ data }) => data),
    );
    t.equal(client.data.length, 11);
  },

  'a pattern has the messages of all nodes, and resumes at another one': async (
    t,
    { nodes: [a, b, c] },
  ) => {
    const client = await subscribed(t, new SseClient(b, ['match/*']));
    await publishOnce(a, 'match/1', 'one');
    await publishOnce(c, 'match/2', 'two');
    await client.has(2);
    client.close();
    await publishOnce(b, 'match/1', 'three');
    await publishOnce(a, 'other', 'not for it');
    await publishOnce(c, 'match/3', 'four');
    const other = new SseClient(a, ['match/*']);
    other.cursor = client.cursor;
    await subscribed(t, other);
    await other.has(2);
    t.same([client.data, other.data, other.lost], [['one', 'two'], ['three', 'four'], 0]);
  },

  'a namespace limits the history at every node': async (t, { nodes }) => {
    const [a, b] = nodes;
    for (const data of ['1', '2', '3', '4', '5']) {
      await publishOnce(Number(data) % 2 === 0 ? a : b, 'few/1', data);
    }
    for (const node of nodes) {
      const has = async (): Promise<readonly { readonly data: string }[]> =>
        ((await node.query('/history?channel=few/1')) as { messages: { data: string }[] }).messages;
      await until('the last message', async () => (await has()).at(-1)?.data === '5');
      t.same(
        (await has()).map(({ data }) => data),
        ['4', '5'],
      );
    }
  },

  'subscribers of one node learn who joins and leaves at another': async (
    t,
    { nodes: [a, b], secret },
  ) => {
    const watcher = await subscribed(t, new WebSocketClient(a, ['room/1']));
    const client = await subscribed(
      t,
      new WebSocketClient(b, ['room/1']),
      secret.token({ sub: 'ada' }),
    );
    // Not by the text: the name of a node may have these letters, as hexadecimal digits.
    const events = (): { readonly user?: string }[] =>
      watcher.seen
        .map(({ event, data }) => ({ event, ...(JSON.parse(data) as { user?: string }) }))
        .filter(({ user }) => user === 'ada');
    await until('the join', () => events().length === 1);
    const { members } = await presenceAt(a, 'room/1', 2);
    const [member] = members.find(({ user }) => user === 'ada')?.names ?? [];
    client.close();
    await until('the leave', () => events().length === 2);
    t.match(events(), [
      { event: 'join', user: 'ada', member },
      { event: 'leave', user: 'ada', member },
    ]);
  },

  'a message of a client reaches the clients of another node': async (t, { nodes: [a, b] }) => {
    const writer = await subscribed(t, new WebSocketClient(a, ['write/1']));
    const reader = await subscribed(t, new SseClient(b, ['write/1']));
    await until('the message', () => {
      writer.say({ type: 'publish', channel: 'write/1', data: 'from a client' });
      return reader.data.includes('from a client');
    });
  },
};

const COMMANDS: Readonly<Record<string, Row>> = {
  'a user is disconnected at every node by any of them': async (t, world) => {
    const { nodes, secret } = world;
    const adas = await atEach(t, world, 'users', secret.token({ sub: 'ada' }));
    const bobs = await atEach(t, world, 'users', secret.token({ sub: 'bob' }));
    await command(nodes[2], '/disconnect', { user: 'ada' });
    await until('their ends', () => adas.every(({ isOpen }) => !isOpen));
    t.ok(
      bobs.every(({ isOpen }) => isOpen),
      'others stay',
    );
  },

  'any node closes a connection of another by its name': async (t, world) => {
    const { nodes } = world;
    const clients = await atEach(t, world, 'named');
    const { members } = await presenceAt(nodes[0], 'named', 3);
    for (const [at, member] of members.flatMap(({ names }) => names).entries()) {
      const node = nodes[at % nodes.length] ?? nodes[0];
      await until('the answer that it has ended', async () => {
        const answer = await jsonOf(node.request('/disconnect', { member, reason: 'bye' }));
        return answer['connections'] === 0;
      });
      await until('its end', () => clients.filter(({ isOpen }) => !isOpen).length > at);
      t.equal(clients.filter(({ isOpen }) => !isOpen).length, at + 1, 'no other connection');
    }
    t.same(
      clients.map(({ closeCode }) => closeCode),
      [1008, 1008, 1008],
    );
  },

  'a revocation at one node closes connections of all, and holds there': async (t, world) => {
    const { nodes, secret } = world;
    const first = secret.token({ sub: 'eve', jti: 'first' });
    const second = secret.token({ sub: 'eve', jti: 'second' });
    const firsts = await atEach(t, world, 'revoked', first);
    const seconds = await atEach(t, world, 'revoked', second);
    const status = (node: Program, token: string): Promise<number> =>
      pollStatus(node, token, 'revoked');
    await command(nodes[0], '/revoke', { id: 'first' });
    await until('the ends of one token', () => firsts.every(({ isOpen }) => !isOpen));
    t.ok(
      seconds.every(({ isOpen }) => isOpen),
      'the other token of the user stays',
    );
    for (const node of nodes)
      t.same([await status(node, first), await status(node, second)], [401, 204]);
    await command(nodes[1], '/revoke', { user: 'eve', beforeSeconds: nowS() });
    await until('all ends', () => seconds.every(({ isOpen }) => !isOpen));
    for (const node of nodes) t.equal(await status(node, second), 401);
  },

  'a user is subscribed and unsubscribed at every node by any of them': async (t, world) => {
    const { nodes, secret } = world;
    const clients = await atEach(t, world, 'before', secret.token({ sub: 'dan' }));
    await command(nodes[0], '/subscribe', { user: 'dan', channels: ['added'] });
    await presenceAt(nodes[1], 'added', 3);
    await publishOnce(nodes[1], 'added', 'one');
    await Promise.all(clients.map((client) => client.has(1)));
    await command(nodes[2], '/unsubscribe', { user: 'dan', channels: ['added'] });
    await presenceAt(nodes[0], 'added', 0);
    await publishOnce(nodes[1], 'added', 'two');
    await publishOnce(nodes[1], 'before', 'three');
    await until('the last', () => clients.every(({ data }) => data.at(-1) === 'three'));
    for (const { data } of clients) t.same(data, ['one', 'three']);
  },
};

const ROWS = { ...MESSAGES, ...QUESTIONS, ...COMMANDS, ...MAILBOXES };

for (const kind of ENGINES) {
  const skip = without(kind.program);
  t.test(`every feature in a cluster with ${kind.name}`, { skip }, async (t) => {
    const world = await start(t, kind);
    for (const [name, check] of Object.entries(ROWS)) await t.test(name, (t) => check(t, world));
  });
}
