// Messages under chaos: random workers are killed while 200 subscribers on all transports reconnect
// with their cursors. No subscriber may receive a message twice, out of order or from another
// channel, and none may miss a message without a gap notice.
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import { until } from '../support/helpers.js';
import { CLIENTS, startComet, type Client, type World } from '../support/comet-world.js';
import { seededRandom, type Random } from '../support/random.js';

const SECONDS = Number(process.env['CHAOS_SECONDS'] ?? 15);
const SUBSCRIBERS = 200;
const CHANNELS = 20;
const RATE = 500;
const TICK_MS = 20;

t.setTimeout((SECONDS + 90) * 1000);

interface Sent {
  readonly channel: string;
  readonly number: number;
}

/** The message number of a cursor: the digits after the dot. */
const numberOf = (cursor: string): number => Number(cursor.split('.')[1]);

/** Reconnects a client with its cursor until `isOver` returns true. */
async function keepOpen(client: Client, random: Random, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    if (!client.isOpen) {
      client.close();
      await client.open().catch(() => undefined);
    }
    await sleep(50 + random() * 100);
  }
}

/** Publishes at a fixed rate and kills a worker every second or two. */
async function publishAndKill(
  world: World,
  random: Random,
): Promise<{ sent: Sent[]; kills: number }> {
  const sent: Sent[] = [];
  let kills = 0;
  const endsAtMs = performance.now() + SECONDS * 1000;
  let killAtMs = performance.now() + 1000;
  while (performance.now() < endsAtMs) {
    for (let count = 0; count < (RATE * TICK_MS) / 1000; count++) {
      const channel = `chaos/${Math.floor(random() * CHANNELS)}`;
      const { cursor } = await world.server.publish(channel, `${channel} ${sent.length}`);
      sent.push({ channel, number: numberOf(cursor) });
    }
    if (performance.now() > killAtMs) {
      const { workers } = world.server.stats();
      const victim = workers[Math.floor(random() * workers.length)];
      if (victim?.pid && victim.state === 'serving') {
        process.kill(victim.pid, 'SIGKILL');
        kills++;
      }
      killAtMs = performance.now() + 1000 + random() * 1000;
    }
    await sleep(TICK_MS);
  }
  return { sent, kills };
}

/** Compares the messages of each subscriber with those sent; returns how many subscribers differ. */
function countWrong(
  t: Test,
  clients: readonly Client[],
  begun: readonly number[],
  sent: readonly Sent[],
): number {
  let wrong = 0;
  clients.forEach((client, index) => {
    const wanted = sent
      .filter(
        ({ channel, number }) => client.channels.includes(channel) && number > (begun[index] ?? 0),
      )
      .map(({ number }) => number);
    const got = client.seen.map(({ cursor }) => numberOf(cursor));
    // The data of each message names its channel.
    const isMine = client.seen.every(({ data }) =>
      client.channels.includes(data.split(' ')[0] ?? ''),
    );
    if (isMine && client.lost === 0 && got.join() === wanted.join()) return;
    if (++wrong > 5) return;
    const missing = wanted.filter((number) => !got.includes(number));
    const extra = got.filter(
      (number, at) => got.indexOf(number) !== at || !wanted.includes(number),
    );
    t.comment(
      `${client.constructor.name} ${index}: ${got.length} of ${wanted.length}, lost ${client.lost}, ` +
        `missing ${missing.slice(0, 5).join()}, extra ${extra.slice(0, 5).join()}`,
    );
  });
  return wrong;
}

t.test('no message is lost without notice, repeated, reordered or misdirected', async (t) => {
  const random = seededRandom(t);
  const world = await startComet(t, {
    workers: 4,
    historyCount: 10_000,
    historyAge: 600,
    pollTimeout: 5,
  });
  const clients: Client[] = [];
  for (let index = 0; index < SUBSCRIBERS; index++) {
    const Kind = CLIENTS[index % CLIENTS.length] ?? CLIENTS[0];
    const first = index % CHANNELS;
    const channels = index % 3 === 0 ? [first, (first + 7) % CHANNELS] : [first];
    clients.push(
      new Kind(
        world,
        channels.map((channel) => `chaos/${channel}`),
      ),
    );
  }
  await Promise.all(clients.map((client) => client.open()));
  const begun = clients.map((client) => numberOf(client.cursor));

  let isOver = false;
  const keeping = clients.map((client) => keepOpen(client, random, () => isOver));
  const { sent, kills } = await publishAndKill(world, random);
  t.ok(kills > 2, `${kills} workers were killed, ${sent.length} messages sent`);

  // All clients reconnect and receive the remaining messages.
  const last = new Map(sent.map(({ channel, number }) => [channel, number]));
  const isDone = (client: Client): boolean =>
    client.channels.every((channel) => {
      const number = last.get(channel);
      return number === undefined || client.seen.some((seen) => numberOf(seen.cursor) === number);
    });
  await until('every client to have the last message', () => clients.every(isDone));
  isOver = true;
  await Promise.all(keeping);

  const wrong = countWrong(t, clients, begun, sent);
  t.equal(wrong, 0, 'every subscriber received exactly the messages of its channels, in order');
  for (const client of clients) client.close();
});
