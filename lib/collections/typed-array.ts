// Typed arrays have a fixed length; this grows them.

type Growable = Float64Array | Int32Array | Uint32Array | Uint8Array;

/** A copy with at least `length` elements and at least twice as many; the new ones are 0. */
export function grown<T extends Growable>(array: T, length: number): T {
  const Type = array.constructor as new (length: number) => T;
  const longer = new Type(Math.max(length, 2 * array.length));
  longer.set(array);
  return longer;
}
