// The workers of one channel and the share of each, as a 32-bit value for a HashIndex.
// A share is the number of subscribers plus one, because a worker may want a channel that has none.
//
// A value has two flags and 30 bits. For a channel of one worker they hold the slot and its share;
// for a channel of several, the block of a pool that lists a slot and share for each.
import { BlockPool } from '../collections/block-pool.js';

/** Flag: the name log contains the channel's name. */
export const NAMED = 1;
const WIDE = 2;
const FLAG_BITS = 2;
const SHARE_BITS = 21;
const SHARE_MAX = (1 << SHARE_BITS) - 1;
const INDEX_BITS = 26;
/** A pair in a block holds the share in its low bits and the slot above them. */
const PAIR_SHARE_BITS = 23;
const PAIR_SHARE_MASK = (1 << PAIR_SHARE_BITS) - 1;

export class SlotShares {
  readonly #pool = new BlockPool();

  get memoryBytes(): number {
    return this.#pool.memoryBytes;
  }

  /** Calls `visit` for each worker of a value. */
  each(value: number, visit: (slot: number, share: number) => void): void {
    if ((value & WIDE) === 0) {
      if (value > NAMED) visit(slotOf(value), shareOf(value));
      return;
    }
    const chunk = this.#pool.chunk(classOf(value), indexOf(value));
    const start = this.#pool.start(classOf(value), indexOf(value));
    const end = start + (1 << classOf(value));
    for (let at = start; at < end; at++) {
      const item = chunk[at] ?? 0;
      if (item === 0) return;
      visit(item >>> PAIR_SHARE_BITS, item & PAIR_SHARE_MASK);
    }
  }

  /** The value after a slot's share has changed; share 0 removes it. The flag NAMED stays. */
  changed(value: number, slot: number, share: number): number {
    const named = value & NAMED;
    if ((value & WIDE) !== 0) return this.#changedWide(value, slot, share);
    const isEmpty = value <= NAMED;
    if (isEmpty || slotOf(value) === slot) {
      return share === 0 ? (isEmpty ? value : named) : narrow(slot, share, named);
    }
    if (share === 0) return value;
    const index = this.#pool.take(1);
    const chunk = this.#pool.chunk(1, index);
    const start = this.#pool.start(1, index);
    chunk[start] = pair(slotOf(value), shareOf(value));
    chunk[start + 1] = pair(slot, share);
    return wide(1, index, named);
  }

  #changedWide(value: number, slot: number, share: number): number {
    const sizeClass = classOf(value);
    const index = indexOf(value);
    const chunk = this.#pool.chunk(sizeClass, index);
    const start = this.#pool.start(sizeClass, index);
    const end = start + (1 << sizeClass);
    let at = start;
    while (at < end && chunk[at] !== 0 && (chunk[at] ?? 0) >>> PAIR_SHARE_BITS !== slot) at++;
    if (at === end) return share === 0 ? value : this.#widened(value, slot, share);
    if (share > 0) {
      chunk[at] = pair(slot, share);
      return value;
    }
    if (chunk[at] === 0) return value;
    // The last pair fills the gap. A value of one worker needs no block.
    let last = at;
    while (last + 1 < end && chunk[last + 1] !== 0) last++;
    chunk[at] = chunk[last] ?? 0;
    chunk[last] = 0;
    if (last - start > 1) return value;
    const left = chunk[start] ?? 0;
    this.#pool.give(sizeClass, index);
    return narrow(left >>> PAIR_SHARE_BITS, left & PAIR_SHARE_MASK, value & NAMED);
  }

  /** Moves a full block to one of twice its size, and adds a worker. */
  #widened(value: number, slot: number, share: number): number {
    const sizeClass = classOf(value);
    const from = this.#pool.start(sizeClass, indexOf(value));
    const pairs = this.#pool.chunk(sizeClass, indexOf(value)).slice(from, from + (1 << sizeClass));
    this.#pool.give(sizeClass, indexOf(value));
    const index = this.#pool.take(sizeClass + 1);
    const chunk = this.#pool.chunk(sizeClass + 1, index);
    const start = this.#pool.start(sizeClass + 1, index);
    chunk.set(pairs, start);
    chunk[start + pairs.length] = pair(slot, share);
    return wide(sizeClass + 1, index, value & NAMED);
  }
}

function narrow(slot: number, share: number, named: number): number {
  const payload = (slot << SHARE_BITS) | Math.min(share, SHARE_MAX);
  return ((payload << FLAG_BITS) | named) >>> 0;
}

function slotOf(value: number): number {
  return value >>> (FLAG_BITS + SHARE_BITS);
}

function shareOf(value: number): number {
  return (value >>> FLAG_BITS) & SHARE_MAX;
}

function wide(sizeClass: number, index: number, named: number): number {
  return ((((sizeClass << INDEX_BITS) | index) << FLAG_BITS) | WIDE | named) >>> 0;
}

function classOf(value: number): number {
  return value >>> (FLAG_BITS + INDEX_BITS);
}

function indexOf(value: number): number {
  return (value >>> FLAG_BITS) & ((1 << INDEX_BITS) - 1);
}

function pair(slot: number, share: number): number {
  return ((slot << PAIR_SHARE_BITS) | Math.min(share, PAIR_SHARE_MASK)) >>> 0;
}
