// The history in memory: the one sequence of messages, and the latest messages of each channel.
// A message is the bytes of its Publish frame. The history decodes nothing and does not know the workers.
import { HISTORY_COUNT_MAX } from '../base/message-limits.js';
import { NameHasher } from '../collections/name-hash.js';
import { ChannelRows } from './channel-rows.js';
import { EvictionWatermarks, PatternWatermarks } from './eviction-watermarks.js';
import type {
  ChannelHistory,
  HistoryEngine,
  HistoryPage,
  HistoryRange,
  HistoryUsage,
} from './history-engine.js';
import type { HistoryLimits } from './history-limits.js';
import { Rings } from './message-index.js';
import { Messages } from './messages.js';
import { PageBuilder } from './page-builder.js';

export interface HistoryOptions {
  readonly epoch: bigint;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Memory for messages, in slabs of `slabBytes`; at least four slabs. */
  readonly bytesMax: number;
  readonly slabBytes?: number;
  /** Channels without history that keep an eviction watermark of their own. */
  readonly watermarksMax?: number;
  /** The number before the first. */
  readonly head?: number;
  readonly hasher?: NameHasher;
  /** Other servers give the same numbers, and may be ahead of this one. Default false. */
  readonly isShared?: boolean;
}

const WATERMARKS_DEFAULT = 786_432;
/** Messages that one sweep looks at: 256 sweeps see all of them, and each takes below 1 ms. */
const SWEEP_SHARE = 256;
const SWEEP_MIN = 1024;
/** Rows that one call of names() reads. */
const NAMES_ROWS = 4096;
/** Slabs with a smaller share in use are compacted before a message is evicted. */
const LOOSE = 0.75;

export class History implements HistoryEngine {
  #epoch: bigint;
  readonly #now: () => number;
  readonly #bytesMax: number;
  readonly #messages: Messages;
  readonly #rings = new Rings();
  readonly #watermarks: EvictionWatermarks;
  readonly #patterns: PatternWatermarks;
  readonly #rows: ChannelRows;
  readonly #pages: PageBuilder;
  readonly #isShared: boolean;
  #head: number;
  /** Numbers up to this may be missing in every channel. */
  #lostTo = 0;
  #trimmed = 0;
  #expired = 0;
  #evicted = 0;
  #sweepAt = 1;

  constructor(options: HistoryOptions) {
    this.#epoch = options.epoch;
    this.#now = options.now;
    this.#bytesMax = options.bytesMax;
    this.#head = options.head ?? 0;
    this.#isShared = options.isShared ?? false;
    const hasher = options.hasher ?? new NameHasher();
    const messages = new Messages(options.slabBytes);
    const rings = this.#rings;
    const watermarks = new EvictionWatermarks(options.watermarksMax ?? WATERMARKS_DEFAULT);
    const patterns = new PatternWatermarks(hasher, watermarks);
    const isOf = (row: number, channel: string): boolean =>
      messages.isOf(rings.at(row, 0), channel);
    const rows = new ChannelRows({ hasher, watermarks, isOf });
    this.#messages = messages;
    this.#watermarks = watermarks;
    this.#patterns = patterns;
    this.#rows = rows;
    this.#pages = new PageBuilder({ messages, rings, rows, patterns });
  }

  get epoch(): bigint {
    return this.#epoch;
  }

  get head(): number {
    return this.#head;
  }

