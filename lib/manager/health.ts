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

/** A worker that was found hung and whose process still exists. */
export interface HungWorker {
  readonly hungAtMs: number;
  /** Whether the kernel holds it (state D), so that no signal can end it. */
  readonly isHeld: boolean;
}

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

  /**
   * Heartbeat limits for which the oldest hung worker has resisted its replacement; 0 without one.
   * A worker that the kernel holds does not count: another manager could not end it either.
   */
  limitsHung(workers: readonly HungWorker[], nowMs: number): number {
    const ages = workers.filter(({ isHeld }) => !isHeld).map(({ hungAtMs }) => nowMs - hungAtMs);
    return Math.max(0, ...ages) / this.#heartbeatLimitMs;
  }
}
