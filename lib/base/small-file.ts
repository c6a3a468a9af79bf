// Reads files that a user names: they may be anything that has a path.
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';

import { sleepSync } from './sleep-sync.js';

const CHUNK_BYTES = 65_536;
/** Silence of the program at the other end of a pipe, which may ask a server for the secret. */
const SILENCE_MS = 5000;
/** Time between two tries. */
const PAUSE_MS = 5;

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

/** One read; waits for the writer of a pipe. */
function readChunk(descriptor: number, chunk: Buffer): number {
  const endsAtMs = performance.now() + SILENCE_MS;
  for (;;) {
    try {
      return readSync(descriptor, chunk);
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN' || performance.now() > endsAtMs) throw error;
      sleepSync(PAUSE_MS);
    }
  }
}

/** The bytes of an open file; null if there are more than `bytesMax`. */
function readUpTo(descriptor: number, bytesMax: number): Buffer | null {
  const chunks: Buffer[] = [];
  for (let bytes = 0; bytes <= bytesMax;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const length = readChunk(descriptor, chunk);
    if (length === 0) return Buffer.concat(chunks);
    chunks.push(chunk.subarray(0, length));
    bytes += length;
  }
  return null;
}

/**
 * Reads a file, or a pipe such as `<(command)` of a shell. It does not wait for a writer that a FIFO
 * does not have, and does not read a device without end.
 *
 * @param check - Gets the status of the open file, so that the checked file is the one that is
 * read.
 * @returns Null if the file has more than `bytesMax` bytes.
 * @throws The error of Node.js, or that of `check`.
 */
export function readSmallFile(
  path: string,
  bytesMax: number,
  check?: (stats: Stats) => void,
): Buffer | null {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    // First, because a directory has no bytes: its mode is not the fault.
    const content = readUpTo(descriptor, bytesMax);
    check?.(fstatSync(descriptor));
    return content;
  } finally {
    closeSync(descriptor);
  }
}
