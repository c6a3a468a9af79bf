// The shared parts of the generated codecs of control frames: readers and writers of field types,
// and the decoder of a stream. The frames are in frames.ts and load-frames.ts, generated from
// native/ipc/.
import { ByteBuffer } from '../base/byte-buffer.js';
import { FRAME_BYTES_MAX } from '../base/native-constants.js';

/** The fields of some frames, by the frame's name. */
export type FrameFields = object;

/** A received frame of a list: its name tells the type of its fields. */
export type FrameOf<Fields extends FrameFields> = {
  [N in keyof Fields]: { readonly name: N; readonly fields: Fields[N] };
}[keyof Fields];

/** Reads a body, by the type of its frame. */
export type FrameReaders<Fields extends FrameFields> = Readonly<
  Record<number, (body: BodyReader) => FrameOf<Fields>>
>;

/** The frames that two processes exchange, and those of them that can be encoded here. */
export interface FrameList<
  Fields extends FrameFields,
  Encoded extends keyof Fields = keyof Fields,
> {
  readonly readers: FrameReaders<Fields>;
  readonly encode: <N extends Encoded>(name: N, fields: Fields[N]) => Buffer;
}

/** Up to this length a loop over the characters is faster than the call into Node's encoder. */
const SHORT_CHARACTERS = 40;

/** From this length on the bytes of a text are counted: three for each would waste memory. */
const LONG_CHARACTERS = 4096;

const U8_MAX = 0xff;
const U16_MAX = 0xffff;
const U32_MAX = 0xffffffff;
const TWO_32 = 2 ** 32;

// ---- Checks of values, for encoders. The publish path has checked its values already, and calls
// the functions below directly.

function checkedRange(field: string, value: number, max: number): number {
  if (value >= 0 && value <= max) return value;
  throw new RangeError(`${field}: ${value} is not between 0 and ${max}`);
}

export function checkedU8(field: string, value: number): number {
  return checkedRange(field, value, U8_MAX);
}

export function checkedU32(field: string, value: number): number {
  return checkedRange(field, value, U32_MAX);
}

export function checkedU53(field: string, value: bigint): number {
  return checkedRange(field, Number(value), Number.MAX_SAFE_INTEGER);
}

export function checkedText(field: string, text: string): string {
  if (3 * text.length <= U16_MAX) return text;
  const size = Buffer.byteLength(text);
  if (size <= U16_MAX) return text;
  throw new RangeError(`${field}: ${size} bytes are more than ${U16_MAX}`);
}

// ---- Writing: each function returns the offset behind the field.

export function writeU8(target: Buffer, at: number, value: number): number {
  target[at] = value;
  return at + 1;
}

export function writeU32(target: Buffer, at: number, value: number): number {
  target[at] = value;
  target[at + 1] = value >>> 8;
  target[at + 2] = value >>> 16;
  target[at + 3] = value >>> 24;
  return at + 4;
}

/** Writes an integer below 2^53. */
export function writeU53(target: Buffer, at: number, value: number): number {
  writeU32(target, at, value >>> 0);
  return writeU32(target, at + 4, Math.floor(value / TWO_32));
}

/** @throws RangeError for a value below 0 or from 2^64 on. */
export function writeU64(target: Buffer, at: number, value: bigint): number {
  return target.writeBigUInt64LE(value, at);
}

function writeUtf8(target: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length > SHORT_CHARACTERS) return at + target.write(text, at);
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return at + target.write(text, at);
    target[at + index] = code;
  }
  return at + length;
}

/** Writes a text of at most 65,535 bytes. */
export function writeText(target: Buffer, at: number, text: string): number {
  const end = writeUtf8(target, at + 2, text);
  const size = end - at - 2;
  target[at] = size;
  target[at + 1] = size >>> 8;
  return end;
}

export function writeBlob(target: Buffer, at: number, data: Uint8Array | string): number {
  const start = at + 4;
  let end: number;
  if (typeof data === 'string') {
    end = writeUtf8(target, start, data);
  } else {
    target.set(data, start);
    end = start + data.length;
  }
  writeU32(target, at, end - start);
  return end;
}

/** @throws RangeError for a value that is not an integer from 0 to 2^53 - 1. */
export function writeNumbers(target: Buffer, at: number, values: readonly number[]): number {
  let end = writeU32(target, at, values.length);
  for (const value of values) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new RangeError(`numbers: ${value} is not an integer between 0 and 2^53 - 1`);
    }
    end = writeU53(target, end, value);
  }
  return end;
}

