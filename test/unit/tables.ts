// The tables of history and interest, each compared with a plain Map: hashes, index, blocks, slabs,
// watermarks, names and keys.
import { randomBytes } from 'node:crypto';

import fc from 'fast-check';
import t from 'tap';

import { BLOCK_CLASS_MAX, BlockPool } from '../../lib/collections/block-pool.js';
import { EvictionWatermarks } from '../../lib/broker/eviction-watermarks.js';
import { HashIndex } from '../../lib/collections/hash-index.js';
import { Idempotency } from '../../lib/broker/idempotency.js';
import { Rings, Timeline } from '../../lib/broker/message-index.js';
import { NameHasher } from '../../lib/collections/name-hash.js';
import { NameLog } from '../../lib/collections/name-log.js';
import { Slabs } from '../../lib/collections/slabs.js';

const SEED = 20_261_118;

/** HalfSipHash-c-d with an output of 64 bits, as its authors describe it; slow and plain. */
function halfSipHash(c: number, d: number, key: Buffer, bytes: Buffer): string {
  const rotated = (x: number, by: number): number => ((x << by) | (x >>> (32 - by))) >>> 0;
  const [k0, k1] = [key.readUInt32LE(0), key.readUInt32LE(4)];
  const v = [k0, k1 ^ 0xee, k0 ^ 0x6c796765, k1 ^ 0x74656462].map((x) => x >>> 0);
  const add = (to: number, from: number): void => {
    v[to] = ((v[to] ?? 0) + (v[from] ?? 0)) >>> 0;
  };
  const mix = (to: number, by: number, from: number): void => {
    v[to] = (rotated(v[to] ?? 0, by) ^ (v[from] ?? 0)) >>> 0;
  };
  const rounds = (count: number): void => {
    for (let round = 0; round < count; round++) {
      add(0, 1);
      mix(1, 5, 0);
      v[0] = rotated(v[0] ?? 0, 16);
      add(2, 3);
      mix(3, 8, 2);
      add(0, 3);
      mix(3, 7, 0);
      add(2, 1);
      mix(1, 13, 2);
      v[2] = rotated(v[2] ?? 0, 16);
    }
  };
  const take = (word: number): void => {
    v[3] = ((v[3] ?? 0) ^ word) >>> 0;
    rounds(c);
    v[0] = ((v[0] ?? 0) ^ word) >>> 0;
  };
  const whole = bytes.length & ~3;
  for (let at = 0; at < whole; at += 4) take(bytes.readUInt32LE(at));
  let last = bytes.length << 24;
  for (let at = whole; at < bytes.length; at++) last |= bytes.readUInt8(at) << (8 * (at - whole));
  take(last >>> 0);
  v[2] = ((v[2] ?? 0) ^ 0xee) >>> 0;
  const out = Buffer.alloc(8);
  rounds(d);
  out.writeUInt32LE(((v[1] ?? 0) ^ (v[3] ?? 0)) >>> 0, 0);
  v[1] = ((v[1] ?? 0) ^ 0xdd) >>> 0;
  rounds(d);
  out.writeUInt32LE((v[1] ^ (v[3] ?? 0)) >>> 0, 4);
  return out.toString('hex');
}

t.test('a name hashes to HalfSipHash-1-3 of its UTF-16', (t) => {
  const known = Buffer.from([0, 1, 2, 3, 4, 5, 6, 7]);
  // The first vector of the authors, for rounds 2-4, shows that the plain version here is right.
  t.equal(halfSipHash(2, 4, known, Buffer.alloc(0)), '218d1f59b9b83cc8');
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.uint8Array({ minLength: 8, maxLength: 8 }),
      (name, bytes) => {
        const key = Buffer.from(bytes);
        const hasher = new NameHasher(key);
        hasher.hash(`${name}!`);
        hasher.hash(name);
        const found = Buffer.alloc(8);
        found.writeInt32LE(hasher.lo, 0);
        found.writeInt32LE(hasher.hi, 4);
        const direct = [hasher.hi, hasher.lo];
        hasher.hashStart(`${name}and more`, name.length);
        const isSame = String([hasher.hi, hasher.lo]) === String(direct);
        return (
          isSame && found.toString('hex') === halfSipHash(1, 3, key, Buffer.from(name, 'utf16le'))
        );
      },
    ),
    { seed: SEED, numRuns: 2000 },
  );
  t.end();
});

