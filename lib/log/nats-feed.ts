// The messages of a stream in order, from one sequence on: an ordered consumer. It ends at the first
// sign of a lost message or a lost consumer; the reader then begins another one.
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';

import { natsReason } from './nats-module.js';
import type { StreamMessage } from './nats-position.js';
import type { NatsStream } from './nats-stream.js';

export interface FeedHandlers {
  onMessage(message: StreamMessage): void;
  onEnd(reason: string): void;
}

const HEARTBEAT_MS = 500;
/** Checks without a sign of the consumer after which it is lost: 1.5 s. */
const CHECK_MS = 250;
const SILENT_CHECKS = 6;

/** `$JS.ACK.stream.consumer.1.SEQ.COUNT.TIME.pending`, with two more words after ACK on newer servers. */
function parsePlace(reply: string): { seq: number; count: number; stampNs: bigint } | null {
  const words = reply.split('.');
  const at = words.length === 9 ? 5 : 7;
  const [seq, count, stamp] = words.slice(at, at + 3);
  if (words[1] !== 'ACK' || stamp === undefined) return null;
  return { seq: Number(seq), count: Number(count), stampNs: BigInt(stamp) };
}

export class NatsFeed {
  readonly #connection: NatsConnection;
  readonly #handlers: FeedHandlers;
  #subscription: Subscription | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Messages that the consumer has delivered. */
  #count = 0;
  #silentChecks = 0;
  #hasEnded = false;

  constructor(connection: NatsConnection, handlers: FeedHandlers) {
    this.#connection = connection;
    this.#handlers = handlers;
  }

  /** @returns The server's time in milliseconds. */
  async start(stream: NatsStream, from: number): Promise<number> {
    const inbox = stream.module.core.createInbox();
    this.#subscription = this.#connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null) this.#end(natsReason(error));
        else this.#take(message);
      },
    });
    const nowMs = await stream.deliver(inbox, from, HEARTBEAT_MS);
    if (this.#hasEnded) return nowMs;
    this.#timer = setInterval(() => {
      // Counts checks, not time: after a pause of this process the messages are read first.
      this.#silentChecks += 1;
      if (this.#silentChecks > SILENT_CHECKS) this.#end('the consumer of the stream is silent');
    }, CHECK_MS);
    return nowMs;
  }

  /** Ends it without onEnd(). */
  stop(): void {
    this.#hasEnded = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#subscription?.unsubscribe();
    this.#subscription = null;
  }

  #end(reason: string): void {
    if (this.#hasEnded) return;
    this.stop();
    this.#handlers.onEnd(reason);
  }

  #take(message: Msg): void {
    if (this.#hasEnded) return;
    this.#silentChecks = 0;
    const place = parsePlace(message.reply ?? '');
    if (place === null) this.#takeStatus(message);
    else if (place.count !== this.#count + 1) this.#end('a message of the stream was lost');
    else {
      this.#count = place.count;
      this.#handlers.onMessage({ ...place, data: message.data });
    }
  }

  /** A heartbeat, or a request for an answer when the messages before it are processed. */
  #takeStatus(message: Msg): void {
    const stalled = message.headers?.get('Nats-Consumer-Stalled') ?? '';
    if (message.reply !== undefined && message.reply !== '') message.respond();
    else if (stalled !== '') this.#connection.publish(stalled);
    const last = message.headers?.get('Nats-Last-Consumer') ?? '';
    if (last !== '' && Number(last) !== this.#count) this.#end('a message of the stream was lost');
  }
}
