// Orders about a user while its client replays: the client has every message once, and in order.
import t, { type Test } from 'tap';

import { Secret } from '../support/client-tokens.js';
import { startComet, WebSocketClient, type World } from '../support/comet-world.js';
import { parseCursor } from '../support/cursor.js';
import { until } from '../support/helpers.js';

/** Several pages of a replay. */
const MISSED = 400;
/** Replays until an order comes during one of them. */
const ROUNDS = 20;
const PADDING = '-'.repeat(4000);

interface Note {
  readonly type: string;
  readonly channels?: readonly string[];
  readonly channel?: string;
  readonly data?: string;
  readonly cursor?: string;
}

/** A client that keeps all that it receives, in order. */
class Recorder extends WebSocketClient {
  readonly notes: Note[] = [];

  override open(): Promise<void> {
    const opened = super.open();
    this.socket?.on('message', (data: Buffer) => {
      this.notes.push(JSON.parse(data.toString()) as Note);
    });
    return opened;
  }

  messagesOf(channel: string): string[] {
    const own = this.notes.filter((note) => note.type === 'message' && note.channel === channel);
    return own.map(({ data = '' }) => data.replace(PADDING, ''));
  }

  #about(type: string, channel: string): Note | undefined {
    return this.notes.find((note) => note.type === type && note.channels?.includes(channel));
  }

  heard(type: string, channel: string): boolean {
    return this.#about(type, channel) !== undefined;
  }

  cursorOf(type: string, channel: string): string {
    return this.#about(type, channel)?.cursor ?? '';
  }
}

const placeOf = (cursor: string): bigint => parseCursor(cursor)?.number ?? 0n;

class ReplayWorld {
  /** The numbers of the published messages in the server's sequence. */
  readonly #published = new Map<string, bigint[]>();

  private constructor(
    readonly world: World,
    readonly test: Test,
    readonly token: string,
    readonly since: string,
  ) {}

  static async start(test: Test, workers: number): Promise<ReplayWorld> {
    const secret = new Secret(test);
    const options = { tokenKey: [secret.option], historyCount: 10_000 };
    const world = await startComet(test, { workers, ...options });
    const token = secret.token({ sub: 'ada', grants: { subscribe: ['a', 'b'] } });
    const { cursor } = await world.server.publish('start', 'x');
    const made = new ReplayWorld(world, test, token, cursor);
    for (let at = 0; at < MISSED; at++) await made.publish('a', PADDING);
    return made;
  }

  /** The number of messages of a channel. */
  count(channel: string): number {
    return this.#published.get(channel)?.length ?? 0;
  }

  /** Publishes the next number. */
  async publish(channel: string, padding = ''): Promise<void> {
    const data = `${this.count(channel)}${padding}`;
    const { cursor } = await this.world.server.publish(channel, data);
    const known = this.#published.get(channel) ?? [];
    this.#published.set(channel, [...known, placeOf(cursor)]);
  }

  async publishBoth(): Promise<void> {
    await this.publish('a');
    await this.publish('b');
  }

  /** The index of the first message of a channel after a cursor. */
  firstAfter(channel: string, cursor: string): number {
    const published = this.#published.get(channel) ?? [];
    return published.filter((place) => place <= placeOf(cursor)).length;
  }

  /** The numbers of a channel from one on. */
  numbers(channel: string, from = 0): string[] {
    const length = this.count(channel) - from;
    return Array.from({ length }, (_, at) => String(from + at));
  }

  /** A client of ada that has begun to replay channel a. */
  async replaying(): Promise<Recorder> {
    const client = new Recorder(this.world, ['a']);
    client.token = this.token;
    client.cursor = this.since;
    this.test.teardown(() => {
      client.close();
    });
    client.open().catch(() => undefined);
    while (client.notes.length === 0) await new Promise((resolve) => setImmediate(resolve));
    return client;
  }
}

/** Whether the client has begun, and has not all messages of a yet. */
const isDuring = (client: Recorder, world: ReplayWorld): boolean =>
  client.messagesOf('a').length < world.count('a');

for (const workers of [1, 2]) {
  t.test(`a user is subscribed during a replay, ${workers} workers`, async (t) => {
    const all = await ReplayWorld.start(t, workers);
    let wasDuring = false;
    for (let round = 0; round < ROUNDS && !wasDuring; round++) {
      const client = await all.replaying();
      wasDuring = isDuring(client, all);
      // The channel that it replays, and a new one.
      await all.world.server.subscribe('ada', ['a', 'b']);
      await until('the answer', async () => {
        await all.publishBoth();
        return client.heard('subscribed', 'b');
      });
      const sure = all.count('b');
      for (let at = 0; at < 20; at++) await all.publishBoth();
      await until('the end', () => client.messagesOf('b').at(-1) === all.numbers('b').at(-1));
      t.same(client.messagesOf('a'), all.numbers('a'), 'each message once, in order');
      const first = all.firstAfter('b', client.cursorOf('subscribed', 'b'));
      t.ok(first <= sure);
      t.same(client.messagesOf('b'), all.numbers('b', first), 'all after the cursor of the answer');
      t.equal(client.lost, 0);
      client.close();
    }
    t.ok(wasDuring, 'an order came during a replay');
  });

  t.test(`a user is unsubscribed during a replay, ${workers} workers`, async (t) => {
    const all = await ReplayWorld.start(t, workers);
    let wasDuring = false;
    for (let round = 0; round < ROUNDS && !wasDuring; round++) {
      const client = await all.replaying();
      wasDuring = isDuring(client, all);
      await all.world.server.subscribe('ada', ['b']);
      await all.world.server.unsubscribe('ada', ['a']);
      await until('the answer', () => client.heard('unsubscribed', 'a'));
      const seen = client.messagesOf('a');
      const before = all.count('b');
      t.same(seen, all.numbers('a').slice(0, seen.length), 'the first ones, in order');
      await all.publish('a');
      await all.publish('b');
      await until('the message of b', () => client.messagesOf('b').length === 1);
      t.same(client.messagesOf('b'), all.numbers('b', before));
      t.same(client.messagesOf('a'), seen, 'nothing after the answer');
      client.close();
    }
    t.ok(wasDuring, 'an order came during a replay');
  });
}
