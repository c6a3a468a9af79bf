// Checks the options of a publish, and turns them into fields of a Publish frame.
import { isUtf8 } from 'node:buffer';

import { checkInteger, checkString, invalidValue, visitMembers } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import {
  HISTORY_AGE_S_MAX,
  HISTORY_COUNT_MAX,
  MESSAGE_BYTES_MAX,
  SPREAD_S_MAX,
} from '../base/message-limits.js';
import { MessageFlag } from '../ipc/frames.js';
import type { HistoryLimits } from './history-limits.js';
import { checkEvent, checkLabel } from './label.js';
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
   * the limits of the channel's namespace, else those of the server's options.
   */
  readonly history?: Partial<HistoryLimits> | false | undefined;
  /**
   * A further publish to the channel with the same key within five minutes does nothing; 1 to 128
   * bytes; default: none.
   */
  readonly idempotencyKey?: string | undefined;
  /**
   * Milliseconds over which delivery is spread, at most an hour; default: that of the channel's
   * namespace, else 0: at once.
   */
  readonly spreadMs?: number | undefined;
  /**
   * The fate of a subscriber whose send queue is full: it is disconnected, loses its oldest queued
   * message (`dropOldest`), or keeps only the newest (`latestOnly`); default: that of the channel's
   * namespace, else `disconnect`.
   */
  readonly policy?: SlowPolicy | undefined;
  /** Whether the message is sent as bytes. Default: a string as text, anything else as bytes. */
  readonly binary?: boolean | undefined;
  /**
   * `cluster` asks all nodes for their subscribers of the channel, and waits for at most 100 ms: the
   * receipt has their sum, and the nodes that answered. At most 100 times a second; not for
   * broadcast(). Default: the subscribers of this node.
   */
  readonly count?: 'cluster' | undefined;
}

/** A channel, as channels() reports it. */
export interface ChannelInfo {
  /** A name, or a pattern that has subscribers. */
  readonly channel: string;
  /** Connections of all nodes that subscribe to exactly this, at most 100 ms old. */
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
   * Only names of this pattern, as in grants: a star stands for characters of one segment, and alone
   * in the last segment for all that follows; default: all.
   */
  readonly pattern?: string;
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
  /**
   * The value of `from` for the next page; null after the last. A channel whose subscribers change
   * between two pages may be listed twice, or not at all; likewise if nodes start or leave.
   */
  readonly next: number | null;
  /** False if a node did not answer, so that channels or subscribers are missing. */
  readonly isComplete: boolean;
}

/** The result of publish(). */
export interface Receipt {
  /** The position of the message in the server's sequence, as clients see it. */
  readonly cursor: string;
  /**
   * Subscribers of the node that took the message, known when it was numbered, at most 100 ms old;
   * not acknowledgements. With `count: 'cluster'` those of the nodes that answered.
   */
  readonly delivered: number;
  /** With `count: 'cluster'`: the nodes whose subscribers `delivered` has. Not for a duplicate. */
  readonly nodes?: number;
  /** Set if the idempotency key was known: this is the result of the first publish. */
  readonly duplicate?: true;
}

type Check = (label: string, value: unknown) => void;

function integer(min: number, max: number): Check {
  return (label, value) => {
    checkInteger(label, value, min, max, 'ERR_MESSAGE');
  };
}

function checkKey(label: string, key: unknown): void {
  checkString(label, key, 'ERR_MESSAGE');
  const bytes = Buffer.byteLength(key);
  if (bytes > 0 && bytes <= KEY_BYTES_MAX) return;
  const message = `${label}: ${bytes} bytes are not between 1 and ${KEY_BYTES_MAX}`;
  throw new MegacometError('ERR_MESSAGE', message);
}

function checkPolicy(label: string, policy: unknown): void {
  if (SLOW_POLICIES.some((known) => known === policy)) return;
  throw invalidValue(label, policy, `one of ${SLOW_POLICIES.join(', ')}`, 'ERR_MESSAGE');
}

function checkCount(label: string, count: unknown): void {
  if (count !== 'cluster') throw invalidValue(label, count, '"cluster"', 'ERR_MESSAGE');
}

