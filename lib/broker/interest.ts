// Which worker has how many subscribers of which channel.
// 25 bytes a channel that one worker has, 4 more for each further one, and its name once: a Map of
// Maps would cost 300, and stop the loop for 0.2 s at each full collection of a million.
import { BlockPool } from '../collections/block-pool.js';
import { isPattern } from '../ipc/comet.js';
import { HashIndex } from '../collections/hash-index.js';
import { NameHasher } from '../collections/name-hash.js';
import { NameLog } from '../collections/name-log.js';

// A value of the index has two flags and 30 bits: of a channel that one worker has, the slot and
// its share; of one that several have, which block of the pool lists them, a slot and share each.
// A share is the number of subscribers and one more: a worker may want a channel that has none.
const NAMED = 1;
const WIDE = 2;
const FLAG_BITS = 2;
const COUNT_BITS = 21;
const COUNT_MAX = (1 << COUNT_BITS) - 1;
const INDEX_BITS = 26;
/** In a block the slot stands above this many bits of count. */
const PAIR_COUNT_BITS = 23;
const PAIR_COUNT_MASK = (1 << PAIR_COUNT_BITS) - 1;

export interface InterestOptions {
  /** Workers at most; up to 512. */
  readonly slots: number;
  /** Channels that are counted; a worker that reports more gets every message. */
  readonly channelsMax?: number;
  /** Distinct patterns, likewise. */
  readonly patternsMax?: number;
  /** Memory for the names that channels() lists. */
  readonly namesBytesMax?: number;
  readonly hasher?: NameHasher;
}

/** 16 million channels take 400 MB; that many subscriptions mean that a limit is missing. */
const CHANNELS_DEFAULT = 16_000_000;
const PATTERNS_DEFAULT = 10_000;
const NAMES_BYTES_DEFAULT = 64 * 1024 * 1024;

/** The workers that want a channel. Valid until the table is asked again. */
export interface Match {
  /** The first `length` are slots, in no order. */
  readonly slots: Uint16Array;
  length: number;
  /** Subscriptions known, by name and by pattern. */
  subscribers: number;
}

export interface ChannelCount {
  readonly channel: string;
  readonly subscribers: number;
}

export class Interest {
  readonly #slots: number;
  readonly #channelsMax: number;
  readonly #patternsMax: number;
  readonly #hasher: NameHasher;
  readonly #index = new HashIndex();
  readonly #pool = new BlockPool();
  readonly #names: NameLog;
  /** Prefix, with its slash, to slot to count. */
  readonly #patterns = new Map<string, Map<number, number>>();
  /** Slots that get everything, since their interest did not fit in here. */
  readonly #takers = new Set<number>();
  readonly #match: Match;
  /** The question for which a slot was last listed, so that it is listed once. */
  readonly #listedFor: Float64Array;
  #questions = 0;
  /** Channels in the index that nobody has: only their names are left. */
  #ghosts = 0;

  constructor(options: InterestOptions) {
    this.#slots = options.slots;
    this.#channelsMax = options.channelsMax ?? CHANNELS_DEFAULT;
    this.#patternsMax = options.patternsMax ?? PATTERNS_DEFAULT;
    this.#hasher = options.hasher ?? new NameHasher();
    this.#names = new NameLog(options.namesBytesMax ?? NAMES_BYTES_DEFAULT);
    this.#match = { slots: new Uint16Array(options.slots), length: 0, subscribers: 0 };
    this.#listedFor = new Float64Array(options.slots);
  }

  /** Channels that a worker wants. */
  get channels(): number {
    return this.#index.size - this.#ghosts;
  }

  get patterns(): number {
    return this.#patterns.size;
  }

  /** Workers that get every message. */
  get takers(): number {
    return this.#takers.size;
  }

  get memoryBytes(): number {
    return this.#index.memoryBytes + this.#pool.memoryBytes + this.#names.memoryBytes;
  }

  /**
   * A worker has so many subscribers of a channel or pattern.
   *
   * @param isWanted - Whether it wants the messages; it may for a while after its last subscriber.
   */
  set(slot: number, channel: string, count: number, isWanted = count > 0): void {
    const share = isWanted ? count + 1 : 0;
    if (isPattern(channel)) this.#setPattern(slot, channel.slice(0, -1), share);
    else this.#setChannel(slot, channel, share);
  }

