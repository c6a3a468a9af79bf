// Pseudo-random numbers for repeatable tests: the seed is printed, and TEST_SEED sets it.
import type { Test } from 'tap';

/** Returns a number of at least 0 and below 1. */
export type Random = () => number;

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state are enough to choose victims and sizes. */
function mulberry32(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The random numbers of one test. To repeat a failed run, set TEST_SEED to the printed seed. */
export function seededRandom(test: Pick<Test, 'comment'>): Random {
  const seed = Number(process.env['TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
  test.comment(`random choices: repeat them with TEST_SEED=${seed}`);
  return mulberry32(seed);
}
