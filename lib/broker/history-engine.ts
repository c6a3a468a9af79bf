// The interface of a history. It is separate from the history in memory (history.ts), so that a
// distributed engine can replace that one.
import { counter, gauge } from '../base/metric.js';
import type { Cursor } from './cursor.js';
import type { HistoryLimits } from './history-limits.js';

/** The messages of some channels after a cursor. */
export interface HistoryRange {
  /** Names and patterns. */
  readonly channels: readonly string[];
  /** Null asks only for the present number. */
  readonly since: Cursor | null;
  /** Bytes of the page; it holds at least one message, of any size. */
  readonly bytesMax: number;
}

/** The first messages of a range. Valid until the engine is used again. */
export interface HistoryPage {
  /** Bytes of the messages. */
  readonly size: number;
  /** The last number that the page covers: all messages of the range up to it are in the page. */
  readonly lastNumber: number;
  /** Whether the page covers the range up to the present number. */
  readonly isLast: boolean;
  /** Whether a message after the cursor is gone. */
  readonly hasGap: boolean;
  copyTo(target: Buffer, at: number): void;
}

/**
 * Numbers messages, keeps them, and returns those after a cursor. An engine may keep them anywhere,
 * as long as numbers grow and a page covers everything that was appended before it.
 */
export interface HistoryEngine {
  /** Names the present sequence. */
  readonly epoch: bigint;
  /** Number of the last message; 0 before the first. */
  readonly head: number;
  /**
   * Appends the next message.
   *
   * @param number - Greater than head.
   * @param atMs - Its time, by the clock of the engine.
   * @param source - Its Publish frame, from `start` to `end`.
   * @param limits - Of the channel from now on; null keeps nothing of this message.
   * @param ttlMs - Time to live, if it is shorter than the age limit.
   */
  append(
    number: number,
    atMs: number,
    channel: string,
    source: Buffer,
    start: number,
    end: number,
    limits: HistoryLimits | null,
    ttlMs?: number,
  ): void;
  /** Numbers a message that is not kept. A client that misses it has no gap. */
  skip(number: number): void;
  /** From now on numbers belong to another sequence, and continue above the present one. */
  beginEpoch(epoch: bigint): void;
  /** Messages up to `number` are lost: every range that begins before it has a gap. */
  lose(number: number): void;
  page(range: HistoryRange): HistoryPage;
  /** Messages and bytes of a channel; null if it has none. */
  describe(channel: string): ChannelHistory | null;
  /** Names of channels with messages, page by page; `from` is 0, then `next` of the last page. */
  names(from: number): { readonly names: readonly string[]; readonly next: number | null };
  /** Drops some of the messages that are too old. To be called a few times a second. */
  sweep(): void;
  readonly usage: HistoryUsage;
}

export interface ChannelHistory {
  readonly messages: number;
  readonly bytes: number;
}

/** Present size of a history, and its losses after the start. */
export interface HistoryUsage {
  readonly channels: number;
  readonly messages: number;
  readonly bytes: number;
  readonly memoryBytes: number;
  readonly trimmed: number;
  readonly expired: number;
  readonly evicted: number;
}

export const HISTORY_METRICS = {
  historyChannels: gauge(
    'history_channels',
    'Channels with messages in the history.',
    ({ channels }: HistoryUsage) => channels,
  ),
  historyMessages: gauge(
    'history_messages',
    'Messages in the history, kept for clients that resume with a cursor.',
    ({ messages }: HistoryUsage) => messages,
  ),
  historyBytes: gauge(
    'history_bytes',
    'Bytes of the messages in the history. Near --history-bytes old messages are evicted.',
    ({ bytes }: HistoryUsage) => bytes,
  ),
  historyMemoryBytes: gauge(
    'history_memory_bytes',
    "All memory of the history with its tables: a part of the manager's memory.",
    ({ memoryBytes }: HistoryUsage) => memoryBytes,
  ),
  historyTrimmedTotal: counter(
    'history_trimmed_total',
    'Messages dropped at the count or byte limit of their channel. Normal.',
    ({ trimmed }: HistoryUsage) => trimmed,
  ),
  historyExpiredTotal: counter(
    'history_expired_total',
    'Messages dropped because of their age. Normal.',
    ({ expired }: HistoryUsage) => expired,
  ),
  historyEvictedTotal: counter(
    'history_evicted_total',
    'Messages dropped early, to stay within --history-bytes. Raise it, or clients ' +
      'that resume miss messages.',
    ({ evicted }: HistoryUsage) => evicted,
  ),
};
