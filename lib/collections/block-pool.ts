// Short arrays of 32-bit numbers: blocks of powers of two in shared chunks. For the rings and lists
// of a million channels, without an object for each and without work for the garbage collector.

/** Numbers in one chunk, and so in the largest block. */
const CHUNK_BITS = 14;
const CHUNK_LENGTH = 1 << CHUNK_BITS;

/** The largest class; a block of class c has 2^c numbers. */
export const BLOCK_CLASS_MAX = CHUNK_BITS;

interface SizeClass {
  readonly chunks: Uint32Array[];
  /** Blocks allocated so far. */
  count: number;
  /** Head of the list of free blocks, plus 1; the first number of each links to the next. */
  free: number;
}

export class BlockPool {
  readonly #classes: readonly SizeClass[] = Array.from({ length: BLOCK_CLASS_MAX + 1 }, () => ({
    chunks: [],
    count: 0,
    free: 0,
  }));

  get memoryBytes(): number {
    return this.#classes.reduce((sum, { chunks }) => sum + 4 * CHUNK_LENGTH * chunks.length, 0);
  }

  /** Takes a block of zeros, and returns its index within the class. */
  take(sizeClass: number): number {
    const { chunks, count, free } = this.#at(sizeClass);
    if (free !== 0) {
      const index = free - 1;
      const chunk = this.chunk(sizeClass, index);
      const start = this.start(sizeClass, index);
      this.#at(sizeClass).free = chunk[start] ?? 0;
      chunk.fill(0, start, start + (1 << sizeClass));
      return index;
    }
    if (count << sizeClass === chunks.length << CHUNK_BITS) {
      chunks.push(new Uint32Array(CHUNK_LENGTH));
    }
    this.#at(sizeClass).count++;
    return count;
  }

  /** Frees a block. */
  give(sizeClass: number, index: number): void {
    const owner = this.#at(sizeClass);
    this.chunk(sizeClass, index)[this.start(sizeClass, index)] = owner.free;
    owner.free = index + 1;
  }

  /** The chunk that holds a block; the block begins at start(). */
  chunk(sizeClass: number, index: number): Uint32Array {
    return this.#at(sizeClass).chunks[index >>> (CHUNK_BITS - sizeClass)] as Uint32Array;
  }

  start(sizeClass: number, index: number): number {
    return (index << sizeClass) & (CHUNK_LENGTH - 1);
  }

  #at(sizeClass: number): SizeClass {
    return this.#classes[sizeClass] as SizeClass;
  }
}
