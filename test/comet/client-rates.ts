// WebSocket clients that publish without pause: each has a rate, and all of them together have one.
import t, { type Test } from 'tap';
import WebSocket from 'ws';

import { StreamClient, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

interface Answer {
  readonly type: string;
  readonly error?: string;
  readonly channel?: string;
  readonly id?: string;
}

interface Publisher {
  readonly answers: Answer[];
  publish(id: string): void;
}

async function publisher(test: Test, { port }: World): Promise<Publisher> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  test.teardown(() => {
    socket.terminate();
  });
  const answers: Answer[] = [];
  socket.on('message', (data: Buffer) => answers.push(JSON.parse(data.toString()) as Answer));
  await new Promise((resolve) => socket.once('open', resolve));
  return {
    answers,
    publish: (id) => {
      socket.send(JSON.stringify({ type: 'publish', channel: 'a', data: 'x', id }));
    },
  };
}

t.test(
  'a client that publishes too fast receives an error, and others are not affected',
  async (t) => {
    const world = await startComet(t, { clientPublish: true, clientPublishRate: 20, workers: 1 });
    const subscriber = new StreamClient(world, ['a']);
    await subscriber.open();
    const [fast, other] = [await publisher(t, world), await publisher(t, world)];
    for (let count = 0; count < 2000; count++) fast.publish(`m${count}`);
    const limited = (): number =>
      Number(world.server.stats().totals['clientPublishesLimitedTotal']);
    const published = (): number =>
      Number(world.server.stats().messages?.clientMessagesPublishedTotal);
    await until('all messages', () => limited() + published() === 2000);
    t.ok(published() >= 20 && published() < 500, `${published()} were published`);
    await until('all answers', () => fast.answers.length === 2000);
    const errors = fast.answers.filter(({ type }) => type === 'error');
    t.equal(errors.length, limited(), 'the others are acknowledged');
    t.equal(world.server.stats().totals['allClientsPublishesLimitedTotal'], 0);
    const last = errors.at(-1);
    t.equal(last?.type, 'error');
    t.equal(last?.error, 'too many messages: at most 20 a second are allowed; retry later');
    t.equal(last?.channel, 'a');
    t.match(last?.id, /^m\d+$/, 'the error names the message');
    other.publish('mine');
    await until('the other message', () => subscriber.seen.length === published());
    await until('its acknowledgement', () => other.answers.length === 1);
    t.match(other.answers, [{ type: 'published', id: 'mine', channel: 'a' }]);
    subscriber.close();
  },
);

t.test('all clients together have a rate, which the workers share', async (t) => {
  const options = { clientPublish: true, clientPublishRate: 0, allClientsPublishRate: 100 };
  const world = await startComet(t, { ...options, workers: 1 });
  const publishers = [await publisher(t, world), await publisher(t, world)];
  for (let count = 0; count < 500; count++) for (const one of publishers) one.publish(`${count}`);
  const answers = (): Answer[] => publishers.flatMap((one) => one.answers);
  await until('all answers', () => answers().length === 1000);
  const errors = answers().filter(({ type }) => type === 'error');
  t.same(new Set(errors.map(({ error }) => error)), new Set(['server busy; retry later']));
  const { totals } = world.server.stats();
  t.equal(totals['allClientsPublishesLimitedTotal'], errors.length, 'counted by its cause');
  t.equal(totals['clientPublishesLimitedTotal'], 0);
  const published = Number(world.server.stats().messages?.clientMessagesPublishedTotal);
  t.equal(published, 1000 - errors.length, 'the others are acknowledged');
  t.ok(published > 0 && published < 500, `${published} were published`);
});

t.test('without rates nothing is limited', async (t) => {
  const options = { clientPublish: true, clientPublishRate: 0, allClientsPublishRate: 0 };
  const world = await startComet(t, { ...options, workers: 1 });
  const one = await publisher(t, world);
  for (let count = 0; count < 3000; count++) one.publish(`${count}`);
  await until(
    'all messages',
    () => world.server.stats().messages?.clientMessagesPublishedTotal === 3000,
  );
  await until('all answers', () => one.answers.length === 3000);
  t.same(new Set(one.answers.map(({ type }) => type)), new Set(['published']));
});
