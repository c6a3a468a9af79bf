// The containers of typed arrays, each compared with a plain one: index, blocks, slabs, name log.
import { randomBytes } from 'node:crypto';

import fc from 'fast-check';
import t from 'tap';

import { BLOCK_CLASS_MAX, BlockPool } from '../../lib/collections/block-pool.js';
import { HashIndex } from '../../lib/collections/hash-index.js';
import { NameLog } from '../../lib/collections/name-log.js';
import { Slabs } from '../../lib/collections/slabs.js';

const SEED = 20_261_118;

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
