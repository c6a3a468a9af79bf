// Appends entries to the segments of a directory: one write at a time, and its fdatasync.
//
// After a failed fdatasync the kernel may mark the lost pages as clean, so a second fdatasync of that
// file succeeds without writing them (PostgreSQL's "fsyncgate"; ext4 and xfs do so, btrfs does not).
// Therefore no file is synced again after an error. Entries that were not synced and are promised
// already are kept in memory; they are written to a new file, whose own fdatasync must succeed. Others
// are rejected. Two facts are relied on: bytes that one fdatasync has covered stay valid when a later
// one fails, and a descriptor that is open since the file was made gets every error of writing back.
import { setTimeout as sleep } from 'node:timers/promises';

import { reasonOf } from '../base/reason.js';
import type { Disk } from './disk.js';
import type { LogEntry } from './log.js';
import type { LogFeed } from './log-feed.js';
import { RETRY_MS, type LogHealth } from './log-health.js';
import { batchOf, encodeClosed, encodeEntry, HEAD_BYTES } from './segment-format.js';
import { newEpoch, SegmentWriter, type NewSegment, type Segment } from './segment.js';

/** Bytes of one write at most, unless one entry is longer: the loop computes their checksums at once. */
const WRITE_BYTES_MAX = 1024 * 1024;
/** Bytes that are acknowledged before they are synced, and kept in memory until then. */
export const UNSYNCED_BYTES_MAX = 16 * 1024 * 1024;
/** Bytes for which a disk that was full must have room, before appends go on. */
const SPARE_BYTES_MAX = 1024 * 1024;

export type SyncMode = 'group' | 'always' | number;

/** An append that waits. */
export interface Waiting {
  readonly entry: Pick<LogEntry, 'id' | 'batch'>;
  readonly applied: number;
  resolve(seq: number): void;
  reject(reason: string): void;
}

export interface AppenderOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly sync: SyncMode;
  readonly keepBytes: number;
  readonly keepAgeMs: number;
  readonly segmentBytes: number;
  readonly bootId: string;
  readonly nowMs: () => number;
}

/** The end of the log, and its files. */
export interface LogEnd {
  /** Oldest first. */
  readonly segments: Segment[];
  epoch: bigint;
  /** The position and the time of the newest entry; 0 before the first. */
  head: number;
  lastMs: number;
  /** The position of the next entry. */
  next: number;
}

export class LogAppender {
  appends = 0;
  appendBytes = 0;
  syncs = 0;
  #writer: SegmentWriter | null = null;
  readonly #waiting: Waiting[] = [];
  /** Acknowledged before they were synced. */
  #unsynced: LogEntry[] = [];
  #unsyncedBytes = 0;
  /** Bytes of the file that are synced. */
  #syncedBytes = 0;
  #syncing: Promise<void> | null = null;
  #syncError: Error | null = null;
  #syncTimer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #repairing: Promise<void> | null = null;
  #isClosed = false;

  constructor(
    private readonly options: AppenderOptions,
    readonly end: LogEnd,
    private readonly feed: LogFeed,
    private readonly health: LogHealth,
  ) {}

  /** Begins a segment: the end of an older one is never written again. */
  async open(): Promise<void> {
    await this.#beginSegment(this.end.epoch, this.end.next);
  }

  add(waiting: Waiting): void {
    const reason = this.health.reasonOf('write');
    if (reason !== undefined) {
      waiting.reject(reason);
      return;
    }
    this.#waiting.push(waiting);
    this.#start();
  }

  /** Gives up an append, unless its write has begun. */
  remove(waiting: Waiting): boolean {
    const index = this.#waiting.indexOf(waiting);
    if (index === -1) return false;
    this.#waiting.splice(index, 1);
    return true;
  }

