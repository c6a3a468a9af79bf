// Checks the options of a publish, and turns them into fields of a Publish frame.
import { isUtf8 } from 'node:buffer';

import { MegacometError } from '../base/errors.js';
import {
  HISTORY_AGE_S_MAX,
  HISTORY_COUNT_MAX,
  MESSAGE_BYTES_MAX,
  SPREAD_S_MAX,
} from '../base/message-limits.js';
import { MessageFlag } from '../ipc/frames.js';
import type { HistoryLimits } from './history-limits.js';
import { checkLabel } from './label.js';
import { SLOW_POLICIES, type SlowPolicy } from './slow-policy.js';

/** Bytes of an idempotency key: a UUID has 36, a SHA-512 in hexadecimal 128. */
const KEY_BYTES_MAX = 128;
const TTL_MS_MAX = HISTORY_AGE_S_MAX * 1000;
const SPREAD_MS_MAX = SPREAD_S_MAX * 1000;

/** How one message is published. */
export interface PublishOptions {
  /** An id that the application chooses, at most 128 bytes; default: none. It is not the cursor. */
  readonly id?: string | undefined;
  /** Event name for EventSource, at most 128 bytes; default: none. */
  readonly event?: string | undefined;
  /**
   * Milliseconds during which the history may deliver the message, at most 30 days; default: the
   * age limit of the history.
   */
  readonly ttlMs?: number | undefined;
  /**
   * History limits of the channel from now on, or `false` to keep nothing of this message; default:
   * the limits of the server's options.
   */
  readonly history?: Partial<HistoryLimits> | false | undefined;
  /**
   * A further publish to the channel with the same key within five minutes does nothing; 1 to 128
   * bytes; default: none.
   */
  readonly idempotencyKey?: string | undefined;
  /** Milliseconds over which delivery is spread, at most an hour; default 0: at once. */
  readonly spreadMs?: number | undefined;
  /**
   * The fate of a subscriber whose send queue is full: it is disconnected, loses its oldest queued
   * message (`dropOldest`), or keeps only the newest (`latestOnly`); default `disconnect`.
   */
  readonly policy?: SlowPolicy | undefined;
  /** Whether the message is sent as bytes. Default: a string as text, anything else as bytes. */
  readonly binary?: boolean | undefined;
}

/** A channel, as channels() reports it. */
export interface ChannelInfo {
  /** A name, or a pattern that has subscribers. */
  readonly channel: string;
  /** Connections that subscribe to exactly this, at most 100 ms old. */
  readonly subscribers: number;
  /** Messages in its history. */
  readonly messages: number;
  /** Bytes of those messages. */
  readonly bytes: number;
}

/** The channels that channels() lists. */
export interface ChannelQuery {
  /** Only names with this prefix; default: all. */
  readonly prefix?: string;
  /**
   * The approximate number of channels of a page; default 1000. A page may have some more, or none
   * although further pages follow.
   */
  readonly limit?: number;
  /** `next` of the page before; default: the first page. */
  readonly from?: number;
}

/** One page of the channels. */
export interface ChannelPage {
  /** In no order. */
  readonly channels: readonly ChannelInfo[];
  /** The value of `from` for the next page; null after the last. */
  readonly next: number | null;
}

/** The result of publish(). */
export interface Receipt {
  /** The position of the message in the server's sequence, as clients see it. */
  readonly cursor: string;
  /** Subscribers known when the message was numbered, at most 100 ms old; not acknowledgements. */
  readonly delivered: number;
  /** Set if the idempotency key was known: this is the result of the first publish. */
  readonly duplicate?: true;
}

function invalid(rule: string): MegacometError {
  return new MegacometError('ERR_MESSAGE', rule);
}

function checkInteger(what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw invalid(`${what}: ${value} is not a whole number from ${min} to ${max}`);
}