t.test('hashers have different keys, and similar names have different hashes', (t) => {
  const hasher = new NameHasher();
  const seen = new Set<string>();
  for (let index = 0; index < 20_000; index++) {
    hasher.hash(`user/${index}`);
    seen.add(`${hasher.hi} ${hasher.lo}`);
  }
  t.equal(seen.size, 20_000, '20,000 names have different hashes');
  const other = new NameHasher();
  hasher.hash('a');
  other.hash('a');
  t.not(hasher.lo, other.lo, 'the key is random');
  t.end();
});

/** Keys that often collide: few shards, few low bits. */
const hash = fc.record({
  hi: fc.constantFrom(0, 1, -1, 2 ** 31 - 1, -(2 ** 31)),
  lo: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.constantFrom(-1, -(2 ** 31), 16, 32, 48, 64)),
});

t.test('the index behaves like a Map', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(hash, fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 32 - 1 }))), {
        size: 'max',
        maxLength: 400,
      }),
      (sets) => {
        const index = new HashIndex();
        const model = new Map<string, number>();
        for (const [{ hi, lo }, value] of sets) {
          index.set(hi, lo, value);
          if (value === 0) model.delete(`${hi} ${lo}`);
          else model.set(`${hi} ${lo}`, value);
        }
        const isSame = sets.every(
          ([{ hi, lo }]) => index.get(hi, lo) === (model.get(`${hi} ${lo}`) ?? 0),
        );
        const found: number[] = [];
        index.update((value) => {
          found.push(value);
          return value % 2 === 0 ? 0 : value;
        });
        const odd = [...model.values()].filter((value) => value % 2 === 1);
        return (
          isSame &&
          String(found.sort()) === String([...model.values()].sort()) &&
          index.size === odd.length &&
          sets.every(([{ hi, lo }]) => {
            const value = model.get(`${hi} ${lo}`) ?? 0;
            return index.get(hi, lo) === (value % 2 === 0 ? 0 : value);
          })
        );
      },
    ),
    { seed: SEED, numRuns: 500 },
  );
  t.pass('the table equals the model');
  t.end();
});

t.test('an index entry costs 25 bytes, and its memory is freed with it', (t) => {
  const index = new HashIndex();
  const bare = index.memoryBytes;
  const random = new Int32Array(randomBytes(8 * 300_000).buffer, 0, 2 * 300_000);
  const each = (set: (hi: number, lo: number) => void): void => {
    for (let at = 0; at < random.length; at += 2) set(random[at] ?? 0, (random[at + 1] ?? 0) | 1);
  };
  each((hi, lo) => {
    index.set(hi, lo, 7);
  });
  const bytesEach = index.memoryBytes / index.size;
  t.ok(bytesEach < 39, `${bytesEach.toFixed(1)} bytes an entry, between two doublings`);
  each((hi, lo) => {
    index.set(hi, lo, 0);
  });
  t.equal(index.size, 0);
  t.ok(index.memoryBytes < 4 * bare, 'the index is empty');
  each((hi, lo) => {
    index.set(hi, lo, 7);
  });
  index.update(() => 0);
  t.equal(index.size, 0);
  t.ok(index.memoryBytes < 4 * bare, 'the memory is freed when all keys are removed at once');
  t.end();
});

