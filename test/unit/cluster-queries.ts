// Queries and disconnects in a cluster: any node answers for all of them, within bounds, and says when
// a node is missing.
import { setImmediate as turn } from 'node:timers/promises';

import t, { type Test } from 'tap';

import { MegacometError } from '../../lib/base/errors.js';
import { valuesOf } from '../../lib/base/metric.js';
import { BatchWriter, RecordKind } from '../../lib/broker/log-batch.js';
import { jsonBody } from '../../lib/broker/log-json.js';
import { LogQuestions } from '../../lib/broker/log-questions.js';
import type { ChannelInfo, ChannelPage, ChannelQuery } from '../../lib/broker/publishing.js';
import { ClientRequestKind, type Frame, type Frames } from '../../lib/ipc/frames.js';
import { wants } from '../support/fakes/broker.js';
import { framesIn } from '../support/fakes/comet.js';
import { startNode, startNodes, type FakeNode } from '../support/fakes/log-nodes.js';
import { until } from '../support/helpers.js';
import { MemoryLog, MemoryStore } from '../support/memory-log.js';

/** The bound of an answer, and the members of the answer besides its rows. */
const ANSWER_BYTES_MAX = 1024 * 1024 + 1024;

type Nodes = readonly [FakeNode, FakeNode, FakeNode];

/** Two or three nodes; the third is undefined of two. */
async function start(t: Test, count: 2 | 3 = 2): Promise<{ nodes: Nodes; store: MemoryStore }> {
  const { nodes, store } = await startNodes(t, count);
  await until('the nodes to know each other', () =>
    nodes.every(({ broker }) => broker.log?.state.nodes.length === count),
  );
  return { nodes: nodes as unknown as Nodes, store };
}

/** Has the worker of a node answer: it has these users on every channel, one connection each. */
function hasMembers({ broker, port }: FakeNode, users: readonly string[]): Frame[] {
  const orders: Frame[] = [];
  const members = users.flatMap((_user, at) => [at, 7, at + 1]);
  const infos = users.map((user) => (user === '' ? '' : '{"id":12345678901234567890}'));
  const answer = (frame: Frame): void => {
    if (frame.name === 'Query') {
      const { request } = frame.fields;
      const fields = { request, below: 0, members, users: [...users], infos };
      broker.onFrame(0, { name: 'Present', fields });
    }
    if (frame.name !== 'Disconnect') return;
    orders.push(frame);
    const { request, fd } = frame.fields;
    broker.onFrame(0, { name: 'Disconnected', fields: { request, connections: fd === 0 ? 1 : 0 } });
  };
  const send = port.send.bind(port);
  port.send = (bytes): void => {
    send(bytes);
    for (const frame of framesIn(bytes)) setImmediate(() => answer(frame));
  };
  wants(broker, 0, 'room', users.length);
  return orders;
}

t.test('presence has the members of all nodes, by user', async (t) => {
  const { nodes } = await start(t, 3);
  hasMembers(nodes[0], ['ada', 'bob']);
  hasMembers(nodes[1], ['ada', '']);
  for (const { broker } of nodes) {
    const { members, ...rest } = await until('an answer of each node', async () => {
      const presence = await broker.presence('room');
      return presence.isComplete ? presence : undefined;
    });
    t.match(rest, { channel: 'room', subscribers: 4, users: 2 });
    const names = new Map(members.map(({ user, names }) => [user, [...names].sort()]));
    t.same(names.get('ada'), ['a.0-1-0-7', 'b.0-1-0-7']);
    t.same(names.get('bob'), ['a.0-1-1-7']);
    t.same(names.get(''), ['b.0-1-1-7']);
    const cut = await broker.gatherPresence('room', 3);
    t.equal(
      cut.rows.reduce((sum, row) => sum + row.names.length, 0),
      3,
      'the limit is that of the cluster',
    );
    t.match(cut, { subscribers: 4, isComplete: false });
    t.equal(cut.rows.find(({ user }) => user === 'ada')?.info, '{"id":12345678901234567890}');
  }
  t.match(await nodes[0].broker.presence('other'), { subscribers: 0, members: [] });
  await t.rejects(nodes[0].broker.presence('a\n'), { code: 'ERR_CHANNEL' });
});

