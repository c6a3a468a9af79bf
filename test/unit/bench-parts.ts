// Parts of the load generator without a process: buckets of latencies, source addresses, and the
// order and rate of messages.
import t from 'tap';

import { pace, Rota } from '../../bench/pace.js';
import { bucketUpToUs, toLatency } from '../../lib/bench/histograms.js';
import { loopbackSource } from '../../lib/bench/ports.js';

/** The bucket index that native/base/histogram.h chooses. */
function bucketOf(us: number): number {
  if (us < 16) return us;
  const octave = Math.floor(Math.log2(us)) - 4;
  return 16 * (octave + 1) + (Math.floor(us / 2 ** octave) - 16);
}

t.test('every latency lies in its bucket, which is at most 6 % wide', (t) => {
  const wrong: number[] = [];
  for (let us = 0; us < 2 ** 31; us = Math.ceil(us * 1.01) + 1) {
    const upTo = bucketUpToUs(bucketOf(us));
    const isRight = us <= upTo && (us === 0 || upTo <= us * (1 + 1 / 16));
    const isLeast = bucketOf(us) === 0 || bucketUpToUs(bucketOf(us) - 1) < us;
    if (!isRight || !isLeast) wrong.push(us);
  }
  t.same(wrong, [], 'no value lies outside its bucket');
  t.same([0, 15, 16, 31, 32, 33].map(bucketUpToUs), [0, 15, 16, 31, 33, 35], 'the first buckets');
  t.end();
});

t.test('percentiles come from the buckets', (t) => {
  const progress = {
    seconds: 0,
    opened: 0,
    failed: 0,
    lost: 0,
    answered: 0,
    wrong: 0,
    messages: 0,
    received: 0,
    gaps: 0,
  };
  const end = { progress, failures: new Map<number, number>() };
  const none = toLatency({ ...end, buckets: new Map(), minUs: Infinity, maxUs: 0 });
  t.match(
    none,
    { count: 0, minUs: 0, p50Us: 0, p999Us: 0, maxUs: 0, buckets: [] },
    'without requests',
  );
  const one = toLatency({ ...end, buckets: new Map([[bucketOf(100), 1]]), minUs: 100, maxUs: 100 });
  t.match(one, { count: 1, minUs: 100, p50Us: 100, p999Us: 100, maxUs: 100 }, 'of one request');
  const buckets = new Map([
    [12, 10],
    [3, 500],
    [5, 489],
    [bucketOf(900), 1],
  ]);
  const many = toLatency({ ...end, buckets, minUs: 3, maxUs: 900 });
  t.match(
    many,
    { count: 1000, p50Us: 3, p90Us: 5, p99Us: 12, p999Us: 12, maxUs: 900 },
    'of many requests',
  );
  t.equal(many.buckets[0]?.upToUs, 3, 'the buckets begin at the first with a request');
  t.same(
    many.buckets.slice(0, 3).map(({ count }) => count),
    [500, 0, 489],
    'no bucket is left out',
  );
  t.equal(many.buckets.at(-1)?.count, 1, 'the last bucket has a request');
  t.end();
});

t.test('loopback sources are distinct, and never a network or broadcast address', (t) => {
  const addresses = Array.from({ length: 100_000 }, (_, index) => loopbackSource(index));
  t.equal(new Set(addresses).size, addresses.length, 'the addresses are distinct');
  const isFit = (address: string): boolean => {
    const [first, second = 0, third = 256, last = 0] = address.split('.').map(Number);
    return (
      first === 127 && second >= 1 && second <= 254 && third <= 255 && last >= 1 && last <= 254
    );
  };
  t.ok(addresses.every(isFit), 'each address is in 127.1.0.0 or above');
  t.same(
    [0, 253, 254].map(loopbackSource),
    ['127.1.0.1', '127.1.0.254', '127.1.1.1'],
    'the addresses are in order',
  );
  t.end();
});

t.test('messages go to all channels in rotation, and a subset is spread evenly', (t) => {
  for (const count of [1, 2, 10, 997, 20_000]) {
    const rota = new Rota(count);
    const rotation = Array.from({ length: count }, () => rota.next());
    t.equal(new Set(rotation).size, count, `all ${count} channels`);
    t.equal(rota.next(), rotation[0], 'the rotation begins again');
    const part = Math.floor(count / 10);
    const times = rotation.flatMap((channel, at) => (channel < part ? [at] : []));
    const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
    t.ok(
      gaps.every((gap) => gap < 40),
      'a tenth of them is spread over the rotation',
    );
  }
  t.end();
});

t.test('messages are sent at their rate, or at the rate that the receiver accepts', async (t) => {
  const load = { rate: 10_000, seconds: 0.5, channels: 1, messageBytes: 1 };
  const sent = async (room: number): Promise<number[]> => {
    const counts: number[] = [];
    await pace(
      load,
      () => room,
      (count) => counts.push(count),
    );
    return counts;
  };
  const sum = (counts: readonly number[]): number => counts.reduce((all, one) => all + one, 0);
  t.equal(sum(await sent(Infinity)), 5000, 'all due messages');
  const few = await sent(10);
  t.ok(
    few.length > 1 && Math.max(...few) === 10 && sum(few) < 2000,
    'excess messages are not sent later',
  );
  t.same(await sent(0), [], 'no message without capacity');
});
