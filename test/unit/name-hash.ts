// Hashes of names: HalfSipHash by its known answers and a plain version, and different keys.
import fc from 'fast-check';
import t from 'tap';

import { NameHasher } from '../../lib/collections/name-hash.js';

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
