// Disconnecting one connection by its name. Only its worker knows whether it is open, so the worker
// answers.
import { systemClock, type Clock } from '../base/clock.js';
import { MegacometError } from '../base/errors.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frames } from '../ipc/frames.js';
import type { WorkerLines } from '../ipc/outgoing.js';
import type { Presence } from './presence.js';

/** A worker that hangs for longer is replaced by the manager; the order does not wait for it. */
const ANSWER_MS = 5000;
/** Orders without an answer: a bound for a worker that hangs. */
const WAITING_MAX = 10_000;

interface Waiting {
  readonly slot: number;
  readonly end: (connections: number) => void;
}

export class MemberOrders {
  readonly #lines: Pick<WorkerLines, 'send'>;
  readonly #presence: Pick<Presence, 'addressOf'>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #clock: Pick<Clock, 'after'>;
  #lastRequest = 0;

  constructor(
    lines: Pick<WorkerLines, 'send'>,
    presence: Pick<Presence, 'addressOf'>,
    clock: Pick<Clock, 'after'> = systemClock,
  ) {
    this.#lines = lines;
    this.#presence = presence;
    this.#clock = clock;
  }

  /**
   * Disconnects a member.
   *
   * @returns 1, or 0 if no open connection has this name.
   * @throws MegacometError `ERR_BUSY`.
   */
  disconnect(member: string, reason: string): Promise<number> {
    const address = this.#presence.addressOf(member);
    if (address === null) return Promise.resolve(0);
    if (this.#waiting.size >= WAITING_MAX) {
      const message = `disconnect: ${WAITING_MAX} orders have no answer; retry later`;
      throw new MegacometError('ERR_BUSY', message);
    }
    const request = (this.#lastRequest = (this.#lastRequest + 1) >>> 0);
    const { slot, fd, generation } = address;
    this.#lines.send(encodeFrame('Disconnect', { request, fd, generation, reason }), [slot]);
    return this.#answerOf(slot, request);
  }

  /** Takes the answer of a worker. Another one's counts for nothing. */
  onDisconnected(slot: number, { request, connections }: Frames['Disconnected']): void {
    const waiting = this.#waiting.get(request);
    if (waiting?.slot === slot) waiting.end(Math.min(connections, 1));
  }

  /** The connections of a worker that died have ended with it. */
  workerGone(slot: number): void {
    for (const waiting of [...this.#waiting.values()]) if (waiting.slot === slot) waiting.end(0);
  }

  #answerOf(slot: number, request: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(ANSWER_MS, () => {
        this.#waiting.delete(request);
        reject(
          new MegacometError('ERR_BUSY', 'disconnect: the worker does not answer; retry later'),
        );
      });
      const end = (connections: number): void => {
        timer.cancel();
        this.#waiting.delete(request);
        resolve(connections);
      };
      this.#waiting.set(request, { slot, end });
    });
  }
}
