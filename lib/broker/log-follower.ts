// The reading half of a log: applies the records of every entry, those of this node included, and
// knows how far it is.
import { MegacometError } from '../base/errors.js';
import { counter, gauge } from '../base/metric.js';
import type { Log, LogBreak, LogEntry, LogStart } from '../log/log.js';
import { eachRecord, lastNumberOf, numberOf, type LogRecord } from './log-batch.js';
import type { LogClock } from './log-clock.js';
import type { Applied } from './log-writer.js';

/** A record, as the parts of the broker apply it. */
export interface AppliedRecord extends LogRecord {
  /** Number of a message in this record. */
  readonly number: number;
  /** Its time by the clock of the log. */
  readonly atMs: number;
  /** The life of the node that wrote it. */
  readonly node: string;
}

/** Messages that this node did not receive. */
export interface Gap {
  /** The last number before it. */
  readonly after: number;
  /** The last number that is lost. */
  readonly to: number;
}

export interface LogFollowerParts {
  readonly log: Log;
  readonly node: string;
  readonly clock: LogClock;
  /**
   * Applies a record; the result is for this node's publisher.
   *
   * @returns Undefined for a kind that this version does not know.
   * @throws MegacometError for a record that every node rejects.
   */
  readonly apply: (record: AppliedRecord) => Applied | undefined;
  /** An entry of this node was applied. */
  readonly onOwnEntry: (count: number, results: readonly (Applied | undefined)[]) => void;
  /** Connected subscribers may have missed messages, or cursors have another epoch from now on. */
  readonly onLost: (gap: Gap | null, epoch: bigint | null) => void;
  /** Null: the log is available again. */
  readonly onDown: (reason: string | null) => void;
  /** Conditions for the log lines of the server. */
  readonly onEvent: (event: LogEvent) => void;
}

/** A condition of the log that an operator should know. */
export type LogEvent =
  | { readonly kind: 'down'; readonly reason: string }
  | { readonly kind: 'up' }
  /** Clients are closed from now on, because the engine is lost; or admitted again. */
  | { readonly kind: 'cut-off'; readonly isOn: boolean }
  /** Entries are lost, or the log begins a new epoch. */
  | { readonly kind: 'break'; readonly entries: number; readonly epoch: bigint | null }
  /** A record was needed and unknown. */
  | { readonly kind: 'outdated'; readonly record: number };

/** Bytes of an entry in the log besides its batch, for all engines: an upper bound. */
const ENTRY_BYTES = 256;

export class LogFollower {
  static readonly METRICS = {
    logPosition: gauge(
      'log_position',
      'Position of the last entry of the log that this node has applied.',
      (follower: LogFollower) => follower.#applied,
    ),
    logEntriesAppliedTotal: counter(
      'log_entries_applied_total',
      'Entries of the log that this node has applied, those of all nodes.',
      (follower: LogFollower) => follower.#entries,
    ),
    logRecordsUnknownTotal: counter(
      'log_records_unknown_total',
      'Records of a kind that this version does not know. The node is not ready afterwards: install ' +
        'the version of the newest node.',
      (follower: LogFollower) => follower.#unknown,
    ),
    logRecordsInvalidTotal: counter(
      'log_records_invalid_total',
      'Entries of the log that could not be read. Something else writes to the log.',
      (follower: LogFollower) => follower.#invalid,
    ),
    logGapsTotal: counter(
      'log_gaps_total',
      'Times that this node missed entries, because the log had dropped them or went back. ' +
        'Subscribers received a lost message.',
      (follower: LogFollower) => follower.#gaps,
    ),
    logDown: gauge(
      'log_down',
      '1 while the log cannot be read or written, else 0.',
      (follower: LogFollower) => (follower.#isDown ? 1 : 0),
    ),
  };

  readonly #parts: LogFollowerParts;
  #applied = 0;
  #startHead = 0;
  #caughtUp: (() => void) | null = null;
  #entries = 0;
  #bytes = 0;
  #unknown = 0;
  #invalid = 0;
  #gaps = 0;
  #isDown = false;
  #isOutdated = false;

  constructor(parts: LogFollowerParts) {
    this.#parts = parts;
  }

  /** Position of the last entry that was applied. */
  get applied(): number {
    return this.#applied;
  }

  /** Bytes of all entries that were applied. */
  get bytes(): number {
    return this.#bytes;
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** A record was needed and unknown: this node misses something that the others know. */
  get isOutdated(): boolean {
    return this.#isOutdated;
  }

  /** Reads the log from its start; resolves at the head that it had then. */
  catchUp({ first, head }: LogStart): Promise<void> {
    this.#applied = first - 1;
    this.#startHead = head;
    return new Promise((resolve) => {
      this.#caughtUp = resolve;
      this.#checkCaughtUp();
      this.#parts.log.read(first - 1, {
        onEntries: (entries) => {
          for (const entry of entries) this.#apply(entry);
          this.#checkCaughtUp();
        },
        onBreak: (broken) => {
          this.#onBreak(broken);
        },
      });
    });
  }

