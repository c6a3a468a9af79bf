// What clients publish: taken from the workers, and answered where it is refused.
import { MegacometError } from '../base/errors.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import { MessageFlag, type Frames } from '../ipc/frames.js';
import { BUSY_BYTES, type WorkerLines } from '../ipc/outgoing.js';
import type { PublishOptions, Receipt } from './publishing.js';

/** A message that a client published. */
export interface ClientMessage {
  /** The worker that has the client. */
  readonly slot: number;
  /** Where it published. */
  readonly channel: string;
  /** The message's bytes; UTF-8 unless `isBinary`. */
  readonly data: Buffer;
  /** Whether it came as bytes and not as text. */
  readonly isBinary: boolean;
  /** The id that the client gave it; empty without. */
  readonly id: string;
  /** The name of the event that the client gave it; empty without. */
  readonly event: string;
  /** What publish() would have answered. */
  readonly receipt: Receipt;
}

/** Totals since the start. */
export interface ClientCounters {
  /** Messages of clients, and those that were refused. */
  readonly clientMessagesTotal: number;
  readonly clientRejectedTotal: number;
  /** Refusals of which the client was not told, since its worker had too much waiting. */
  readonly clientUntoldTotal: number;
}

/**
 * A client hears that the server is busy while so much waits for its worker: more than what makes
 * publish() refuse, since that worker may be the busy one, and less than what has it replaced. Of
 * its own mistakes it hears only while there is room: nobody shall make a worker busy with them.
 */
const BUSY_WAITING_BYTES = 2 * BUSY_BYTES;

/** What a client is told; other errors speak of what it sent. */
const SENTENCES: Readonly<Record<string, string>> = {
  ERR_BUSY: 'the server is busy: try again',
};

export class ClientPublishing {
  readonly #lines: WorkerLines;
  readonly #publish: (channel: string, data: Buffer, options: PublishOptions) => Receipt;
  readonly #counters = { clientMessagesTotal: 0, clientRejectedTotal: 0, clientUntoldTotal: 0 };

  constructor(
    lines: WorkerLines,
    publish: (channel: string, data: Buffer, options: PublishOptions) => Receipt,
  ) {
    this.#lines = lines;
    this.#publish = publish;
  }

  get counters(): ClientCounters {
    return { ...this.#counters };
  }

  /** Publishes what a worker's client wants published; null if that is refused. */
  take(slot: number, fields: Frames['Message']): ClientMessage | null {
    const { channel, id, event, data } = fields;
    const isBinary = (fields.flags & MessageFlag.binary) !== 0;
    let receipt: Receipt;
    try {
      receipt = this.#publish(channel, data, { id, event, binary: isBinary });
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      this.#refuse(slot, fields, error);
      return null;
    }
    this.#counters.clientMessagesTotal++;
    return { slot, channel, data, isBinary, id, event, receipt };
  }

  #refuse(slot: number, fields: Frames['Message'], { code, message }: MegacometError): void {
    this.#counters.clientRejectedTotal++;
    const waitingBytes = code === 'ERR_BUSY' ? BUSY_WAITING_BYTES : undefined;
    if (!this.#lines.hasRoom(slot, waitingBytes)) {
      this.#counters.clientUntoldTotal++;
      return;
    }
    const { fd, generation, channel, id } = fields;
    const error = SENTENCES[code] ?? message;
    this.#lines.send(encodeFrame('Rejected', { fd, generation, channel, id, error }), [slot]);
  }
}