/** @throws RangeError for more than 65,535 texts, and for a text of more bytes. */
export function writeTexts(target: Buffer, at: number, texts: readonly string[]): number {
  const count = texts.length;
  if (count > U16_MAX) throw new RangeError(`texts: ${count} are more than ${U16_MAX}`);
  target[at] = count;
  target[at + 1] = count >>> 8;
  let end = at + 2;
  for (const text of texts) end = writeText(target, end, checkedText('texts', text));
  return end;
}

/** Writes the length of the frame [at, end) and returns its end. */
export function endFrame(target: Buffer, at: number, end: number): number {
  writeU32(target, at, end - at - 4);
  return end;
}

// ---- The most bytes that a field can take besides its length.

export function textBytesMax(text: string): number {
  return 3 * text.length;
}

export function blobBytesMax(data: Uint8Array | string): number {
  if (typeof data !== 'string') return data.length;
  return data.length <= LONG_CHARACTERS ? 3 * data.length : Buffer.byteLength(data);
}

export function numbersBytesMax(values: readonly number[]): number {
  return 8 * values.length;
}

export function textsBytesMax(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + 2 + textBytesMax(text), 0);
}

// ---- Reading

/** Reads the fields of a body; a body that is too short is a RangeError. */
export class BodyReader {
  #at: number;
  #end: number;
  readonly #bytes: Buffer;

  /** @param at - Where the body starts in `bytes`; by default it ends where they end. */
  constructor(bytes: Buffer, at: number, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** Goes to another body in the same bytes. */
  moveTo(at: number, end: number): void {
    this.#at = at;
    this.#end = end;
  }

  /** Whether the body was exactly the fields that were read. The one rule about extra bytes. */
  get isComplete(): boolean {
    return this.#at === this.#end;
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#end) throw new RangeError('frame too short');
    this.#at += size;
    return at;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }
  u16(): number {
    return this.#bytes.readUInt16LE(this.#take(2));
  }
  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }
  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }
  f64(): number {
    return this.#bytes.readDoubleLE(this.#take(8));
  }
  text(): string {
    const size = this.u16();
    const at = this.#take(size);
    return this.#bytes.toString('utf8', at, at + size);
  }
  /** A view of the frame's bytes. Nothing writes to them again. */
  blob(): Buffer {
    const size = this.u32();
    const at = this.#take(size);
    return this.#bytes.subarray(at, at + size);
  }
  numbers(): number[] {
    const count = this.u32();
    const values = [];
    for (let index = 0; index < count; index++) values.push(Number(this.u64()));
    return values;
  }
  texts(): string[] {
    const count = this.u16();
    const values = [];
    for (let index = 0; index < count; index++) values.push(this.text());
    return values;
  }
}

/** Cuts a control stream into frames of a list. */
export class FrameDecoder<Fields extends FrameFields> {
  readonly #readers: FrameReaders<Fields>;
  /** The beginning of a frame, or of its length. */
  readonly #begun = new ByteBuffer();
  /** Bytes of the frame that has begun, as far as they are known. */
  #wanted = 4;

  constructor(readers: FrameReaders<Fields>) {
    this.#readers = readers;
  }

  /**
   * Takes bytes in and returns the frames that they complete.
   *
   * @throws RangeError when the bytes cannot be frames; no later byte can be trusted.
   */
  push(chunk: Buffer): FrameOf<Fields>[] {
    let bytes = chunk;
    if (this.#begun.length > 0) {
      this.#begun.add(chunk);
      if (this.#begun.length < this.#wanted) return [];
      bytes = this.#begun.take();
    }
    this.#wanted = 4;
    const frames: FrameOf<Fields>[] = [];
    while (bytes.length >= 4) {
      const length = bytes.readUInt32LE(0);
      if (length === 0 || length > FRAME_BYTES_MAX) {
        throw new RangeError(`frame of ${length} bytes`);
      }
      this.#wanted = 4 + length;
      if (bytes.length < this.#wanted) break;
      frames.push(this.#decode(bytes.subarray(4, 4 + length)));
      bytes = bytes.subarray(this.#wanted);
      this.#wanted = 4;
    }
    this.#begun.add(bytes);
    return frames;
  }

  #decode(bytes: Buffer): FrameOf<Fields> {
    const type = bytes.readUInt8(0);
    const read = this.#readers[type];
    if (read === undefined) throw new RangeError(`unknown frame type ${type}`);
    const body = new BodyReader(bytes, 1);
    const frame = read(body);
    if (!body.isComplete) throw new RangeError(`bytes left over in ${String(frame.name)}`);
    return frame;
  }
}
