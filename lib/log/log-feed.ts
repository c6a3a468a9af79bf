// Delivers the entries of a log in a directory to its reader: first those in the files, in chunks,
// then each new one.
import { setTimeout as sleep } from 'node:timers/promises';

import { reasonOf } from '../base/reason.js';
import type { Disk, DiskFile } from './disk.js';
import type { LogEntry, LogReader } from './log.js';
import { RETRY_MS, type LogHealth } from './log-health.js';
import { SegmentScan } from './segment-scan.js';
import type { Segment } from './segment.js';

/** Failed reads of a segment, before its unread entries count as gone: about two seconds. */
const TRIES_MAX = 8;

/** The part of the log that the feed reads. */
export interface LogFiles {
  /** Oldest first. */
  readonly segments: readonly Segment[];
  /** The position of the newest entry that is acknowledged, or about to be. */
  readonly head: number;
}

export class LogFeed {
  entriesRead = 0;
  #reader: LogReader | null = null;
  #position = 0;
  #isLive = false;
  #isClosed = false;
  #failures = 0;
  /** Epochs that began after the start and that the reader does not know, oldest first. */
  #epochs: { readonly epoch: bigint; readonly lastSeq: number }[] = [];

  constructor(
    private readonly disk: Disk,
    private readonly files: LogFiles,
    private readonly health: LogHealth,
  ) {}

  /** Begins. The result ends when the reader has all entries of the files, or after close(). */
  async start(after: number, reader: LogReader): Promise<void> {
    this.#reader = reader;
    this.#position = after;
    while (this.#position < this.files.head && !this.#isClosed) {
      const { segments } = this.files;
      const segment = segments.findLast(({ header }) => header.first <= this.#position + 1);
      if (segment === undefined) this.#skipTo((segments[0]?.header.first ?? 1) - 1);
      else await this.#readSegment(segment);
    }
    // No entry can be added between the comparison above and this line.
    this.#announce(null);
    this.#isLive = true;
  }

  /** Delivers new entries, which are as durable as the mode promises. */
  deliver(entries: readonly LogEntry[]): void {
    if (this.#isLive && !this.#isClosed) {
      this.#pass(entries.filter(({ seq }) => seq > this.#position));
    }
  }

  beginEpoch(epoch: bigint, lastSeq: number): void {
    this.#epochs.push({ epoch, lastSeq });
    if (this.#isLive) this.#announce(null);
  }

  close(): void {
    this.#isClosed = true;
  }

  async #readSegment(segment: Segment): Promise<void> {
    this.#announce(segment.header.epoch);
    let file: DiskFile;
    try {
      file = await this.disk.open(segment.path, 'r');
    } catch (error) {
      await this.#failed(segment, error);
      return;
    }
    try {
      await this.#readFile(segment, file);
    } finally {
      await file.close().catch(() => undefined);
    }
  }

  async #readFile(segment: Segment, file: DiskFile): Promise<void> {
    const scan = new SegmentScan(file, segment.header.salt);
    while (this.#position < this.files.head && !this.#isClosed) {
      const end = segment.bytes;
      let entries: LogEntry[] | null;
      try {
        entries = await scan.next(end);
      } catch (error) {
        await this.#failed(segment, error);
        return;
      }
      this.#failures = 0;
      this.health.works('read');
      if (entries !== null) this.#passRead(entries, this.#lastOf(segment));
      else if (segment.bytes === end) {
        this.#leave(segment);
        return;
      }
    }
  }

  /** The last position that a segment can have: the next one begins behind it. */
  #lastOf(segment: Segment): number {
    const { segments } = this.files;
    const next = segments.find(({ header }) => header.first > segment.header.first);
    return next === undefined ? Infinity : next.header.first - 1;
  }

  /** Delivers entries of a file, and a gap where some are missing. */
  #passRead(entries: readonly LogEntry[], last: number): void {
    let ready: LogEntry[] = [];
    let position = this.#position;
    for (const entry of entries) {
      if (entry.seq <= position || entry.seq > last) continue;
      if (entry.seq !== position + 1) {
        this.#pass(ready);
        ready = [];
        this.#skipTo(entry.seq - 1);
      }
      position = entry.seq;
      ready.push(entry);
    }
    this.#pass(ready);
  }

  #pass(entries: readonly LogEntry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.#position = last.seq;
    this.entriesRead += entries.length;
    this.#reader?.onEntries(entries);
  }

  /** Goes to the next segment. Positions are missing between two epochs, but entries are not. */
  #leave(segment: Segment): void {
    const { segments, head } = this.files;
    // A repair replaced it, or it was forgotten.
    if (!segments.includes(segment)) return;
    const next = segments[segments.indexOf(segment) + 1];
    if (next === undefined) this.#skipTo(head);
    else if (next.header.epoch === segment.header.epoch) this.#skipTo(next.header.first - 1);
    else this.#position = Math.max(this.#position, next.header.first - 1);
  }

  #skipTo(to: number): void {
    if (to <= this.#position) return;
    const after = this.#position;
    this.#position = to;
    this.health.broke({ kind: 'gap', after, to });
  }

  /** Reports new epochs up to one; null for all. */
  #announce(upTo: bigint | null): void {
    const last = this.#epochs.findIndex(({ epoch }) => epoch === upTo);
    const due = this.#epochs.splice(0, upTo === null ? Infinity : last + 1);
    for (const { epoch, lastSeq } of due) this.health.broke({ kind: 'epoch', epoch, lastSeq });
  }

  /** Waits before the next try. Entries that cannot be read for long are a gap. */
  async #failed(segment: Segment, error: unknown): Promise<void> {
    if (!this.files.segments.includes(segment)) return;
    this.#failures += 1;
    this.health.failed('read', `${segment.path} cannot be read: ${reasonOf(error)}`);
    if (this.#failures < TRIES_MAX) {
      await sleep(RETRY_MS);
      return;
    }
    this.#failures = 0;
    this.health.works('read');
    this.#skipTo(Math.min(this.#lastOf(segment), this.files.head));
  }
}
