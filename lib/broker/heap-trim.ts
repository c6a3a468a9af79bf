// Memory that channels took, back to the kernel: the allocator keeps it after a crowd has left.

/** Channels below which their memory does not matter. */
const CHANNELS_MIN = 20_000;
/** The share of the highest number at which most memory is unused. */
const SHARE = 1 / 4;

export class HeapTrim {
  readonly #trim: () => void;
  #highest = 0;

  /** @param trim - Returns free memory of the heap to the kernel. */
  constructor(trim: () => void) {
    this.#trim = trim;
  }

  /** Compares the number of channels with the highest one. Called a few times a second. */
  check(channels: number): void {
    this.#highest = Math.max(this.#highest, channels);
    if (this.#highest < CHANNELS_MIN || channels > this.#highest * SHARE) return;
    this.#highest = channels;
    this.#trim();
  }
}