t.test('any node disconnects a member by its name', async (t) => {
  const { nodes, store } = await start(t);
  const [a, b] = nodes;
  const orders = hasMembers(b, ['ada', 'bob']);
  const joined: string[] = [];
  b.broker.on('subscribe', ({ member }) => joined.push(member));
  b.broker.setPresenceEvents(true);
  const event = { channel: 'room', fd: 0, generation: 7, user: 'ada', info: '', present: 1 };
  b.broker.onFrame(0, { name: 'Presence', fields: event });
  t.same(joined, ['b.0-1-0-7'], 'events have the name of presence');
  t.equal(await a.broker.disconnect({ member: 'b.0-1-0-7' }, 'bye'), 1);
  t.match(orders, [{ fields: { fd: 0, generation: 7, reason: 'bye' } }]);
  t.equal(await b.broker.disconnect({ member: 'b.0-1-0-7' }), 1, 'the node itself');
  t.equal(await a.broker.disconnect({ member: 'b.0-1-1-7' }), 0, 'a connection that has ended');
  const entries = store.entries.length;
  for (const member of ['0-1-0-7', 'c.0-1-0-7', '.0-1-0-7', 'b', '']) {
    t.equal(await a.broker.disconnect({ member }), 0, `"${member}"`);
  }
  t.ok(store.entries.length - entries <= 2, 'no node is asked about them');
});

/** All pages, each from another node, and all of their channels. A node that is slow is asked again. */
async function listed(
  nodes: readonly FakeNode[],
  query: ChannelQuery = {},
): Promise<{ readonly pages: number; readonly channels: readonly ChannelInfo[] }> {
  const channels: ChannelInfo[] = [];
  let pages = 0;
  for (let from: number | null = 0; from !== null; pages++) {
    const broker = nodes[pages % nodes.length]?.broker;
    const at = { ...query, from };
    const page: ChannelPage = await until(`page ${pages}`, async () => {
      const answer = await broker?.channels(at);
      return answer?.isComplete === true ? answer : undefined;
    });
    channels.push(...page.channels);
    from = page.next;
  }
  channels.sort((one, other) => (one.channel < other.channel ? -1 : 1));
  return { pages, channels };
}

t.test('channels lists each channel of the cluster once, with all its subscribers', async (t) => {
  const { nodes } = await start(t, 3);
  const [a, b, c] = nodes;
  for (const [at, { broker }] of nodes.entries()) wants(broker, 0, 'all', at + 1);
  wants(a.broker, 0, 'a', 1);
  wants(b.broker, 0, 'b', 2);
  wants(c.broker, 0, 'c', 3);
  wants(b.broker, 0, 'b/*', 4);
  wants(c.broker, 0, 'b/*', 5);
  for (const channel of ['all', 'c', 'old']) await a.broker.publish(channel, 'x');
  const expected = [
    { channel: 'a', subscribers: 1, messages: 0 },
    { channel: 'all', subscribers: 6, messages: 1 },
    { channel: 'b', subscribers: 2, messages: 0 },
    { channel: 'b/*', subscribers: 9, messages: 0 },
    { channel: 'c', subscribers: 3, messages: 1 },
    { channel: 'old', subscribers: 0, messages: 1 },
  ];
  const all = await listed(nodes);
  t.match(all.channels, expected);
  t.equal(all.channels.length, expected.length);
  const small = await listed(nodes, { limit: 1 });
  t.match(small.channels, expected, 'on small pages, which different nodes answer');
  t.ok(small.channels.length === expected.length && small.pages > 5);
  const { channels } = await listed([b], { prefix: 'b' });
  t.same(
    channels.map(({ channel }) => channel),
    ['b', 'b/*'],
  );
  const far = Number.MAX_SAFE_INTEGER;
  t.match(await a.broker.channels({ from: far }), { channels: [], next: null });
});