  /** Completes all appends, and marks the log as closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#running !== null || this.#repairing !== null) {
      await this.#running;
      await this.#repairing;
    }
    clearTimeout(this.#syncTimer ?? undefined);
    const { head, lastMs } = this.end;
    const writer = this.#writer;
    try {
      await this.#syncing;
      if (writer === null || this.health.reasonOf('write') !== undefined) return;
      await writer.datasync();
      await writer.write(encodeClosed(head, lastMs, writer.segment.header.salt));
      await writer.datasync();
    } catch {
      // The next start finds the entries, and whether they were synced.
    } finally {
      await writer?.close().catch(() => undefined);
    }
  }

  #start(): void {
    if (this.#running !== null || this.#repairing !== null) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#take();
      let entries: LogEntry[];
      try {
        entries = await this.#store(group);
      } catch (error) {
        this.#failed(error, group);
        return;
      }
      this.#acknowledge(group, entries);
    }
  }

  /** The appends of the next write. */
  #take(): Waiting[] {
    const group: Waiting[] = [];
    let bytes = 0;
    for (const waiting of this.#waiting) {
      bytes += waiting.entry.batch.length;
      const isAlone = this.options.sync === 'always' || waiting.applied >= this.end.next;
      if (group.length > 0 && (isAlone || bytes > WRITE_BYTES_MAX)) break;
      group.push(waiting);
      if (isAlone) break;
    }
    this.#waiting.splice(0, group.length);
    return group;
  }

  /** Writes entries, and syncs them if the mode says so before the answer. */
  async #store(group: readonly Waiting[]): Promise<LogEntry[]> {
    const { end, options } = this;
    const applied = group[0]?.applied ?? 0;
    if (applied >= end.next) await this.#beginEpoch(applied + 1);
    if (this.#unsyncedBytes > UNSYNCED_BYTES_MAX) await this.#syncUnsynced();
    const bytes = group.reduce((sum, { entry }) => sum + recordBytesOf(entry), 0);
    if (!this.#active.hasRoom(bytes, options.segmentBytes)) {
      await this.#beginSegment(end.epoch, end.next);
    }
    const writer = this.#active;
    const atMs = Math.max(options.nowMs(), end.lastMs);
    const entries = group.map(({ entry }, index) => ({ ...entry, seq: end.next + index, atMs }));
    const records = entries.map((entry) => encodeEntry(entry, writer.segment.header.salt));
    await writer.write(records.length === 1 ? (records[0] as Buffer) : Buffer.concat(records));
    if (typeof options.sync !== 'number') await this.#sync();
    else if (this.#syncError !== null) throw this.#syncError;
    // The caller may use its buffer again.
    return entries.map((entry, at) => ({ ...entry, batch: batchOf(records[at] as Buffer, entry) }));
  }

  #acknowledge(group: readonly Waiting[], entries: readonly LogEntry[]): void {
    const { end } = this;
    const { seq, atMs } = entries.at(-1) as LogEntry;
    end.head = seq;
    end.next = seq + 1;
    end.lastMs = atMs;
    this.#active.segment.bytes = this.#active.bytes;
    this.appends += entries.length;
    for (const entry of entries) {
      this.appendBytes += entry.batch.length;
      if (typeof this.options.sync !== 'number') continue;
      this.#unsynced.push(entry);
      this.#unsyncedBytes += entry.batch.length;
    }
    if (typeof this.options.sync === 'number') this.#syncLater(this.options.sync);
    this.feed.deliver(entries);
    for (const [index, one] of group.entries()) one.resolve((entries[index] as LogEntry).seq);
  }

  get #active(): SegmentWriter {
    if (this.#writer === null) throw new Error('the log is not open');
    return this.#writer;
  }

  async #sync(): Promise<void> {
    const writer = this.#active;
    await writer.datasync();
    this.syncs += 1;
    this.#syncedBytes = writer.bytes;
  }

  /** Syncs in the background, while entries are written and acknowledged. */
  #syncLater(ms: number): void {
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = null;
      // The repair writes these entries to a new file; a second fdatasync of the old one would lie.
      if (this.#repairing !== null || this.#syncError !== null) return;
      this.#syncUnsynced().catch((error: unknown) => {
        // Where a write is under way, the end of it finds the error.
        if (this.#running === null) this.#failed(error, []);
      });
    }, ms);
  }

  /** Syncs all entries that were acknowledged before this call. */
  async #syncUnsynced(): Promise<void> {
    await this.#syncing;
    if (this.#unsynced.length === 0) return;
    this.#syncing = this.#syncNow().finally(() => {
      this.#syncing = null;
    });
    await this.#syncing;
  }

  async #syncNow(): Promise<void> {
    const [count, writer] = [this.#unsynced.length, this.#active];
    const { bytes } = writer;
    try {
      await writer.datasync();
    } catch (error) {
      this.#syncError = error as Error;
      throw error;
    }
    this.syncs += 1;
    this.#syncedBytes = bytes;
    for (const { batch } of this.#unsynced.splice(0, count)) this.#unsyncedBytes -= batch.length;
    if (this.#unsynced.length > 0) this.#syncLater(this.options.sync as number);
  }

  /** Begins a segment for the next entry; everything before is synced. */
  async #beginSegment(epoch: bigint, first: number): Promise<void> {
    await this.#syncUnsynced();
    const old = this.#writer;
    const wanted = this.#headerOf(epoch, first, this.end.lastMs);
    this.#use(await SegmentWriter.create(this.options.disk, this.options.directory, wanted));
    await old?.close().catch(() => undefined);
    await this.#forget();
  }

  async #beginEpoch(first: number): Promise<void> {
    const { head } = this.end;
    const epoch = newEpoch();
    await this.#beginSegment(epoch, first);
    this.end.epoch = epoch;
    this.end.next = first;
    this.feed.beginEpoch(epoch, head);
  }

  #headerOf(epoch: bigint, first: number, baseMs: number): NewSegment {
    const { bootId, sync } = this.options;
    return { epoch, first, baseMs, bootId, hasEarlyAnswers: typeof sync === 'number' };
  }

  #use(writer: SegmentWriter): void {
    const { segments } = this.end;
    if (segments.at(-1)?.header.first === writer.segment.header.first) segments.pop();
    segments.push(writer.segment);
    this.#writer = writer;
    this.#syncedBytes = writer.bytes;
    this.#unsynced = [];
    this.#unsyncedBytes = 0;
    this.#syncError = null;
  }

  /** Removes whole segments that are older than needed, or before the bytes that are needed. */
  async #forget(): Promise<void> {
    const { segments } = this.end;
    const { disk, keepBytes, keepAgeMs, nowMs } = this.options;
    let bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    for (;;) {
      const [oldest, second] = segments;
      if (oldest === undefined || second === undefined) return;
      bytes -= oldest.bytes;
      const isOld = second.header.baseMs < nowMs() - keepAgeMs;
      if (bytes < keepBytes && !isOld) return;
      try {
        await disk.rm(oldest.path, { force: true });
      } catch {
        // The next segment tries again.
        return;
      }
      segments.shift();
    }
  }

  /** Rejects everything that waits, and repairs the log. */
  #failed(error: unknown, group: readonly Waiting[]): void {
    const reason = `cannot be written: ${reasonOf(error)}`;
    this.health.failed('write', reason);
    const bytes = group.reduce((sum, { entry }) => sum + recordBytesOf(entry), 0);
    for (const one of [...group, ...this.#waiting.splice(0)]) one.reject(reason);
    this.#repairing ??= this.#repair(Math.min(bytes, SPARE_BYTES_MAX)).finally(() => {
      this.#repairing = null;
    });
  }

  /** Tries until the disk works. */
  async #repair(spareBytes: number): Promise<void> {
    for (;;) {
      try {
        await this.#replaceSegment(spareBytes);
        break;
      } catch (error) {
        this.health.failed('write', `cannot be written: ${reasonOf(error)}`);
      }
      if (this.#isClosed) return;
      await sleep(RETRY_MS);
    }
    this.health.works('write');
  }

  /** Begins a segment after an error, with the entries that were not synced but acknowledged. */
  async #replaceSegment(spareBytes: number): Promise<void> {
    await this.#syncing?.catch(() => undefined);
    const { end, options } = this;
    const [old, unsynced] = [this.#active, this.#unsynced];
    // A part of an entry takes room on a full disk.
    await old.cut(old.bytes).catch(() => undefined);
    const [first = null] = unsynced;
    const wanted = this.#headerOf(end.epoch, first?.seq ?? end.next, first?.atMs ?? end.lastMs);
    const records = (salt: number): Buffer =>
      Buffer.concat(unsynced.map((entry) => encodeEntry(entry, salt)));
    const { disk, directory } = options;
    const synced = this.#syncedBytes;
    const writer = await SegmentWriter.create(disk, directory, wanted, records, spareBytes);
    // Entries from `first` on count in the new file only, even if this fails.
    await old.cut(synced).catch(() => undefined);
    old.segment.bytes = synced;
    this.#use(writer);
    await old.close().catch(() => undefined);
  }
}

function recordBytesOf({ id, batch }: Pick<LogEntry, 'id' | 'batch'>): number {
  return HEAD_BYTES + id.node.length + batch.length;
}
