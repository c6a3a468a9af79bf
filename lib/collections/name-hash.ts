// Keyed 64-bit hashes of names: HalfSipHash-1-3 over UTF-16 code units. Keyed because clients
// choose the names: names that collide cannot be constructed without the key.
import { randomBytes } from 'node:crypto';

/** Computes hashes. The last one is in `hi` and `lo`, so that a hash allocates no object. */
export class NameHasher {
  /** Halves of the hash, signed 32-bit integers, never both 0: that marks an empty slot. */
  hi = 0;
  lo = 0;
  readonly #k0: number;
  readonly #k1: number;
  /** The name of the last hash. The tables of a publish share it, so its channel is hashed once. */
  #name = '';

  /** @param key - 8 bytes; random unless a test needs the same hashes again. */
  constructor(key: Buffer = randomBytes(8)) {
    this.#k0 = key.readInt32LE(0);
    this.#k1 = key.readInt32LE(4);
    this.#run('', 0);
  }

  hash(name: string): void {
    if (name === this.#name) return;
    this.#name = name;
    this.#run(name, name.length);
  }

  /** Hashes the first `length` code units of a name, as hash() would hash the shorter name. */
  hashStart(name: string, length: number): void {
    // The empty name marks that hash() has to compute again. A channel's name is never empty.
    this.#name = '';
    this.#run(name, length);
  }

  #run(name: string, length: number): void {
    let v0 = this.#k0;
    let v1 = this.#k1 ^ 0xee;
    let v2 = this.#k0 ^ 0x6c796765;
    let v3 = this.#k1 ^ 0x74656462;
    const whole = length & ~1;
    // Rounds: one for each word of two code units, one for the last word with the length in bytes,
    // three to finish the first half, and three more for the second.
    const last = (length << 25) | (length === whole ? 0 : name.charCodeAt(whole));
    for (let at = 0; at <= whole + 12; at += 2) {
      let word = 0;
      if (at < whole) word = name.charCodeAt(at) | (name.charCodeAt(at + 1) << 16);
      else if (at === whole) word = last;
      else if (at === whole + 2) v2 ^= 0xee;
      else if (at === whole + 8) {
        this.lo = v1 ^ v3;
        v1 ^= 0xdd;
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    this.hi = v1 ^ v3;
    if (this.hi === 0 && this.lo === 0) this.lo = 1;
  }
}
