// Checks the segments of a log in a directory, without changing them. A server may use it meanwhile.
import path from 'node:path';

import { folderFault } from './log-folder.js';
import { systemDisk, type Disk } from './disk.js';
import { FORMAT_VERSION } from './segment-format.js';
import { SegmentScan, type ScanFault } from './segment-scan.js';
import { readSegment, segmentPaths, type FoundSegment } from './segment.js';

export interface SegmentResult {
  /** Name of the file. */
  readonly segment: string;
  readonly bytes: number;
  readonly entries: number;
  /** Positions; null without entries. */
  readonly first: number | null;
  readonly last: number | null;
  /** Times in milliseconds since 1970; null without entries. */
  readonly firstMs: number | null;
  readonly lastMs: number | null;
  /** Hexadecimal, as in cursors; null if the header is damaged. */
  readonly epoch: string | null;
  /** In the order of their offsets. */
  readonly faults: readonly ScanFault[];
  /** Bytes of an incomplete entry at the end of the last segment: the next start cuts them off. */
  readonly tornBytes: number;
}

const HEADER_FAULTS = {
  foreign: 'the file is not a segment of a history',
  newer: `the format is newer than ${FORMAT_VERSION}`,
  damaged: 'the header is damaged',
} as const;

type Content = Pick<
  SegmentResult,
  'entries' | 'faults' | 'first' | 'firstMs' | 'last' | 'lastMs' | 'tornBytes'
>;

/** The first position of the segment after one, where it continues the same epoch; else null. */
type NextFirst = number | null;

/** Reads all entries. Those from `next` on were replaced by the next segment, after an error. */
async function contentOf(
  disk: Disk,
  { path: file, bytes }: FoundSegment,
  salt: number,
  first: number,
  next: NextFirst,
): Promise<Content> {
  const opened = await disk.open(file, 'r');
  try {
    const scan = new SegmentScan(opened, salt);
    const result = { entries: 0, first: -1, last: first - 1, firstMs: 0, lastMs: 0 };
    const missing: ScanFault[] = [];
    for (let found = await scan.next(bytes); found !== null; found = await scan.next(bytes)) {
      for (const { seq, atMs } of found) {
        if (next !== null && seq >= next) continue;
        if (seq !== result.last + 1) missing.push(gapAt(scan.wholeBytes, result.last, seq));
        if (result.entries === 0) Object.assign(result, { first: seq, firstMs: atMs });
        Object.assign(result, { entries: result.entries + 1, last: seq, lastMs: atMs });
      }
    }
    if (next !== null && result.last + 1 < next) missing.push(gapAt(bytes, result.last, next));
    const { entries } = result;
    const isTorn = next === null && scan.wholeBytes < bytes;
    // After an error the end of a segment is not part of the history: the next one has its entries.
    const inside = scan.faults.filter(({ offset }) => offset < scan.wholeBytes);
    const faults = inside.length > 0 ? inside : missing;
    const tornBytes = isTorn ? bytes - scan.wholeBytes : 0;
    if (entries === 0) {
      return { entries, first: null, last: null, firstMs: null, lastMs: null, faults, tornBytes };
    }
    return { ...result, faults, tornBytes };
  } finally {
    await opened.close();
  }
}

function gapAt(offset: number, last: number, next: number): ScanFault {
  return { offset, reason: `entries ${last + 1} to ${next - 1} are missing` };
}

/**
 * Checks each segment, oldest first.
 *
 * @throws MegacometError `ERR_LOG` for a directory without a history; an error of the file system.
 */
export async function* verifyLog(
  directory: string,
  disk: Disk = systemDisk,
): AsyncGenerator<SegmentResult> {
  const paths = await segmentPaths(disk, directory);
  if (paths.length === 0) throw folderFault(directory, 'has no history');
  const found: FoundSegment[] = [];
  for (const file of paths) found.push(await readSegment(disk, file));
  for (const [index, one] of found.entries()) {
    const { header, bytes } = one;
    const segment = path.basename(one.path);
    if (typeof header !== 'object') {
      const faults = [{ offset: 0, reason: HEADER_FAULTS[header] }];
      const none = { first: null, last: null, firstMs: null, lastMs: null, epoch: null };
      yield { segment, bytes, entries: 0, ...none, faults, tornBytes: 0 };
      continue;
    }
    const after = found[index + 1]?.header;
    const isNext = typeof after === 'object' && after.epoch === header.epoch;
    const next = isNext ? after.first : null;
    const content = await contentOf(disk, one, header.salt, header.first, next);
    const epoch = header.epoch.toString(16).padStart(16, '0');
    yield { segment, bytes, epoch, ...content };
  }
}
