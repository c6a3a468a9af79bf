// The appends of a process that have no answer yet, in their order.
import { MegacometError } from '../base/errors.js';
import { APPEND_TIMEOUT_MS, type AppendId } from './log.js';
import { isReply, redisReason, wordOf } from './redis-client.js';
import type { RedisServer } from './redis-server.js';

export interface Append {
  readonly batch: Buffer;
  readonly id: AppendId;
  readonly applied: number;
}

export interface AppendsParts {
  /**
   * Sends one append.
   *
   * @param before - The append that is under way before it on the same connection.
   * @param leftMs - Milliseconds until the append fails.
   */
  readonly send: (
    server: RedisServer,
    append: Append,
    before: AppendId | null,
    leftMs: number,
  ) => Promise<number | 'order' | 'stale'>;
  /** Reads the state of the log again; the appends are sent after it. */
  readonly refresh: (server: RedisServer) => Promise<void>;
  /** The connection has to be replaced. */
  readonly onFault: (reason: string) => void;
  /** Why nothing can be sent. */
  readonly downReason: () => string;
  /** Begins the message of each error. */
  readonly name: string;
  /** Appends on the connection at the same time. */
  readonly underWayMax: number;
}

interface Pending extends Append {
  readonly endsAtMs: number;
  readonly resolve: (seq: number) => void;
  readonly reject: (error: MegacometError) => void;
  readonly timer: NodeJS.Timeout;
  isSent: boolean;
  /** Its answer was lost with a connection. */
  isLost: boolean;
}

const HUNG = `it does not answer within ${APPEND_TIMEOUT_MS} ms`;

export class RedisAppends {
  readonly #parts: AppendsParts;
  /** In their order: the sent ones first. */
  #queue: Pending[] = [];
  #server: RedisServer | null = null;
  /** Until all that is under way has an answer, nothing is sent: it would overtake. */
  #holds: 'order' | 'stale' | null = null;
  #idle: (() => void)[] = [];
  appends = 0;
  bytes = 0;
  errors = 0;
  retries = 0;

  constructor(parts: AppendsParts) {
    this.#parts = parts;
  }

  add(append: Append): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#expire(pending);
      }, APPEND_TIMEOUT_MS);
      const endsAtMs = performance.now() + APPEND_TIMEOUT_MS;
      const pending: Pending = {
        ...append,
        ...{ endsAtMs, resolve, reject, timer, isSent: false, isLost: false },
      };
      this.#queue.push(pending);
      this.#pump();
    });
  }

  /** A connection on which the log is in force; null when it ends. Unanswered appends are sent again. */
  setServer(server: RedisServer | null): void {
    this.#server = server;
    this.#holds = null;
    for (const pending of this.#queue) {
      pending.isLost ||= pending.isSent;
      pending.isSent = false;
    }
    this.#pump();
  }

  /** Resolves when no append is under way. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#queue.length === 0) resolve();
      else this.#idle.push(resolve);
    });
  }

  #pump(): void {
    const server = this.#server;
    if (server === null || this.#holds !== null) return;
    let before: Pending | null = null;
    for (const pending of this.#queue.slice(0, this.#parts.underWayMax)) {
      if (!pending.isSent) this.#send(server, pending, before);
      before = pending;
    }
  }

  #send(server: RedisServer, pending: Pending, before: Pending | null): void {
    if (pending.isLost) this.retries++;
    pending.isSent = true;
    pending.isLost = false;
    const previous = before?.id.node === pending.id.node ? before.id : null;
    const leftMs = pending.endsAtMs - performance.now();
    this.#parts.send(server, pending, previous, leftMs).then(
      (result) => {
        // The connection was replaced: the append is under way on the next one, or has failed.
        if (this.#server !== server) return;
        if (typeof result === 'number') this.#succeed(pending, result);
        else this.#hold(pending, result);
        this.#release(server);
      },
      (error: unknown) => {
        if (this.#server !== server) return;
        this.#onError(pending, error);
        this.#release(server);
      },
    );
  }

  #succeed(pending: Pending, seq: number): void {
    if (!this.#remove(pending)) return;
    this.appends++;
    this.bytes += pending.batch.length;
    pending.resolve(seq);
  }

  #hold(pending: Pending, why: 'order' | 'stale'): void {
    pending.isSent = false;
    this.#holds = this.#holds === 'stale' ? 'stale' : why;
  }

  #onError(pending: Pending, error: unknown): void {
    // The connection is about to end, and the append stays for the next one.
    if (!isReply(error) && !(error instanceof MegacometError)) return;
    if (isReply(error) && /equal or smaller/.test(error.message)) {
      // Another program has appended to the stream.
      this.#hold(pending, 'stale');
      return;
    }
    this.#fail(pending, redisReason(error));
    if (isReply(error) && wordOf(error) === 'READONLY') this.#parts.onFault(redisReason(error));
  }

  /** Sends the held appends, once nothing is under way. */
  #release(server: RedisServer): void {
    if (this.#holds === null) {
      this.#pump();
      return;
    }
    if (this.#queue.some(({ isSent }) => isSent)) return;
    const refreshed = this.#holds === 'stale' ? this.#parts.refresh(server) : Promise.resolve();
    refreshed.then(
      () => {
        if (this.#server !== server) return;
        this.#holds = null;
        this.#pump();
      },
      (error: unknown) => {
        if (this.#server === server) this.#parts.onFault(redisReason(error));
      },
    );
  }

  #expire(pending: Pending): void {
    const isHung = pending.isSent && this.#server !== null;
    this.#fail(pending, isHung ? HUNG : this.#parts.downReason());
    if (isHung) this.#parts.onFault(HUNG);
  }

  #fail(pending: Pending, reason: string): void {
    if (!this.#remove(pending)) return;
    this.errors++;
    pending.reject(new MegacometError('ERR_LOG', `${this.#parts.name}: ${reason}`));
  }

  #remove(pending: Pending): boolean {
    clearTimeout(pending.timer);
    const index = this.#queue.indexOf(pending);
    if (index < 0) return false;
    this.#queue.splice(index, 1);
    if (this.#queue.length === 0) this.#idle.splice(0).forEach((done) => done());
    return true;
  }
}