t.test('an answer about channels has at most 1 MiB, and a further page has the rest', async (t) => {
  const { nodes, store } = await start(t);
  const names = Array.from({ length: 5500 }, (_, at) => `${at}/`.padEnd(200, 'x'));
  for (const name of names) wants(nodes[1].broker, 0, name);
  const { channels, pages } = await listed(nodes, { limit: 100_000 });
  t.equal(channels.length, names.length);
  t.equal(new Set(channels.map(({ channel }) => channel)).size, names.length);
  t.ok(pages >= 3, `${pages} pages`);
  const longest = Math.max(...store.entries.map(({ batch }) => batch.length));
  t.ok(longest <= ANSWER_BYTES_MAX, `${longest} bytes`);
});

t.test('an answer about presence has at most 1 MiB, and is not complete beyond it', async (t) => {
  const { nodes, store } = await start(t);
  const users = Array.from({ length: 5500 }, (_, at) => `${at}-`.padEnd(200, 'u'));
  hasMembers(nodes[1], users);
  const { members, isComplete, subscribers } = await until('the answer', async () => {
    const presence = await nodes[0].broker.presence('room');
    return presence.subscribers > 0 ? presence : undefined;
  });
  t.equal(isComplete, false);
  t.equal(subscribers, users.length);
  t.ok(members.length > 3000 && members.length < users.length, `${members.length} members`);
  const longest = Math.max(...store.entries.map(({ batch }) => batch.length));
  t.ok(longest <= ANSWER_BYTES_MAX, `${longest} bytes`);
});

t.test('a publish counts the subscribers of the cluster on request', async (t) => {
  const { nodes } = await start(t);
  const [a, b] = nodes;
  wants(a.broker, 0, 'n/1', 3);
  wants(b.broker, 0, 'n/1', 2);
  wants(b.broker, 0, 'n/*', 4);
  const counted = await until('both nodes to answer in time', async () => {
    const receipt = await a.broker.publish('n/1', 'x', { count: 'cluster' });
    return receipt.nodes === 2 ? receipt : undefined;
  });
  t.equal(counted.delivered, 9);
  const own = await a.broker.publish('n/1', 'x', { idempotencyKey: 'k' });
  t.equal(own.delivered, 3, 'without it those of the node');
  t.equal(own.nodes, undefined);
  const again = { idempotencyKey: 'k', count: 'cluster' } as const;
  t.same(await a.broker.publish('n/1', 'x', again), { ...own, duplicate: true });
  await t.rejects(a.broker.publish('n/1', 'x', { count: 'all' as never }), {
    code: 'ERR_MESSAGE',
    message: 'count: "all" is not "cluster"',
  });
  await t.rejects(a.broker.broadcast(['n/1'], 'x', { count: 'cluster' }), { code: 'ERR_MESSAGE' });
  const alone = await startNode(t, new MemoryStore(), 'alone', { isShared: false });
  wants(alone.broker, 0, 'n/1', 3);
  const single = await alone.broker.publish('n/1', 'x', { count: 'cluster' });
  t.match(single, { delivered: 3, nodes: 1 });
});

t.test('a count above the rate of questions is that of the node, without an error', async (t) => {
  const { nodes } = await start(t);
  const { broker } = nodes[0];
  const receipts = await Promise.all(
    Array.from({ length: 400 }, () => broker.publish('a', 'x', { count: 'cluster' })),
  );
  t.equal(new Set(receipts.map(({ cursor }) => cursor)).size, 400, 'all are published');
  const rejected = broker.log?.clusterCounters?.clusterQuestionsRejectedTotal ?? 0;
  t.ok(rejected > 0 && rejected < 400, `${rejected} were not counted`);
  t.ok(receipts.filter(({ nodes }) => nodes === 1).length >= rejected);
});

