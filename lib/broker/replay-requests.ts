// Replay requests of the workers that have no replay page yet: a queue for each worker, served in
// rotation.
import { REPLAY_REQUESTS_MAX } from '../base/native-constants.js';
import type { Frames } from '../ipc/frames.js';

export type ReplayRequest = Frames['ReplayRequest'];

/** Pages that one worker gets before the next worker is served. */
const PAGES_PER_VISIT = 64;
/** Most open requests of a worker. Workers open a quarter of that; more breaks the protocol. */
const OPEN_MAX = 4 * REPLAY_REQUESTS_MAX;

class Queue {
  #requests: ReplayRequest[] = [];
  #first = 0;

  get length(): number {
    return this.#requests.length - this.#first;
  }

  push(request: ReplayRequest): void {
    this.#requests.push(request);
  }

  shift(): ReplayRequest | undefined {
    const request = this.#requests[this.#first++];
    if (this.#first < this.#requests.length) return request;
    this.#requests = [];
    this.#first = 0;
    return request;
  }
}

export class ReplayRequests {
  readonly #queues = new Map<number, Queue>();
  /** Slots with requests that can be answered, in the order in which they are served. */
  readonly #ready = new Set<number>();
  /** Slots with requests whose control stream has too many queued bytes. */
  readonly #blocked = new Set<number>();

  /** Requests without an answer. */
  get length(): number {
    return [...this.#queues.values()].reduce((sum, queue) => sum + queue.length, 0);
  }

  /** Whether a request waits only because its worker has too many queued bytes. */
  get isBlocked(): boolean {
    return this.#blocked.size > 0;
  }

  /** Queues a request; false if the worker has more open than its protocol allows. */
  add(slot: number, request: ReplayRequest): boolean {
    let queue = this.#queues.get(slot);
    if (queue === undefined) this.#queues.set(slot, (queue = new Queue()));
    if (queue.length >= OPEN_MAX) return false;
    queue.push(request);
    this.#ready.add(slot);
    return true;
  }

  /** Forgets the requests of a worker. */
  drop(slot: number): void {
    this.#queues.delete(slot);
    this.#blocked.delete(slot);
  }

  /** Makes the requests of blocked workers ready again. */
  unblock(): void {
    for (const slot of this.#blocked) this.#ready.add(slot);
    this.#blocked.clear();
  }

  /**
   * Answers requests, worker by worker.
   *
   * @param most - Answers at most.
   * @param hasRoom - Whether a worker can take one more page.
   * @returns Whether ready requests are left.
   */
  answer(
    most: number,
    hasRoom: (slot: number) => boolean,
    answer: (slot: number, request: ReplayRequest) => void,
  ): boolean {
    let left = most;
    // A slot that is added again during the loop is visited again.
    for (const slot of this.#ready) {
      if (left <= 0) return true;
      this.#ready.delete(slot);
      const queue = this.#queues.get(slot);
      if (queue === undefined) continue;
      for (let pages = Math.min(PAGES_PER_VISIT, left); pages > 0; pages--) {
        if (queue.length > 0 && !hasRoom(slot)) {
          this.#blocked.add(slot);
          break;
        }
        const request = queue.shift();
        if (request === undefined) break;
        answer(slot, request);
        left--;
      }
      if (queue.length > 0 && !this.#blocked.has(slot)) this.#ready.add(slot);
    }
    return false;
  }
}
