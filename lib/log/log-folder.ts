// Opens the directory of a log: locks it, finds its segments and the end of the last one.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { getSystemErrorName } from 'node:util';

import { MegacometError } from '../base/errors.js';
import { quoted } from '../base/quoted.js';
import { reasonOf } from '../base/reason.js';
import type { Disk } from './disk.js';
import type { AppendId } from './log.js';
import type { LogEnd } from './log-segments.js';
import { FORMAT_VERSION } from './segment-format.js';
import { SegmentScan } from './segment-scan.js';
import { newEpoch, readSegment, segmentPaths, UNFINISHED, type Segment } from './segment.js';

/**
 * Positions between an old epoch whose last entries are unknown and the new one. A segment has fewer
 * entries, and so have the entries that were acknowledged before they were synced.
 */
const EPOCH_DISTANCE = 2 ** 20;

/** The findings of a start, for the log of the server. */
export interface OpenReport {
  /** Bytes of an incomplete entry that were cut off. */
  cutBytes: number;
  /** Damaged places before the last whole entry of the last segment. */
  damagedEntries: number;
  /** Files with a damaged header, which have another name now. */
  readonly setAside: string[];
  /** The reason of a new epoch; null if the old one continues. */
  newEpoch: string | null;
}

export interface OpenedFolder {
  readonly end: LogEnd;
  /** The newest ids with their positions, oldest first. */
  readonly ids: readonly (readonly [id: AppendId, seq: number])[];
  readonly report: OpenReport;
}

/** One sentence about a directory. */
export function folderFault(directory: string, rule: string): MegacometError {
  return new MegacometError('ERR_LOG', `history-dir: ${quoted(directory)} ${rule}`);
}

/** Makes the directory, but not its parents: a misspelled path must not make a chain of them. */
export async function makeFolder(disk: Disk, directory: string): Promise<void> {
  try {
    await disk.mkdir(directory, 0o700);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const stats = await disk.stat(directory);
  if (!stats.isDirectory()) throw folderFault(directory, 'is not a directory');
}

/**
 * Locks a directory with flock(2), which ends with the process, also after SIGKILL.
 *
 * @param lock - Locks without waiting; returns a descriptor, or −errno.
 */
export function lockFolder(directory: string, lock: (directory: string) => number): number {
  const result = lock(directory);
  if (result >= 0) return result;
  const code = getSystemErrorName(result);
  if (code === 'EAGAIN') throw folderFault(directory, 'is in use by another server');
  throw folderFault(directory, `cannot be locked: ${reasonOf({ code, message: code })}`);
}

/** The boot of this machine; zeros where the kernel does not say it. */
export function bootIdOf(): string {
  try {
    const text = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1');
    return text.trim().replaceAll('-', '').padEnd(32, '0').slice(0, 32);
  } catch {
    return '0'.repeat(32);
  }
}

/** The newest segments, of which the last one is read to its end. */
interface Tail {
  readonly scan: SegmentScan;
  readonly ids: (readonly [AppendId, number])[];
}

export class LogFolder {
  readonly #report: OpenReport = { cutBytes: 0, damagedEntries: 0, setAside: [], newEpoch: null };

  constructor(
    private readonly disk: Disk,
    private readonly directory: string,
    private readonly bootId: string,
    private readonly idsMax: number,
  ) {}

  async open(): Promise<OpenedFolder> {
    const { directory } = this;
    for (const name of await this.disk.readdir(directory)) {
      if (UNFINISHED.test(name)) await this.disk.rm(path.join(directory, name), { force: true });
    }
    const paths = await segmentPaths(this.disk, directory);
    const segments: Segment[] = [];
    let lostFirst = 0;
    let copied = false;
    for (const file of paths) {
      const { header, bytes, inode } = await readSegment(this.disk, file);
      if (typeof header === 'object') {
        segments.push({ path: file, header, bytes });
        lostFirst = 0;
        copied = header.inode !== inode;
        continue;
      }
      if (header !== 'damaged') throw folderFault(file, sentenceOf(header));
      await this.disk.rename(file, `${file}.damaged`);
      this.#report.setAside.push(file);
      lostFirst = Number(path.basename(file, '.log'));
    }
    return await this.#end(segments, copied, lostFirst);
  }

  /** Reads the last segment, and decides whether its epoch continues. */
  async #end(segments: Segment[], copied: boolean, lostFirst: number): Promise<OpenedFolder> {
    const last = segments.at(-1);
    const report = this.#report;
    if (last === undefined) {
      if (lostFirst > 0) report.newEpoch = 'the last segment is damaged';
      const next = lostFirst === 0 ? 1 : lostFirst + EPOCH_DISTANCE;
      return { end: { segments, epoch: newEpoch(), head: 0, lastMs: 0, next }, ids: [], report };
    }
    const { header } = last;
    const { scan, ids } = await this.#readTail(last);
    // The last entry may be damaged: the record of close() has its position.
    const head = Math.max(scan.lastSeq, header.first - 1);
    const isSynced = !header.hasEarlyAnswers || scan.isClosed || header.bootId === this.bootId;
    if (lostFirst > 0) report.newEpoch = 'the last segment is damaged';
    else if (copied) report.newEpoch = 'the directory is a copy';
    else if (!isSynced) report.newEpoch = 'the machine stopped before the last entries were synced';
    const isOld = report.newEpoch === null;
    const next = isOld ? head + 1 : Math.max(head, lostFirst) + EPOCH_DISTANCE;
    const epoch = isOld ? header.epoch : newEpoch();
    const lastMs = Math.max(scan.lastMs, header.baseMs);
    if (head < header.first) segments.pop();
    return { end: { segments, epoch, head, lastMs, next }, ids, report };
  }

  /**
   * Reads the last segment, cuts off an incomplete end, and syncs the rest: entries of a process that
   * was killed may be in the page cache only, and readers get them from now on.
   */
  async #readTail(segment: Segment): Promise<Tail> {
    const file = await this.disk.open(segment.path, 'r+');
    try {
      const scan = new SegmentScan(file, segment.header.salt);
      const ids: (readonly [AppendId, number])[] = [];
      for (;;) {
        const entries = await scan.next(segment.bytes);
        if (entries === null) break;
        for (const { id, seq } of entries) ids.push([id, seq]);
        if (ids.length > this.idsMax) ids.splice(0, ids.length - this.idsMax);
      }
      this.#report.cutBytes = segment.bytes - scan.wholeBytes;
      this.#report.damagedEntries = scan.faults.filter(
        ({ offset }) => offset < scan.wholeBytes,
      ).length;
      if (this.#report.cutBytes > 0) await file.truncate(scan.wholeBytes);
      await file.datasync();
      segment.bytes = scan.wholeBytes;
      return { scan, ids };
    } finally {
      await file.close();
    }
  }
}

/** The fault of a file that stops the start: another program or version needs it. */
function sentenceOf(fault: 'foreign' | 'newer'): string {
  if (fault === 'foreign') return 'is not a segment of a history: move it to another directory';
  return `was written by a newer version of megacomet-ts; this one reads format ${FORMAT_VERSION}`;
}