/** @throws MegacometError `ERR_MESSAGE_SIZE`, `ERR_MESSAGE`. */
export function checkData(data: Uint8Array | string, bytesMax: number): void {
  let bytes: number;
  if (typeof data === 'string') {
    // UTF-8 takes at most three bytes for each UTF-16 code unit.
    bytes = 3 * data.length <= bytesMax ? 0 : Buffer.byteLength(data);
  } else if (data instanceof Uint8Array) {
    bytes = data.length;
  } else {
    throw invalid('data is neither a string nor a Buffer or Uint8Array');
  }
  if (bytes <= bytesMax) return;
  throw new MegacometError('ERR_MESSAGE_SIZE', `data: ${bytes} bytes are more than ${bytesMax}`);
}

/** Checks all options except `history`. @throws MegacometError `ERR_MESSAGE`. */
export function checkOptions(options: PublishOptions): void {
  if (options.id !== undefined) checkLabel('id', options.id);
  if (options.event !== undefined) checkLabel('event', options.event);
  if (options.ttlMs !== undefined) checkInteger('ttlMs', options.ttlMs, 1, TTL_MS_MAX);
  if (options.spreadMs !== undefined) checkInteger('spreadMs', options.spreadMs, 0, SPREAD_MS_MAX);
  const key = options.idempotencyKey;
  if (key !== undefined && (key === '' || Buffer.byteLength(key) > KEY_BYTES_MAX)) {
    const bytes = Buffer.byteLength(key);
    throw invalid(`idempotencyKey: ${bytes} bytes are not between 1 and ${KEY_BYTES_MAX}`);
  }
}

/** Flags of the Publish frame. @throws MegacometError `ERR_MESSAGE`. */
export function flagsOf(data: Uint8Array | string, options: PublishOptions): number {
  const isBinary = options.binary ?? typeof data !== 'string';
  if (!isBinary && typeof data !== 'string' && !isUtf8(data)) {
    throw invalid('data is not UTF-8, so it cannot be published as text');
  }
  const binary = isBinary ? MessageFlag.binary : 0;
  if (options.policy === undefined) return binary;
  const policy = SLOW_POLICIES.indexOf(options.policy);
  if (policy === -1) {
    throw invalid(`policy: ${options.policy} is not one of ${SLOW_POLICIES.join(', ')}`);
  }
  return binary | (policy << MessageFlag.policyShift);
}

/**
 * MessageFlag.ephemeral for a message whose publisher sets limits below the defaults, else 0. Only
 * the history knows when such a message is gone, so workers must not cache it.
 */
export function ephemeralOf(
  { history, ttlMs }: PublishOptions,
  limits: HistoryLimits | null,
  defaults: HistoryLimits,
): number {
  if (ttlMs === undefined && history === undefined) return 0;
  const isKeptAsLong =
    ttlMs === undefined &&
    limits !== null &&
    limits.count >= defaults.count &&
    limits.bytes >= defaults.bytes &&
    limits.ageMs >= defaults.ageMs;
  return isKeptAsLong ? 0 : MessageFlag.ephemeral;
}

/** @throws MegacometError `ERR_MESSAGE`. */
export function checkLimits(limits: HistoryLimits): void {
  checkInteger('history.count', limits.count, 1, HISTORY_COUNT_MAX);
  checkInteger('history.bytes', limits.bytes, 1, HISTORY_COUNT_MAX * MESSAGE_BYTES_MAX);
  checkInteger('history.ageMs', limits.ageMs, 1, TTL_MS_MAX);
}

/**
 * The history limits of a publish; null keeps nothing of the message.
 *
 * @param usual - The limits of a publish that names none.
 * @param defaults - The limits for the members that `history` leaves out.
 * @throws MegacometError `ERR_MESSAGE`.
 */
export function limitsOf(
  history: PublishOptions['history'],
  usual: HistoryLimits | null,
  defaults: HistoryLimits,
): HistoryLimits | null {
  if (history === undefined) return usual;
  if (history === false) return null;
  const limits = { ...defaults, ...history };
  checkLimits(limits);
  return limits;
}
