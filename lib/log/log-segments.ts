// The segments of a log that is written: the newest one grows, and the oldest ones are removed.
//
// After a failed fdatasync the kernel may mark the lost pages as clean, so a second fdatasync of that
// file succeeds without writing them (PostgreSQL's "fsyncgate"; ext4 and xfs do so, btrfs does not).
// Therefore no file is synced again after an error. Entries that were not synced and are promised
// already are kept in memory; they are written to a new file, whose own fdatasync must succeed. Two
// facts are relied on: bytes that one fdatasync has covered stay valid when a later one fails, and a
// descriptor that is open since the file was made gets every error of writing back.
import type { Disk } from './disk.js';
import type { LogEntry } from './log.js';
import { batchOf, encodeClosed, encodeEntry } from './segment-format.js';
import { SegmentWriter, type NewSegment, type Segment } from './segment.js';

/** Bytes that are acknowledged before they are synced, and kept in memory until then. */
const UNSYNCED_BYTES_MAX = 16 * 1024 * 1024;

export type SyncMode = 'group' | 'always' | number;

export interface SegmentOptions {
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

export class LogSegments {
  #writer: SegmentWriter | null = null;
  /** Acknowledged before they were synced. */
  #unsynced: LogEntry[] = [];
  #unsyncedBytes = 0;
  /** Bytes of the file that are synced. */
  #syncedBytes = 0;
  #syncing: Promise<void> | null = null;
  #syncError: Error | null = null;
  #syncTimer: NodeJS.Timeout | null = null;
  #isBroken = false;

  /** @param onSyncError - Gets the error of an fdatasync in the background. */
  constructor(
    private readonly options: SegmentOptions,
    private readonly end: LogEnd,
    private readonly onSyncError: (error: unknown) => void,
  ) {}

  /** Begins a segment for the next entry; everything before is synced. */
  async begin(epoch: bigint, first: number): Promise<void> {
    await this.#syncUnsynced();
    const old = this.#writer;
    const wanted = this.#headerOf(epoch, first, this.end.lastMs);
    this.#use(await SegmentWriter.create(this.options.disk, this.options.directory, wanted));
    await old?.close().catch(() => undefined);
    await this.#forget();
  }

  /** Begins a segment if the bytes of new records do not fit; bounds the bytes in memory. */
  async makeRoom(bytes: number): Promise<void> {
    if (this.#unsyncedBytes > UNSYNCED_BYTES_MAX) await this.#syncUnsynced();
    if (this.#active.hasRoom(bytes, this.options.segmentBytes)) return;
    await this.begin(this.end.epoch, this.end.next);
  }

  /** Writes entries, and syncs them if the mode says so before the answer. */
  async write(entries: readonly LogEntry[]): Promise<LogEntry[]> {
    const writer = this.#active;
    const records = entries.map((entry) => encodeEntry(entry, writer.segment.header.salt));
    await writer.write(records.length === 1 ? (records[0] as Buffer) : Buffer.concat(records));
    if (typeof this.options.sync !== 'number') await this.#sync();
    else if (this.#syncError !== null) throw this.#syncError;
    // The caller may use its buffer again.
    return entries.map((entry, at) => ({ ...entry, batch: batchOf(records[at] as Buffer, entry) }));
  }

  /** Entries that were written are acknowledged: readers may read them now. */
  acknowledge(entries: readonly LogEntry[]): void {
    const { sync } = this.options;
    this.#active.segment.bytes = this.#active.bytes;
    if (typeof sync !== 'number') return;
    for (const entry of entries) {
      this.#unsynced.push(entry);
      this.#unsyncedBytes += entry.batch.length;
    }
    this.#syncLater(sync);
  }

  /** After an error: no file is synced until replace() succeeds. */
  stop(): void {
    this.#isBroken = true;
  }

  /** Begins a segment after an error, with the entries that were not synced but acknowledged. */
  async replace(spareBytes: number): Promise<void> {
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

  /** Syncs everything, and marks the log as closed unless it cannot be written. */
  async close(canWrite: boolean): Promise<void> {
    clearTimeout(this.#syncTimer ?? undefined);
    const { head, lastMs } = this.end;
    const writer = this.#writer;
    try {
      await this.#syncing;
      if (writer === null || !canWrite) return;
      await writer.datasync();
      await writer.write(encodeClosed(head, lastMs, writer.segment.header.salt));
      await writer.datasync();
    } catch {
      // The next start finds the entries, and whether they were synced.
    } finally {
      await writer?.close().catch(() => undefined);
    }
  }

  get #active(): SegmentWriter {
    if (this.#writer === null) throw new Error('the log is not open');
    return this.#writer;
  }

  async #sync(): Promise<void> {
    const writer = this.#active;
    await writer.datasync();
    this.#syncedBytes = writer.bytes;
  }

  /** Syncs in the background, while entries are written and acknowledged. */
  #syncLater(ms: number): void {
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = null;
      // replace() writes these entries to a new file; a second fdatasync of the old one would lie.
      if (this.#isBroken || this.#syncError !== null) return;
      this.#syncUnsynced().catch(this.onSyncError);
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
    this.#syncedBytes = bytes;
    for (const { batch } of this.#unsynced.splice(0, count)) this.#unsyncedBytes -= batch.length;
    if (this.#unsynced.length > 0) this.#syncLater(this.options.sync as number);
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
    this.#isBroken = false;
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
}
