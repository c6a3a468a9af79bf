// The workers' control streams as the parts of the broker use them: frames are queued, and leave
// together at the end of the loop iteration.
import type { Outgoing, WorkerLines } from '../ipc/outgoing.js';
import type { LoopIteration } from './loop-iteration.js';

/** A worker with more queued bytes than this gets no further replay page or mailbox message. */
const QUEUED_BYTES_MAX = 1024 * 1024;

export class QueuedLines implements WorkerLines {
  readonly #outgoing: Outgoing;
  readonly #iteration: LoopIteration;

  constructor(outgoing: Outgoing, iteration: LoopIteration) {
    this.#outgoing = outgoing;
    this.#iteration = iteration;
  }

  hasRoom(slot: number, queuedBytesMax = QUEUED_BYTES_MAX): boolean {
    return this.#outgoing.queuedBytes(slot) < queuedBytesMax;
  }

  send(frame: Buffer, slots: readonly number[]): void {
    const start = this.#outgoing.room(frame.length);
    const end = start + frame.length;
    frame.copy(this.#outgoing.chunk, start);
    this.#outgoing.keep(end);
    for (const slot of slots) this.#outgoing.add(slot, start, end);
    this.#iteration.scheduleFlush();
  }
}
