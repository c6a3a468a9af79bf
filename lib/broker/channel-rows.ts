// The channels that have messages: one row each, in parallel typed arrays, found by the hash of the
// name. A row is at least 1; 0 means that the channel has no row.
import { HashIndex } from '../collections/hash-index.js';
import type { NameHasher } from '../collections/name-hash.js';
import { grown } from '../collections/typed-array.js';
import type { EvictionWatermarks } from './eviction-watermarks.js';

const ROWS_MIN = 64;
const ROW_BYTES = 28;
/** Rows that heaviest() compares with the heaviest row known. */
const SAMPLES = 4;

export interface ChannelRowsParts {
  readonly hasher: NameHasher;
  /** Watermarks of the channels without a row. */
  readonly watermarks: EvictionWatermarks;
  /** Whether a row belongs to a channel: two names may have the same hash. */
  readonly isOf: (row: number, channel: string) => boolean;
}

export class ChannelRows {
  readonly #hasher: NameHasher;
  readonly #watermarks: EvictionWatermarks;
  readonly #isOf: (row: number, channel: string) => boolean;
  readonly #rowOf = new HashIndex();
  #hi = new Int32Array(ROWS_MIN);
  #lo = new Int32Array(ROWS_MIN);
  /** Number of the last message that the channel lost; 0 if it lost none. */
  #watermark = new Float64Array(ROWS_MIN);
  #bytes = new Float64Array(ROWS_MIN);
  /** Messages of the channel; of a free row the next free row. */
  #messages = new Uint32Array(ROWS_MIN);
  #end = 1;
  #free = 0;
  /** The row with the most bytes, as far as is known. */
  #heaviest = 0;
  #sampleAt = 0;

  constructor({ hasher, watermarks, isOf }: ChannelRowsParts) {
    this.#hasher = hasher;
    this.#watermarks = watermarks;
    this.#isOf = isOf;
  }

  /** Channels that have a row. */
  get size(): number {
    return this.#rowOf.size;
  }

  /** The upper bound of the rows, exclusive. */
  get end(): number {
    return this.#end;
  }

  get memoryBytes(): number {
    return ROW_BYTES * this.#hi.length + this.#rowOf.memoryBytes;
  }

  messages(row: number): number {
    return this.#messages[row] ?? 0;
  }

  bytes(row: number): number {
    return this.#bytes[row] ?? 0;
  }

  /** The row of a channel; 0 if it has none. */
  find(channel: string): number {
    this.#hasher.hash(channel);
    const row = this.#rowOf.get(this.#hasher.hi, this.#hasher.lo);
    return row !== 0 && this.#isOf(row, channel) ? row : 0;
  }

  /** Opens the row of a channel that has none; 0 if another channel with the same hash has one. */
  open(channel: string): number {
    this.#hasher.hash(channel);
    const { hi, lo } = this.#hasher;
    if (this.#rowOf.get(hi, lo) !== 0) return 0;
    const row = this.#takeRow();
    this.#rowOf.set(hi, lo, row);
    this.#hi[row] = hi;
    this.#lo[row] = lo;
    this.#watermark[row] = this.#watermarks.get(hi, lo);
    this.#bytes[row] = 0;
    this.#messages[row] = 0;
    return row;
  }

  /** Closes a row without messages. Its watermark moves to the table of channels without a row. */
  close(row: number): void {
    const [hi, lo] = [this.#hi[row] ?? 0, this.#lo[row] ?? 0];
    this.#watermarks.raise(hi, lo, this.#watermark[row] ?? 0);
    this.#rowOf.set(hi, lo, 0);
    this.#messages[row] = this.#free;
    this.#free = row;
  }

  /** Counts a new message. */
  added(row: number, size: number): void {
    this.#messages[row] = this.messages(row) + 1;
    this.#bytes[row] = this.bytes(row) + size;
  }

  /** Subtracts a message that the channel lost. */
  dropped(row: number, size: number, number: number): void {
    this.#messages[row] = this.messages(row) - 1;
    this.#bytes[row] = this.bytes(row) - size;
    this.#watermark[row] = Math.max(number, this.#watermark[row] ?? 0);
  }

  /** The highest number that a channel may have lost; `row` is the answer of find(). */
  watermark(channel: string, row: number): number {
    if (row !== 0) return this.#watermark[row] ?? 0;
    this.#hasher.hash(channel);
    return this.#watermarks.get(this.#hasher.hi, this.#hasher.lo);
  }

  /** Notes that a channel lost the newest message. */
  raise(channel: string, number: number): void {
    const row = this.find(channel);
    if (row === 0) this.#watermarks.raise(this.#hasher.hi, this.#hasher.lo, number);
    else this.#watermark[row] = number;
  }

  /** Remembers a row if it has more bytes than the heaviest row known. */
  noteWeight(row: number): void {
    if (this.bytes(row) > this.bytes(this.#heaviest)) this.#heaviest = row;
  }

  /** The row with the most bytes, as far as is known: each call compares some more rows. */
  heaviest(): number {
    for (let sample = 0; sample < SAMPLES; sample++) {
      this.#sampleAt = (this.#sampleAt + 1) % this.#end;
      this.noteWeight(this.#sampleAt);
    }
    return this.#heaviest;
  }

  #takeRow(): number {
    const row = this.#free;
    if (row !== 0) {
      this.#free = this.messages(row);
      return row;
    }
    if (this.#end === this.#hi.length) {
      this.#hi = grown(this.#hi, 0);
      this.#lo = grown(this.#lo, 0);
      this.#watermark = grown(this.#watermark, 0);
      this.#bytes = grown(this.#bytes, 0);
      this.#messages = grown(this.#messages, 0);
    }
    return this.#end++;
  }
}
