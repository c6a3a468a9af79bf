// Messages that are lost before a server receives them, and numbers that jump: subscribers of one
// channel, of several and of patterns, over every transport.
import t, { type Test } from 'tap';

import {
  CLIENTS,
  PollClient,
  SseClient,
  StreamClient,
  startComet,
  type Client,
  type World,
} from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { partsOfServer, type ServerParts } from '../support/server-parts.js';

const CHANNELS = [['a'], ['a', 'b'], ['n/*'], ['n/1', 'n/*', 'a']] as const;
const SUBSCRIPTIONS = CLIENTS.length * CHANNELS.flat().length;

type Published = readonly [channel: string, data: string];

function cursorOf(epoch: bigint, number: number): string {
  return `${epoch.toString(16).padStart(16, '0')}.${number}`;
}

/** The messages that a client should have. */
function wantedBy({ channels }: Client, published: readonly Published[]): string[] {
  const isWanted = (channel: string): boolean =>
    channels.includes(channel) || (channel.startsWith('n/') && channels.includes('n/*'));
  return published.filter(([channel]) => isWanted(channel)).map(([, data]) => data);
}

/** A server with subscribers of every transport and kind, whose log is the test. */
class Lossy {
  readonly clients: Client[] = [];
  readonly published: Published[] = [];

  private constructor(
    readonly world: World,
    readonly parts: ServerParts,
  ) {}

  static async start(t: Test, workers = 2): Promise<Lossy> {
    const world = await startComet(t, { workers });
    const lossy = new Lossy(world, partsOfServer());
    for (const Kind of CLIENTS) {
      for (const channels of CHANNELS) {
        const client = new Kind(world, channels);
        // A poll needs a cursor to miss nothing.
        client.cursor = lossy.cursor;
        await client.open();
        t.teardown(() => {
          client.close();
        });
        lossy.clients.push(client);
      }
    }
    await lossy.untilSubscribed();
    return lossy;
  }

  /** The present position. */
  get cursor(): string {
    return cursorOf(this.parts.broker.epoch, this.parts.history.head);
  }

  total(name: string): number {
    const { workers } = this.world.server.stats();
    return workers.reduce((sum, worker) => sum + Number(worker[name as keyof typeof worker]), 0);
  }

  /** Polls too: those that were answered have returned. */
  untilSubscribed(): Promise<unknown> {
    return until('every subscription', () => this.total('subscriptions') === SUBSCRIPTIONS);
  }

  async publish(...channels: readonly string[]): Promise<void> {
    for (const channel of channels) {
      const data = `${channel} ${this.published.length}`;
      await this.world.server.publish(channel, data);
      this.published.push([channel, data]);
    }
  }

  async untilAllHave(): Promise<void> {
    await until('every message', () =>
      this.clients.every((one) => one.data.length >= wantedBy(one, this.published).length),
    );
  }

  /** Checks that every client has every message once, in order. */
  async checkWhole(t: Test): Promise<void> {
    await this.untilAllHave();
    const wrong = this.clients.filter(
      (one) => one.data.join() !== wantedBy(one, this.published).join(),
    );
    t.same(
      wrong.map((one) => [one.constructor.name, one.channels, one.data]),
      [],
      'every client has every message once, in order',
    );
  }

  /** Losses that a client with a cursor hears of when it subscribes to a, and its messages. */
  async resume(Kind: typeof SseClient | typeof StreamClient, cursor: string): Promise<Client> {
    const client = new Kind(this.world, ['a']);
    client.cursor = cursor;
    await client.open();
    client.close();
    return client;
  }
}

void t.test('subscribers receive each message once after numbers that jump', async (t) => {
  const lossy = await Lossy.start(t);
  const { history } = lossy.parts;
  const start = lossy.cursor;
  for (const jump of [2 ** 31 - 1, 2 ** 31, 2 ** 32 + 5, 2 ** 40]) {
    await lossy.publish('busy', 'a', 'n/1');
    // A message of a far number on a channel without subscribers or history.
    history.append(history.head + jump, 0, 'far', Buffer.alloc(0), 0, 0, null);
    // The subscribers of b and of n/2 are idle until the end.
    await lossy.publish('busy', 'n/1');
    await lossy.untilAllHave();
    await lossy.untilSubscribed();
  }
  await lossy.publish('b', 'n/2', 'a');
  await lossy.checkWhole(t);
  t.ok(
    lossy.clients.every(({ lost, notices }) => lost === 0 && notices.length === 0),
    'and hears of no loss',
  );
  const resumed = await lossy.resume(StreamClient, start);
  await resumed.has(5);
  t.equal(resumed.lost, 0);
  t.same(resumed.data, wantedBy(resumed, lossy.published), 'a cursor of before the jumps counts');
});

