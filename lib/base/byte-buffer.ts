// Bytes that arrive in parts. A Buffer for each part of one byte would take 249 bytes; here the
// parts are copied together, so incomplete input takes at most twice its bytes.

const NONE = Buffer.alloc(0);
const BYTES_MIN = 256;
/** Share of unused bytes that is not worth a copy. */
const SLACK_MAX = 1 / 8;

export class ByteBuffer {
  #bytes: Buffer = NONE;
  #length = 0;

  /** Bytes that were added. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of memory. */
  get memoryBytes(): number {
    return this.#bytes.length;
  }

  /** Copies a part to the end. */
  add(part: Buffer): void {
    const length = this.#length + part.length;
    if (length > this.#bytes.length) {
      const longer = Buffer.allocUnsafeSlow(Math.max(BYTES_MIN, length, 2 * this.#bytes.length));
      this.#bytes.copy(longer, 0, 0, this.#length);
      this.#bytes = longer;
    }
    part.copy(this.#bytes, this.#length);
    this.#length = length;
  }

  /** The added bytes, which nothing changes afterwards. The buffer is empty then. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.#length);
    const slack = this.#bytes.length - this.#length;
    this.#bytes = NONE;
    this.#length = 0;
    return slack <= bytes.length * SLACK_MAX ? bytes : Buffer.from(bytes);
  }
}
