// Writes revocations into the log again before the log drops them, and after it lost entries: a node
// that starts reads all that have not ended. Each node watches the place of every revocation in the
// log; the node whose name is first writes it, and the others see that, or do it later.
import { MegacometError } from '../base/errors.js';
import { counter } from '../base/metric.js';
import type { JsonObject } from './log-json.js';
import { keyOf, type RevocationRow } from './revocations.js';

/** A revocation is written again after this part of the bytes or of the time that the log keeps. */
const DUE_SHARE = 1 / 2;
/** Each node waits for this part more than the one before it, up to the last. */
const RANK_SHARE = 1 / 16;
const RANKS_MAX = 4;
/** The same after a loss, when all are due at once: a node that lives has written by then. */
const RANK_WAIT_MS = 3000;
/** A log that keeps fewer bytes has them nevertheless: its oldest part is dropped as a whole. */
const DUE_BYTES_MIN = 256 * 1024;
/** Revocations in the log per byte of everything: messages are not displaced by more. */
const BUDGET_SHARE = 1 / 4;
/** Bytes of a revocation in the log without its name. */
const ROW_BYTES = 128;
/** Written in one loop iteration: a few milliseconds. */
const ROWS_MAX = 500;
/** Between two tries of a log that does not take them. */
const RETRY_MS = 1000;

/** The newest entries of a log, which it keeps at least. */
export interface KeptEntries {
  readonly bytes: number;
  readonly ageMs: number;
}

/** The log of a broker. */
export interface RevocationLog {
  readonly keeps: KeptEntries;
  /** Bytes of all entries that this node has applied. */
  readonly appliedBytes: number;
  /** The number of living nodes whose names are before that of this one. */
  readonly rank: number;
  order(order: JsonObject): Promise<unknown>;
}

export interface RevocationRepeatsParts {
  readonly log: RevocationLog;
  /** Milliseconds of the log's clock. */
  readonly now: () => number;
  /** A revocation that has not ended; undefined for another key. */
  readonly find: (key: string) => RevocationRow | undefined;
}

/** The place of an entry in the log, by the entries that this node has read. */
interface Place {
  readonly bytes: number;
  readonly atMs: number;
}

export class RevocationRepeats {
  static readonly METRICS = {
    revocationsRepeatedTotal: counter(
      'revocations_repeated_total',
      'Revocations that this node wrote into the log again, for nodes that start later.',
      (repeats: RevocationRepeats) => repeats.#repeated,
    ),
  };

  readonly #parts: RevocationRepeatsParts | null;
  /** By key, the one with the oldest entry first. */
  readonly #places = new Map<string, Place>();
  /** Everything before this place may be lost. */
  #lost: Place = { bytes: -Infinity, atMs: -Infinity };
  #hasMissed = false;
  #budget = 0;
  #budgetAt = 0;
  #isWriting = false;
  #nextAtMs = -Infinity;
  #repeated = 0;

  /** @param parts - Null for a server without a log. */
  constructor(parts: RevocationRepeatsParts | null) {
    this.#parts = parts;
    this.#budget = this.#budgetMax;
  }

  /** An entry of the log has this revocation. */
  applied(row: RevocationRow, atMs: number): void {
    if (this.#parts === null) return;
    const key = keyOf(row);
    this.#places.delete(key);
    this.#places.set(key, { bytes: this.#parts.log.appliedBytes, atMs });
  }

  /** The log lost entries, or a node did not read some: all revocations are written again. */
  lost(): void {
    if (this.#parts === null) return;
    this.#lost = { bytes: this.#parts.log.appliedBytes, atMs: this.#parts.now() };
    this.#budget = this.#budgetMax;
  }

  /** This node did not read some entries: the nodes that did write their revocations again. */
  missed(): void {
    this.#hasMissed = this.#parts !== null;
  }

  /** Writes the revocations that are due. Called a few times a second. */
  check(): void {
    const parts = this.#parts;
    if (parts === null || this.#isWriting || parts.now() < this.#nextAtMs) return;
    this.#earn(parts);
    const isAsking = this.#hasMissed;
    this.#hasMissed = false;
    const orders = isAsking ? [{ do: 'repeat-revocations' }] : this.#takeDue(parts);
    if (orders.length === 0) return;
    this.#isWriting = true;
    void this.#write(parts, orders).then((isWritten) => {
      this.#isWriting = false;
      if (isWritten && !isAsking) this.#repeated += orders.length;
      if (isWritten) return;
      this.#hasMissed ||= isAsking;
      this.#nextAtMs = parts.now() + RETRY_MS;
    });
  }

  get #budgetMax(): number {
    return Math.max(this.#parts?.log.keeps.bytes ?? 0, DUE_BYTES_MIN) * BUDGET_SHARE;
  }

  #earn({ log }: RevocationRepeatsParts): void {
    const earned = (log.appliedBytes - this.#budgetAt) * BUDGET_SHARE;
    this.#budget = Math.min(this.#budgetMax, this.#budget + earned);
    this.#budgetAt = log.appliedBytes;
  }

  /** The orders for the oldest places that are due, as far as the budget goes. */
  #takeDue(parts: RevocationRepeatsParts): JsonObject[] {
    const orders: JsonObject[] = [];
    // The usual case, a few times a second: the rank would be counted for nothing.
    if (this.#places.size === 0) return orders;
    const rank = Math.min(parts.log.rank, RANKS_MAX);
    for (const [key, place] of this.#places) {
      if (orders.length >= ROWS_MAX || !this.#isDue(parts, place, rank)) break;
      const row = parts.find(key);
      const bytes = ROW_BYTES + key.length;
      if (row === undefined) {
        this.#places.delete(key);
        continue;
      }
      if (bytes > this.#budget) break;
      this.#budget -= bytes;
      orders.push({ do: 'revoke', row });
    }
    return orders;
  }

  #isDue({ log, now }: RevocationRepeatsParts, place: Place, rank: number): boolean {
    if (place.bytes <= this.#lost.bytes) {
      return now() - this.#lost.atMs >= rank * RANK_WAIT_MS;
    }
    const share = DUE_SHARE + rank * RANK_SHARE;
    const { bytes, ageMs } = log.keeps;
    const dueBytes = Math.max(bytes * share, DUE_BYTES_MIN);
    return log.appliedBytes - place.bytes >= dueBytes || now() - place.atMs >= ageMs * share;
  }

  /** False if the log does not take them at present. */
  async #write({ log }: RevocationRepeatsParts, orders: readonly JsonObject[]): Promise<boolean> {
    try {
      await Promise.all(orders.map((order) => log.order(order)));
      return true;
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      return false;
    }
  }
}
