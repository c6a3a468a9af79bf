// The writing half of a log: collects the records of one loop iteration in one batch, appends it,
// and settles the promise of each record when the entry was read back and applied.
import { MegacometError } from '../base/errors.js';
import { counter } from '../base/metric.js';
import { APPEND_TIMEOUT_MS, BATCH_BYTES_MAX, type Log } from '../log/log.js';
import { BatchWriter, EMPTY_BYTES, RECORD_HEAD_BYTES } from './log-batch.js';
import type { Body } from './log-json.js';

/** Appends under way: enough that the log works while the next batch is collected. */
const APPENDS_MAX = 4;
/** Bytes under way and in the open batch; beyond them the publisher has to wait. */
const UNDER_WAY_BYTES_MAX = 8 * 1024 * 1024;
/** Period of the looks for entries that do not return. */
const WATCH_MS = 50;

/** A record whose entry was not applied yet. */
interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The records of one append. */
interface Append {
  readonly waiting: readonly Waiting[];
  readonly sentAtMs: number;
}

/** The result of a record on this node. */
export type Applied = { readonly value: unknown } | { readonly error: unknown };

export interface LogWriterParts {
  readonly log: Log;
  /** The name of this life of this node. */
  readonly node: string;
  /** Runs a function at the end of the present iteration of the loop. */
  readonly schedule: (run: () => void) => void;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** The position of the last entry that was applied. */
  readonly applied: () => number;
}

export class LogWriter {
  static readonly METRICS = {
    logPublishesBusyTotal: counter(
      'log_publishes_busy_total',
      'Records rejected with ERR_BUSY or 429, because 8 MiB are on their way to the log. The log is ' +
        'slower than the publishers.',
      (writer: LogWriter) => writer.#busy,
    ),
    logPublishesFailedTotal: counter(
      'log_publishes_failed_total',
      'Records rejected with ERR_LOG or 503, because the log did not take them or did not return ' +
        'them within a second. They may exist nevertheless.',
      (writer: LogWriter) => writer.#failed,
    ),
  };

  readonly #parts: LogWriterParts;
  readonly #batch = new BatchWriter();
  /** The records of the open batch. */
  #open: Waiting[] = [];
  /** By the number of the append; in their order. */
  readonly #appends = new Map<number, Append>();
  #count = 0;
  #underWay = 0;
  #bytes = 0;
  #isScheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #downReason: string | null = null;
  #busy = 0;
  #failed = 0;

  constructor(parts: LogWriterParts) {
    this.#parts = parts;
  }

  /** The log cannot be written: records fail at once. Null: it can be again. */
  setDown(reason: string | null): void {
    this.#downReason = reason;
    if (reason === null) this.#schedule();
  }

  /**
   * Writes a record.
   *
   * @returns The result of applying the record on this node.
   * @throws MegacometError `ERR_LOG`, `ERR_BUSY`: as rejections.
   */
  add(kind: number, { bytesMax, write }: Body): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.checkRoom(bytesMax);
      if (this.#batch.isFull || !this.#fits(bytesMax)) this.#append();
      this.#batch.add(kind, bytesMax, write);
      this.#open.push({ resolve, reject });
      this.#schedule();
    });
  }

  /**
   * @throws MegacometError `ERR_LOG`, `ERR_BUSY`: a record of this size cannot be added now;
   *   `ERR_MESSAGE_SIZE`: never.
   */
  checkRoom(bytes: number): void {
    if (bytes + EMPTY_BYTES + RECORD_HEAD_BYTES > this.#batchBytesMax) {
      const message = `the message does not fit into ${this.#batchBytesMax} bytes, the limit of the log`;
      throw new MegacometError('ERR_MESSAGE_SIZE', message);
    }
    if (this.#downReason !== null) {
      this.#failed++;
      throw logError(this.#downReason);
    }
    if (this.#bytes + this.#batch.size + bytes <= UNDER_WAY_BYTES_MAX) return;
    this.#busy++;
    throw new MegacometError('ERR_BUSY', 'the log has too many queued bytes; retry shortly');
  }

  /** An entry of this node was applied: settles its records, whose results are by their place. */
  onApplied(count: number, results: readonly (Applied | undefined)[]): void {
    const append = this.#appends.get(count);
    if (append === undefined) return;
    this.#appends.delete(count);
    if (this.#appends.size === 0) this.#endWatch();
    append.waiting.forEach(({ resolve, reject }, place) => {
      const result = results[place];
      if (result === undefined) reject(new Error(`the log returned no record ${place}`));
      else if ('error' in result) reject(result.error);
      else resolve(result.value);
    });
  }

  /** Looks for late entries while there are some without an answer: an idle node has no timer. */
  #watch(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#rejectLate();
      if (this.#appends.size > 0) this.#watch();
    }, WATCH_MS).unref();
  }

  #endWatch(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Rejects the records whose entry was not read back in time. */
  #rejectLate(): void {
    const before = this.#parts.now() - APPEND_TIMEOUT_MS;
    for (const [count, { sentAtMs }] of this.#appends) {
      if (sentAtMs > before) return;
      this.#fail(count, logError('it does not return the entry'));
    }
  }

  /** Appends the open batch. */
  close(): void {
    if (this.#batch.count > 0) this.#append();
    this.#endWatch();
  }

  /** Whether a record fits into the open batch. An empty batch has room for each record. */
  #fits(bytes: number): boolean {
    const most = this.#parts.log.batchBytesUsual ?? this.#batchBytesMax;
    return this.#batch.count === 0 || this.#batch.size + bytes + RECORD_HEAD_BYTES <= most;
  }

  get #batchBytesMax(): number {
    return this.#parts.log.batchBytesMax ?? BATCH_BYTES_MAX;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#batch.count === 0 || this.#underWay >= APPENDS_MAX) return;
    this.#isScheduled = true;
    this.#parts.schedule(() => {
      this.#isScheduled = false;
      if (this.#batch.count > 0 && this.#underWay < APPENDS_MAX) this.#append();
    });
  }

  #append(): void {
    const { log, node, now, applied } = this.#parts;
    const batch = this.#batch.take();
    const count = ++this.#count;
    this.#appends.set(count, { waiting: this.#open, sentAtMs: now() });
    this.#open = [];
    this.#watch();
    this.#underWay++;
    this.#bytes += batch.length;
    const done = (): void => {
      this.#underWay--;
      this.#bytes -= batch.length;
      this.#schedule();
    };
    log.append(batch, { node, count }, applied()).then(done, (error: unknown) => {
      done();
      if (!(error instanceof MegacometError)) throw error;
      this.#fail(count, error);
    });
  }

  #fail(count: number, error: MegacometError): void {
    const append = this.#appends.get(count);
    if (append === undefined) return;
    this.#appends.delete(count);
    this.#failed += append.waiting.length;
    for (const { reject } of append.waiting) reject(error);
  }
}

function logError(reason: string): MegacometError {
  return new MegacometError('ERR_LOG', `the log is not available: ${reason}; retry shortly`);
}
