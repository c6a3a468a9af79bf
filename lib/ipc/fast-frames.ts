// The two frames of the publish path, written straight into a Buffer.
// encodeFrame() of frames.ts makes a Buffer per field: 3 us a message, where 0.3 us are to be had.
// Their layout is in native/ipc/frames.h. It is compared at start; a test compares the bytes.
import { addon } from '../system/native.js';

const PUBLISH_FIELDS =
  'u64 number, u8 flags, u32 spread_ms, text channel, text id, text event, blob data';
const PAGE_FIELDS = 'u32 fd, u32 generation, u8 flags, u64 head, blob messages';

function typeOf(name: string, fields: string): number {
  const info = addon.frames.find((frame) => frame.name === name);
  const found = (info?.fields ?? []).map(({ type, name: field }) => `${type} ${field}`).join(', ');
  if (info === undefined || found !== fields) {
    throw new Error(`fast-frames.ts writes another ${name} than native/ipc/frames.h: ${found}`);
  }
  return info.type;
}

const PUBLISH_TYPE = typeOf('Publish', PUBLISH_FIELDS);
const PAGE_TYPE = typeOf('ReplayPage', PAGE_FIELDS);

/** Where a Publish frame has its number. */
const PUBLISH_NUMBER_AT = 5;
/** Bytes of a Publish frame besides its texts and data. */
const PUBLISH_FIXED_BYTES = 28;
/** Bytes of a Page frame before its messages. */
export const PAGE_HEAD_BYTES = 26;

/** Up to here a loop over the characters is faster than the call into Node's encoder. */
const SHORT = 40;

/** From here on the bytes of a text are counted: three for each would waste room. */
const LONG = 4096;

const TWO_32 = 2 ** 32;

function writeU32(target: Buffer, at: number, value: number): number {
  target[at] = value;
  target[at + 1] = value >>> 8;
  target[at + 2] = value >>> 16;
  target[at + 3] = value >>> 24;
  return at + 4;
}

/** Writes a number below 2^53. */
function writeU64(target: Buffer, at: number, value: number): number {
  writeU32(target, at, value >>> 0);
  return writeU32(target, at + 4, Math.floor(value / TWO_32));
}

/** Writes characters as UTF-8 and returns where they end. */
function writeUtf8(target: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length > SHORT) return at + target.write(text, at);
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return at + target.write(text, at);
    target[at + index] = code;
  }
  return at + length;
}

function writeText(target: Buffer, at: number, text: string): number {
  const end = writeUtf8(target, at + 2, text);
  const size = end - at - 2;
  target[at] = size;
  target[at + 1] = size >>> 8;
  return end;
}

function dataBytesMax(data: Uint8Array | string): number {
  if (typeof data !== 'string') return data.length;
  return data.length <= LONG ? 3 * data.length : Buffer.byteLength(data);
}

/** The most bytes that a Publish frame with these fields can take. */
export function publishBytesMax(
  channel: string,
  id: string,
  event: string,
  data: Uint8Array | string,
): number {
  const characters = channel.length + id.length + event.length;
  return PUBLISH_FIXED_BYTES + 3 * characters + dataBytesMax(data);
}

/**
 * Writes a Publish frame.
 *
 * @param target - With room for publishBytesMax() from `at` on.
 * @param number - Below 2^53.
 * @returns Where the frame ends.
 */
export function writePublish(
  target: Buffer,
  at: number,
  number: number,
  flags: number,
  spreadMs: number,
  channel: string,
  id: string,
  event: string,
  data: Uint8Array | string,
): number {
  target[at + 4] = PUBLISH_TYPE;
  let end = writeU64(target, at + PUBLISH_NUMBER_AT, number);
  target[end] = flags;
  end = writeU32(target, end + 1, spreadMs);
  end = writeText(target, end, channel);
  end = writeText(target, end, id);
  end = writeText(target, end, event);
  const dataAt = end + 4;
  if (typeof data === 'string') {
    end = writeUtf8(target, dataAt, data);
  } else {
    target.set(data, dataAt);
    end = dataAt + data.length;
  }
  writeU32(target, dataAt - 4, end - dataAt);
  writeU32(target, at, end - at - 4);
  return end;
}

/** Writes all of a Page frame but its messages, of which `size` bytes must follow. */
export function writePageHead(
  target: Buffer,
  at: number,
  to: { readonly fd: number; readonly generation: number },
  flags: number,
  head: number,
  size: number,
): void {
  let end = writeU32(target, at, PAGE_HEAD_BYTES - 4 + size);
  target[end] = PAGE_TYPE;
  end = writeU32(target, end + 1, to.fd);
  end = writeU32(target, end, to.generation);
  target[end] = flags;
  end = writeU64(target, end + 1, head);
  writeU32(target, end, size);
}
