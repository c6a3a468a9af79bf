// Eviction watermarks: the number of the last message that a name lost, for names that have no
// history any more. 16 bytes an entry, in two halves; a full young half replaces the old one.

import type { NameHasher } from '../collections/name-hash.js';

const SLOTS_MIN = 1024;
const FULL = 0.75;

/** One half: an open-addressing table without removal. */
class Half {
  hi = new Int32Array(SLOTS_MIN);
  lo = new Int32Array(SLOTS_MIN);
  number = new Float64Array(SLOTS_MIN);
  mask = SLOTS_MIN - 1;
  count = 0;
  /** The highest number in the table. */
  highest = 0;

  find(hi: number, lo: number): number {
    let at = lo & this.mask;
    // An entry has a number of 1 or more.
    while (this.number[at] !== 0 && (this.lo[at] !== lo || this.hi[at] !== hi)) {
      at = (at + 1) & this.mask;
    }
    return at;
  }

  set(hi: number, lo: number, number: number): void {
    const at = this.find(hi, lo);
    if (this.number[at] === 0) this.count++;
    this.hi[at] = hi;
    this.lo[at] = lo;
    this.number[at] = number;
    this.highest = Math.max(this.highest, number);
    if (this.count > FULL * (this.mask + 1)) this.#grow();
  }

  clear(): void {
    this.number.fill(0);
    this.count = 0;
    this.highest = 0;
  }

  #grow(): void {
    const slots = this.mask + 1;
    const old = { hi: this.hi, lo: this.lo, number: this.number };
    this.mask = 2 * slots - 1;
    this.hi = new Int32Array(2 * slots);
    this.lo = new Int32Array(2 * slots);
    this.number = new Float64Array(2 * slots);
    for (let from = 0; from < slots; from++) {
      const number = old.number[from] ?? 0;
      if (number === 0) continue;
      const at = this.find(old.hi[from] ?? 0, old.lo[from] ?? 0);
      this.hi[at] = old.hi[from] ?? 0;
      this.lo[at] = old.lo[from] ?? 0;
      this.number[at] = number;
    }
  }
}

export class EvictionWatermarks {
  readonly #entriesMax: number;
  #young = new Half();
  #old = new Half();
  #general = 0;

  /** @param entriesMax - The newest names that keep a watermark of their own; 32 bytes each. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  /** The watermark of every name without its own entry. */
  get general(): number {
    return this.#general;
  }

  /** Entries of both halves; a name in both counts twice. */
  get entries(): number {
    return this.#young.count + this.#old.count;
  }

  get memoryBytes(): number {
    return 16 * (this.#young.mask + this.#old.mask + 2);
  }

  /** The highest number that a name may have lost; 0 if it lost none. */
  get(hi: number, lo: number): number {
    const { number: young } = this.#young;
    const inYoung = young[this.#young.find(hi, lo)] ?? 0;
    if (inYoung !== 0) return inYoung;
    const inOld = this.#old.number[this.#old.find(hi, lo)] ?? 0;
    return inOld === 0 ? this.#general : inOld;
  }

  /** Notes that a name lost the message `number`. Losses may come out of order. */
  raise(hi: number, lo: number, number: number): void {
    // A watermark never falls. The general one may stand for an earlier entry of this name.
    const watermark = Math.max(number, this.get(hi, lo));
    this.#young.set(hi, lo, watermark);
    if (this.#young.count < this.#entriesMax) return;
    this.#general = Math.max(this.#general, this.#old.highest);
    this.#old.clear();
    [this.#young, this.#old] = [this.#old, this.#young];
  }
}

/** The watermarks of patterns, in the table of the names. */
export class PatternWatermarks {
  readonly #hasher: NameHasher;
  readonly #watermarks: EvictionWatermarks;

  constructor(hasher: NameHasher, watermarks: EvictionWatermarks) {
    this.#hasher = hasher;
    this.#watermarks = watermarks;
  }

  /** The highest number that the channels of a pattern may have lost. */
  get(pattern: string): number {
    this.#hasher.hashStart(pattern, pattern.length - 1);
    return this.#watermarks.get(~this.#hasher.hi, this.#hasher.lo);
  }

  /** Notes for every pattern that matches a channel that the channel lost a message. */
  raise(channel: string, number: number): void {
    for (let at = channel.indexOf('/'); at !== -1; at = channel.indexOf('/', at + 1)) {
      this.#hasher.hashStart(channel, at + 1);
      // Inverted, so that a pattern's prefix differs from the channel of the same name: a channel
      // may end in a slash.
      this.#watermarks.raise(~this.#hasher.hi, this.#hasher.lo, number);
    }
  }
}
