// Random grants against a slow model: no connection receives a message of a channel that its token
// does not grant, on any transport, live or replayed.
import t from 'tap';

import { Secret } from '../support/client-tokens.js';
import { CLIENTS, startComet } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { seededRandom, type Random } from '../support/random.js';

const SEGMENTS = ['a', 'b', 'ab', 'é', 'e\u0301', 'aa'];
const STARRED = [...SEGMENTS, '*', 'a*', '*b', '*a*', '**'];

/** A segment that no grant names, so that only a star matches it. */
const FRESH = '\u{1f511}';

const below = (random: Random, bound: number): number => Math.floor(random() * bound);

function one<Item>(random: Random, items: readonly Item[]): Item {
  return items[below(random, items.length)] as Item;
}

function joined(random: Random, segments: readonly string[], most: number): string {
  return Array.from({ length: 1 + below(random, most) }, () => one(random, segments)).join('/');
}

/** The channels of a grant, as a regular expression; the tree's own code has none. */
function modelOf(grant: string): RegExp {
  const hasRest = grant === '*' || grant.endsWith('/*');
  const own = hasRest ? grant.slice(0, -1) : grant;
  const escaped = own.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*');
  return new RegExp(`^${escaped}${hasRest ? '.*' : ''}$`, 'su');
}

/** Whether one of the grants covers a name, or each name of a prefix. */
function isCovered(grants: readonly string[], name: string): boolean {
  const samples = name.endsWith('/*')
    ? [`${name.slice(0, -1)}${FRESH}`, `${name.slice(0, -1)}${FRESH}/${FRESH}`]
    : [name];
  return grants.map(modelOf).some((model) => samples.every((sample) => model.test(sample)));
}

/** Whether a subscription receives the messages of a channel. */
function receives(subscription: string, channel: string): boolean {
  return subscription.endsWith('/*')
    ? channel.startsWith(subscription.slice(0, -1))
    : channel === subscription;
}

t.test('a client receives the channels of its grants, and nothing else', async (t) => {
  const random = seededRandom(t);
  const secret = new Secret(t);
  const world = await startComet(t, { workers: 2, tokenKey: [secret.option] });
  const channels = [...new Set(Array.from({ length: 40 }, () => joined(random, SEGMENTS, 3)))];
  let allowed = 0;
  let rejected = 0;
  for (let round = 0; round < 40; round++) {
    const Kind = one(random, CLIENTS);
    const wanted = Array.from({ length: 1 + below(random, 2) }, () =>
      below(random, 2) === 0 ? one(random, channels) : `${joined(random, SEGMENTS, 2)}/*`,
    );
    // Some grants follow from a wanted name, else nearly all would be rejected.
    const grants = [
      ...Array.from({ length: 1 + below(random, 3) }, () => joined(random, STARRED, 3)),
      ...wanted
        .filter(() => below(random, 2) === 0)
        .map((name) => (below(random, 2) === 0 ? name : name.replace(/[ab]/u, '*'))),
    ];
    const token = secret.token({ sub: 'ada', grants: { subscribe: grants } });
    const title = `${JSON.stringify(grants)} for ${JSON.stringify(wanted)}`;
    const query = new URLSearchParams(wanted.map((name): [string, string] => ['channel', name]));
    const url = `http://127.0.0.1:${world.port}/poll?${query.toString()}&timeout=0&token=${token}`;
    const response = await fetch(url);
    await response.arrayBuffer();
    const isAllowed = wanted.every((name) => isCovered(grants, name));
    t.equal(response.status !== 403, isAllowed, title);
    if (!isAllowed) {
      rejected++;
      continue;
    }
    allowed++;
    const client = new Kind(world, wanted);
    client.token = token;
    await client.open();
    const expected: string[] = [];
    const publishAll = async (): Promise<void> => {
      for (const channel of channels) {
        await world.server.publish(channel, channel);
        if (wanted.some((name) => receives(name, channel))) expected.push(channel);
      }
    };
    await publishAll();
    // Missed ones come from the history.
    await until('the messages', () => client.seen.length >= expected.length);
    client.close();
    await publishAll();
    await client.open();
    await until('the missed ones', () => client.seen.length >= expected.length);
    client.close();
    t.strictSame(client.data, expected, title);
    t.ok(
      client.data.every((channel) => isCovered(grants, channel)),
      'each is granted',
    );
  }
  t.ok(allowed > 5 && rejected > 5, `${allowed} allowed, ${rejected} rejected`);
});
