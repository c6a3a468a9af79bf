// Byte records by number, in slabs of 64 KiB that are kept dense. A Buffer for each message of 100
// bytes would cost 265 to 390 bytes, and time of the garbage collector.
import { copyRange, grown } from './typed-array.js';

/** A record's number and size, before its bytes. */
const HEAD_BYTES = 8;
const SLAB_BYTES = 64 * 1024;
/** A slab with a larger share in use is not worth copying. */
const DENSE = 0.75;

interface Slab {
  readonly bytes: Buffer;
  /** Bytes of the present records, including their heads. */
  live: number;
  end: number;
}

export class Slabs {
  readonly #slabBytes: number;
  readonly #slabs: (Slab | undefined)[] = [undefined];
  readonly #vacant: number[] = [];
  /** The index of a record's slab (0: absent), and the offset of its bytes. */
  #slabOf = new Uint32Array(64);
  #offsetOf = new Uint32Array(64);
  /** The slab that takes the next record. */
  #current = 0;
  #memoryBytes = 0;
  #liveBytes = 0;

  constructor(slabBytes = SLAB_BYTES) {
    this.#slabBytes = slabBytes;
  }

  /** Bytes of the slabs. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Bytes of the records. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** The value of memoryBytes with one more record. */
  memoryBytesWith(size: number): number {
    const needed = HEAD_BYTES + size;
    const current = this.#slabs[this.#current];
    if (current !== undefined && current.end + needed <= current.bytes.length) {
      return this.#memoryBytes;
    }
    return this.#memoryBytes + Math.max(needed, this.#slabBytes);
  }

  has(id: number): boolean {
    return this.#slabOf[id] !== 0;
  }

  size(id: number): number {
    return this.#slabAt(id).bytes.readUInt32LE((this.#offsetOf[id] ?? 0) - 4);
  }

  /** The slab's bytes, in which the record begins at start(). Valid until the next put(). */
  bytes(id: number): Buffer {
    return this.#slabAt(id).bytes;
  }

  start(id: number): number {
    return this.#offsetOf[id] ?? 0;
  }

  /** Copies a record, and returns its size. */
  copy(id: number, target: Buffer, at: number): number {
    const start = this.start(id);
    const { bytes } = this.#slabAt(id);
    const size = bytes.readUInt32LE(start - 4);
    return copyRange(bytes, start, start + size, target, at);
  }

  /** Adds source[start, end) as the record `id`, which must be absent. */
  put(id: number, source: Buffer, start: number, end: number): void {
    if (id >= this.#slabOf.length) {
      this.#slabOf = grown(this.#slabOf, id + 1);
      this.#offsetOf = grown(this.#offsetOf, id + 1);
    }
    const needed = HEAD_BYTES + end - start;
    const index = this.#slabFor(needed);
    const slab = this.#slabs[index] as Slab;
    const at = slab.end + HEAD_BYTES;
    slab.bytes.writeUInt32LE(id, slab.end);
    slab.bytes.writeUInt32LE(end - start, slab.end + 4);
    copyRange(source, start, end, slab.bytes, at);
    slab.end += needed;
    slab.live += needed;
    this.#liveBytes += needed;
    this.#slabOf[id] = index;
    this.#offsetOf[id] = at;
  }

  free(id: number): void {
    const index = this.#slabOf[id] ?? 0;
    const slab = this.#slabAt(id);
    const size = HEAD_BYTES + this.size(id);
    this.#slabOf[id] = 0;
    slab.live -= size;
    this.#liveBytes -= size;
    if (slab.live > 0) return;
    // The current slab is reused from its start; another is freed.
    if (index === this.#current) slab.end = 0;
    else this.#drop(index);
  }

  /**
   * Moves the records of the emptiest slabs, so that the slabs can be freed.
   *
   * @returns Whether memory was freed: not if all slabs are dense, or the records large.
   */
  compact(): boolean {
    const before = this.#memoryBytes;
    // The first move may have begun a new slab, which takes the records of the second move too.
    if (this.#moveEmptiest() && this.#memoryBytes === before) this.#moveEmptiest();
    return this.#memoryBytes < before;
  }

  /** Moves the records of one slab; false if all slabs are dense. */
  #moveEmptiest(): boolean {
    let emptiest = 0;
    let live = Infinity;
    for (const [index, slab] of this.#slabs.entries()) {
      if (slab === undefined || index === this.#current || slab.live >= live) continue;
      if (slab.live > DENSE * slab.bytes.length) continue;
      emptiest = index;
      live = slab.live;
    }
    const slab = this.#slabs[emptiest];
    if (slab === undefined) return false;
    for (let at = 0; at < slab.end;) {
      const id = slab.bytes.readUInt32LE(at);
      const start = at + HEAD_BYTES;
      const end = start + slab.bytes.readUInt32LE(at + 4);
      // The number may have been reused for a record elsewhere.
      if (this.#slabOf[id] === emptiest && this.#offsetOf[id] === start) {
        this.put(id, slab.bytes, start, end);
        this.#liveBytes -= end - at;
      }
      at = end;
    }
    this.#drop(emptiest);
    return true;
  }

  #slabAt(id: number): Slab {
    return this.#slabs[this.#slabOf[id] ?? 0] as Slab;
  }

  /** Index of a slab with room. A record larger than a slab gets a slab of its own size. */
  #slabFor(needed: number): number {
    const current = this.#slabs[this.#current];
    if (current !== undefined && current.end + needed <= current.bytes.length) {
      return this.#current;
    }
    const size = Math.max(needed, this.#slabBytes);
    const index = this.#vacant.pop() ?? this.#slabs.length;
    this.#slabs[index] = { bytes: Buffer.allocUnsafeSlow(size), live: 0, end: 0 };
    this.#memoryBytes += size;
    if (needed <= this.#slabBytes) this.#current = index;
    return index;
  }

  #drop(index: number): void {
    this.#memoryBytes -= this.#slabs[index]?.bytes.length ?? 0;
    this.#slabs[index] = undefined;
    this.#vacant.push(index);
  }
}