  #checkCaughtUp(): void {
    if (this.#caughtUp === null || this.#applied < this.#startHead) return;
    this.#caughtUp();
    this.#caughtUp = null;
  }

  #apply(entry: LogEntry): void {
    const { node, count } = entry.id;
    const isOwn = node === this.#parts.node;
    this.#parts.clock.observe(entry.atMs);
    this.#entries++;
    this.#bytes += ENTRY_BYTES + entry.batch.length;
    const results: (Applied | undefined)[] = [];
    try {
      const { seq, atMs } = entry;
      eachRecord(entry.batch, ({ place, kind, isNeeded, body }) => {
        const number = numberOf(seq, place);
        // A literal: this is on the path of every message.
        const result = this.#applyRecord({ place, kind, isNeeded, body, number, atMs, node });
        if (isOwn) results.push(result);
      });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#invalid++;
    }
    this.#applied = entry.seq;
    if (isOwn) this.#parts.onOwnEntry(count, results);
  }

  #applyRecord(record: AppliedRecord): Applied | undefined {
    try {
      const result = this.#parts.apply(record);
      if (result === undefined) {
        this.#unknown++;
        if (record.isNeeded) this.#onOutdated(record.kind);
      }
      return result;
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      return { error };
    }
  }

  #onOutdated(record: number): void {
    if (this.#isOutdated) return;
    this.#isOutdated = true;
    this.#parts.onEvent({ kind: 'outdated', record });
  }

  #onBreak(broken: LogBreak): void {
    switch (broken.kind) {
      case 'down':
        if (!this.#isDown) this.#parts.onEvent({ kind: 'down', reason: broken.reason });
        this.#isDown = true;
        this.#parts.onDown(broken.reason);
        return;
      case 'up':
        if (this.#isDown) this.#parts.onEvent({ kind: 'up' });
        this.#isDown = false;
        this.#parts.onDown(null);
        return;
      case 'gap':
        this.#onGap(broken.to, null);
        this.#applied = Math.max(this.#applied, broken.to);
        break;
      case 'epoch':
        this.#onGap(broken.lastSeq, broken.epoch);
        break;
    }
    this.#checkCaughtUp();
  }

  /** Reports lost entries after the last applied one, and a new epoch. */
  #onGap(toSeq: number, epoch: bigint | null): void {
    const isGap = toSeq > this.#applied;
    if (isGap) this.#gaps++;
    const gap = isGap ? { after: lastNumberOf(this.#applied), to: lastNumberOf(toSeq) } : null;
    this.#parts.onLost(gap, epoch);
    const entries = isGap ? toSeq - this.#applied : 0;
    this.#parts.onEvent({ kind: 'break', entries, epoch });
  }
}
