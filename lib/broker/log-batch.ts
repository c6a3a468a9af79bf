// The bytes of one entry of the log: a version, and the records of everything that one node did in
// one loop iteration. A record has a length and a kind, so that a node skips the kinds that it does not
// know; a reader ignores bytes behind the fields that it knows.
import { BodyReader, writeU32 } from '../ipc/frame-codec.js';

/** The version of the layout below. A batch with another is unknown as a whole. */
const BATCH_VERSION = 1;
/** Length, kind and flags of a record. */
export const RECORD_HEAD_BYTES = 6;

/** Records of one entry: the number of a message is that of the entry and a place below this. */
export const PLACES = 1024;

/** Kinds of records. A number is never used again. */
export const RecordKind = {
  publish: 1,
  announce: 2,
  tick: 3,
  order: 4,
  question: 5,
  answer: 6,
  deliver: 7,
  claim: 8,
  taken: 9,
  returned: 10,
} as const;

const RecordFlag = {
  /** A node that does not know the kind must not go on as if it did. */
  needed: 1,
} as const;

/** One record of a batch. */
export interface LogRecord {
  readonly place: number;
  readonly kind: number;
  readonly isNeeded: boolean;
  readonly body: BodyReader;
}

/** The number of a message by the position of its entry and its place in it. */
export function numberOf(seq: number, place: number): number {
  return seq * PLACES + place;
}

/** The last number that an entry can have. */
export function lastNumberOf(seq: number): number {
  return numberOf(seq, PLACES - 1);
}

/** Bytes of a batch without records. */
export const EMPTY_BYTES = 1;
const BYTES_MIN = 4096;

/** Collects the records of one batch. */
export class BatchWriter {
  #bytes = Buffer.allocUnsafeSlow(BYTES_MIN);
  #at = EMPTY_BYTES;
  #count = 0;

  /** Records of the batch. */
  get count(): number {
    return this.#count;
  }

  get size(): number {
    return this.#at;
  }

  get isFull(): boolean {
    return this.#count === PLACES;
  }

  /**
   * Adds a record that every node has to know.
   *
   * @param bytesMax - The most bytes of its body.
   * @param write - Writes the body at an offset, and returns its end.
   * @returns Its place in the batch.
   */
  add(kind: number, bytesMax: number, write: (target: Buffer, at: number) => number): number {
    this.#reserve(RECORD_HEAD_BYTES + bytesMax);
    const start = this.#at;
    const end = write(this.#bytes, start + RECORD_HEAD_BYTES);
    writeU32(this.#bytes, start, end - start - RECORD_HEAD_BYTES);
    this.#bytes[start + 4] = kind;
    this.#bytes[start + 5] = RecordFlag.needed;
    this.#at = end;
    return this.#count++;
  }

  /** The batch, which nothing changes afterwards. The writer is empty then. */
  take(): Buffer {
    this.#bytes[0] = BATCH_VERSION;
    const batch = Buffer.from(this.#bytes.subarray(0, this.#at));
    this.#at = EMPTY_BYTES;
    this.#count = 0;
    return batch;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const longer = Buffer.allocUnsafeSlow(Math.max(this.#at + bytes, 2 * this.#bytes.length));
    this.#bytes.copy(longer, 0, 0, this.#at);
    this.#bytes = longer;
  }
}

/**
 * Calls a function for each record of a batch in their order. The record and its body are valid during
 * the call: one object serves all of them, because this is on the path of every message.
 *
 * @throws RangeError for bytes of another form.
 */
export function eachRecord(batch: Buffer, visit: (record: LogRecord) => void): void {
  if (batch[0] !== BATCH_VERSION) throw new RangeError(`batch of version ${batch[0] ?? 'none'}`);
  const body = new BodyReader(batch, EMPTY_BYTES);
  const record = { place: 0, kind: 0, isNeeded: false, body };
  for (let at = EMPTY_BYTES; at < batch.length; record.place++) {
    if (at + RECORD_HEAD_BYTES > batch.length) throw new RangeError('record too short');
    const bodyAt = at + RECORD_HEAD_BYTES;
    const end = bodyAt + batch.readUInt32LE(at);
    if (end > batch.length || record.place >= PLACES) throw new RangeError('record too long');
    record.kind = batch[at + 4] ?? 0;
    record.isNeeded = ((batch[at + 5] ?? 0) & RecordFlag.needed) !== 0;
    body.moveTo(bodyAt, end);
    visit(record);
    at = end;
  }
}
