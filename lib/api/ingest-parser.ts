// The TCP protocol of MegaComet's applications: 1 and a number announce an application; 2, an id,
// 0, a message and 0 deliver the message. Pure: chunks in, commands out, wherever the chunks are
// cut.
import { ByteBuffer } from '../base/byte-buffer.js';

export type IngestCommand =
  | { readonly name: 'announce'; readonly number: number }
  | { readonly name: 'deliver'; readonly id: Buffer; readonly message: Buffer };

/** Bytes that are not a command. The rest of the stream cannot be trusted either. */
export class IngestFault extends Error {
  override readonly name = 'IngestFault';
}

const ANNOUNCE = 1;
const DELIVER = 2;

export interface IngestBounds {
  readonly idBytesMax: number;
  readonly messageBytesMax: number;
}

export class IngestParser {
  readonly #bounds: IngestBounds;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  #expects: 'command' | 'id' | 'message' | 'number' = 'command';
  /** The beginning of the present id or message, from earlier chunks. */
  readonly #begun = new ByteBuffer();
  #id: Buffer = Buffer.alloc(0);

  constructor(bounds: IngestBounds) {
    this.#bounds = bounds;
  }

  /** Bytes of memory of an incomplete command. */
  get memoryBytes(): number {
    return this.#begun.memoryBytes;
  }

  /** Whether a command has begun and not ended. */
  get isInside(): boolean {
    return this.#expects !== 'command';
  }

  /** Takes a chunk. next() must have returned null before. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * The next complete command; null if none is complete.
   *
   * @throws IngestFault for an unknown command, an empty id, and an id or message that is too long.
   */
  next(): IngestCommand | null {
    while (this.#at < this.#chunk.length) {
      if (this.#expects === 'command') {
        this.#begin(this.#chunk[this.#at++] ?? 0);
      } else if (this.#expects === 'number') {
        this.#expects = 'command';
        return { name: 'announce', number: this.#chunk[this.#at++] ?? 0 };
      } else if (this.#expects === 'id') {
        const id = this.#untilZero(this.#bounds.idBytesMax, 'the id');
        if (id === null) return null;
        if (id.length === 0) throw new IngestFault('the id is empty');
        this.#id = id;
        this.#expects = 'message';
      } else {
        const message = this.#untilZero(this.#bounds.messageBytesMax, 'the message');
        if (message === null) return null;
        this.#expects = 'command';
        return { name: 'deliver', id: this.#id, message };
      }
    }
    return null;
  }

  #begin(command: number): void {
    if (command === ANNOUNCE) this.#expects = 'number';
    else if (command === DELIVER) this.#expects = 'id';
    else throw new IngestFault(`command: ${command} is unknown`);
  }

  /** The bytes before the next 0; null if the chunk has none. */
  #untilZero(bytesMax: number, what: string): Buffer | null {
    const zero = this.#chunk.indexOf(0, this.#at);
    const end = zero === -1 ? this.#chunk.length : zero;
    const part = this.#chunk.subarray(this.#at, end);
    if (this.#begun.length + part.length > bytesMax) {
      throw new IngestFault(`${what} has more than ${bytesMax} bytes`);
    }
    this.#at = end;
    if (zero === -1) {
      this.#begun.add(part);
      return null;
    }
    this.#at++;
    if (this.#begun.length === 0) return part;
    this.#begun.add(part);
    return this.#begun.take();
  }
}
