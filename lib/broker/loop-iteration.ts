// One iteration of the manager's event loop, as the parts of the broker share it: the clock is read
// once, and one flush runs at the end.
import { MegacometError } from '../base/errors.js';

export interface LoopIterationParts {
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Runs a function at the end of the present iteration. */
  readonly schedule: (run: () => void) => void;
  /** Sends the frames that the iteration queued. */
  readonly onEnd: () => void;
}

export class LoopIteration {
  readonly #now: () => number;
  readonly #schedule: (run: () => void) => void;
  readonly #onEnd: () => void;
  readonly #end = (): void => {
    this.#isScheduled = false;
    this.readClock();
    this.#onEnd();
  };
  #nowMs: number;
  #isScheduled = false;
  #isClosed = false;

  constructor({ now, schedule, onEnd }: LoopIterationParts) {
    this.#now = now;
    this.#schedule = schedule;
    this.#onEnd = onEnd;
    this.#nowMs = now();
  }

  /** The clock as it was last read. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** @throws MegacometError `ERR_NOT_RUNNING` after close(). */
  checkOpen(): void {
    if (!this.#isClosed) return;
    throw new MegacometError('ERR_NOT_RUNNING', 'the server is not running: it is closed');
  }

  readClock(): void {
    this.#nowMs = this.#now();
  }

  /** Reads the clock for the first publish of an iteration; later publishes share its time. */
  begin(): void {
    if (!this.#isScheduled) this.readClock();
  }

  /** Makes sure that a flush runs at the end of this iteration. */
  scheduleFlush(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    this.#schedule(this.#end);
  }

  /** Flushes at once, and schedules no flush afterwards. */
  close(): void {
    this.#end();
    this.#isClosed = true;
  }
}