  /** The workers that want messages of a channel. */
  match(channel: string): Match {
    const match = this.#match;
    match.length = 0;
    match.subscribers = 0;
    this.#questions++;
    this.#hasher.hash(channel);
    const value = this.#index.get(this.#hasher.hi, this.#hasher.lo);
    if ((value & WIDE) !== 0) this.#listWide(value >>> FLAG_BITS);
    else if (value > NAMED) this.#list(slotOf(value), countOf(value));
    if (this.#patterns.size > 0) this.#listPatterns(channel);
    for (const slot of this.#takers) this.#list(slot, 1);
    return match;
  }

  /** Subscriptions of exactly this channel or pattern. */
  subscribers(channel: string): number {
    if (isPattern(channel)) {
      const counts = this.#patterns.get(channel.slice(0, -1)) ?? new Map<number, number>();
      return [...counts.values()].reduce((sum, share) => sum + share - 1, 0);
    }
    this.#hasher.hash(channel);
    return this.#sum(this.#index.get(this.#hasher.hi, this.#hasher.lo));
  }

  /** Slots of the workers that want exactly this channel or pattern. */
  workersFor(channel: string): number[] {
    if (isPattern(channel)) return [...(this.#patterns.get(channel.slice(0, -1)) ?? []).keys()];
    this.#hasher.hash(channel);
    return this.#pairs(this.#index.get(this.#hasher.hi, this.#hasher.lo)).map(([slot]) => slot);
  }

  /** A worker is gone with all its subscribers. One pass over the table: 10 ms a million. */
  drop(slot: number): void {
    this.#takers.delete(slot);
    for (const [prefix, counts] of this.#patterns) {
      if (counts.delete(slot) && counts.size === 0) this.#patterns.delete(prefix);
    }
    const packable = new Set<number>();
    this.#index.update((value, hi) => {
      const changed = this.#changed(value, slot, 0);
      if (changed === NAMED && value !== NAMED) {
        this.#ghosts++;
        if (this.#names.markDead(hi >>> 24)) packable.add(hi >>> 24);
      }
      return changed;
    });
    for (const shard of packable) this.#pack(shard);
  }

  /**
   * Channels and patterns with their subscribers, some at a time.
   *
   * @param from - 0, then what came as `next`.
   */
  list(from: number): { readonly channels: readonly ChannelCount[]; readonly next: number | null } {
    const { shards } = this.#names;
    const names =
      from < shards
        ? this.#names.list(from)
        : [...this.#patterns.keys()].map((prefix) => `${prefix}*`);
    const channels = names
      .map((channel) => ({ channel, subscribers: this.subscribers(channel) }))
      .filter(({ subscribers }) => subscribers > 0);
    return { channels, next: from < shards ? from + 1 : null };
  }

  // ---- Channels

  #setChannel(slot: number, channel: string, count: number): void {
    this.#hasher.hash(channel);
    const { hi, lo } = this.#hasher;
    const before = this.#index.get(hi, lo);
    if (before === 0 && count > 0 && this.channels >= this.#channelsMax) {
      this.#takers.add(slot);
      return;
    }
    let after = this.#changed(before, slot, count);
    if (before === 0 && after !== 0 && this.#names.add(hi >>> 24, channel)) after |= NAMED;
    if (before === NAMED && after !== NAMED) this.#ghosts--;
    this.#index.set(hi, lo, after);
    if (after !== NAMED || before === NAMED) return;
    this.#ghosts++;
    if (this.#names.markDead(hi >>> 24)) this.#pack(hi >>> 24);
  }

  /** The value of a channel after a slot's count has changed. The flag for the name stays. */
  #changed(value: number, slot: number, count: number): number {
    const named = value & NAMED;
    if ((value & WIDE) !== 0) return this.#changedWide(value, slot, count);
    const isEmpty = value <= NAMED;
    if (isEmpty || slotOf(value) === slot) {
      return count === 0 ? (isEmpty ? value : named) : narrow(slot, count) | named;
    }
    if (count === 0) return value;
    const index = this.#pool.take(1);
    const chunk = this.#pool.chunk(1, index);
    const start = this.#pool.start(1, index);
    chunk[start] = pair(slotOf(value), countOf(value));
    chunk[start + 1] = pair(slot, count);
    return wide(1, index) | named;
  }

  /** The same for one that several workers have. */
  #changedWide(value: number, slot: number, count: number): number {
    const named = value & NAMED;
    const sizeClass = classOf(value);
    const index = indexOf(value);
    const chunk = this.#pool.chunk(sizeClass, index);
    const start = this.#pool.start(sizeClass, index);
    const end = start + (1 << sizeClass);
    let at = start;
    while (at < end && chunk[at] !== 0 && (chunk[at] ?? 0) >>> PAIR_COUNT_BITS !== slot) at++;
    if (at === end) return count === 0 ? value : this.#widened(value, slot, count);
    if (count > 0) {
      chunk[at] = pair(slot, count);
      return value;
    }
    if (chunk[at] === 0) return value;
    // The last one fills the gap; where only one is left, no block is needed.
    let last = at;
    while (last + 1 < end && chunk[last + 1] !== 0) last++;
    chunk[at] = chunk[last] ?? 0;
    chunk[last] = 0;
    if (last - start > 1) return value;
    const left = chunk[start] ?? 0;
    this.#pool.give(sizeClass, index);
    return narrow(left >>> PAIR_COUNT_BITS, left & PAIR_COUNT_MASK) | named;
  }

  /** Moves a full block to one of twice its size, with one more worker. */
  #widened(value: number, slot: number, count: number): number {
    const sizeClass = classOf(value);
    const from = this.#pool.start(sizeClass, indexOf(value));
    const pairs = this.#pool.chunk(sizeClass, indexOf(value)).slice(from, from + (1 << sizeClass));
    this.#pool.give(sizeClass, indexOf(value));
    const index = this.#pool.take(sizeClass + 1);
    const chunk = this.#pool.chunk(sizeClass + 1, index);
    const start = this.#pool.start(sizeClass + 1, index);
    chunk.set(pairs, start);
    chunk[start + pairs.length] = pair(slot, count);
    return wide(sizeClass + 1, index) | (value & NAMED);
  }

  #pairs(value: number): [slot: number, count: number][] {
    if ((value & WIDE) === 0) return value > NAMED ? [[slotOf(value), countOf(value)]] : [];
    const start = this.#pool.start(classOf(value), indexOf(value));
    const pairs = this.#pool
      .chunk(classOf(value), indexOf(value))
      .subarray(start, start + (1 << classOf(value)));
    return [...pairs]
      .filter((item) => item !== 0)
      .map((item) => [item >>> PAIR_COUNT_BITS, item & PAIR_COUNT_MASK]);
  }

  #sum(value: number): number {
    return this.#pairs(value).reduce((sum, [, share]) => sum + share - 1, 0);
  }

