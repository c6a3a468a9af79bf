// What the broker asks of a history: numbers, pages, floors.
// Kept apart from the one in memory (history.ts), so that a distributed one can take its place.
import type { Cursor, HistoryLimits } from '../ipc/comet.js';

/** What was published on some channels after a cursor. */
export interface Question {
  /** Names and patterns. */
  readonly channels: readonly string[];
  /** Null asks only where the sequence stands. */
  readonly since: Cursor | null;
  /** About so many bytes; one message fits always. */
  readonly bytesMax: number;
}

/** The answer to a question. Valid until the engine is used again. */
export interface HistoryPage {
  /** Bytes of the messages. */
  readonly size: number;
  /** The last number that the page covers: every later message is on none of its predecessors. */
  readonly lastNumber: number;
  /** Nothing is left behind this page. */
  readonly isLast: boolean;
  /** A message after the cursor is gone. */
  readonly isLost: boolean;
  copyTo(target: Buffer, at: number): void;
}

/**
 * Numbers messages, keeps them, and answers what was missed. In memory here; another may keep them
 * elsewhere, as long as numbers grow and a page follows everything that was appended before it.
 */
export interface HistoryEngine {
  readonly epoch: bigint;
  /** Number of the last message; 0 before the first. */
  readonly head: number;
  /**
   * Takes the next message.
   *
   * @param source - Its Publish frame, from `start` to `end`, with the number head + 1.
   * @param limits - Of the channel from now on; null keeps nothing of this message.
   * @param ttlMs - Time to live, where that is shorter than the limits say.
   */
  append(
    channel: string,
    source: Buffer,
    start: number,
    end: number,
    limits: HistoryLimits | null,
    ttlMs?: number,
  ): void;
  page(question: Question): HistoryPage;
  /** What a channel has; null if it has nothing. */
  describe(channel: string): ChannelHistory | null;
  /** Names of channels with messages, some at a time; `from` is 0, then what came as `next`. */
  names(from: number): { readonly names: readonly string[]; readonly next: number | null };
  /** Gives up some of what is too old. To be called a few times a second. */
  sweep(): void;
  readonly counters: HistoryCounters;
}

export interface ChannelHistory {
  readonly messages: number;
  readonly bytes: number;
}

export interface HistoryCounters {
  readonly channels: number;
  readonly messages: number;
  readonly bytes: number;
  /** All that the history holds in memory, its tables included. */
  readonly memoryBytes: number;
  /** Messages gone: beyond a channel's limits, too old, or to make room. */
  readonly trimmedTotal: number;
  readonly expiredTotal: number;
  readonly evictedTotal: number;
}
