// Limits of messages and of their history; the option tables and the broker check them.

import { FRAME_BYTES_MAX } from './native-constants.js';

/** Bytes of a message: with its channel and labels it must fit into one frame. */
export const MESSAGE_BYTES_MAX = FRAME_BYTES_MAX - 1024;

/** Messages of one channel that can be kept: their numbers are in one block of 64 KiB. */
export const HISTORY_COUNT_MAX = 10_000;

/** Seconds that a message can be kept: 30 days. */
export const HISTORY_AGE_S_MAX = 30 * 24 * 3600;

/** Seconds over which the delivery of one message can be spread: an hour. */
export const SPREAD_S_MAX = 3600;
