// What was published: the one sequence, and what each channel still has of it.
// Messages are the bytes of their Publish frames; nothing is decoded, and no worker is known here.
import {
  HISTORY_BYTES_DEFAULT,
  HISTORY_COUNT_MAX,
  isPattern,
  type HistoryLimits,
} from '../ipc/comet.js';
import { EvictionWatermarks } from './eviction-watermarks.js';
import { HashIndex } from '../collections/hash-index.js';
import type {
  ChannelHistory,
  HistoryCounters,
  HistoryEngine,
  HistoryPage,
  Question,
} from './history-engine.js';
import { Rings } from './message-index.js';
import { Messages } from './messages.js';
import { NameHasher } from '../collections/name-hash.js';
import { grown } from '../collections/typed-array.js';

export interface HistoryOptions {
  readonly epoch: bigint;
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Memory for messages, in slabs of `slabBytes`; at least four. */
  readonly bytesMax?: number;
  readonly slabBytes?: number;
  /** Channels without history of which the last number is remembered. */
  readonly forgottenMax?: number;
  /** The number before the first. */
  readonly head?: number;
  readonly hasher?: NameHasher;
}

const FORGOTTEN_DEFAULT = 786_432;
/** Messages looked at by one sweep: 256 calls see all of them, and each takes well below 1 ms. */
const SWEEP_SHARE = 256;
const SWEEP_MIN = 1024;
/** Messages that one page of a pattern looks at: about a millisecond. */
const SCAN_MAX = 32_768;
/** Channels that an eviction looks at for a larger one than the largest known. */
const SAMPLES = 4;
/** Rows that one call of names() reads. */
const NAMES_ROWS = 4096;
const PAGE_BYTES_MAX = 256 * 1024;
/** Slabs with less than this in use are packed before a message is given up. */
const LOOSE = 0.75;

/** Ids of a page's messages, and which names matched. */
class Plan implements HistoryPage {
  size = 0;
  lastNumber = 0;
  isLast = true;
  isLost = false;
  #ids = new Uint32Array(256);
  #count = 0;
  readonly #messages: Messages;

  constructor(messages: Messages) {
    this.#messages = messages;
  }

  reset(head: number, isLost: boolean): void {
    this.size = 0;
    this.#count = 0;
    this.lastNumber = head;
    this.isLast = true;
    this.isLost = isLost;
  }

