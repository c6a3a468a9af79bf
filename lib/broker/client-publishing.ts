// Messages that WebSocket clients publish. The workers pass them on; a rejection is sent back.
import { MegacometError } from '../base/errors.js';
import { counter } from '../base/metric.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import { MessageFlag, type Frames } from '../ipc/frames.js';
import { BUSY_BYTES, type WorkerLines } from '../ipc/outgoing.js';
import type { PublishOptions, Receipt } from './publishing.js';
import { TooFast, type TokenRates } from './token-rates.js';

/** A message that a client published. */
export interface ClientMessage {
  /** The worker that holds the client's connection. */
  readonly slot: number;
  /** The channel of the message. */
  readonly channel: string;
  /** The message's bytes; UTF-8 unless `isBinary`. */
  readonly data: Buffer;
  /** Whether the client sent bytes and not text. */
  readonly isBinary: boolean;
  /** The id that the client gave the message; empty if it gave none. */
  readonly id: string;
  /** The event name that the client gave the message; empty if it gave none. */
  readonly event: string;
  /** The result of the publish. */
  readonly receipt: Receipt;
}

/**
 * A worker with more queued bytes than this gets no ERR_BUSY rejection. It is above the limit at
 * which publish() rejects, because that worker may be the busy one, and below the limit at which
 * the worker is replaced. Other rejections need as much room as any frame, so that a client's
 * mistakes cannot make its worker busy.
 */
const BUSY_REJECTION_BYTES_MAX = 2 * BUSY_BYTES;

/** Sentences for clients. The sentence of any other error names the client's own value. */
const SENTENCES: Readonly<Record<string, string>> = {
  ERR_BUSY: 'server busy; retry later',
  ERR_LOG: 'server busy; retry later',
};

type Publish = (channel: string, data: Buffer, options: PublishOptions) => Promise<Receipt>;

export class ClientPublishing {
  static readonly METRICS = {
    clientMessagesPublishedTotal: counter(
      'client_messages_published_total',
      'Messages that WebSocket clients published (--client-publish).',
      (clients: ClientPublishing) => clients.#published,
    ),
    clientMessagesRejectedTotal: counter(
      'client_messages_rejected_total',
      'Messages of WebSocket clients that were rejected: too large, for an invalid channel, or ' +
        'above the rate of their token. A jump is a bug of a client.',
      (clients: ClientPublishing) => clients.#rejected,
    ),
    clientMessagesLimitedTotal: counter(
      'client_messages_limited_total',
      'Of these, those above the rate of their token (--publishes-per-token).',
      (clients: ClientPublishing) => clients.#limited,
    ),
    clientRefusalsUnsentTotal: counter(
      'client_refusals_unsent_total',
      'Rejections and acknowledgements that were not sent to the client, because its worker had too ' +
        'many queued bytes.',
      (clients: ClientPublishing) => clients.#unsent,
    ),
  };

  readonly #lines: WorkerLines;
  readonly #publish: Publish;
  readonly #rates: TokenRates;
  #published = 0;
  #rejected = 0;
  #limited = 0;
  #unsent = 0;

  constructor(lines: WorkerLines, publish: Publish, rates: TokenRates) {
    this.#lines = lines;
    this.#publish = publish;
    this.#rates = rates;
  }

  /** Publishes the message of a worker's client; null if it is rejected. */
  async onMessage(slot: number, fields: Frames['Message']): Promise<ClientMessage | null> {
    const { channel, id, event, data } = fields;
    const isBinary = (fields.flags & MessageFlag.binary) !== 0;
    let receipt: Receipt;
    try {
      // Without an id two tokens cannot be distinguished.
      if (fields.token !== 0) this.#rates.take(fields.token);
      receipt = await this.#publish(channel, data, { id, event, binary: isBinary });
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      this.#reject(slot, fields, error);
      return null;
    }
    this.#published++;
    if (id !== '') this.#acknowledge(slot, fields, receipt);
    return { slot, channel, data, isBinary, id, event, receipt };
  }

  #acknowledge(slot: number, fields: Frames['Message'], { cursor }: Receipt): void {
    if (!this.#lines.hasRoom(slot)) {
      this.#unsent++;
      return;
    }
    const { fd, generation, channel, id } = fields;
    const number = BigInt(cursor.slice(cursor.indexOf('.') + 1));
    this.#lines.send(encodeFrame('Published', { fd, generation, channel, id, number }), [slot]);
  }

  #reject(slot: number, fields: Frames['Message'], cause: MegacometError): void {
    const { code, message } = cause;
    this.#rejected++;
    if (cause instanceof TooFast) this.#limited++;
    const queuedBytesMax = code === 'ERR_BUSY' ? BUSY_REJECTION_BYTES_MAX : undefined;
    if (!this.#lines.hasRoom(slot, queuedBytesMax)) {
      this.#unsent++;
      return;
    }
    const { fd, generation, channel, id } = fields;
    const error = cause instanceof TooFast ? message : (SENTENCES[code] ?? message);
    this.#lines.send(encodeFrame('Rejected', { fd, generation, channel, id, error }), [slot]);
  }
}
