// Keeps one connection to a server: connects again without end, with jitter.
import { redisReason } from './redis-client.js';
import type { RedisServer } from './redis-server.js';

export interface ConnectionParts {
  readonly connect: () => Promise<RedisServer>;
  /** Prepares a new connection; it counts as lost if that fails. */
  readonly onUp: (server: RedisServer) => Promise<void>;
  /** After each failed attempt, and when a connection ends. */
  readonly onDown: (reason: string) => void;
  /** A number from 0 up to 1. */
  readonly random?: () => number;
}

/** Milliseconds before the first new attempt, which then double. */
const PAUSE_MIN_MS = 20;
/** A server that is back is found within this time and that of one attempt. */
const PAUSE_MAX_MS = 250;

export class RedisConnection {
  readonly #parts: ConnectionParts;
  #server: RedisServer | null = null;
  #pauseMs = PAUSE_MIN_MS;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
  }

  /** The server of the present connection; null without one. */
  get server(): RedisServer | null {
    return this.#server;
  }

  /** The first attempt. @throws Error with the reason, after which nothing goes on. */
  async open(): Promise<void> {
    await this.#attempt();
  }

  /** Ends the present connection, so that another one takes its place. */
  drop(reason: string): void {
    this.#server?.client.destroy(reason);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#server?.client.destroy();
  }

  async #attempt(): Promise<void> {
    const server = await this.#parts.connect();
    this.#server = server;
    try {
      if (this.#isClosed) throw new Error('closed');
      await this.#parts.onUp(server);
    } catch (error) {
      this.#server = null;
      server.client.destroy();
      throw error;
    }
    this.#pauseMs = PAUSE_MIN_MS;
    void server.client.closed.then((reason) => {
      this.#lost(reason);
    });
  }

  #lost(reason: string): void {
    this.#server = null;
    if (this.#isClosed) return;
    this.#parts.onDown(reason);
    const { random = Math.random } = this.#parts;
    // Nodes that lost one server together do not return together.
    const pauseMs = this.#pauseMs * (0.5 + random() / 2);
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
    this.#timer = setTimeout(() => {
      this.#attempt().catch((error: unknown) => {
        this.#lost(redisReason(error));
      });
    }, pauseMs);
  }
}