void t.test('each subscriber hears once of messages that were lost', async (t) => {
  const lossy = await Lossy.start(t);
  const { broker, history } = lossy.parts;
  const isPoll = (client: Client): boolean => client instanceof PollClient;
  const checkTold = async (count: number): Promise<void> => {
    await until('a notice for each', () =>
      lossy.clients.every((one) => (isPoll(one) ? one.lost : one.notices.length) === count),
    );
    const streams = lossy.clients.filter((one) => !isPoll(one));
    t.ok(
      streams.every(({ notices, lost }) => notices[count - 1] === lossy.cursor && lost === 0),
      'with the position behind the loss',
    );
  };

  await lossy.publish('a', 'n/1', 'b');
  await lossy.untilAllHave();
  await lossy.untilSubscribed();
  const before = lossy.cursor;
  broker.lost({ after: history.head, to: history.head + 2 ** 31 });
  await checkTold(1);
  t.equal(lossy.total('lossNoticesTotal'), lossy.clients.length);
  await lossy.untilSubscribed();
  await lossy.publish('a', 'n/2', 'b');
  await lossy.checkWhole(t);
  t.equal(lossy.world.server.stats().messages?.['lostFramesTotal'], 2);

  t.equal((await lossy.resume(SseClient, before)).lost, 1, 'a cursor of before the loss');
  const told = lossy.clients[0]?.notices[0] ?? '';
  t.equal((await lossy.resume(SseClient, told)).lost, 0, 'that of the notice');
  t.equal((await lossy.resume(StreamClient, told)).lost, 0);

  const old = lossy.cursor;
  await lossy.untilSubscribed();
  broker.lost({ after: history.head, to: history.head + 3, epoch: 7n });
  await checkTold(2);
  t.match(lossy.cursor, /^0000000000000007\./, 'the cursors of a new epoch');
  await lossy.untilSubscribed();
  await lossy.publish('a', 'n/1', 'b');
  await lossy.checkWhole(t);
  t.equal((await lossy.resume(SseClient, old)).lost, 1, 'a cursor of the old epoch');
  t.equal((await lossy.resume(SseClient, lossy.cursor)).lost, 0, 'one of the new epoch');
});

void t.test('an epoch that begins without a loss changes cursors, and nothing else', async (t) => {
  const lossy = await Lossy.start(t, 1);
  const { broker, history } = lossy.parts;
  await lossy.publish('a');
  await lossy.untilAllHave();
  await lossy.untilSubscribed();
  const old = lossy.cursor;
  broker.lost({ after: history.head, to: history.head, epoch: 9n });
  const receipt = await lossy.world.server.publish('a', 'later');
  lossy.published.push(['a', 'later']);
  t.match(receipt.cursor, /^0000000000000009\./);
  await lossy.checkWhole(t);
  const { clients } = lossy;
  t.ok(clients.every(({ lost, notices }) => lost === 0 && notices.length === 0));
  t.equal(clients[0]?.cursor, receipt.cursor);
  t.equal((await lossy.resume(StreamClient, old)).lost, 1, 'a cursor of the old epoch');
  t.equal((await lossy.resume(StreamClient, receipt.cursor)).lost, 0);

  const [worker] = lossy.world.server.stats().workers;
  process.kill(worker?.pid ?? 0, 'SIGKILL');
  await until('another worker', () => {
    const [next] = lossy.world.server.stats().workers;
    return next?.state === 'serving' && next.pid !== worker?.pid;
  });
  t.equal((await lossy.resume(StreamClient, receipt.cursor)).lost, 0, 'with a new worker too');
});
