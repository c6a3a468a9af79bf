// The clock of a log, as one node knows it between two entries: it runs with the monotonic clock of
// this process, and an entry with a later time sets it forward. It never decreases.

export class LogClock {
  readonly #now: () => number;
  #offsetMs = 0;

  /** @param now - Milliseconds of a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Milliseconds since 1970, or of the monotonic clock before the log was opened. */
  get nowMs(): number {
    return this.#now() + this.#offsetMs;
  }

  /** Learns that the log's clock is at least at this time. */
  observe(atMs: number): void {
    const aheadMs = atMs - this.nowMs;
    if (aheadMs > 0) this.#offsetMs += aheadMs;
  }
}
