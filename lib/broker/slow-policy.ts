// The policy for a subscriber that does not read fast enough.
import { SlowPolicy as PolicyNumbers } from '../ipc/frames.js';

/**
 * The policy for a subscriber whose send queue is full when a message arrives: it is disconnected,
 * loses its oldest queued message, or keeps only the newest.
 */
export type SlowPolicy = 'disconnect' | 'dropOldest' | 'latestOnly';

/** The policies in the order of their numbers in frames. */
export const SLOW_POLICIES = Object.keys(PolicyNumbers) as readonly (keyof typeof PolicyNumbers)[];