t.test('a disconnect counts the subscribers of a channel on all nodes', async (t) => {
  const { nodes } = await start(t);
  const [a, b] = nodes;
  wants(a.broker, 0, 'room', 3);
  wants(b.broker, 0, 'room', 4);
  wants(b.broker, 0, 'n/*', 5);
  await until('both nodes to answer in time', async () => {
    const counts = [
      await a.broker.disconnect({ channel: 'room' }),
      await a.broker.disconnect({ channel: 'n/*' }),
    ];
    return counts.join() === '7,5';
  });
  for (let count = 0; count < 200; count++) void a.broker.presence('room').catch(() => undefined);
  t.equal(await a.broker.disconnect({ channel: 'room' }), 3, 'without questions those of the node');
  t.equal(await a.broker.disconnect({ user: 'ada' }).catch(() => -1), -1, 'users are not counted');
});

t.test('a question does not wait for silent nodes, and says which did not answer', async (t) => {
  const nodes = { names: ['a', 'b', 'c'], silent: new Set(['b', 'c']) };
  const questions = new LogQuestions(() => 0);
  const ask = (options = {}): ReturnType<LogQuestions['open']> => questions.open(nodes, options);
  const all = ask();
  questions.onAnswer(all.id, 'c', { text: 'late, but in time' });
  questions.onAnswer(all.id, 'a', {});
  t.match(await all.answers, { isComplete: false, answers: [{ node: 'c' }, { node: 'a' }] });
  t.same([...(await all.answers).silent], ['b']);
  const onlyB = { only: nodes.names[1] ?? '' };
  const one = ask(onlyB);
  questions.written(one.id);
  t.match(await one.answers, { isComplete: false, answers: [] });
  const answered = ask(onlyB);
  questions.onAnswer(answered.id, 'b', {});
  questions.written(answered.id);
  t.match(await answered.answers, { isComplete: true, answers: [{ node: 'b' }] });
  t.match(valuesOf(LogQuestions.METRICS, questions), { clusterQuestionsIncompleteTotal: 2 });
});

t.test('a node that died is not waited for, and the answers say so', async (t) => {
  const { nodes, store } = await start(t);
  const [a, b] = nodes;
  hasMembers(a, ['ada']);
  await b.broker.close();
  // The next tick of the other node is four seconds later.
  store.now = (): number => Date.now() + 4000;
  const message =
    'disconnect: the node "b" has written no tick for 3 s; if it died, the connection ended with it, ' +
    'and 10 s after its last tick the node counts as gone';
  await until('the node to be silent', async () => {
    const error: unknown = await a.broker
      .disconnect({ member: 'b.0-1-0-7' })
      .catch((e: unknown) => e);
    return (
      error instanceof MegacometError && error.code === 'ERR_BUSY' && error.message === message
    );
  });
  const members = { subscribers: 1, members: [{ user: 'ada' }], isComplete: false };
  t.match(await a.broker.presence('room'), members);
  t.match(await a.broker.channels(), { channels: [{ channel: 'room' }], isComplete: false });
  store.now = (): number => Date.now() + 14_000;
  await until('the node to be gone', () => a.broker.log?.state.nodes.length === 1);
  t.match(await a.broker.presence('room'), { ...members, isComplete: true });
  t.equal(await a.broker.disconnect({ member: 'b.0-1-0-7' }), 0);
});

t.test('clients have half of the questions of a second', (t) => {
  const questions = new LogQuestions(() => 0);
  const ask = (isForClient: boolean): void => {
    questions.drop(questions.open({ names: ['a'], silent: new Set() }, { isForClient }).id);
  };
  for (let count = 0; count < 50; count++) ask(true);
  t.throws(
    () => {
      ask(true);
    },
    { code: 'ERR_BUSY' },
  );
  for (let count = 0; count < 50; count++) ask(false);
  t.throws(
    () => {
      ask(false);
    },
    { code: 'ERR_BUSY' },
  );
  t.end();
});