  /** Frees the shard's names that nobody has, and their places in the index. */
  #pack(shard: number): void {
    this.#names.pack(shard, (name) => {
      this.#hasher.hash(name);
      const { hi, lo } = this.#hasher;
      if (this.#index.get(hi, lo) !== NAMED) return true;
      this.#index.set(hi, lo, 0);
      this.#ghosts--;
      return false;
    });
  }

  // ---- Patterns

  #setPattern(slot: number, prefix: string, count: number): void {
    const counts = this.#patterns.get(prefix);
    if (counts === undefined) {
      if (count === 0) return;
      if (this.#patterns.size >= this.#patternsMax) this.#takers.add(slot);
      else this.#patterns.set(prefix, new Map([[slot, count]]));
      return;
    }
    if (count > 0) counts.set(slot, count);
    else if (counts.delete(slot) && counts.size === 0) this.#patterns.delete(prefix);
  }

  /** One look-up for each slash of the name, however many patterns there are. */
  #listPatterns(channel: string): void {
    for (let at = channel.indexOf('/'); at !== -1; at = channel.indexOf('/', at + 1)) {
      const counts = this.#patterns.get(channel.slice(0, at + 1));
      if (counts === undefined) continue;
      for (const [slot, count] of counts) this.#list(slot, count);
    }
  }

  // ---- Answers

  #list(slot: number, share: number): void {
    const match = this.#match;
    match.subscribers += share - 1;
    if (this.#listedFor[slot] === this.#questions || slot >= this.#slots) return;
    this.#listedFor[slot] = this.#questions;
    match.slots[match.length++] = slot;
  }

  #listWide(payload: number): void {
    const sizeClass = payload >>> INDEX_BITS;
    const index = payload & ((1 << INDEX_BITS) - 1);
    const chunk = this.#pool.chunk(sizeClass, index);
    const start = this.#pool.start(sizeClass, index);
    const end = start + (1 << sizeClass);
    for (let at = start; at < end; at++) {
      const item = chunk[at] ?? 0;
      if (item === 0) return;
      this.#list(item >>> PAIR_COUNT_BITS, item & PAIR_COUNT_MASK);
    }
  }
}

function narrow(slot: number, count: number): number {
  const payload = (slot << COUNT_BITS) | Math.min(count, COUNT_MAX);
  return (payload << FLAG_BITS) >>> 0;
}

function slotOf(value: number): number {
  return value >>> (FLAG_BITS + COUNT_BITS);
}

function countOf(value: number): number {
  return (value >>> FLAG_BITS) & COUNT_MAX;
}

function wide(sizeClass: number, index: number): number {
  return ((((sizeClass << INDEX_BITS) | index) << FLAG_BITS) | WIDE) >>> 0;
}

function classOf(value: number): number {
  return value >>> (FLAG_BITS + INDEX_BITS);
}

function indexOf(value: number): number {
  return (value >>> FLAG_BITS) & ((1 << INDEX_BITS) - 1);
}

function pair(slot: number, count: number): number {
  return ((slot << PAIR_COUNT_BITS) | Math.min(count, PAIR_COUNT_MASK)) >>> 0;
}
