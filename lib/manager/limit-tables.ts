// The tables in which the workers count connections by address and user. The connections of a worker
// that died stay counted there, so the others count again in the second set of tables.
import type { Clock, Timer } from '../base/clock.js';

/** Several workers may die at once. */
const DELAY_MS = 1000;
/** The first set is in use until every worker has read that it counts in the second one. */
const INTERVAL_MS = 15_000;

/** What counting again needs. */
export interface LimitTablePorts {
  readonly clock: Clock;
  /** Makes a set zero. */
  clear(set: number): void;
  /** Tells all workers to count in this set from now on. */
  recount(set: number): void;
}

export class LimitTables {
  readonly #ports: LimitTablePorts;
  #current = 0;
  #recountedAtMs = -INTERVAL_MS;
  #timer: Timer | undefined;

  constructor(ports: LimitTablePorts) {
    this.#ports = ports;
  }

  /** The set in use, for a worker that starts. */
  get current(): number {
    return this.#current;
  }

  /** A worker has died. */
  workerGone(): void {
    if (this.#timer !== undefined) return;
    const { clock } = this.#ports;
    const waitMs = Math.max(DELAY_MS, this.#recountedAtMs + INTERVAL_MS - clock.nowMs());
    this.#timer = clock.after(waitMs, () => {
      this.#recount();
    });
  }

  close(): void {
    this.#timer?.cancel();
  }

  #recount(): void {
    this.#timer = undefined;
    this.#recountedAtMs = this.#ports.clock.nowMs();
    this.#current = 1 - this.#current;
    this.#ports.clear(this.#current);
    this.#ports.recount(this.#current);
  }
}
