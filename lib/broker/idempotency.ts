// Idempotency keys: a message that is sent twice with the same key is published once.
// Bounded in time and number: a Map from key to count, and rings indexed by the count.

/** The outcome of the first publish with a key. */
export interface FirstPublish {
  readonly number: number;
  readonly delivered: number;
}

export const KEYS_MAX = 100_000;
export const KEY_AGE_MS = 300_000;
/** Keys that one sweep forgets at most. */
const SWEEP_KEYS = 10_000;

export class Idempotency {
  readonly #keysMax: number;
  readonly #ageMs: number;
  /** Key to its count. The rings know the oldest key, because a Map finds its own slowly. */
  readonly #countOf = new Map<string, number>();
  // Rings, by count.
  readonly #key: string[] = [];
  readonly #atMs: Float64Array;
  readonly #number: Float64Array;
  readonly #delivered: Uint32Array;
  /** Count of the oldest key, and of the next. */
  #first = 0;
  #next = 0;
  #evicted = 0;

  constructor(keysMax = KEYS_MAX, ageMs = KEY_AGE_MS) {
    this.#keysMax = keysMax;
    this.#ageMs = ageMs;
    this.#atMs = new Float64Array(keysMax);
    this.#number = new Float64Array(keysMax);
    this.#delivered = new Uint32Array(keysMax);
  }

  get size(): number {
    return this.#countOf.size;
  }

  /** Keys forgotten before their time, because there were too many. */
  get evicted(): number {
    return this.#evicted;
  }

  /** The first publish with this key of this channel; null if there was none. */
  find(channel: string, key: string, nowMs: number): FirstPublish | null {
    const count = this.#countOf.get(join(channel, key));
    if (count === undefined || this.#isOver(count, nowMs)) return null;
    const at = count % this.#keysMax;
    return { number: this.#number[at] ?? 0, delivered: this.#delivered[at] ?? 0 };
  }

  add(channel: string, key: string, nowMs: number, first: FirstPublish): void {
    if (this.#next - this.#first === this.#keysMax) {
      if (!this.#isOver(this.#first, nowMs)) this.#evicted++;
      this.#dropOldest();
    }
    const joined = join(channel, key);
    const at = this.#next % this.#keysMax;
    this.#countOf.set(joined, this.#next++);
    this.#key[at] = joined;
    this.#atMs[at] = nowMs;
    this.#number[at] = first.number;
    this.#delivered[at] = first.delivered;
  }

  /** Forgets some of the keys that are too old. */
  sweep(nowMs: number): void {
    for (let left = SWEEP_KEYS; left > 0 && this.#first < this.#next; left--) {
      if (!this.#isOver(this.#first, nowMs)) return;
      this.#dropOldest();
    }
  }

  #isOver(count: number, nowMs: number): boolean {
    return (this.#atMs[count % this.#keysMax] ?? 0) + this.#ageMs <= nowMs;
  }

  #dropOldest(): void {
    const at = this.#first % this.#keysMax;
    const key = this.#key[at] ?? '';
    this.#key[at] = '';
    // The same key may have been added again, with a later count.
    if (this.#countOf.get(key) === this.#first) this.#countOf.delete(key);
    this.#first++;
  }
}

/** A channel's name has no NUL, so two pairs never join to the same text. */
function join(channel: string, key: string): string {
  return `${channel}\0${key}`;
}
