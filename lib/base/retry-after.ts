// Retry-After of responses that may succeed later.

const SECONDS_MIN = 1;
const SECONDS_MAX = 5;

/**
 * Randomised seconds for Retry-After, so that clients rejected together do not return together. They
 * are fewer than those of the public port: a million clients connect there, and a few publishers here.
 *
 * @param random - A number from 0 up to 1.
 */
export function retryAfterS(random: () => number = Math.random): number {
  return SECONDS_MIN + Math.floor(random() * (SECONDS_MAX - SECONDS_MIN + 1));
}