t.test('blocks start as zeros, do not overlap, and are reused', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(BLOCK_CLASS_MAX), fc.nat(100)), { size: 'max', maxLength: 60 }),
      (steps) => {
        const pool = new BlockPool();
        const taken: { sizeClass: number; index: number; mark: number }[] = [];
        const numbers = ({
          sizeClass,
          index,
        }: {
          sizeClass: number;
          index: number;
        }): Uint32Array => {
          const start = pool.start(sizeClass, index);
          return pool.chunk(sizeClass, index).subarray(start, start + (1 << sizeClass));
        };
        for (const [mark, [sizeClass, choice]] of steps.entries()) {
          if (choice < 40 && taken.length > 0) {
            const [block] = taken.splice(choice % taken.length, 1);
            if (block !== undefined) pool.give(block.sizeClass, block.index);
            continue;
          }
          const block = { sizeClass, index: pool.take(sizeClass), mark: mark + 1 };
          if (numbers(block).length !== 1 << sizeClass) return false;
          if (!numbers(block).every((number) => number === 0)) return false;
          numbers(block).fill(block.mark);
          taken.push(block);
        }
        return taken.every((block) => numbers(block).every((number) => number === block.mark));
      },
    ),
    { seed: SEED, numRuns: 300 },
  );
  const pool = new BlockPool();
  for (let round = 0; round < 1000; round++) pool.give(3, pool.take(3));
  t.equal(
    pool.memoryBytes,
    4 * 2 ** BLOCK_CLASS_MAX,
    'one chunk serves a block that is freed and taken again',
  );
  t.end();
});

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

t.test('slabs return the stored records, before and after packing', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(30), fc.nat(200), fc.nat(9)), { size: 'max', maxLength: 300 }),
      (steps) => {
        const slabs = new Slabs(150);
        const model = new Map<number, Buffer>();
        for (const [id, size, choice] of steps) {
          if (choice === 0) {
            const before = slabs.memoryBytes;
            if (slabs.compact() !== slabs.memoryBytes < before) return false;
          } else if (model.has(id)) {
            slabs.free(id);
            model.delete(id);
          } else {
            const bytes = randomBytes(size);
            const foreseen = slabs.memoryBytesWith(size);
            slabs.put(id, Buffer.concat([Buffer.alloc(3), bytes, Buffer.alloc(3)]), 3, 3 + size);
            if (slabs.memoryBytes !== foreseen) return false;
            model.set(id, bytes);
          }
          const live = [...model.values()].reduce((sum, bytes) => sum + 8 + bytes.length, 0);
          if (slabs.liveBytes !== live) return false;
        }
        return [...model].every(([id, bytes]) => {
          const copy = Buffer.alloc(bytes.length);
          return slabs.has(id) && slabs.copy(id, copy, 0) === bytes.length && copy.equals(bytes);
        });
      },
    ),
    { seed: SEED, numRuns: 500 },
  );
  t.pass('the table equals the model');
  t.end();
});

t.test('packing frees the memory that the records do not need', (t) => {
  const slabs = new Slabs();
  for (let id = 0; id < 20_000; id++) slabs.put(id, Buffer.alloc(200), 0, 200);
  for (let id = 0; id < 20_000; id++) if (id % 10 !== 0) slabs.free(id);
  const before = slabs.memoryBytes;
  while (slabs.compact());
  t.ok(before > 9 * slabs.liveBytes, 'every slab has a few records left');
  t.ok(slabs.memoryBytes < 1.4 * slabs.liveBytes, 'the slabs are dense afterwards');
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

t.test('a name log keeps the live names, within its byte limit', (t) => {
  const log = new NameLog(1e6);
  const names = Array.from({ length: 200 }, (_, index) => `kanal/ä${index}`);
  for (const name of names) t.ok(log.add(5, name));
  t.same(log.list(5), names);
  t.same(log.list(6), []);
  let isPackable = false;
  for (let dead = 0; dead < 150; dead++) isPackable = log.markDead(5);
  t.ok(isPackable, 'most names are dead');
  log.pack(5, (name) => name.endsWith('7'));
  t.same(
    log.list(5),
    names.filter((name) => name.endsWith('7')),
  );
  t.ok(log.memoryBytes < 2000, 'the memory was freed');
  t.notOk(log.markDead(5), 'the dead names are counted from 0');
  const small = new NameLog(1000);
  let taken = 0;
  while (small.add(taken % 3, 'x'.repeat(100))) taken++;
  t.ok(small.memoryBytes <= 1000, 'a full log rejects further names');
  t.ok(taken >= 6);
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
