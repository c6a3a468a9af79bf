// Limits of a channel's history.

/** How many of a channel's messages are kept, their total size, and for how long. */
export interface HistoryLimits {
  /** Messages, 1 to 10,000; by default `historyCount`, or 100 where that is 0. */
  readonly count: number;
  /** Bytes of all of them; by default `historyBytes`, or 262,144 where `historyCount` is 0. */
  readonly bytes: number;
  /** Milliseconds since a message was published, at most 30 days; by default `historyAge`. */
  readonly ageMs: number;
}