  /** Takes a message in; false if it does not fit. */
  add(id: number, bytesMax: number): boolean {
    const size = this.#messages.size(id);
    if (this.#count > 0 && this.size + size > bytesMax) return false;
    if (this.#count === this.#ids.length) this.#ids = grown(this.#ids, 0);
    this.#ids[this.#count++] = id;
    this.size += size;
    return true;
  }

  endAt(number: number): void {
    this.isLast = false;
    this.lastNumber = number;
  }

  copyTo(target: Buffer, at: number): void {
    for (let index = 0; index < this.#count; index++) {
      at += this.#messages.copy(this.#ids[index] ?? 0, target, at);
    }
  }
}

export class History implements HistoryEngine {
  readonly epoch: bigint;
  readonly #now: () => number;
  readonly #bytesMax: number;
  readonly #hasher: NameHasher;
  readonly #messages: Messages;
  readonly #plan: Plan;
  /** Name to row. */
  readonly #rowOf = new HashIndex();
  readonly #rings = new Rings();
  /** Of names without a row, and of patterns. */
  readonly #floors: EvictionWatermarks;
  #head: number;

  // Channels, by row.
  #hi = new Int32Array(64);
  #lo = new Int32Array(64);
  /** Number of the last message that left; 0 while none has. */
  #floor = new Float64Array(64);
  #bytes = new Float64Array(64);
  /** Messages that are there; of a free row the next free one. */
  #live = new Uint32Array(64);
  /** The last page that looked at the row; plus 1 where the row did not belong to it. */
  #mark = new Float64Array(64);
  #rowEnd = 1;
  #freeRow = 0;

  #trimmed = 0;
  #expired = 0;
  #evicted = 0;
  /** The row with the most bytes, as far as is known. */
  #heaviest = 0;
  #sampleAt = 0;
  #sweepAt = 1;
  /** Counts pages by twos, for the marks. */
  #pages = 0;
  #pageAtMs = 0;
  /** Rows of the page that is being made, the place where each stands, and its next number. */
  #pageRows = new Uint32Array(16);
  #pagePlaces = new Uint32Array(16);
  #pageNumbers = new Float64Array(16);

  constructor(options: HistoryOptions) {
    this.epoch = options.epoch;
    this.#now = options.now;
    this.#bytesMax = options.bytesMax ?? HISTORY_BYTES_DEFAULT;
    this.#head = options.head ?? 0;
    this.#hasher = options.hasher ?? new NameHasher();
    this.#floors = new EvictionWatermarks(options.forgottenMax ?? FORGOTTEN_DEFAULT);
    this.#messages = new Messages(options.slabBytes);
    this.#plan = new Plan(this.#messages);
  }

  get head(): number {
    return this.#head;
  }

  get counters(): HistoryCounters {
    const rows = 36 * this.#hi.length + this.#rowOf.memoryBytes + this.#rings.memoryBytes;
    return {
      channels: this.#rowOf.size,
      messages: this.#messages.count,
      bytes: this.#messages.liveBytes,
      memoryBytes: this.#messages.memoryBytes + rows + this.#floors.memoryBytes,
      trimmedTotal: this.#trimmed,
      expiredTotal: this.#expired,
      evictedTotal: this.#evicted,
    };
  }

  append(
    channel: string,
    source: Buffer,
    start: number,
    end: number,
    limits: HistoryLimits | null,
    ttlMs = Infinity,
  ): void {
    const number = ++this.#head;
    const size = end - start;
    if (limits === null || size > limits.bytes) {
      this.#pass(channel, number);
      return;
    }
    this.#makeRoom(size);
    const row = this.#openRow(channel);
    if (row === 0) {
      this.#pass(channel, number);
      return;
    }
    const expiresAtMs = this.#now() + Math.min(limits.ageMs, ttlMs);
    this.#rings.push(row, this.#messages.put(row, number, expiresAtMs, source, start, end));
    this.#live[row] = (this.#live[row] ?? 0) + 1;
    this.#bytes[row] = (this.#bytes[row] ?? 0) + size;
    // The message itself stays: it is the newest, and fits.
    const count = Math.min(limits.count, HISTORY_COUNT_MAX);
    while (this.#rings.span(row) > count || (this.#bytes[row] ?? 0) > limits.bytes) {
      this.#dropOldest(row);
      this.#trimmed++;
    }
    if ((this.#bytes[row] ?? 0) > (this.#bytes[this.#heaviest] ?? 0)) this.#heaviest = row;
  }

  page({ channels, since, bytesMax }: Question): HistoryPage {
    const plan = this.#plan;
    plan.reset(this.#head, false);
    if (since === null) return plan;
    const isOurs = since.epoch === this.epoch;
    if (isOurs && since.number > this.#head) {
      // No cursor of ours: nobody knows what its owner has seen.
      plan.isLost = true;
      return plan;
    }
    // Whoever comes from another epoch has seen nothing of this one.
    const from = isOurs ? Number(since.number) : 0;
    plan.isLost = !isOurs;
    const most = Math.min(bytesMax, PAGE_BYTES_MAX);
    this.#pages += 2;
    this.#pageAtMs = this.#now();
    const rows = this.#collect(channels, from);
    const patterns = channels.filter(isPattern);
    if (patterns.length === 0) this.#merge(rows, from, most);
    else this.#scan(patterns, from, most);
    return plan;
  }

  describe(channel: string): ChannelHistory | null {
    const row = this.#findRow(channel);
    if (row === 0) return null;
    return { messages: this.#live[row] ?? 0, bytes: this.#bytes[row] ?? 0 };
  }

  names(from: number): { readonly names: readonly string[]; readonly next: number | null } {
    const names: string[] = [];
    const end = Math.min(this.#rowEnd, from + NAMES_ROWS);
    for (let row = Math.max(1, from); row < end; row++) {
      if (this.#bytes[row] !== 0) names.push(this.#messages.channel(this.#rings.at(row, 0)));
    }
    return { names, next: end < this.#rowEnd ? end : null };
  }

  sweep(): void {
    const nowMs = this.#now();
    const ids = this.#messages.idEnd - 1;
    for (let left = Math.min(ids, Math.max(SWEEP_MIN, ids / SWEEP_SHARE)); left > 0; left--) {
      if (this.#sweepAt > ids) this.#sweepAt = 1;
      const id = this.#sweepAt++;
      if (!this.#messages.has(id) || this.#messages.expiresAtMs(id) > nowMs) continue;
      const row = this.#messages.row(id);
      this.#leave(id, row);
      this.#tidyRing(row);
      this.#expired++;
    }
    const { slabBytes, liveBytes } = this.#messages;
    if (slabBytes > 2 * liveBytes + this.#bytesMax / 64) this.#messages.compact();
  }

  // ---- Messages that are not kept, and that leave

  /** A message of which nothing is kept. */
  #pass(channel: string, number: number): void {
    const row = this.#findRow(channel);
    if (row === 0) this.#floors.raise(this.#hasher.hi, this.#hasher.lo, number);
    else this.#floor[row] = number;
    this.#raisePatterns(channel, number);
  }

  /** Takes a message out of everything but its ring. */
  #leave(id: number, row: number): void {
    const messages = this.#messages;
    const number = messages.number(id);
    this.#floor[row] = Math.max(number, this.#floor[row] ?? 0);
    if (messages.hasSlash(id)) this.#raisePatterns(messages.channel(id), number);
    this.#bytes[row] = (this.#bytes[row] ?? 0) - messages.size(id);
    this.#live[row] = (this.#live[row] ?? 0) - 1;
    messages.drop(id);
  }

  #dropOldest(row: number): void {
    // The oldest place of a ring is never one whose message is gone.
    this.#leave(this.#rings.at(row, 0), row);
    this.#tidyRing(row);
  }

  /** Takes those that are gone from the ring's old end. A channel with no message is forgotten. */
  #tidyRing(row: number): void {
    while (this.#rings.span(row) > 0) {
      const id = this.#rings.at(row, 0);
      if (this.#messages.has(id)) return;
      this.#rings.shift(row);
      this.#messages.release(id);
    }
    this.#rings.close(row);
    const [hi, lo] = [this.#hi[row] ?? 0, this.#lo[row] ?? 0];
    this.#floors.raise(hi, lo, this.#floor[row] ?? 0);
    this.#rowOf.set(hi, lo, 0);
    this.#live[row] = this.#freeRow;
    this.#freeRow = row;
  }

  /** Notes for every pattern that a channel's name matches that it lost a message. */
  #raisePatterns(channel: string, number: number): void {
    for (let at = channel.indexOf('/'); at !== -1; at = channel.indexOf('/', at + 1)) {
      this.#hasher.hashStart(channel, at + 1);
      // Inverted, so that it is not the channel of that name, which may end in a slash too.
      this.#floors.raise(~this.#hasher.hi, this.#hasher.lo, number);
    }
  }

  #makeRoom(size: number): void {
    const messages = this.#messages;
    while (messages.slabBytesWith(size) > this.#bytesMax) {
      if (messages.liveBytes < LOOSE * messages.slabBytes && messages.compact()) continue;
      // Packing may have made room without giving memory back.
      if (messages.count === 0 || messages.slabBytesWith(size) <= this.#bytesMax) return;
      this.#evict();
    }
  }

  /** Drops the oldest message of a channel far above the average, else the oldest of all. */
  #evict(): void {
    for (let sample = 0; sample < SAMPLES; sample++) {
      this.#sampleAt = (this.#sampleAt + 1) % this.#rowEnd;
      const row = this.#sampleAt;
      if ((this.#bytes[row] ?? 0) > (this.#bytes[this.#heaviest] ?? 0)) this.#heaviest = row;
    }
    const average = this.#messages.liveBytes / this.#rowOf.size;
    const isHeavy = (this.#bytes[this.#heaviest] ?? 0) > 2 * average;
    this.#dropOldest(isHeavy ? this.#heaviest : this.#messages.row(this.#messages.oldest()));
    this.#evicted++;
  }

  // ---- Rows

  /** The row of a channel, 0 if it has none. Afterwards the hasher has the channel's hash. */
  #findRow(channel: string): number {
    this.#hasher.hash(channel);
    const row = this.#rowOf.get(this.#hasher.hi, this.#hasher.lo);
    return row !== 0 && this.#messages.isOf(this.#rings.at(row, 0), channel) ? row : 0;
  }

  /** The row of a channel, made if need be; 0 where another name has the same hash. */
  #openRow(channel: string): number {
    const found = this.#findRow(channel);
    const { hi, lo } = this.#hasher;
    if (found !== 0 || this.#rowOf.get(hi, lo) !== 0) return found;
    const row = this.#takeRow();
    this.#rowOf.set(hi, lo, row);
    this.#rings.open(row);
    this.#hi[row] = hi;
    this.#lo[row] = lo;
    this.#floor[row] = this.#floors.get(hi, lo);
    this.#bytes[row] = 0;
    this.#live[row] = 0;
    return row;
  }

  #takeRow(): number {
    const row = this.#freeRow;
    if (row !== 0) {
      this.#freeRow = this.#live[row] ?? 0;
      return row;
    }
    if (this.#rowEnd === this.#hi.length) {
      this.#hi = grown(this.#hi, 0);
      this.#lo = grown(this.#lo, 0);
      this.#floor = grown(this.#floor, 0);
      this.#bytes = grown(this.#bytes, 0);
      this.#live = grown(this.#live, 0);
      this.#mark = grown(this.#mark, 0);
    }
    return this.#rowEnd++;
  }

  // ---- Pages

  /** Marks the rows of the names, and looks at the floors of all. Returns the number of rows. */
  #collect(channels: readonly string[], from: number): number {
    let rows = 0;
    for (const channel of channels) {
      let floor: number;
      if (isPattern(channel)) {
        this.#hasher.hashStart(channel, channel.length - 1);
        floor = this.#floors.get(~this.#hasher.hi, this.#hasher.lo);
      } else {
        const row = this.#findRow(channel);
        floor =
          row === 0 ? this.#floors.get(this.#hasher.hi, this.#hasher.lo) : (this.#floor[row] ?? 0);
        if (row !== 0 && this.#mark[row] !== this.#pages) {
          this.#mark[row] = this.#pages;
          if (rows === this.#pageRows.length) {
            this.#pageRows = grown(this.#pageRows, 0);
            this.#pagePlaces = grown(this.#pagePlaces, 0);
            this.#pageNumbers = grown(this.#pageNumbers, 0);
          }
          this.#pageRows[rows++] = row;
        }
      }
      if (floor > from) this.#plan.isLost = true;
    }
    return rows;
  }

  /** Takes the messages of the collected rows in the order of their numbers. */
  #merge(rows: number, from: number, bytesMax: number): void {
    for (let index = 0; index < rows; index++) {
      this.#pagePlaces[index] = this.#placeAfter(this.#pageRows[index] ?? 0, from);
      this.#settle(index);
    }
    for (;;) {
      let next = 0;
      for (let index = 1; index < rows; index++) {
        if ((this.#pageNumbers[index] ?? 0) < (this.#pageNumbers[next] ?? 0)) next = index;
      }
      const number = rows === 0 ? Infinity : (this.#pageNumbers[next] ?? 0);
      if (number === Infinity) return;
      const place = this.#pagePlaces[next] ?? 0;
      if (!this.#plan.add(this.#rings.at(this.#pageRows[next] ?? 0, place), bytesMax)) {
        this.#plan.endAt(number - 1);
        return;
      }
      this.#pagePlaces[next] = place + 1;
      this.#settle(next);
    }
  }

  /** Moves a row's place on to a message that is there; notes its number, Infinity at the end. */
  #settle(index: number): void {
    const row = this.#pageRows[index] ?? 0;
    const span = this.#rings.span(row);
    let place = this.#pagePlaces[index] ?? 0;
    for (; place < span; place++) {
      const id = this.#rings.at(row, place);
      if (!this.#messages.has(id)) continue;
      if (!this.#isExpired(id)) {
        this.#pagePlaces[index] = place;
        this.#pageNumbers[index] = this.#messages.number(id);
        return;
      }
    }
    this.#pageNumbers[index] = Infinity;
  }

  /** The first place of a ring with a number above `number`. */
  #placeAfter(row: number, number: number): number {
    let low = 0;
    let high = this.#rings.span(row);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#messages.number(this.#rings.at(row, middle)) > number) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Whether a message is too old for a page, which then says that one is lost. */
  #isExpired(id: number): boolean {
    if (this.#messages.expiresAtMs(id) > this.#pageAtMs) return false;
    this.#plan.isLost = true;
    return true;
  }

  /** Looks at all messages after a number, for patterns and the rows that #collect() marked. */
  #scan(patterns: readonly string[], from: number, bytesMax: number): void {
    const prefixes = patterns.map((pattern) => Buffer.from(pattern.slice(0, -1)));
    const { timeline } = this.#messages;
    const first = timeline.placeAfter(from);
    const end = Math.min(timeline.end, first + SCAN_MAX);
    for (let at = first; at < end; at++) {
      if (!timeline.holds(at)) continue;
      const id = timeline.id(at);
      if (!this.#matches(id, prefixes) || this.#isExpired(id)) continue;
      if (this.#plan.add(id, bytesMax)) continue;
      this.#plan.endAt(timeline.number(at) - 1);
      return;
    }
    if (end < timeline.end) this.#plan.endAt(timeline.number(end) - 1);
  }

  /** Whether a message's channel belongs to the page; remembered, an odd mark being a no. */
  #matches(id: number, prefixes: readonly Buffer[]): boolean {
    const row = this.#messages.row(id);
    const mark = this.#mark[row] ?? 0;
    if (mark >= this.#pages) return mark === this.#pages;
    const isMatch = prefixes.some((prefix) => this.#messages.isUnder(id, prefix));
    this.#mark[row] = isMatch ? this.#pages : this.#pages + 1;
    return isMatch;
  }
}
