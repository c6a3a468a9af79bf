// The shares of workers in a 32-bit value, compared with a Map from slot to share.
import fc from 'fast-check';
import t from 'tap';

import { NAMED, SlotShares } from '../../lib/broker/slot-shares.js';

const SEED = 20_261_129;

function sharesOf(shares: SlotShares, value: number): Map<number, number> {
  const found = new Map<number, number>();
  shares.each(value, (slot, share) => {
    if (found.has(slot)) throw new Error(`slot ${slot} is listed twice`);
    found.set(slot, share);
  });
  return found;
}

t.test('an empty value has no workers, named or not', (t) => {
  const shares = new SlotShares();
  t.equal(sharesOf(shares, 0).size, 0);
  t.equal(sharesOf(shares, NAMED).size, 0);
  t.equal(shares.changed(NAMED, 3, 0), NAMED, 'removing an unknown worker changes nothing');
  t.end();
});

t.test('one worker needs no block, several workers do, and the block is reused', (t) => {
  const shares = new SlotShares();
  const one = shares.changed(0, 511, 2);
  t.equal(shares.memoryBytes, 0);
  const two = shares.changed(one, 0, 3);
  const { memoryBytes } = shares;
  t.ok(memoryBytes > 0);
  t.same(
    sharesOf(shares, two),
    new Map([
      [511, 2],
      [0, 3],
    ]),
  );
  t.equal(shares.changed(two, 0, 0), one, 'the value is that of one worker again');
  for (let round = 0; round < 1000; round++) shares.changed(shares.changed(one, 1, 1), 1, 0);
  t.equal(shares.memoryBytes, memoryBytes);
  t.end();
});

t.test('the flag of a named channel survives every change', (t) => {
  const shares = new SlotShares();
  let value = NAMED;
  for (const [slot, share] of [
    [1, 5],
    [2, 5],
    [3, 5],
    [2, 0],
    [3, 0],
    [1, 0],
  ] as const) {
    value = shares.changed(value, slot, share);
    t.equal(value & NAMED, NAMED, `after slot ${slot} has share ${share}`);
  }
  t.equal(value, NAMED);
  t.end();
});

t.test('a share above its bits is capped, and stays with its slot', (t) => {
  const shares = new SlotShares();
  const narrow = shares.changed(0, 511, 2 ** 30);
  t.same(sharesOf(shares, narrow), new Map([[511, 2 ** 21 - 1]]));
  const wide = shares.changed(shares.changed(0, 510, 1), 511, 2 ** 30);
  t.same(
    sharesOf(shares, wide),
    new Map([
      [510, 1],
      [511, 2 ** 23 - 1],
    ]),
  );
  t.end();
});

t.test('any sequence of changes gives the same shares as a Map', (t) => {
  const change = fc.tuple(fc.nat(511), fc.oneof(fc.constant(0), fc.nat(1000)));
  fc.assert(
    fc.property(fc.array(change, { size: 'max', maxLength: 1500 }), (changes) => {
      const shares = new SlotShares();
      const model = new Map<number, number>();
      let value = 0;
      for (const [slot, share] of changes) {
        value = shares.changed(value, slot, share);
        if (share === 0) model.delete(slot);
        else model.set(slot, share);
      }
      const found = sharesOf(shares, value);
      return (
        found.size === model.size && [...model].every(([slot, share]) => found.get(slot) === share)
      );
    }),
    { seed: SEED, numRuns: 100 },
  );
  t.pass('the shares equal the Map');
  t.end();
});
