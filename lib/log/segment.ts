// One segment file: its name, its header, and the file that is being written.
import { randomBytes } from 'node:crypto';
import path from 'node:path';

import { readUpTo, syncDirectory, writeAll, type Disk, type DiskFile } from './disk.js';
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  type HeaderFault,
  type SegmentHeader,
} from './segment-format.js';

/** Bytes of a segment after which the next one begins. History is forgotten by whole segments. */
export const SEGMENT_BYTES = 16 * 1024 * 1024;

/** The position of the first entry, with as many digits as the largest position has, and more. */
const NAME = /^\d{16}\.log$/;
/** A segment that was not complete when the process died. */
export const UNFINISHED = /^\d{16}\.log\.new$/;

export interface Segment {
  readonly path: string;
  readonly header: SegmentHeader;
  /** Bytes that can be read: of whole entries, acknowledged or about to be. */
  bytes: number;
}

/** The segment files in a directory, oldest first. Other files are left alone. */
export async function segmentPaths(disk: Disk, directory: string): Promise<string[]> {
  const names = (await disk.readdir(directory)).filter((name) => NAME.test(name)).sort();
  return names.map((name) => path.join(directory, name));
}

export interface FoundSegment {
  readonly path: string;
  readonly header: SegmentHeader | HeaderFault;
  readonly bytes: number;
  readonly inode: bigint;
}

/** Reads the header of a file. */
export async function readSegment(disk: Disk, file: string): Promise<FoundSegment> {
  const opened = await disk.open(file, 'r');
  try {
    const { size, ino } = await opened.stat({ bigint: true });
    const decoded = decodeHeader(await readUpTo(opened, HEADER_BYTES, 0));
    const isNamedSo = typeof decoded === 'object' && path.basename(file) === nameOf(decoded.first);
    const header = typeof decoded === 'object' && !isNamedSo ? 'damaged' : decoded;
    return { path: file, header, bytes: Number(size), inode: ino };
  } finally {
    await opened.close();
  }
}

function nameOf(first: number): string {
  return `${String(first).padStart(16, '0')}.log`;
}

/** A random name for a sequence of entries. */
export function newEpoch(): bigint {
  return randomBytes(8).readBigUInt64LE();
}

export type NewSegment = Omit<SegmentHeader, 'inode' | 'salt'>;

/** The segment that is being written. */
export class SegmentWriter {
  private constructor(
    readonly segment: Segment,
    private readonly file: DiskFile,
    /** Bytes of whole records in the file. */
    public bytes: number,
  ) {}

  /**
   * Makes a segment. It appears under its name when it is on the disk, in place of one that begins
   * with the same position.
   *
   * @param records - Makes its first records for its salt.
   * @param spareBytes - Bytes for which the disk must have room besides.
   */
  static async create(
    disk: Disk,
    directory: string,
    wanted: NewSegment,
    records: (salt: number) => Buffer = () => Buffer.alloc(0),
    spareBytes = 0,
  ): Promise<SegmentWriter> {
    const target = path.join(directory, nameOf(wanted.first));
    const temporary = `${target}.new`;
    const file = await disk.open(temporary, 'w', 0o600);
    try {
      const { ino } = await file.stat({ bigint: true });
      const header = { ...wanted, inode: ino, salt: randomBytes(4).readUInt32LE() };
      const bytes = Buffer.concat([encodeHeader(header), records(header.salt)]);
      await writeAll(file, bytes, 0);
      if (spareBytes > 0) {
        await writeAll(file, Buffer.alloc(spareBytes), bytes.length);
        await file.truncate(bytes.length);
      }
      await file.datasync();
      await disk.rename(temporary, target);
      await syncDirectory(disk, directory);
      return new SegmentWriter({ path: target, header, bytes: bytes.length }, file, bytes.length);
    } catch (error) {
      await file.close().catch(() => undefined);
      await disk.rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  /** Writes whole records. After an error the file may end with a part of them; see cut(). */
  async write(records: Buffer): Promise<void> {
    await writeAll(this.file, records, this.bytes);
    this.bytes += records.length;
  }

  /** Whether records fit; the first ones of a segment always do. */
  hasRoom(bytes: number, segmentBytes: number): boolean {
    return this.bytes <= HEADER_BYTES || this.bytes + bytes <= segmentBytes;
  }

  async datasync(): Promise<void> {
    await this.file.datasync();
  }

  /** Removes the bytes from an offset on. */
  async cut(bytes: number): Promise<void> {
    await this.file.truncate(bytes);
    this.bytes = bytes;
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}
