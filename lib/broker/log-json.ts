// Records whose body is a JSON object: those that are rare, so that their form may change easily.
import type { BodyReader } from '../ipc/frame-codec.js';
import { blobBytesMax, writeBlob } from '../ipc/frame-codec.js';

export type JsonObject = Readonly<Record<string, unknown>>;

/** A body to write. */
export interface Body {
  readonly bytesMax: number;
  readonly write: (target: Buffer, at: number) => number;
}

export function jsonBody(value: object): Body {
  const text = JSON.stringify(value);
  return {
    bytesMax: 4 + blobBytesMax(text),
    write: (target, at) => writeBlob(target, at, text),
  };
}

/** @throws RangeError for a body that is not a JSON object. */
export function readJson(body: BodyReader): JsonObject {
  try {
    const value: unknown = JSON.parse(body.blob().toString());
    if (typeof value === 'object' && value !== null) return value as JsonObject;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new RangeError('a record is not a JSON object');
}
