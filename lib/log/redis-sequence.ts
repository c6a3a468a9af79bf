// The order of the entries that a reader gets: finds missing ones, and the ends of epochs.
import type { LogBreak, LogEntry, LogReader } from './log.js';

/** An entry of the stream with the messages of one append. */
export interface StreamEntry extends LogEntry {
  readonly kind: 'entry';
  readonly epoch: bigint;
}

/** An entry of the stream where a sequence begins. */
export interface StreamSeam {
  readonly kind: 'seam';
  readonly seq: number;
  readonly epoch: bigint;
  /** The epoch before; 0 if it is not known. */
  readonly from: bigint;
  /** The last position of that epoch in this log. */
  readonly last: number;
  /** The last position of that epoch of which any node knew. */
  readonly known: number;
}

/** An entry that another program wrote. */
export interface StreamStranger {
  readonly kind: 'stranger';
  readonly seq: number;
}

export type StreamItem = StreamEntry | StreamSeam | StreamStranger;

export interface SequenceParts {
  readonly reader: LogReader;
  /** The highest position of an epoch that an append of this process received. */
  readonly acknowledged: (epoch: bigint) => number;
  /** The highest position that the node has applied, by its own words. */
  readonly applied: () => number;
  /** This process knows entries of the epoch before a seam that the log has not. */
  readonly onDispute: (seam: StreamSeam) => void;
}

export class RedisSequence {
  readonly #parts: SequenceParts;
  #position: number;
  /** The position unless a gap came after it. */
  #delivered: number;
  /** Null until the first entry tells it. */
  #epoch: bigint | null;
  #atMs = 0;
  #ready: LogEntry[] = [];

  constructor(after: number, epoch: bigint | null, parts: SequenceParts) {
    this.#position = after;
    this.#delivered = after;
    this.#epoch = epoch;
    this.#parts = parts;
  }

  /** The last position that was read. */
  get position(): number {
    return this.#position;
  }

  /** The time of the newest entry. */
  get atMs(): number {
    return this.#atMs;
  }

  /** Delivers the items of one answer, in the order of positions. */
  accept(items: readonly StreamItem[]): void {
    for (const item of items) {
      if (item.kind === 'seam') this.#seam(item);
      else if (item.kind === 'entry') this.#entry(item);
      else this.#gap(item.seq);
    }
    this.#flush();
  }

  #entry({ epoch, ...entry }: StreamEntry): void {
    if (entry.seq > this.#position + 1) this.#gap(entry.seq - 1);
    this.#epoch ??= epoch;
    if (epoch !== this.#epoch) {
      // The seam is among the missing entries, or in a log that this reader never saw: then nothing is
      // missing by its number, and the entry itself is given up to report that.
      if (this.#position === this.#delivered) this.#gap(entry.seq);
      this.#begin(epoch, this.#position);
    }
    if (this.#position === entry.seq) return;
    this.#ready.push(entry);
    this.#position = entry.seq;
    this.#delivered = entry.seq;
    this.#atMs = entry.atMs;
  }

  #seam(seam: StreamSeam): void {
    const { seq, epoch, from, last, known } = seam;
    const seen = Math.max(this.#position, this.#parts.acknowledged(from));
    if (this.#epoch === null) {
      if (this.#position < last) this.#gap(last);
      // Nothing was delivered, so nothing ends.
      this.#epoch = epoch;
    } else if (from !== this.#epoch) {
      this.#gap(seq - 1);
      if (epoch !== this.#epoch) this.#begin(epoch, seq - 1);
    } else {
      const isMissing = Math.max(this.#position, this.#parts.applied()) < known;
      const to = isMissing ? known : last;
      if (this.#position < to) this.#gap(to);
      if (epoch !== from) this.#begin(epoch, last);
      if (seen > known) this.#parts.onDispute(seam);
    }
    this.#position = seq;
    this.#delivered = seq;
  }

  #gap(to: number): void {
    this.#break({ kind: 'gap', after: this.#position, to });
    this.#position = to;
  }

  #begin(epoch: bigint, lastSeq: number): void {
    this.#break({ kind: 'epoch', epoch, lastSeq });
    this.#epoch = epoch;
  }

  #break(broken: LogBreak): void {
    this.#flush();
    this.#parts.reader.onBreak(broken);
  }

  #flush(): void {
    if (this.#ready.length === 0) return;
    const entries = this.#ready;
    this.#ready = [];
    this.#parts.reader.onEntries(entries);
  }
}
