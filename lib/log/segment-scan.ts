// Reads the records of a segment file in chunks, and goes on behind damaged ones.
import { readUpTo, type DiskFile } from './disk.js';
import type { LogEntry } from './log.js';
import {
  decodeBody,
  decodeHead,
  HEAD_BYTES,
  HEADER_BYTES,
  RECORD_MAGIC,
} from './segment-format.js';

/** Bytes of one read: decoding them takes about a millisecond of the manager's loop. */
const CHUNK_BYTES = 262_144;

/** Bytes that are not a whole record. */
export interface ScanFault {
  readonly offset: number;
  readonly reason: string;
}

export class SegmentScan {
  readonly faults: ScanFault[] = [];
  /** The offset behind the last whole record. */
  wholeBytes = HEADER_BYTES;
  /** Whether the last whole record is that of close(). */
  isClosed = false;
  /** Position and time of the last whole record; that of close() has those of the last entry. */
  lastSeq = 0;
  lastMs = 0;
  #window: Buffer = Buffer.alloc(0);
  /** The offset of the window in the file, and of the next record in the window. */
  #base = HEADER_BYTES;
  #at = 0;
  /** Bytes that the next record needs in the window. */
  #need = HEAD_BYTES;
  #isLost = false;

  constructor(
    private readonly file: DiskFile,
    private readonly salt: number,
  ) {}

  /**
   * The next entries in order; null at the end.
   *
   * @param end - The bytes of the file to read; more than in the call before if the file grew.
   */
  async next(end: number): Promise<LogEntry[] | null> {
    for (;;) {
      const entries = this.#decode();
      if (entries.length > 0) return entries;
      if (await this.#fill(end)) continue;
      if (this.#at === this.#window.length) return null;
      this.#search('the record is incomplete');
    }
  }

  /** Decodes the whole records in the window. */
  #decode(): LogEntry[] {
    const entries: LogEntry[] = [];
    this.#need = HEAD_BYTES;
    while (this.#window.length - this.#at >= HEAD_BYTES) {
      const head = decodeHead(this.#window, this.#at, this.salt);
      if (head === null) {
        this.#search('these bytes are not a record');
        continue;
      }
      this.#need = head.bytes;
      if (this.#window.length - this.#at < head.bytes) return entries;
      const body = decodeBody(this.#window, this.#at, head, this.salt);
      if (body === null) this.#fault(`the checksum of entry ${head.seq} is wrong`);
      else if (typeof body === 'object' && body.seq <= this.lastSeq) {
        this.#fault(`entry ${body.seq} follows entry ${this.lastSeq}`);
      } else {
        if (typeof body === 'object') entries.push(body);
        this.lastSeq = head.seq;
        this.lastMs = head.atMs;
        this.#isLost = false;
        this.isClosed = body === 'closed';
        this.wholeBytes = this.#base + this.#at + head.bytes;
      }
      this.#at += head.bytes;
      this.#need = HEAD_BYTES;
    }
    return entries;
  }

  #fault(reason: string): void {
    this.faults.push({ offset: this.#base + this.#at, reason });
  }

  /** Moves to the next bytes that may begin a record. The bytes between are one fault. */
  #search(reason: string): void {
    if (!this.#isLost) this.#fault(reason);
    this.#isLost = true;
    const found = this.#window.indexOf(RECORD_MAGIC, this.#at + 1);
    // The start of a record may be the last bytes of the window.
    const last = Math.max(this.#at + 1, this.#window.length - RECORD_MAGIC.length + 1);
    this.#at = found === -1 ? last : found;
  }

  /** Reads more bytes into the window; whether there were some. */
  async #fill(end: number): Promise<boolean> {
    const rest = this.#window.subarray(this.#at);
    const position = this.#base + this.#window.length;
    const wanted = Math.max(CHUNK_BYTES, this.#need - rest.length);
    const bytes = await readUpTo(
      this.file,
      Math.max(0, Math.min(wanted, end - position)),
      position,
    );
    if (bytes.length === 0) return false;
    // Entries keep the window that they are in, so it is never written again.
    this.#window = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    this.#base += this.#at;
    this.#at = 0;
    return true;
  }
}
