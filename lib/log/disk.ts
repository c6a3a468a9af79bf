// The calls to the file system that a log in a directory makes. A test replaces them to inject faults.
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';

/** The part of a FileHandle of Node.js that the log uses. */
export interface DiskFile {
  read(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }>;
  write(
    source: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesWritten: number }>;
  /** fdatasync(2): the bytes and the length of the file are on the disk. */
  datasync(): Promise<void>;
  /** fsync(2), for directories. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  stat(options: { bigint: true }): Promise<{ size: bigint; ino: bigint }>;
  close(): Promise<void>;
}

export interface Disk {
  open(path: string, flags: string, mode?: number): Promise<DiskFile>;
  readdir(path: string): Promise<string[]>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { force: true }): Promise<void>;
  mkdir(path: string, mode: number): Promise<unknown>;
  stat(path: string): Promise<{ isDirectory(): boolean }>;
}

export const systemDisk: Disk = { mkdir, open, readdir, rename, rm, stat };

/** Makes the names in a directory durable: a file that was made, renamed or removed. */
export async function syncDirectory(disk: Disk, path: string): Promise<void> {
  const directory = await disk.open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Writes all bytes at a position. The kernel may write fewer at a time, as at the end of a disk. */
export async function writeAll(file: DiskFile, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const left = bytes.length - done;
    const { bytesWritten } = await file.write(bytes, done, left, position + done);
    done += bytesWritten;
  }
}

/** Reads up to `length` bytes from a position; fewer at the end of the file. */
export async function readUpTo(file: DiskFile, length: number, position: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}
