// A connection to a NATS server that is made anew whenever it ends, until close(). The client library
// does not reconnect itself: each connection begins with a look at the stream.
import type { NatsConnection } from '@nats-io/transport-node';

import { natsReason } from './nats-module.js';

export interface LinkHandlers {
  onUp(connection: NatsConnection): void;
  onDown(reason: string): void;
  /** An error that the server sent without ending the connection, such as a missing permission. */
  onError(error: Error): void;
}

/** Milliseconds between two attempts, at least and at most; the real time is random, so that nodes differ. */
const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 250;

export class NatsLink {
  readonly #connect: () => Promise<NatsConnection>;
  readonly #handlers: LinkHandlers;
  #connection: NatsConnection | null = null;
  #reason: string | null = null;
  #isClosed = false;
  #timer: NodeJS.Timeout | null = null;
  #pauseMs = PAUSE_MIN_MS;

  constructor(connect: () => Promise<NatsConnection>, handlers: LinkHandlers) {
    this.#connect = connect;
    this.#handlers = handlers;
  }

  /** Begins with a connection that exists. */
  start(connection: NatsConnection): void {
    this.#follow(connection);
  }

  /** Ends the present connection, for a reason that it does not know. */
  drop(reason: string): void {
    const connection = this.#connection;
    if (connection === null) return;
    this.#reason = reason;
    void connection.close().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#connection?.close();
  }

  #follow(connection: NatsConnection): void {
    this.#connection = connection;
    this.#reason = null;
    void this.#watchErrors(connection);
    void connection.closed().then((error) => {
      const cause = error instanceof Error ? natsReason(error) : 'the connection ended';
      this.#connection = null;
      if (this.#isClosed) return;
      this.#handlers.onDown(this.#reason ?? cause);
      this.#retry();
    });
    this.#handlers.onUp(connection);
  }

  async #watchErrors(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'error') this.#handlers.onError(status.error);
      else if (status.type === 'staleConnection') this.#reason = 'the server does not answer';
      else if (status.type === 'ldm') this.drop('the server shuts down');
    }
  }

  #retry(): void {
    const pauseMs = this.#pauseMs * (0.5 + Math.random());
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
    this.#timer = setTimeout(() => void this.#attempt(), pauseMs);
  }

  async #attempt(): Promise<void> {
    try {
      const connection = await this.#connect();
      this.#pauseMs = PAUSE_MIN_MS;
      if (this.#isClosed) await connection.close();
      else this.#follow(connection);
    } catch (error) {
      if (this.#isClosed) return;
      this.#handlers.onDown(natsReason(error));
      this.#retry();
    }
  }
}
