// How many messages each token may publish per second, with bursts of one second. The table is bounded:
// a token whose second is over needs no row.
import { MegacometError } from '../base/errors.js';

/** Tokens that publish within one second. The one that published first gives way. */
export const TOKENS_MAX = 65_536;
const SECOND_MS = 1000;

/** The messages of a token exceed its rate; a later try may succeed. */
export class TooFast extends MegacometError {
  constructor(rate: number) {
    const rule = `at most ${rate} a second are allowed`;
    super('ERR_BUSY', `too many messages of this token: ${rule}; retry later`);
  }
}

export class TokenRates {
  readonly #rate: number;
  readonly #now: () => number;
  /** The time at which each token has all of its rate again, in the order of their last messages. */
  readonly #freeAtMs = new Map<number | string, number>();

  /** @param rate - Messages per second; 0 for no limit. */
  constructor(rate: number, now: () => number = performance.now.bind(performance)) {
    this.#rate = rate;
    this.#now = now;
  }

  get size(): number {
    return this.#freeAtMs.size;
  }

  /**
   * Counts messages of a token. More than one are allowed if one is, and the next ones wait longer.
   *
   * @throws TooFast
   */
  take(token: number | string, count = 1): void {
    if (this.#rate === 0) return;
    const nowMs = this.#now();
    const oneMs = SECOND_MS / this.#rate;
    const beginMs = Math.max(this.#freeAtMs.get(token) ?? 0, nowMs);
    if (beginMs + oneMs > nowMs + Math.max(SECOND_MS, oneMs)) throw new TooFast(this.#rate);
    // The last one of the map again.
    this.#freeAtMs.delete(token);
    this.#freeAtMs.set(token, beginMs + count * oneMs);
    this.#trim(nowMs);
  }

  #trim(nowMs: number): void {
    for (const [token, freeAtMs] of this.#freeAtMs) {
      if (freeAtMs > nowMs && this.#freeAtMs.size <= TOKENS_MAX) return;
      this.#freeAtMs.delete(token);
    }
  }
}