function checkBinary(label: string, value: unknown): void {
  if (typeof value !== 'boolean') throw invalidValue(label, value, 'true or false', 'ERR_MESSAGE');
}

const HISTORY_CHECKS = new Map<string, Check>([
  ['count', integer(1, HISTORY_COUNT_MAX)],
  ['bytes', integer(1, HISTORY_COUNT_MAX * MESSAGE_BYTES_MAX)],
  ['ageMs', integer(1, TTL_MS_MAX)],
]);
const HISTORY_NAMES = [...HISTORY_CHECKS.keys()];

function checkHistory(label: string, history: unknown): void {
  if (history === false) return;
  const check = (name: string, limit: unknown): void => {
    HISTORY_CHECKS.get(name)?.(`history.${name}`, limit);
  };
  visitMembers(label, history, HISTORY_NAMES, check, 'ERR_MESSAGE');
}

const OPTION_CHECKS = new Map<string, Check>([
  ['id', checkLabel],
  [
    'event',
    (_name, event) => {
      checkEvent(event);
    },
  ],
  ['ttlMs', integer(1, TTL_MS_MAX)],
  ['spreadMs', integer(0, SPREAD_MS_MAX)],
  ['idempotencyKey', checkKey],
  ['policy', checkPolicy],
  ['binary', checkBinary],
  ['count', checkCount],
  ['history', checkHistory],
]);
const OPTION_NAMES = [...OPTION_CHECKS.keys()];

function checkOption(name: string, value: unknown): void {
  OPTION_CHECKS.get(name)?.(name, value);
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
    const message = 'data is neither a string nor a Buffer or Uint8Array';
    throw new MegacometError('ERR_MESSAGE', message);
  }
  if (bytes <= bytesMax) return;
  throw new MegacometError('ERR_MESSAGE_SIZE', `data: ${bytes} bytes are more than ${bytesMax}`);
}

/** @throws MegacometError `ERR_MESSAGE`; `ERR_OPTION_UNKNOWN` for a name that is not an option. */
export function checkOptions(options: unknown, call = 'publish'): void {
  visitMembers(call, options, OPTION_NAMES, checkOption, 'ERR_MESSAGE');
}

/**
 * Flags of the Publish frame.
 *
 * @param usual - The policy of a message without its own.
 * @throws MegacometError `ERR_MESSAGE`.
 */
export function flagsOf(
  data: Uint8Array | string,
  options: PublishOptions,
  usual: SlowPolicy,
): number {
  const isBinary = options.binary ?? typeof data !== 'string';
  if (!isBinary && typeof data !== 'string' && !isUtf8(data)) {
    const message = 'data is not UTF-8, so it cannot be published as text';
    throw new MegacometError('ERR_MESSAGE', message);
  }
  const binary = isBinary ? MessageFlag.binary : 0;
  const policy = options.policy ?? usual;
  // On the path of every publish.
  if (policy === 'disconnect') return binary;
  return binary | (SLOW_POLICIES.indexOf(policy) << MessageFlag.policyShift);
}

/**
 * MessageFlag.ephemeral for a message with limits below the defaults of the server, else 0. Only
 * the history knows when such a message is gone, so workers must not cache it.
 */
export function ephemeralOf(
  ttlMs: number | undefined,
  limits: HistoryLimits | null,
  defaults: HistoryLimits,
): number {
  const isKeptAsLong =
    ttlMs === undefined &&
    limits !== null &&
    limits.count >= defaults.count &&
    limits.bytes >= defaults.bytes &&
    limits.ageMs >= defaults.ageMs;
  return isKeptAsLong ? 0 : MessageFlag.ephemeral;
}

/**
 * The history limits of a publish; null keeps nothing of the message.
 *
 * @param usual - The limits of a publish that names none.
 * @param defaults - The limits for the members that `history` leaves out.
 */
export function limitsOf(
  history: PublishOptions['history'],
  usual: HistoryLimits | null,
  defaults: HistoryLimits,
): HistoryLimits | null {
  if (history === undefined) return usual;
  if (history === false) return null;
  const { count = defaults.count, bytes = defaults.bytes, ageMs = defaults.ageMs } = history;
  return { count, bytes, ageMs };
}
