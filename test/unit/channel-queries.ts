// Queries about channels without a broker: presence, history and the list.
import t from 'tap';

import { NameHasher } from '../../lib/collections/name-hash.js';
import { ChannelQueries } from '../../lib/broker/channel-queries.js';
import { Interest } from '../../lib/broker/interest.js';
import { History } from '../../lib/broker/history.js';
import { LoopIteration } from '../../lib/broker/loop-iteration.js';
import type { GatheredPresence, Presence } from '../../lib/broker/presence.js';

const EPOCH = 0xabcn;

interface Query {
  readonly channel: string;
  readonly slots: readonly number[];
  readonly subscribers: number;
  readonly limit: number | undefined;
}

function world(): {
  queries: ChannelQueries;
  interest: Interest;
  iteration: LoopIteration;
  asked: Query[];
} {
  const hasher = new NameHasher();
  const interest = new Interest({ slots: 3, hasher });
  const engine = new History({ epoch: EPOCH, now: () => 0, hasher, bytesMax: 1_000_000 });
  const iteration = new LoopIteration({
    now: () => 0,
    schedule: () => undefined,
    onEnd: () => undefined,
  });
  const asked: Query[] = [];
  const presence = {
    checkIsOnFor: () => undefined,
    query: (
      channel: string,
      slots: readonly number[],
      subscribers: () => number,
      limit?: number,
    ): Promise<GatheredPresence> => {
      asked.push({ channel, slots: [...slots], subscribers: subscribers(), limit });
      return Promise.resolve({ channel, subscribers: 2, users: 0, rows: [], isComplete: true });
    },
  } as unknown as Presence;
  const queries = new ChannelQueries({ engine, interest, presence, iteration });
  return { queries, interest, iteration, asked };
}

t.test('presence asks the workers that have subscribers of the channel', async (t) => {
  const { queries, interest, asked } = world();
  interest.set(1, 'a', 2, true);
  t.match(await queries.gatherPresence('a', 5), { subscribers: 2, rows: [], isComplete: true });
  t.strictSame(asked, [{ channel: 'a', slots: [1], subscribers: 2, limit: 5 }]);
});

t.test('a name that is not a channel or pattern is an error, and nothing is asked', async (t) => {
  const { queries, asked } = world();
  for (const channel of ['', 'a\n', 'a/*/b']) {
    await t.rejects(queries.gatherPresence(channel), { code: 'ERR_CHANNEL' });
    t.throws(() => queries.history(channel), { code: 'ERR_CHANNEL' });
  }
  t.throws(() => queries.history('a', { since: 'x' }), {
    code: 'ERR_OPTION_INVALID',
    message: 'history: since: "x" is not a cursor',
  });
  t.strictSame(asked, []);
});

t.test('the history and the list of a server without messages are empty', (t) => {
  const { queries, interest } = world();
  t.match(queries.history('a/*'), { messages: [] });
  interest.set(0, 'b', 1, true);
  t.match(queries.channels(), { channels: [{ channel: 'b', subscribers: 1, messages: 0 }] });
  t.end();
});

t.test('after close() presence and history are errors', async (t) => {
  const { queries, iteration } = world();
  iteration.close();
  await t.rejects(queries.gatherPresence('a'), { code: 'ERR_NOT_RUNNING' });
  t.throws(() => queries.history('a'), { code: 'ERR_NOT_RUNNING' });
});
