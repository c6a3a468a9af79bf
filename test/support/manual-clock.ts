// A clock that only a test advances.
import type { Clock, Timer } from '../../lib/base/clock.js';

interface Entry {
  atMs: number;
  readonly periodMs: number | null;
  readonly action: () => void;
}

export class ManualClock implements Clock {
  #nowMs: number;
  readonly #entries = new Set<Entry>();

  constructor(nowMs = 0) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  after(ms: number, action: () => void): Timer {
    return this.#add({ atMs: this.#nowMs + ms, periodMs: null, action });
  }

  every(ms: number, action: () => void): Timer {
    return this.#add({ atMs: this.#nowMs + ms, periodMs: ms, action });
  }

  /** Timers that have not fired and were not cancelled. */
  get pending(): number {
    return this.#entries.size;
  }

  /** Advances the clock and runs the due timers in order of time. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#entries].filter(({ atMs }) => atMs <= untilMs);
      const [next] = due.sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      if (next.periodMs === null) this.#entries.delete(next);
      else next.atMs += next.periodMs;
      next.action();
    }
    this.#nowMs = untilMs;
  }

  /** Advances the clock without running a timer, as while a process is stopped. */
  jump(ms: number): void {
    this.#nowMs += ms;
    for (const entry of this.#entries) entry.atMs = Math.max(entry.atMs, this.#nowMs);
  }

  #add(entry: Entry): Timer {
    this.#entries.add(entry);
    return {
      cancel: () => {
        this.#entries.delete(entry);
      },
      unref: () => undefined,
    };
  }
}
