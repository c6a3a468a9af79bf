// The end of the log: writes lines to a descriptor and never waits for its reader or disk. A reader
// that stands still would otherwise stop the manager, and with it publishing, health and supervision.
import { writeSync } from 'node:fs';

import { sleepSync } from './sleep-sync.js';

/** Bytes of lines that wait for the reader or disk; beyond it lines are dropped and counted. */
const QUEUED_BYTES_MAX = 1024 * 1024;
/** Time between two tries while the reader does not read. */
const RETRY_MS = 50;
/** Time in which the last lines are written at the end of the process. */
const FLUSH_MS = 500;
const FLUSH_STEP_MS = 5;

/** Faults of a pipe or disk that end: the lines wait, so that none is torn or lost until the queue is full. */
const TEMPORARY: ReadonlySet<string> = new Set(['EAGAIN', 'ENOSPC', 'EDQUOT', 'EIO']);

let droppedTotal = 0;

/** Lines that this process has dropped. */
export function logLinesDropped(): number {
  return droppedTotal;
}

export interface LogSinkOptions {
  /** A descriptor with O_NONBLOCK; without it a write to a pipe waits for the reader. */
  readonly fd: number;
  /** Called when the reader reads again after lines were dropped. */
  readonly onDropped: (lines: number) => void;
  /** Writes bytes; returns how many were written, and throws EAGAIN if none can be. */
  readonly write?: (fd: number, bytes: Buffer, offset: number) => number;
}

export class LogSink {
  readonly #fd: number;
  readonly #onDropped: (lines: number) => void;
  readonly #writeTo: NonNullable<LogSinkOptions['write']>;
  #queue: Buffer[] = [];
  /** Bytes of the first queued line that are written. */
  #offset = 0;
  #queuedBytes = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ fd, onDropped, write = writeSync }: LogSinkOptions) {
    this.#fd = fd;
    this.#onDropped = onDropped;
    this.#writeTo = write;
  }

  /** Writes a line at once if the reader has read the lines before it. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#queuedBytes + bytes.length > QUEUED_BYTES_MAX) this.#drain();
    if (this.#queuedBytes + bytes.length > QUEUED_BYTES_MAX) {
      this.#dropped++;
      droppedTotal++;
      return;
    }
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#drain();
    this.#schedule();
  }

  /** Writes the queued lines before the process ends. A reader that does not read is given up. */
  flushSync(): void {
    for (let waitedMs = 0; waitedMs < FLUSH_MS; waitedMs += FLUSH_STEP_MS) {
      this.#drain();
      if (this.#queue.length === 0) return;
      sleepSync(FLUSH_STEP_MS);
    }
  }

  #schedule(): void {
    if (this.#queue.length === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#drain();
      this.#schedule();
    }, RETRY_MS).unref();
  }

  /** Writes as many queued lines as the reader takes. */
  #drain(): void {
    let written = 0;
    for (let first = this.#queue[written]; first !== undefined; first = this.#queue[written]) {
      const length = this.#tryWrite(first);
      this.#offset += length;
      this.#queuedBytes -= length;
      if (this.#offset < first.length) break;
      this.#offset = 0;
      written++;
    }
    this.#queue.splice(0, written);
    if (this.#queue.length > 0 || this.#dropped === 0) return;
    const lines = this.#dropped;
    this.#dropped = 0;
    this.#onDropped(lines);
  }

  #tryWrite(bytes: Buffer): number {
    try {
      return this.#writeTo(this.#fd, bytes, this.#offset);
    } catch (error) {
      if (TEMPORARY.has((error as NodeJS.ErrnoException).code ?? '')) return 0;
      // The reader has closed its end (`serve | head -1`): the server runs on.
      droppedTotal++;
      return bytes.length - this.#offset;
    }
  }
}