  get usage(): HistoryUsage {
    const parts = [this.#messages, this.#rows, this.#rings, this.#watermarks, this.#pages];
    return {
      channels: this.#rows.size,
      messages: this.#messages.count,
      bytes: this.#messages.liveBytes,
      memoryBytes: parts.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
      trimmed: this.#trimmed,
      expired: this.#expired,
      evicted: this.#evicted,
    };
  }

  append(
    number: number,
    atMs: number,
    channel: string,
    source: Buffer,
    start: number,
    end: number,
    limits: HistoryLimits | null,
    ttlMs = Infinity,
  ): void {
    this.#head = number;
    const size = end - start;
    const row = limits === null || size > limits.bytes ? 0 : this.#rowFor(channel, size);
    if (limits === null || row === 0) {
      this.#rows.raise(channel, number);
      this.#patterns.raise(channel, number);
      return;
    }
    const expiresAtMs = atMs + Math.min(limits.ageMs, ttlMs);
    this.#rings.push(row, this.#messages.put(row, number, expiresAtMs, source, start, end));
    this.#rows.added(row, size);
    // The message itself stays: it is the newest, and fits.
    const count = Math.min(limits.count, HISTORY_COUNT_MAX);
    while (this.#rings.span(row) > count || this.#rows.bytes(row) > limits.bytes) {
      this.#dropOldest(row);
      this.#trimmed++;
    }
    this.#rows.noteWeight(row);
  }

  skip(number: number): void {
    this.#head = number;
  }

  beginEpoch(epoch: bigint): void {
    this.#epoch = epoch;
  }

  lose(number: number): void {
    this.#lostTo = Math.max(this.#lostTo, number);
    this.#head = Math.max(this.#head, number);
  }

  page({ channels, since, bytesMax }: HistoryRange): HistoryPage {
    if (since === null) return this.#pages.empty(this.#head, false);
    const isOurs = since.epoch === this.#epoch;
    if (isOurs && since.number > this.#head) return this.#pageAbove(since.number);
    // A client with a cursor of another epoch has received nothing of this one.
    const after = isOurs ? Number(since.number) : 0;
    return this.#pages.build(
      { channels, after, bytesMax, nowMs: this.#now() },
      this.#head,
      !isOurs || after < this.#lostTo,
    );
  }

  /** The answer to a client whose cursor is above the present number. */
  #pageAbove(number: bigint): HistoryPage {
    const isAhead = this.#isShared && number <= BigInt(Number.MAX_SAFE_INTEGER);
    // Another server, which has applied more of the log, gave it: this one delivers the messages after it.
    if (isAhead) return this.#pages.empty(Number(number), false);
    // The messages that this client has received are unknown.
    return this.#pages.empty(this.#head, true);
  }

  describe(channel: string): ChannelHistory | null {
    const row = this.#rows.find(channel);
    if (row === 0) return null;
    return { messages: this.#rows.messages(row), bytes: this.#rows.bytes(row) };
  }

  names(from: number): { readonly names: readonly string[]; readonly next: number | null } {
    const names: string[] = [];
    const end = Math.min(this.#rows.end, from + NAMES_ROWS);
    for (let row = Math.max(1, from); row < end; row++) {
      if (this.#rows.bytes(row) !== 0) names.push(this.#messages.channel(this.#rings.at(row, 0)));
    }
    return { names, next: end < this.#rows.end ? end : null };
  }

  sweep(): void {
    const nowMs = this.#now();
    const ids = this.#messages.idEnd - 1;
    for (let left = Math.min(ids, Math.max(SWEEP_MIN, ids / SWEEP_SHARE)); left > 0; left--) {
      if (this.#sweepAt > ids) this.#sweepAt = 1;
      const id = this.#sweepAt++;
      if (!this.#messages.has(id) || this.#messages.expiresAtMs(id) > nowMs) continue;
      const row = this.#messages.row(id);
      this.#drop(id, row);
      this.#trimRing(row);
      this.#expired++;
    }
    const { slabBytes, liveBytes } = this.#messages;
    if (slabBytes > 2 * liveBytes + this.#bytesMax / 64) this.#messages.compact();
  }

  /** The row for a message of `size` bytes; 0 if a channel with the same hash has the row. */
  #rowFor(channel: string, size: number): number {
    this.#makeRoom(size);
    const found = this.#rows.find(channel);
    if (found !== 0) return found;
    const row = this.#rows.open(channel);
    if (row !== 0) this.#rings.open(row);
    return row;
  }

  /** Drops a message from everything but its ring. */
  #drop(id: number, row: number): void {
    const messages = this.#messages;
    const number = messages.number(id);
    this.#rows.dropped(row, messages.size(id), number);
    if (messages.hasSlash(id)) this.#patterns.raise(messages.channel(id), number);
    messages.drop(id);
  }

  #dropOldest(row: number): void {
    // The oldest entry of a ring is never a dropped message.
    this.#drop(this.#rings.at(row, 0), row);
    this.#trimRing(row);
  }

  /** Removes dropped messages from a ring's old end. A channel without messages loses its row. */
  #trimRing(row: number): void {
    while (this.#rings.span(row) > 0) {
      const id = this.#rings.at(row, 0);
      if (this.#messages.has(id)) return;
      this.#rings.shift(row);
      this.#messages.release(id);
    }
    this.#rings.close(row);
    this.#rows.close(row);
  }

  #makeRoom(size: number): void {
    const messages = this.#messages;
    while (messages.slabBytesWith(size) > this.#bytesMax) {
      if (messages.liveBytes < LOOSE * messages.slabBytes && messages.compact()) continue;
      // Compacting may have made room without giving memory back.
      if (messages.count === 0 || messages.slabBytesWith(size) <= this.#bytesMax) return;
      this.#evict();
    }
  }

  /** Drops the oldest message of a channel far above the average, else the oldest of all. */
  #evict(): void {
    const heaviest = this.#rows.heaviest();
    const average = this.#messages.liveBytes / this.#rows.size;
    const isHeavy = this.#rows.bytes(heaviest) > 2 * average;
    this.#dropOldest(isHeavy ? heaviest : this.#messages.row(this.#messages.oldest()));
    this.#evicted++;
  }
}
