// What a publisher says, checked: options into the fields of a Publish frame.
import {
  checkLabel,
  HISTORY_COUNT_MAX,
  isText,
  KEY_BYTES_MAX,
  MESSAGE_BYTES_LIMIT,
  SLOW_POLICIES,
  SPREAD_MS_MAX,
  TTL_MS_MAX,
  type HistoryLimits,
  type SlowPolicy,
} from '../ipc/comet.js';
import { MessageFlag } from '../ipc/frames.js';
import { MegacometError } from '../base/errors.js';

/** How one message is published. */
export interface PublishOptions {
  /** An id of the application's own, at most 128 bytes; default: none. The cursor is no id. */
  readonly id?: string | undefined;
  /** Name of the event, for EventSource; at most 128 bytes; default: none. */
  readonly event?: string | undefined;
  /**
   * Milliseconds after which the message is not delivered from history any more, at most 30 days;
   * default: what the history keeps.
   */
  readonly ttlMs?: number | undefined;
  /**
   * What the channel keeps from now on, or `false`: nothing of this message; default: what the
   * server's options say.
   */
  readonly history?: Partial<HistoryLimits> | false | undefined;
  /**
   * A second publish to the channel with the same key, within five minutes, does nothing; 1 to 128
   * bytes; default: none.
   */
  readonly idempotencyKey?: string | undefined;
  /** Milliseconds over which its subscribers get it, at most an hour; default 0: at once. */
  readonly spreadMs?: number | undefined;
  /**
   * What happens to a subscriber whose outbox is full: it is disconnected, loses the oldest that
   * waits (`dropOldest`), or keeps only the newest (`latestOnly`); default `disconnect`.
   */
  readonly policy?: SlowPolicy | undefined;
  /** Whether it goes out as bytes. Default: as text if it is a string, else as bytes. */
  readonly binary?: boolean | undefined;
}

/** A channel, as channels() tells of it. */
export interface ChannelInfo {
  /** A name, or a pattern that somebody subscribed to. */
  readonly channel: string;
  /** Connections that subscribe to exactly this, at most 100 ms old. */
  readonly subscribers: number;
  /** Messages in its history. */
  readonly messages: number;
  /** Bytes of those messages. */
  readonly bytes: number;
}

/** Which channels channels() names. */
export interface ChannelQuery {
  /** Only names that start so; default: all. */
  readonly prefix?: string;
  /**
   * About so many, default 1000; a page may have some more, or none while there are further ones.
   */
  readonly limit?: number;
  /** What came as `next` with the page before; default: the first page. */
  readonly from?: number;
}

/** Some of the channels. */
export interface ChannelPage {
  /** In no order. */
  readonly channels: readonly ChannelInfo[];
  /** Where the next page starts; null after the last. */
  readonly next: number | null;
}

/** What publish() answers. */
export interface Receipt {
  /** The place of the message in the server's sequence, as clients see it. */
  readonly cursor: string;
  /** Subscribers known when the message was numbered, at most 100 ms before; no acknowledgement. */
  readonly delivered: number;
  /** Set where the idempotency key was known: this is the answer to the first publish. */
  readonly duplicate?: true;
}

function refused(rule: string): MegacometError {
  return new MegacometError('ERR_MESSAGE', rule);
}

function checkInteger(what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw refused(`${what} ${value} is not a whole number from ${min} to ${max}`);
}

/** @throws MegacometError `ERR_MESSAGE_SIZE`, `ERR_MESSAGE`. */
export function checkData(data: Uint8Array | string, bytesMax: number): void {
  let bytes: number;
  if (typeof data === 'string') {
    // No character takes more than three bytes for each of its code units.
    bytes = 3 * data.length <= bytesMax ? 0 : Buffer.byteLength(data);
  } else if (data instanceof Uint8Array) {
    bytes = data.length;
  } else {
    throw refused('the data of a message are a string, or bytes in a Buffer or Uint8Array');
  }
  if (bytes <= bytesMax) return;
  throw new MegacometError(
    'ERR_MESSAGE_SIZE',
    `a message of ${bytes} bytes is too large: ${bytesMax} is the most`,
  );
}

/** Checks all options but `history`. @throws MegacometError `ERR_MESSAGE`. */
export function checkOptions(options: PublishOptions): void {
  if (options.id !== undefined) checkLabel('id', options.id);
  if (options.event !== undefined) checkLabel('event', options.event);
  if (options.ttlMs !== undefined) checkInteger('ttlMs', options.ttlMs, 1, TTL_MS_MAX);
  if (options.spreadMs !== undefined) checkInteger('spreadMs', options.spreadMs, 0, SPREAD_MS_MAX);
  const key = options.idempotencyKey;
  if (key !== undefined && (key === '' || Buffer.byteLength(key) > KEY_BYTES_MAX)) {
    throw refused(`an idempotency key takes 1 to ${KEY_BYTES_MAX} bytes`);
  }
}

/** Flags of the message's frame. @throws MegacometError `ERR_MESSAGE`. */
export function flagsOf(data: Uint8Array | string, options: PublishOptions): number {
  const isBinary = options.binary ?? typeof data !== 'string';
  if (!isBinary && typeof data !== 'string' && !isText(data)) {
    throw refused('the data are not UTF-8, so they cannot be published as text');
  }
  const binary = isBinary ? MessageFlag.binary : 0;
  if (options.policy === undefined) return binary;
  const policy = SLOW_POLICIES.indexOf(options.policy);
  if (policy === -1)
    throw refused(`policy ${options.policy} is none of ${SLOW_POLICIES.join(', ')}`);
  return binary | (policy << MessageFlag.policyShift);
}

/**
 * MessageFlag.ephemeral of a message that its publisher wants kept for less than is usual, so that
 * only the history knows whether it is still to be had; else 0.
 */
export function ephemeralOf(
  { history, ttlMs }: PublishOptions,
  limits: HistoryLimits | null,
  complete: HistoryLimits,
): number {
  if (ttlMs === undefined && history === undefined) return 0;
  const isUsual =
    ttlMs === undefined &&
    limits !== null &&
    limits.count >= complete.count &&
    limits.bytes >= complete.bytes &&
    limits.ageMs >= complete.ageMs;
  return isUsual ? 0 : MessageFlag.ephemeral;
}

/** @throws MegacometError `ERR_MESSAGE`. */
export function checkLimits(limits: HistoryLimits): void {
  checkInteger('history.count', limits.count, 1, HISTORY_COUNT_MAX);
  checkInteger('history.bytes', limits.bytes, 1, HISTORY_COUNT_MAX * MESSAGE_BYTES_LIMIT);
  checkInteger('history.ageMs', limits.ageMs, 1, TTL_MS_MAX);
}

/**
 * What the channel keeps; null for nothing of this message.
 *
 * @param usual - The limits where the publisher says nothing, and for those that it leaves out.
 * @throws MegacometError `ERR_MESSAGE`.
 */
export function limitsOf(
  history: PublishOptions['history'],
  usual: HistoryLimits | null,
  complete: HistoryLimits,
): HistoryLimits | null {
  if (history === undefined) return usual;
  if (history === false) return null;
  const limits = { ...complete, ...history };
  checkLimits(limits);
  return limits;
}
