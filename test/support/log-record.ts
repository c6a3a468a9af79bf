// A reader of a log that keeps all it got and checks their order, and a node that appends.
import { randomUUID } from 'node:crypto';

import type { AppendId, Log, LogBreak, LogEntry, LogReader, LogStart } from '../../lib/log/log.js';
import { until } from './helpers.js';

/** Keeps entries and breaks. An entry out of order is an error in the caller of onEntries(). */
export class LogRecord implements LogReader {
  readonly entries: LogEntry[] = [];
  readonly breaks: LogBreak[] = [];
  /** The position of the last entry or gap; a test may set it. */
  lastSeq = 0;

  onEntries(entries: readonly LogEntry[]): void {
    if (entries.length === 0) throw new Error('onEntries() without entries');
    for (const entry of entries) {
      if (entry.seq <= this.lastSeq) throw new Error(`${entry.seq} after ${this.lastSeq}`);
      this.lastSeq = entry.seq;
      this.entries.push(entry);
    }
  }

  onBreak(broken: LogBreak): void {
    if (broken.kind === 'gap') {
      if (broken.to <= broken.after || broken.after < this.lastSeq) {
        throw new Error(`a gap from ${broken.after} to ${broken.to} after ${this.lastSeq}`);
      }
      this.lastSeq = broken.to;
    }
    this.breaks.push(broken);
  }

  get seqs(): number[] {
    return this.entries.map(({ seq }) => seq);
  }

  get texts(): string[] {
    return this.entries.map(({ batch }) => batch.toString());
  }

  get ids(): AppendId[] {
    return this.entries.map(({ id }) => id);
  }

  get kinds(): LogBreak['kind'][] {
    return this.breaks.map(({ kind }) => kind);
  }

  /** Waits for the entry at a position. */
  async reached(seq = 0): Promise<void> {
    await until(`entry ${seq}`, () => this.seqs.includes(seq));
  }
}

/** One life of one process that appends. */
export class Node {
  readonly name = randomUUID();
  readonly texts: string[] = [];
  readonly ids: AppendId[] = [];

  constructor(
    readonly log: Log,
    readonly start: LogStart,
    readonly record: LogRecord,
  ) {}

  nextId(): AppendId {
    const id = { node: this.name, count: this.ids.length + 1 };
    this.ids.push(id);
    return id;
  }

  /** Appends once; a busy machine may be too slow for the deadline. */
  try(batch: Buffer | string, id = this.nextId()): Promise<number> {
    return this.log.append(Buffer.from(batch), id, this.record.lastSeq);
  }

  /** Appends, and again with the same id after an error, as long as a test may wait for a fact. */
  async appendAs(id: AppendId, batch: Buffer | string): Promise<number> {
    this.texts.push(batch.toString());
    const bytes = Buffer.from(batch);
    let error: unknown = null;
    const again = async (): Promise<number | null> => {
      try {
        return await this.log.append(bytes, id, this.record.lastSeq);
      } catch (reason) {
        error = reason;
        return null;
      }
    };
    return (await again()) ?? (await until(`an append without ${String(error)}`, again));
  }

  append(batch: Buffer | string): Promise<number> {
    return this.appendAs(this.nextId(), batch);
  }
}
