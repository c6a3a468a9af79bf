// The bytes of the ancestor's applications: 1 and a number announce one, 2 with an id, 0, a
// message and 0 delivers. Pure: bytes in, commands out, wherever they are cut.

export type IngestCommand =
  | { readonly name: 'announce'; readonly number: number }
  | { readonly name: 'deliver'; readonly id: Buffer; readonly message: Buffer };

/** What an application sent that can be no command; nothing after it can be trusted. */
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
  /** The start of the present id or message, from earlier chunks. */
  #parts: Buffer[] = [];
  #partBytes = 0;
  #id: Buffer = Buffer.alloc(0);

  constructor(bounds: IngestBounds) {
    this.#bounds = bounds;
  }

  /** True while a command has begun and not ended. */
  get isInside(): boolean {
    return this.#expects !== 'command';
  }

  /** Takes bytes in. next() must have answered null before. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * The next whole command; null when there is none yet.
   *
   * @throws IngestFault for an unknown command, an empty id, and what is too long.
   */
  next(): IngestCommand | null {
    while (this.#at < this.#chunk.length) {
      if (this.#expects === 'command') {
        this.#begin(this.#chunk[this.#at++] ?? 0);
      } else if (this.#expects === 'number') {
        this.#expects = 'command';
        return { name: 'announce', number: this.#chunk[this.#at++] ?? 0 };
      } else if (this.#expects === 'id') {
        const id = this.#untilZero(this.#bounds.idBytesMax, 'an id');
        if (id === null) return null;
        if (id.length === 0) throw new IngestFault('an empty id');
        this.#id = id;
        this.#expects = 'message';
      } else {
        const message = this.#untilZero(this.#bounds.messageBytesMax, 'a message');
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
    else throw new IngestFault(`byte ${command} begins no command`);
  }

  /** The bytes before the next 0; null if it is not there yet. */
  #untilZero(bytesMax: number, what: string): Buffer | null {
    const zero = this.#chunk.indexOf(0, this.#at);
    const end = zero === -1 ? this.#chunk.length : zero;
    const part = this.#chunk.subarray(this.#at, end);
    this.#partBytes += part.length;
    if (this.#partBytes > bytesMax) {
      throw new IngestFault(`${what} of more than ${bytesMax} bytes`);
    }
    this.#parts.push(part);
    this.#at = end;
    if (zero === -1) return null;
    this.#at++;
    const whole = this.#parts.length === 1 ? part : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#partBytes = 0;
    return whole;
  }
}
