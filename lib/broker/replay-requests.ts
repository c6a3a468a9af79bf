// Who waits for a page of missed messages: a queue per worker, and turns among them.
import type { Frames } from '../ipc/frames.js';

export type ReplayRequest = Frames['ReplayRequest'];

/** Pages that one worker gets before the next has its turn. */
const GO = 64;
/** A worker has at most 256 questions open; one with so many does not keep to the protocol. */
const OPEN_MAX = 1024;

class Queue {
  #asks: ReplayRequest[] = [];
  #first = 0;

  get length(): number {
    return this.#asks.length - this.#first;
  }

  push(ask: ReplayRequest): void {
    this.#asks.push(ask);
  }

  next(): ReplayRequest | undefined {
    const ask = this.#asks[this.#first++];
    if (this.#first < this.#asks.length) return ask;
    this.#asks = [];
    this.#first = 0;
    return ask;
  }
}

export class Questions {
  readonly #queues = new Map<number, Queue>();
  /** Slots with questions: those whose turn comes, and those that have too much on the way. */
  readonly #waiting = new Set<number>();
  readonly #blocked = new Set<number>();

  /** Questions without an answer. */
  get length(): number {
    return [...this.#queues.values()].reduce((sum, queue) => sum + queue.length, 0);
  }

  /** True while a worker waits that has too much on the way. */
  get isBlocked(): boolean {
    return this.#blocked.size > 0;
  }

  /** Takes a question in; false when the worker has asked far too many. */
  add(slot: number, ask: ReplayRequest): boolean {
    let queue = this.#queues.get(slot);
    if (queue === undefined) this.#queues.set(slot, (queue = new Queue()));
    if (queue.length >= OPEN_MAX) return false;
    queue.push(ask);
    this.#waiting.add(slot);
    return true;
  }

  drop(slot: number): void {
    this.#queues.delete(slot);
    this.#blocked.delete(slot);
  }

  /** Gives the workers that had too much on the way another turn. */
  unblock(): void {
    for (const slot of this.#blocked) this.#waiting.add(slot);
    this.#blocked.clear();
  }

  /**
   * Answers questions, worker by worker.
   *
   * @param most - Answers at most.
   * @param hasRoom - Whether a worker can take one more page.
   * @returns Whether there are more that could be answered at once.
   */
  answer(
    most: number,
    hasRoom: (slot: number) => boolean,
    answer: (slot: number, ask: ReplayRequest) => void,
  ): boolean {
    let left = most;
    // A slot that is added again is visited again.
    for (const slot of this.#waiting) {
      if (left <= 0) return true;
      this.#waiting.delete(slot);
      const queue = this.#queues.get(slot);
      for (let go = Math.min(GO, left); go > 0 && queue !== undefined; go--) {
        if (queue.length === 0) break;
        if (!hasRoom(slot)) {
          this.#blocked.add(slot);
          break;
        }
        const ask = queue.next();
        if (ask !== undefined) answer(slot, ask);
        left--;
      }
      if (queue !== undefined && queue.length > 0 && !this.#blocked.has(slot)) {
        this.#waiting.add(slot);
      }
    }
    return false;
  }
}
