// Growing of typed arrays, which have a fixed length.

type Growable = Float64Array | Int32Array | Uint32Array | Uint8Array;

/** A copy of at least `length` elements, the new ones 0; doubles, so that growing stays cheap. */
export function grown<T extends Growable>(array: T, length: number): T {
  const Type = array.constructor as new (length: number) => T;
  const longer = new Type(Math.max(length, 2 * array.length));
  longer.set(array);
  return longer;
}
