// One connection of the admin server: its requests, one after the other, and the limits of time that
// its present state has.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';

import { DISCARD_BYTES_MAX, isDiscarded } from './request-body.js';

/** Requests of one connection that may wait for the one before. Clients do not pipeline. */
export const WAITING_MAX = 64;
/** The status of a handler that has waited for a body. */
export const BODY_LATE = 408;

export interface AdminTimes {
  /** Milliseconds for a whole TLS handshake. */
  readonly handshakeMs: number;
  /** Milliseconds for the rest of a rejected request, whose sender may still read the answer. */
  readonly rejectedBodyMs: number;
  /** Milliseconds in which a client must read the end of a response. */
  readonly readMs: number;
  /** Interval in which these are checked. */
  readonly sweepMs: number;
}

export type Handle = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Why a connection was cut. */
export type Cause =
  'badHead' | 'body' | 'evicted' | 'handshake' | 'head' | 'idle' | 'pipelining' | 'read';

/** One connection: it handles one request after the other. */
export class AdminConnection {
  /** With TLS that of the ciphertext during the handshake, then that of the plaintext. */
  socket: Socket;
  /** When its TLS handshake began; undefined after it, and without TLS. */
  handshakeSinceMs: number | undefined;
  readonly #handle: Handle;
  readonly #waiting: Exchange[] = [];
  #isBusy = false;
  /** The exchange that is handled now, or the last one. */
  #current: Exchange | undefined;
  /** When the sweep first saw the state that may not last; see {@link overdue}. */
  #sinceMs: number | undefined;
  /** Bytes that are read of it at most; undefined unless {@link reject} was called. */
  #bytesReadMax: number | undefined;
  /** Whether a handler knows that its client may use the server; see AdminConnections.trust(). */
  isTrusted = false;

  constructor(socket: Socket, handle: Handle) {
    this.socket = socket;
    this.#handle = handle;
  }

  get isIdle(): boolean {
    return !this.#isBusy;
  }

  /** Whether another part handles the silence of the present client; see batch-answer.ts. */
  get isWatched(): boolean {
    return this.#isBusy && (this.#current?.response.listenerCount('timeout') ?? 0) > 0;
  }

  /** Whether the head of a response was sent, so that an error cannot be one. */
  get hasAnswered(): boolean {
    return this.#isBusy && this.#current?.response.headersSent === true;
  }

  /** Whether its last answer was a rejection, and it is counted. */
  get isRejected(): boolean {
    return this.#bytesReadMax !== undefined;
  }

  /** Whether its present request was answered with 408, which is counted. */
  get isLate(): boolean {
    const { response } = this.#current ?? {};
    return response?.headersSent === true && response.statusCode === BODY_LATE;
  }

  /** The cause of a cut for a time limit in the present state. */
  get state(): Cause {
    const { request, response } = this.#current ?? {};
    if (request?.complete === false) return 'body';
    if (response?.writableEnded === true && !response.writableFinished) return 'read';
    return this.#isBusy ? 'read' : 'idle';
  }

  /** The limit that the client exceeded, or null. It is called once in each sweep. */
  overdue(nowMs: number, { handshakeMs, readMs, rejectedBodyMs }: AdminTimes): Cause | null {
    if (this.handshakeSinceMs !== undefined) {
      return nowMs - this.handshakeSinceMs >= handshakeMs ? 'handshake' : null;
    }
    const { request, response } = this.#current ?? {};
    const isEnded = response?.writableEnded === true;
    const isUnread = isEnded && !response.writableFinished;
    const hasRest = request?.complete === false && (isEnded || isDiscarded(request));
    const isUnsent = this.isRejected || hasRest;
    if (!isUnread && !isUnsent) {
      this.#sinceMs = undefined;
      return null;
    }
    this.#sinceMs ??= nowMs;
    const ms = nowMs - this.#sinceMs;
    if (isUnread) return ms >= readMs ? 'read' : null;
    return ms >= rejectedBodyMs ? 'body' : null;
  }

  /**
   * Ends our side with an answer, and ignores further bytes of the client: a close at once would
   * reset the connection, and the client might miss the answer. The sweep closes it later.
   */
  reject(answer: Buffer): void {
    this.#bytesReadMax = this.socket.bytesRead + DISCARD_BYTES_MAX;
    this.socket.end(answer);
  }

  /** The client of a rejected connection sent more. */
  ignore(): void {
    if (this.socket.bytesRead > (this.#bytesReadMax ?? 0)) this.socket.pause();
  }

  /** Handles a request after those before it. `onIdle` is called when none is left. False: too many. */
  push(exchange: Exchange, onIdle: () => void): boolean {
    this.#waiting.push(exchange);
    if (this.#waiting.length > WAITING_MAX) return false;
    if (this.#isBusy) this.socket.pause();
    else void this.#work(onIdle);
    return true;
  }

  async #work(onIdle: () => void): Promise<void> {
    this.#isBusy = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#sinceMs = undefined;
      this.#current = next;
      if (!this.socket.destroyed) await this.#exchange(next);
      // Requests of one chunk would otherwise be handled in one iteration of the event loop.
      if (this.#waiting.length > 0) await setImmediate();
    }
    this.#isBusy = false;
    if (this.#current?.request.complete === true) this.#current = undefined;
    this.isTrusted = false;
    this.socket.resume();
    onIdle();
  }

  async #exchange({ request, response }: Exchange): Promise<void> {
    const { socket } = this;
    const closed = new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('close', done);
        resolve();
      };
      response.once('close', done);
      socket.once('close', done);
    });
    await this.#handle(request, response).catch(() => {
      response.destroy();
    });
    await closed;
  }
}
