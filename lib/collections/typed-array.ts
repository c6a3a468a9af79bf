// Growing and copying typed arrays.

type Growable = Float64Array | Int32Array | Uint32Array | Uint8Array;

/** A copy with at least `length` elements and at least twice as many; the new ones are 0. */
export function grown<T extends Growable>(array: T, length: number): T {
  const Type = array.constructor as new (length: number) => T;
  const longer = new Type(Math.max(length, 2 * array.length));
  longer.set(array);
  return longer;
}

/**
 * Copies source[start, end) to an offset of the target, and returns its length. On the path of every
 * message: Buffer.copy() does the same with checks that take longer than the copy.
 */
export function copyRange(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  target.set(new Uint8Array(source.buffer, source.byteOffset + start, end - start), at);
  return end - start;
}
