// Reads the stream over one connection at a time: compares the stream with our position after each
// reconnect, begins a new epoch if the log went back, and then follows the messages.
import type { NatsConnection } from '@nats-io/transport-node';

import type { LogBreak, LogEntry } from './log.js';
import { NatsFeed } from './nats-feed.js';
import { natsReason, type NatsModule } from './nats-module.js';
import type { NatsPosition, StreamMessage, StreamState } from './nats-position.js';
import { decodeRecord, type NatsRecord } from './nats-record.js';
import { NatsStream, type StreamOptions } from './nats-stream.js';

export interface ReaderHandlers {
  onEntry(entry: LogEntry): void;
  onBreak(broken: LogBreak): void;
  /** The position is that of the stream: entries may be appended. */
  onLive(): void;
  /** The stream cannot be read, or is checked. Without a reason it is a matter of milliseconds. */
  onPause(reason: string | null): void;
}

/** Milliseconds until the stream is looked at again after an error. */
const RETRY_MS = 200;

export class NatsReader {
  /** Messages of the stream since the start. */
  messages = 0;
  readonly #module: NatsModule;
  readonly #options: StreamOptions;
  readonly #node: string;
  readonly #handlers: ReaderHandlers;
  #connection: NatsConnection | null = null;
  #feed: NatsFeed | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Counts the looks at the stream: an answer to an earlier one is late. */
  #turn = 0;
  /** The look under way; 0 without one. */
  #lookTurn = 0;
  /** The stream's last message when it was looked at: a claim must wait until it is read. */
  #lastSeq = 0;
  /** The look that led to the claim under way; 0 without one. */
  #claimTurn = 0;

  constructor(
    module: NatsModule,
    options: StreamOptions,
    readonly position: NatsPosition,
    node: string,
    handlers: ReaderHandlers,
  ) {
    this.#module = module;
    this.#options = options;
    this.#node = node;
    this.#handlers = handlers;
  }

  /** Reads over a new connection. @returns The server's time in milliseconds, or null. */
  attach(connection: NatsConnection): Promise<number | null> {
    this.#connection = connection;
    return this.restart();
  }

  detach(): void {
    this.#connection = null;
    this.#stop();
  }

  /** Looks at the stream again, and goes on reading where it was. */
  async restart(): Promise<number | null> {
    this.#stop();
    const turn = this.#turn;
    const connection = this.#connection;
    if (connection === null) return null;
    this.#handlers.onPause(null);
    this.#lookTurn = turn;
    try {
      return await this.#begin(connection, turn);
    } catch (error) {
      this.#fail(turn, natsReason(error));
      return null;
    } finally {
      if (this.#lookTurn === turn) this.#lookTurn = 0;
    }
  }

  /** As restart(), but a look that is under way goes on: repeated ones would never end on a busy machine. */
  look(): void {
    if (this.#lookTurn === 0) void this.restart();
  }

  #stop(): void {
    this.#turn += 1;
    this.#feed?.stop();
    this.#feed = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #fail(turn: number, reason: string): void {
    if (turn !== this.#turn) return;
    this.#stop();
    this.#handlers.onPause(reason);
    this.#timer = setTimeout(() => void this.restart(), RETRY_MS * (0.5 + Math.random()));
  }

  async #begin(connection: NatsConnection, turn: number): Promise<number | null> {
    const stream = await NatsStream.of(this.#module, connection, this.#options);
    const state = await stream.ensure();
    const newest = state.last < state.first ? null : await stream.message(state.last);
    const isSame = await this.#isSame(stream, state);
    if (turn !== this.#turn) return null;
    this.#lastSeq = state.last;
    const record = newest === null ? null : decodeRecord(newest.data);
    for (const broken of this.position.begin(state, record, isSame)) {
      this.#handlers.onBreak(broken);
    }
    const feed = new NatsFeed(connection, {
      onMessage: (message) => {
        this.#take(message, stream, state, turn);
      },
      onEnd: (reason) => {
        this.#fail(turn, reason);
      },
    });
    this.#feed = feed;
    const nowMs = await feed.start(stream, this.position.streamSeq + 1);
    if (turn !== this.#turn) {
      feed.stop();
      return null;
    }
    if (!this.position.isDoubtful) this.#handlers.onLive();
    else this.#claimSoon(stream, state, turn);
    return nowMs;
  }

  /** Whether the stream still has the last message that was read, or has removed it as the oldest. */
  async #isSame(stream: NatsStream, { first, last }: StreamState): Promise<boolean> {
    const { streamSeq, stampNs } = this.position;
    if (stampNs === 0n || streamSeq < first || streamSeq > last) return true;
    const found = await stream.message(streamSeq);
    return found === null || found.stampNs === stampNs;
  }

  #take(message: StreamMessage, stream: NatsStream, state: StreamState, turn: number): void {
    if (turn !== this.#turn) return;
    this.messages += 1;
    const { epoch, isDoubtful } = this.position;
    const { breaks, entry } = this.position.take(message);
    for (const broken of breaks) this.#handlers.onBreak(broken);
    if (entry !== null) this.#handlers.onEntry(entry);
    // Appends of the old epoch that the reader has not seen yet do not count.
    if (this.position.epoch !== epoch) this.#handlers.onLive();
    if (!this.position.isDoubtful) return;
    if (!isDoubtful) this.#handlers.onPause(null);
    this.#claimSoon(stream, state, turn);
  }

  #claimSoon(stream: NatsStream, state: StreamState, turn: number): void {
    if (this.#claimTurn === turn || this.position.streamSeq < this.#lastSeq) return;
    this.#claimTurn = turn;
    this.#claim(stream, state, turn)
      .catch((error: unknown) => {
        this.#fail(turn, natsReason(error));
      })
      .finally(() => {
        if (this.#claimTurn === turn) this.#claimTurn = 0;
      });
  }

  /** Begins a new epoch, unless another node does so first. */
  async #claim(stream: NatsStream, { createdNs }: StreamState, turn: number): Promise<void> {
    while (this.position.isDoubtful && turn === this.#turn) {
      const claim = this.position.claim(Date.now());
      if (await stream.begin(createdNs, claim, this.#node)) return;
      this.#lastSeq = (await stream.ensure()).last;
      // The messages that came first may have begun an epoch.
      if (this.position.streamSeq < this.#lastSeq) return;
    }
  }
}

/** The newest record of a stream, which says the epoch; null if none of the last messages is ours. */
export async function newestRecord(
  stream: NatsStream,
  { createdNs, first, last }: StreamState,
): Promise<{ readonly message: StreamMessage; readonly record: NatsRecord } | null> {
  // Messages of other programs in our stream are ignored.
  for (let seq = last; seq >= first && seq > last - LOOK_BACK; seq -= 1) {
    const message = await stream.message(seq);
    const record = message === null ? null : decodeRecord(message.data);
    if (message !== null && record?.createdNs === createdNs) return { message, record };
  }
  return null;
}

const LOOK_BACK = 10;
