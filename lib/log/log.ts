// The interface of a log: one sequence of entries that every node of a cluster reads in the same order.
// A log in memory, in a directory, in Redis or in NATS implements it.

/** One entry: everything that one node appended in one loop iteration. */
export interface LogEntry {
  /** Its position: 1 or more, greater than that of every earlier entry of the same epoch. */
  readonly seq: number;
  /** Milliseconds since 1970 by the clock of the log, never less than those of earlier entries. */
  readonly atMs: number;
  /** The node that appended it, and the number of that node's append. */
  readonly id: AppendId;
  /** The bytes of the entry. The log does not read them. */
  readonly batch: Buffer;
}

/** Names one append. A log that receives the same id again keeps one entry. */
export interface AppendId {
  /** One life of one process: 1 to 64 letters, digits, `-` and `_`. */
  readonly node: string;
  /** 1 for the first append of that life, then one more for each. */
  readonly count: number;
}

/** The state of a log when it was opened. */
export interface LogStart {
  /** Names one sequence: numbers of two epochs are not comparable. */
  readonly epoch: bigint;
  /** The position of the oldest entry; head + 1 if the log is empty. */
  readonly first: number;
  /** The position of the newest entry; 0 before the first. */
  readonly head: number;
  /** The log's clock at that moment, in milliseconds since 1970; the atMs of entries follow it. */
  readonly nowMs: number;
}

/** A break in the sequence that read() delivers. */
export type LogBreak =
  /** The entries after `after`, up to and with `to`, are gone. Reading goes on with `to` + 1. */
  | { readonly kind: 'gap'; readonly after: number; readonly to: number }
  /**
   * A new sequence begins. Entries of the old epoch after `lastSeq` do not exist any more, or never
   * did; the first entry of the new epoch has a greater position than any of the old.
   */
  | { readonly kind: 'epoch'; readonly epoch: bigint; readonly lastSeq: number }
  /** The log cannot be read or written at present. It tries again until it can. */
  | { readonly kind: 'down'; readonly reason: string }
  /** It can be read and written again. */
  | { readonly kind: 'up' };

export interface LogReader {
  /** Entries in the order of their positions, each once. */
  onEntries(entries: readonly LogEntry[]): void;
  onBreak(broken: LogBreak): void;
}

/** Totals since the start, and the present state. */
export interface LogCounters {
  /** Entries appended by this process. */
  readonly appends: number;
  readonly appendBytes: number;
  /** Appends that failed, with an error for their publishers. */
  readonly appendErrors: number;
  /** Appends that were sent again, because the answer to the first was lost. */
  readonly appendRetries: number;
  /** Entries read, those of this process included. */
  readonly entriesRead: number;
  /** Times the log was lost and found again. */
  readonly reconnects: number;
  /** Changes of the epoch, and gaps. */
  readonly breaks: number;
}

/** Milliseconds after which an append without an answer fails: publishers know within a second. */
export const APPEND_TIMEOUT_MS = 900;

/** Times for a connection to an engine, in milliseconds. */
export interface Patience {
  /** For TCP. */
  readonly reachMs: number;
  /** For TLS and the login, and then for each answer besides those to appends. */
  readonly answerMs: number;
}

/**
 * The kernel sends a lost SYN again after one second, so a new attempt reaches an engine that is back
 * earlier than a longer wait.
 */
export const PATIENCE: Patience = { reachMs: 500, answerMs: 1000 };
/** At the start, when nothing waits: a slow engine is better than no start. */
export const START_PATIENCE: Patience = { reachMs: 5000, answerMs: 5000 };

/** Bytes of one batch at most. */
export const BATCH_BYTES_MAX = 8 * 1024 * 1024;

export interface Log {
  /** Its name in stats and in messages, without secrets: `redis://10.0.0.1:6379/0`. */
  readonly name: string;

  /**
   * Opens the log; must be called first.
   *
   * @throws MegacometError `ERR_LOG`, in one sentence that names the option and the cause, such as a
   *   wrong password or a directory that another server uses.
   */
  open(): Promise<LogStart>;

  /**
   * Appends an entry. Appends of one process that are under way at the same time keep their order.
   *
   * @param applied - The position of the last entry that this node has applied. Where the log's head
   *   is below it, the log went back: it begins a new epoch above that position.
   * @returns The position of the entry; a duplicate has that of the first.
   * @throws MegacometError `ERR_LOG` within APPEND_TIMEOUT_MS. The entry may exist nevertheless.
   */
  append(batch: Buffer, id: AppendId, applied: number): Promise<number>;

  /** Delivers all entries after a position, those of this process included, until close(). Once. */
  read(after: number, reader: LogReader): void;

  /** Ends reading, and completes the appends that are under way. */
  close(): Promise<void>;

  readonly counters: LogCounters;

  /**
   * The bytes of one batch that the log accepts at most, where that is less than BATCH_BYTES_MAX. Known
   * when the log is open; another server may have another limit.
   */
  readonly batchBytesMax?: number;

  /**
   * The bytes from which on a batch takes no further record, where a larger entry would hold up the log.
   * A single record may have more, up to batchBytesMax. Default: batchBytesMax.
   */
  readonly batchBytesUsual?: number;
}