t.test('the presence request of a client has the members of all nodes', async (t) => {
  const { nodes } = await start(t);
  const [a, b] = nodes;
  hasMembers(a, ['ada']);
  hasMembers(b, ['ada', 'bob']);
  const fields: Frames['ClientRequest'] = {
    ...{ request: 5, kind: ClientRequestKind.presence, channel: 'room', hasSince: 0 },
    ...{ epoch: 0n, number: 0n, limit: 100, bytesMax: 10_000 },
  };
  a.broker.onFrame(0, { name: 'ClientRequest', fields });
  const response = await until('the response', () =>
    a.port.take().find(({ name }) => name === 'ClientResponse'),
  );
  const { members, error } = response.fields as Frames['ClientResponse'];
  t.equal(error, '');
  t.match(JSON.parse(`{${members.toString()}}`), {
    ...{ subscribers: 3, users: 2, complete: true },
    members: [{ connections: 2 }, { connections: 1 }],
  });
});

t.test('a node that does not answer is missed, and each answer says so', async (t) => {
  const store = new MemoryStore();
  const log = new MemoryLog(store);
  const a = await startNode(t, store, 'a');
  const b = await startNode(t, store, 'b', { log });
  hasMembers(a, ['ada']);
  hasMembers(b, ['bob']);
  await until('both nodes', () => a.broker.log?.state.nodes.length === 2);
  // Node b writes ticks, and reads nothing.
  log.deliver = (): void => undefined;
  const [presence, page, receipt] = await Promise.all([
    a.broker.presence('room'),
    a.broker.channels(),
    a.broker.publish('room', 'x', { count: 'cluster' }),
    t.rejects(a.broker.disconnect({ member: 'b.0-1-0-7' }), {
      code: 'ERR_BUSY',
      message: 'disconnect: the node "b" does not answer; retry later',
    }),
  ]);
  t.match(presence, { subscribers: 1, members: [{ user: 'ada' }], isComplete: false });
  t.match(page, { channels: [{ channel: 'room', subscribers: 1 }], isComplete: false });
  t.match(receipt, { delivered: 1, nodes: 1 });
  t.equal(a.broker.log?.clusterCounters?.clusterQuestionsIncompleteTotal, 4);
  store.interrupt();
  await t.rejects(a.broker.presence('room'), { code: 'ERR_LOG' });
  await t.rejects(a.broker.channels(), { code: 'ERR_LOG' });
});

/** The entry of a question, as another node writes it. */
function askAs(store: MemoryStore, question: object, ageMs = 0): void {
  const writer = new BatchWriter();
  const { bytesMax, write } = jsonBody({ id: 1, ...question });
  writer.add(RecordKind.question, bytesMax, write);
  const seq = store.head + 1;
  const id = { node: 'newer', count: seq };
  store.entries.push({ seq, atMs: Date.now() - ageMs, id, batch: writer.take() });
  for (const log of store.logs) log.deliver();
}

/** Answers that the entries after one have. */
async function answersAfter(store: MemoryStore, ask: () => void): Promise<number> {
  const from = store.entries.length;
  ask();
  for (let turns = 0; turns < 10; turns++) await turn();
  const texts = store.entries.slice(from).map(({ batch }) => batch.toString('latin1'));
  return texts.filter((text) => text.includes('"asker":"newer"')).length;
}

t.test('a question that is unknown or odd has an answer, and an old one has none', async (t) => {
  const { nodes, store } = await start(t);
  const odd = [
    { ask: 'weather' },
    {},
    { ask: 'presence', channel: 5, limit: 'x' },
    { ask: 'presence', channel: '\n' },
    { ask: 'names', from: 'x', limit: [], prefix: {}, pattern: 7 },
    { ask: 'counts', channels: 'a' },
    { ask: 'counts', channels: [{}] },
    { ask: 'recipients' },
    { ask: 'disconnect' },
  ];
  for (const question of odd) {
    const count = await answersAfter(store, () => {
      askAs(store, question);
    });
    t.equal(count, 2, JSON.stringify(question));
  }
  const others = await answersAfter(store, () => {
    askAs(store, { ask: 'recipients', to: 'c', channel: 'a' });
  });
  t.equal(others, 0, 'a question to another node');
  const old = await answersAfter(store, () => {
    askAs(store, { ask: 'recipients', channel: 'a' }, 60_000);
  });
  t.equal(old, 0, 'a question of a minute ago');
  await nodes[0].broker.publish('a', 'x');
  t.equal(nodes[1].broker.history('a').messages.length, 1);
});
