// What the comet protocol and the broker agree on: flags, limits, channel names, cursors.
import { isUtf8 } from 'node:buffer';

import { MegacometError } from '../base/errors.js';
import { SlowPolicy as PolicyNumbers } from './frames.js';

/**
 * What happens to a subscriber whose send queue is full when a message arrives: it is disconnected,
 * loses its oldest queued message, or keeps only the newest.
 */
export type SlowPolicy = 'disconnect' | 'dropOldest' | 'latestOnly';
/** The policies in the order of their numbers in frames. */
export const SLOW_POLICIES = Object.keys(PolicyNumbers) as readonly (keyof typeof PolicyNumbers)[];

/** Bytes of a channel's name: it fits into a line of a log and into a text of a frame. */
export const CHANNEL_BYTES_MAX = 200;

/** Bytes of a message's id or event: they are written again for every subscriber. */
export const LABEL_BYTES_MAX = 128;

/** Bytes of an idempotency key: a UUID has 36, a SHA-512 in hexadecimal 128. */
export const KEY_BYTES_MAX = 128;

/** Bytes of one message unless an option says otherwise: one fits into a send queue. */
export const MESSAGE_BYTES_DEFAULT = 64 * 1024;

/** The most that the option may say: with its channel and labels it must fit into one frame. */
export const MESSAGE_BYTES_LIMIT = 1024 * 1024 - 1024;

/** Longest time to live of a message, and longest spread of one over its subscribers. */
export const TTL_MS_MAX = 30 * 24 * 3600 * 1000;
export const SPREAD_MS_MAX = 3600 * 1000;

/** Messages of one channel that can be kept: their numbers stand in one block of 64 KiB. */
export const HISTORY_COUNT_MAX = 10_000;

/** How many of a channel's messages are kept, how large together, and for how long. */
export interface HistoryLimits {
  /** Messages, 1 to 10,000; by default `historyCount`, or 100 where that is 0. */
  readonly count: number;
  /** Bytes of all of them; by default `historyBytes`, or 262,144 where `historyCount` is 0. */
  readonly bytes: number;
  /** Milliseconds since a message was published, at most 30 days; by default `historyAge`. */
  readonly ageMs: number;
}

/**
 * Kept unless told otherwise: enough for a client that reconnects within five minutes, as after a
 * restart of its network, to a channel with a message every three seconds.
 */
export const HISTORY_DEFAULT: HistoryLimits = { count: 100, bytes: 256 * 1024, ageMs: 300_000 };

/** Memory for the messages of all channels, unless an option says otherwise. */
export const HISTORY_BYTES_DEFAULT = 128 * 1024 * 1024;

/** How long a message waits in a client's mailbox: a page that is loaded anew is back by then. */
export const MAILBOX_TIME_MS_DEFAULT = 60_000;

/** A position in the server's one sequence of messages. */
export interface Cursor {
  /** Names one life of the manager. */
  readonly epoch: bigint;
  /** Of the last message seen; 0 before the first. */
  readonly number: bigint;
}

const CURSOR = /^([0-9a-f]{16})\.(0|[1-9]\d{0,19})$/;
const U64_MAX = 2n ** 64n - 1n;

/** Reads a cursor; null for anything but the one text that formatCursor() writes for it. */
export function parseCursor(text: string): Cursor | null {
  const match = CURSOR.exec(text);
  if (match === null) return null;
  const number = BigInt(match[2] ?? '');
  return number > U64_MAX ? null : { epoch: BigInt(`0x${match[1] ?? ''}`), number };
}

/** The part before the number in every cursor of an epoch. */
export function cursorStart(epoch: bigint): string {
  return `${epoch.toString(16).padStart(16, '0')}.`;
}

export function formatCursor({ epoch, number }: Cursor): string {
  return cursorStart(epoch) + number.toString();
}

/** For names beyond ASCII: control characters, also those from U+0080 on, and halves of pairs. */
const FORBIDDEN = /[\p{Cc}\p{Surrogate}*]/u;

function isWideName(name: string): boolean {
  return !FORBIDDEN.test(name) && Buffer.byteLength(name) <= CHANNEL_BYTES_MAX;
}

/**
 * Whether a text can name a channel: 1 to 200 bytes of UTF-8, no control character, no `*`, no
 * space at either end. Names are compared as they are: no case folding, no normalisation.
 */
export function isChannel(name: string): boolean {
  const { length } = name;
  if (length === 0 || length > CHANNEL_BYTES_MAX) return false;
  if (name.charCodeAt(0) === 0x20 || name.charCodeAt(length - 1) === 0x20) return false;
  for (let at = 0; at < length; at++) {
    const code = name.charCodeAt(at);
    if (code > 0x7e) return isWideName(name);
    if (code < 0x20 || code === 0x2a) return false;
  }
  return true;
}

/**
 * Whether a text is a pattern: a prefix that ends in `/`, and a `*`. It stands for every channel
 * that starts with the prefix. With its star it obeys the length limit of a name.
 */
export function isPattern(text: string): boolean {
  return text.endsWith('/*') && isChannel(`${text.slice(0, -1)}+`);
}

/** @throws MegacometError `ERR_CHANNEL`. */
export function checkChannel(name: string): void {
  if (isChannel(name)) return;
  throw new MegacometError(
    'ERR_CHANNEL',
    `${shown(name)} cannot name a channel: that takes 1 to ${CHANNEL_BYTES_MAX} bytes without ` +
      'control characters, without *, and without a space at either end',
  );
}

/** @throws MegacometError `ERR_MESSAGE`, for an id or event that would break a line of a stream. */
export function checkLabel(what: string, label: string): void {
  const isShort =
    label.length * 3 <= LABEL_BYTES_MAX || Buffer.byteLength(label) <= LABEL_BYTES_MAX;
  if (isShort && !/[\r\n\0\p{Surrogate}]/u.test(label)) return;
  throw new MegacometError(
    'ERR_MESSAGE',
    `${what} ${shown(label)} cannot be sent: that takes at most ${LABEL_BYTES_MAX} bytes without ` +
      'CR, LF and NUL',
  );
}

/** Whether data can go out as text, which has to be UTF-8. */
export function isText(data: Uint8Array): boolean {
  return isUtf8(data);
}

/** A text of a user as a message may repeat it: short, and no control characters. */
function shown(text: string): string {
  const quoted = JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
  // JSON leaves DEL and those from U+0080 on as they are, and a terminal may obey them.
  return quoted.replace(/\p{Cc}/gu, '?');
}
