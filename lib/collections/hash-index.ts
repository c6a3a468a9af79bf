// A map from 64-bit hashes to 32-bit numbers in typed arrays: 25 bytes an entry. A Map of a million
// names costs 125 bytes an entry, and 100 ms for each full garbage collection.

/** Growing moves one shard at a time: 4,000 entries of a million, about 0.2 ms. */
const SHARDS = 256;
const SLOTS_MIN = 16;
/** Share of used slots at which a shard is rebuilt, and the highest share afterwards. */
const FULL = 0.625;
const ROOMY = 0.4;

class Shard {
  hi = new Int32Array(SLOTS_MIN);
  lo = new Int32Array(SLOTS_MIN);
  value = new Uint32Array(SLOTS_MIN);
  mask = SLOTS_MIN - 1;
  /** Slots with a key, including those whose value was removed. */
  used = 0;
  live = 0;

  /** The slot of a key, or the empty slot for it. */
  find(hi: number, lo: number): number {
    let at = lo & this.mask;
    for (;;) {
      const slotLo = this.lo[at];
      const slotHi = this.hi[at];
      if (slotLo === lo && slotHi === hi) return at;
      if (slotLo === 0 && slotHi === 0) return at;
      at = (at + 1) & this.mask;
    }
  }

  set(hi: number, lo: number, value: number): void {
    const at = this.find(hi, lo);
    const isNew = this.hi[at] === 0 && this.lo[at] === 0;
    if (isNew) {
      if (value === 0) return;
      this.hi[at] = hi;
      this.lo[at] = lo;
      this.used++;
    }
    const wasLive = this.value[at] !== 0;
    this.value[at] = value;
    this.live += Number(value !== 0) - Number(wasLive);
    this.resize();
  }

  /** Rebuilds the shard when it is too full, or far too large. */
  resize(): void {
    const slots = this.mask + 1;
    const isFull = this.used > slots * FULL;
    if (!isFull && (slots === SLOTS_MIN || this.live * 8 > slots)) return;
    const old = { hi: this.hi, lo: this.lo, value: this.value };
    let wanted = SLOTS_MIN;
    while (this.live > wanted * ROOMY) wanted *= 2;
    this.hi = new Int32Array(wanted);
    this.lo = new Int32Array(wanted);
    this.value = new Uint32Array(wanted);
    this.mask = wanted - 1;
    this.used = this.live;
    for (let from = 0; from < slots; from++) {
      const value = old.value[from] ?? 0;
      if (value === 0) continue;
      const [hi, lo] = [old.hi[from] ?? 0, old.lo[from] ?? 0];
      const at = this.find(hi, lo);
      this.hi[at] = hi;
      this.lo[at] = lo;
      this.value[at] = value;
    }
  }
}

/** Keys are two signed halves, never both 0 (see NameHasher). Value 0 means absent. */
export class HashIndex {
  readonly #shards = Array.from({ length: SHARDS }, () => new Shard());
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Bytes of the arrays. */
  get memoryBytes(): number {
    return this.#shards.reduce((sum, shard) => sum + 12 * (shard.mask + 1), 0);
  }

  /** The value of a key; 0 if it has none. */
  get(hi: number, lo: number): number {
    const shard = this.#shards[hi >>> 24] as Shard;
    return shard.value[shard.find(hi, lo)] ?? 0;
  }

  /** Sets a value; 0 removes the key. */
  set(hi: number, lo: number, value: number): void {
    const shard = this.#shards[hi >>> 24] as Shard;
    const before = shard.live;
    shard.set(hi, lo, value);
    this.#size += shard.live - before;
  }

  /** Replaces each value by the result of `change`; 0 removes the key. */
  update(change: (value: number, hi: number) => number): void {
    for (const shard of this.#shards) {
      const before = shard.live;
      for (let at = 0; at <= shard.mask; at++) {
        const value = shard.value[at] ?? 0;
        if (value === 0) continue;
        const changed = change(value, shard.hi[at] ?? 0);
        shard.value[at] = changed;
        if (changed === 0) shard.live--;
      }
      this.#size += shard.live - before;
      shard.resize();
    }
  }
}
