// Whether workers and the supervision are healthy, from the ages of their heartbeats. Pure: times
// are arguments, in milliseconds.

/** A worker writes a heartbeat at least once a second; after three without one it is late. */
export const LATE_MS = 3000;

/** Period of the supervision. */
export const SUPERVISION_MS = 1000;

/**
 * State of a ready worker: `late` gets no new connections, `hung` is killed and replaced.
 */
export type HealthState = 'hung' | 'late' | 'serving';

export class HealthCheck {
  readonly #heartbeatLimitMs: number;
  #checkedAtMs: number;
  /** Until then no worker counts as hung. */
  #graceUntilMs = -Infinity;

  constructor(heartbeatLimitMs: number, nowMs: number) {
    this.#heartbeatLimitMs = heartbeatLimitMs;
    this.#checkedAtMs = nowMs;
  }

  /**
   * Begins one round of checks.
   *
   * If the manager itself was paused (SIGSTOP, a suspended machine, a blocked loop), the workers
   * may have been paused with it. They get one full heartbeat limit to write a new heartbeat.
   */
  begin(nowMs: number): void {
    if (nowMs - this.#checkedAtMs > LATE_MS) this.#graceUntilMs = nowMs + this.#heartbeatLimitMs;
    this.#checkedAtMs = nowMs;
  }

  /** State of a worker whose last heartbeat is `heartbeatAgeMs` old. */
  stateOf(heartbeatAgeMs: number, nowMs: number): HealthState {
    if (heartbeatAgeMs < LATE_MS) return 'serving';
    const mayBeHung = nowMs >= this.#graceUntilMs;
    return mayBeHung && heartbeatAgeMs >= this.#heartbeatLimitMs ? 'hung' : 'late';
  }

  /** Supervision periods since the last round of checks; below 1 while the manager's loop runs. */
  periodsUnsupervised(nowMs: number): number {
    return (nowMs - this.#checkedAtMs) / SUPERVISION_MS;
  }

  /** Heartbeat limits since the earliest of these times; 0 without one. */
  limitsHung(sinceMs: readonly number[], nowMs: number): number {
    return Math.max(0, ...sinceMs.map((time) => nowMs - time)) / this.#heartbeatLimitMs;
  }
}
