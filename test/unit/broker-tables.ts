// The tables of history and publishing, each compared with a model: rings, timeline, watermarks, keys.
import fc from 'fast-check';
import t from 'tap';

import { EvictionWatermarks } from '../../lib/broker/eviction-watermarks.js';
import { Idempotency } from '../../lib/broker/idempotency.js';
import { Rings, Timeline } from '../../lib/broker/message-index.js';

const SEED = 20_261_118;

t.test('a ring keeps its ids in order while it grows, shrinks and wraps around', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(3), fc.integer({ min: -90, max: 100 })), {
        size: 'max',
        maxLength: 60,
      }),
      (steps) => {
        const rings = new Rings();
        const model = new Map<number, number[]>();
        let next = 1;
        for (const [choice, count] of steps) {
          const row = choice + 63;
          let ids = model.get(row);
          if (ids === undefined) {
            rings.open(row);
            model.set(row, (ids = []));
          }
          for (let pushed = 0; pushed < count; pushed++) {
            rings.push(row, next);
            ids.push(next++);
          }
          for (let left = Math.min(-count, ids.length); left > 0; left--) {
            rings.shift(row);
            ids.shift();
          }
          if (count === 0) {
            rings.close(row);
            model.delete(row);
          }
        }
        return [...model].every(
          ([row, ids]) =>
            rings.span(row) === ids.length && ids.every((id, at) => rings.at(row, at) === id),
        );
      },
    ),
    { seed: SEED, numRuns: 500 },
  );
  const rings = new Rings();
  for (let row = 1; row <= 50; row++) {
    rings.open(row);
    for (let id = 1; id <= 10_000; id++) rings.push(row, id);
    for (let id = 1; id < 10_000; id++) rings.shift(row);
    if (rings.at(row, 0) !== 10_000) t.fail('the newest id is left');
  }
  t.ok(rings.memoryBytes < 1_500_000, 'rings that were long free their memory');
  t.end();
});

t.test('the timeline finds positions by number and grows with kept messages only', (t) => {
  const there = new Map<number, number>();
  const timeline = new Timeline((id, number) => there.get(id) === number);
  t.equal(timeline.oldest(), 0, 'empty');
  for (let number = 1; number <= 50_000; number++) {
    const id = 1 + (number % 1000);
    there.set(id, number);
    timeline.push(id, number * 10);
    there.set(id, number * 10);
    const oldest = Math.max(1, number - 999);
    if (number % 997 === 0) {
      t.equal(timeline.oldest(), 1 + (oldest % 1000), 'the oldest of the last thousand');
      t.equal(timeline.number(timeline.positionAfter(oldest * 10 - 1)), oldest * 10);
      t.equal(timeline.number(timeline.positionAfter(oldest * 10)), oldest * 10 + 10);
      t.equal(timeline.positionAfter(number * 10), timeline.end);
    }
  }
  t.ok(timeline.memoryBytes <= 12 * 4096, 'a thousand of 50,000 messages are left');
  t.end();
});

t.test('a watermark is never below a lost number, with any number of names', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1000 })), {
        size: 'max',
        maxLength: 200,
      }),
      fc.integer({ min: 1, max: 30 }),
      (losses, entriesMax) => {
        const floors = new EvictionWatermarks(entriesMax);
        const model = new Map<number, number>();
        for (const [lo, number] of losses) {
          floors.raise(-lo, lo, number);
          model.set(lo, Math.max(number, model.get(lo) ?? 0));
          if (floors.entries > 2 * entriesMax) return false;
        }
        const isSafe = [...model].every(([lo, number]) => floors.get(-lo, lo) >= number);
        const isExact =
          model.size >= entriesMax ||
          [...model].every(([lo, number]) => floors.get(-lo, lo) === number);
        return isSafe && isExact && floors.get(5000, 5000) === floors.general;
      },
    ),
    { seed: SEED, numRuns: 1000 },
  );
  t.pass('the table equals the model');
  t.end();
});

t.test('watermarks keep as many names as their limit, and no more', (t) => {
  const floors = new EvictionWatermarks(10_000);
  for (let name = 1; name < 30_000; name++) {
    floors.raise(name, name, name);
    if (name === 10_000) t.equal(floors.general, 0, 'no watermark is dropped yet');
  }
  t.equal(floors.general, 10_000, 'the oldest ten thousand watermarks are dropped');
  t.equal(
    floors.get(1, 1),
    10_000,
    'a dropped name may have lost messages up to the highest dropped number',
  );
  t.equal(floors.get(10_001, 10_001), 10_001, 'the other watermarks are known');
  t.ok(floors.memoryBytes <= 2 * 16 * 16_384, 'each takes 32 bytes, with some slack');
  t.end();
});

t.test('an idempotency key is known for its time, while there is room', (t) => {
  const keys = new Idempotency(3, 1000);
  const first = { number: 1, delivered: 5 };
  keys.add('a', 'k1', 0, first);
  t.same(keys.find('a', 'k1', 999), first);
  t.equal(keys.find('b', 'k1', 0), null, 'the key is known for its channel only');
  t.equal(keys.find('a', 'k', 0), null);
  t.equal(keys.find('a', 'k1', 1000), null, 'the key has expired');
  keys.add('a', 'k1', 1000, { number: 2, delivered: 6 });
  t.same(keys.find('a', 'k1', 1500), { number: 2, delivered: 6 }, 'the key is stored again');
  keys.add('a', 'k2', 1100, first);
  t.equal(keys.evicted, 0);
  keys.add('a', 'k3', 1100, first);
  t.equal(keys.evicted, 0, 'an expired key is not counted as evicted');
  t.same(
    keys.find('a', 'k1', 1500),
    { number: 2, delivered: 6 },
    'the new entry of the same key is kept',
  );
  keys.add('a', 'k4', 1100, first);
  t.equal(keys.evicted, 1);
  t.equal(keys.find('a', 'k1', 1500), null, 'the oldest key is evicted first');
  t.equal(keys.size, 3);
  keys.sweep(2099);
  t.equal(keys.size, 3);
  keys.sweep(2100);
  t.equal(keys.size, 0, 'expired keys are swept');
  t.end();
});

t.test('idempotency keys behave like a model', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(12), fc.nat(40)), { size: 'max', maxLength: 150 }),
      (steps) => {
        const keys = new Idempotency(8, 100);
        const model: { key: string; atMs: number; number: number }[] = [];
        let nowMs = 0;
        for (const [number, [name, ms]] of steps.entries()) {
          nowMs += ms;
          const key = String(name);
          const known = model.slice(-8).find((one) => one.key === key && one.atMs + 100 > nowMs);
          const found = keys.find('c', key, nowMs);
          if ((found?.number ?? -1) !== (known?.number ?? -1)) return false;
          if (ms % 7 === 0) keys.sweep(nowMs);
          if (found !== null) continue;
          keys.add('c', key, nowMs, { number, delivered: 0 });
          model.push({ key, atMs: nowMs, number });
        }
        return keys.size <= 8;
      },
    ),
    { seed: SEED, numRuns: 500 },
  );
  t.pass('the table equals the model');
  t.end();
});
