// The messages of a history by channel (a ring each) and by number (the timeline).
// A message is a small integer, its id, which is reused after the message was released.
import { BlockPool } from '../collections/block-pool.js';
import { grown } from '../collections/typed-array.js';

/** The ring of a new channel has two entries. */
const CLASS_MIN = 1;
/** A ring of up to 16 entries keeps its size when it empties. */
const CLASS_KEPT = 4;

/** Rings of ids, one per row, in blocks that grow by doubling. */
export class Rings {
  readonly #pool = new BlockPool();
  #class = new Uint8Array(64);
  #block = new Uint32Array(64);
  #first = new Uint32Array(64);
  #span = new Uint32Array(64);

  get memoryBytes(): number {
    return this.#pool.memoryBytes + 13 * this.#span.length;
  }

  /** Opens the empty ring of a row. */
  open(row: number): void {
    if (row >= this.#span.length) {
      this.#class = grown(this.#class, row + 1);
      this.#block = grown(this.#block, row + 1);
      this.#first = grown(this.#first, row + 1);
      this.#span = grown(this.#span, row + 1);
    }
    this.#class[row] = CLASS_MIN;
    this.#block[row] = this.#pool.take(CLASS_MIN);
    this.#first[row] = 0;
    this.#span[row] = 0;
  }

  close(row: number): void {
    this.#pool.give(this.#class[row] ?? 0, this.#block[row] ?? 0);
  }

  /** Entries in use. */
  span(row: number): number {
    return this.#span[row] ?? 0;
  }

  /** The id at a position, counted from the oldest. */
  at(row: number, position: number): number {
    const sizeClass = this.#class[row] ?? 0;
    const block = this.#block[row] ?? 0;
    const offset = ((this.#first[row] ?? 0) + position) & ((1 << sizeClass) - 1);
    return this.#pool.chunk(sizeClass, block)[this.#pool.start(sizeClass, block) + offset] ?? 0;
  }

  /** Adds an id as the newest; a ring has at most 16,384. */
  push(row: number, id: number): void {
    const span = this.#span[row] ?? 0;
    if (span === 1 << (this.#class[row] ?? 0)) this.#resize(row, (this.#class[row] ?? 0) + 1);
    const sizeClass = this.#class[row] ?? 0;
    const block = this.#block[row] ?? 0;
    const offset = ((this.#first[row] ?? 0) + span) & ((1 << sizeClass) - 1);
    this.#pool.chunk(sizeClass, block)[this.#pool.start(sizeClass, block) + offset] = id;
    this.#span[row] = span + 1;
  }

  /** Removes the oldest. */
  shift(row: number): void {
    this.#first[row] = (this.#first[row] ?? 0) + 1;
    this.#span[row] = this.span(row) - 1;
    const sizeClass = this.#class[row] ?? 0;
    if (sizeClass > CLASS_KEPT && this.span(row) <= 1 << (sizeClass - 2)) {
      this.#resize(row, sizeClass - 1);
    }
  }

  #resize(row: number, sizeClass: number): void {
    const span = this.span(row);
    const block = this.#pool.take(sizeClass);
    const chunk = this.#pool.chunk(sizeClass, block);
    const start = this.#pool.start(sizeClass, block);
    for (let position = 0; position < span; position++) {
      chunk[start + position] = this.at(row, position);
    }
    this.close(row);
    this.#class[row] = sizeClass;
    this.#block[row] = block;
    this.#first[row] = 0;
  }
}

/** Ids of all messages in the order of their numbers. Numbers only grow. */
export class Timeline {
  #ids = new Uint32Array(256);
  #numbers = new Float64Array(256);
  #first = 0;
  #end = 0;
  /** Whether an id still is the message of a number. */
  readonly #isKept: (id: number, number: number) => boolean;

  constructor(isKept: (id: number, number: number) => boolean) {
    this.#isKept = isKept;
  }

  get memoryBytes(): number {
    return 12 * this.#ids.length;
  }

  get end(): number {
    return this.#end;
  }

  id(at: number): number {
    return this.#ids[at] ?? 0;
  }

  number(at: number): number {
    return this.#numbers[at] ?? 0;
  }

  /** Whether the message at a position is still kept. */
  holds(at: number): boolean {
    return this.#isKept(this.id(at), this.number(at));
  }

  push(id: number, number: number): void {
    if (this.#end === this.#ids.length) this.#compact();
    this.#ids[this.#end] = id;
    this.#numbers[this.#end] = number;
    this.#end++;
  }

  /** The oldest message that is still kept; 0 if there is none. */
  oldest(): number {
    while (this.#first < this.#end && !this.holds(this.#first)) this.#first++;
    return this.#first < this.#end ? this.id(this.#first) : 0;
  }

  /** The first position with a number above `number`; `end` if there is none. */
  positionAfter(number: number): number {
    let low = this.#first;
    let high = this.#end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.number(middle) > number) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Moves the kept messages to the start, and doubles the arrays if they fill more than half. */
  #compact(): void {
    let to = 0;
    for (let at = this.#first; at < this.#end; at++) {
      if (!this.holds(at)) continue;
      this.#ids[to] = this.id(at);
      this.#numbers[to] = this.number(at);
      to++;
    }
    this.#first = 0;
    this.#end = to;
    if (to <= this.#ids.length / 2) return;
    this.#ids = grown(this.#ids, 0);
    this.#numbers = grown(this.#numbers, 0);
  }
}
