// Requests of clients in the manager: members by user, bounded answers, and workers that are slow,
// gone or hostile.
import t from 'tap';

import { NamePattern } from '../../lib/base/name-pattern.js';
import { CLIENT_REQUESTS_MAX, PRESENCE_PAGE_MAX } from '../../lib/base/native-constants.js';
import type { Broker } from '../../lib/broker/broker.js';
import { ClientRequestKind, type Frame, type Frames } from '../../lib/ipc/frames.js';
import { isGranted, randomChannel, randomName } from '../support/access-model.js';
import { port, wants, world, type World } from '../support/fakes/broker.js';
import { seededRandom } from '../support/random.js';

function ask(broker: Broker, slot: number, fields: Partial<Frames['ClientRequest']>): void {
  const usual = { request: 1, kind: ClientRequestKind.presence, channel: 'a', hasSince: 0 };
  const bounds = { epoch: 0n, number: 0n, limit: 1000, bytesMax: 1_000_000 };
  broker.onFrame(slot, { name: 'ClientRequest', fields: { ...usual, ...bounds, ...fields } });
}

interface Response {
  readonly request: number;
  readonly error: string;
  readonly json: Record<string, unknown>;
}

/** Ends loop iterations and pending promises, and returns the frames of a worker. */
async function frames({ turns, ports }: World, slot = 0): Promise<Frame[]> {
  for (let round = 0; round < 5; round++) {
    turns.endAll();
    await new Promise(setImmediate);
  }
  return port(ports, slot).take();
}

function responsesIn(all: readonly Frame[]): Response[] {
  return all.flatMap((frame) => {
    if (frame.name !== 'ClientResponse') return [];
    const { request, error, members } = frame.fields;
    const json = JSON.parse(`{${members.toString()}}`) as Record<string, unknown>;
    return [{ request, error, json }];
  });
}

function queriesIn(all: readonly Frame[]): Frames['Query'][] {
  return all.flatMap((frame) => (frame.name === 'Query' ? [frame.fields] : []));
}

/** A worker's page: for each connection the index of its user, from 1; 0 without one. */
function present(
  broker: Broker,
  { request }: { request: number },
  owners: readonly number[],
  users: readonly string[],
  below = 0,
): void {
  const members = owners.flatMap((owner, at) => [at, 7, owner]);
  const infos = users.map((user) => (user === '' ? '' : `{"id":12345678901234567890}`));
  broker.onFrame(0, { name: 'Present', fields: { request, below, members, users, infos } });
}

t.test(
  'a user with 10,000 connections is one member; long numbers keep their digits',
  async (t) => {
    const one = world(1);
    wants(one.broker, 0, 'a', PRESENCE_PAGE_MAX);
    ask(one.broker, 0, {});
    const [query] = queriesIn(await frames(one));
    present(one.broker, query ?? { request: 0 }, Array<number>(PRESENCE_PAGE_MAX).fill(1), ['ada']);
    const all = await frames(one);
    t.match(responsesIn(all), [
      { error: '', json: { users: 1, subscribers: 10_000, complete: true } },
    ]);
    const [text] = all.flatMap((frame) =>
      frame.name === 'ClientResponse' ? [frame.fields.members.toString()] : [],
    );
    t.match(text, '{"user":"ada","info":{"id":12345678901234567890},"connections":10000}');
  },
);

t.test('1,000 members are an answer of bounded size, which says that it is cut', async (t) => {
  const one = world(1);
  const users = Array.from({ length: 1000 }, (_, at) => `user-${at}`);
  wants(one.broker, 0, 'a', 1000);
  ask(one.broker, 0, { request: 1 });
  ask(one.broker, 0, { request: 2, bytesMax: 4096 });
  ask(one.broker, 0, { request: 3, limit: 10 });
  const queries = queriesIn(await frames(one));
  t.equal(queries.length, 1, 'requests for one channel share one result');
  present(
    one.broker,
    queries[0] ?? { request: 0 },
    users.map((_, at) => at + 1),
    users,
  );
  const [whole, short, few] = responsesIn(await frames(one));
  t.match(whole?.json, { users: 1000, complete: true });
  t.equal((whole?.json['members'] as unknown[]).length, 1000);
  t.match(short?.json, { users: 1000, complete: false });
  t.ok(JSON.stringify(short?.json['members']).length <= 4096);
  t.match(few?.json, { complete: false });
  t.equal((few?.json['members'] as unknown[]).length, 10);
});

t.test('a worker that is gone gets no answer, and neither does its successor', async (t) => {
  const one = world(2);
  wants(one.broker, 1, 'a');
  ask(one.broker, 0, { request: 5 });
  await frames(one);
  one.broker.workerGone(0);
  one.broker.attach(port(one.ports, 0));
  one.broker.workerGone(1);
  t.same(responsesIn(await frames(one)), []);
  t.match(one.broker.counters, { clientRequestsWaiting: 0 });
});

t.test('a worker without room gets an error, and one that asks too much is replaced', async (t) => {
  const one = world(1);
  void one.broker.publish('a', 'x');
  port(one.ports, 0).queuedBytes = 2 * 1024 * 1024;
  ask(one.broker, 0, { kind: ClientRequestKind.history });
  t.match(responsesIn(await frames(one)), [{ error: 'server busy; retry later' }]);
  t.match(one.broker.counters, { clientRequestsTotal: 1, clientRequestsFailedTotal: 1 });
  const replaced: number[] = [];
  one.broker.on('overflow', (slot) => replaced.push(slot));
  for (let at = 0; at < 4 * CLIENT_REQUESTS_MAX; at++) ask(one.broker, 0, { channel: `c${at}` });
  t.same(replaced, []);
  ask(one.broker, 0, {});
  t.same(replaced, [0]);
});

t.test('a page of members that no worker sends ends the worker', async (t) => {
  const one = world(1);
  const replaced: number[] = [];
  one.broker.on('overflow', (slot) => replaced.push(slot));
  wants(one.broker, 0, 'a');
  const asked = one.broker.presence('a');
  const page = { request: 1, below: 0, users: [], infos: [] };
  one.broker.onFrame(0, { name: 'Present', fields: { ...page, members: [1, 2] } });
  one.broker.onFrame(0, { name: 'Present', fields: { ...page, members: [1, 2, 1] } });
  t.same(replaced, [0, 0]);
  const fields = { ...page, members: [1, 2, 1], users: ['ada'], infos: ['{'] };
  one.broker.onFrame(0, { name: 'Present', fields });
  const [member] = (await asked).members;
  t.match(member, { user: 'ada', connections: 1 });
  t.equal(member?.info, undefined, 'an info that is not JSON is left out');
});

t.test('a pattern of channels() means the same as a grant', (t) => {
  const random = seededRandom(t);
  for (let at = 0; at < 3000; at++) {
    const pattern = random() < 0.5 ? randomChannel(random) : randomName(random).replace('a', '*');
    const name = randomName(random);
    const found = new NamePattern(pattern).covers(name);
    if (found !== isGranted([pattern], name)) t.fail(`${pattern} and ${name}: ${found}`);
  }
  t.equal(new NamePattern('*a'.repeat(100)).covers('b'.repeat(200)), false, 'without backtracking');
  t.end();
});
