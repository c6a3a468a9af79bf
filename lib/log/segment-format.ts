// The bytes of a segment file: a header, then records. Numbers are little-endian.
//
//   header: magic 8, version 4, flags 4, epoch 8, first position 8, time of the entry before 8,
//           inode 8, boot id 16, salt 4, CRC-32C of all before 4
//   record: magic 4, bytes of the batch 4, position 8, time 8, count 8, kind 2, bytes of the node 2,
//           CRC-32C of node and batch 4, CRC-32C of all before 4; then the node, then the batch
//
// The head of a record has a checksum of its own: where only the batch is damaged, the length is
// trusted, and one entry is lost. Both checksums begin with the salt, which is random: a batch that
// contains the bytes of a segment is never taken for entries.
import { crc32c } from './crc32c.js';
import { BATCH_BYTES_MAX, type LogEntry } from './log.js';

export const FORMAT_VERSION = 1;
export const HEADER_BYTES = 72;
export const HEAD_BYTES = 44;
/** Characters of a node's name at most, each of one byte. */
export const NODE_BYTES_MAX = 64;
export const RECORD_BYTES_MAX = HEAD_BYTES + NODE_BYTES_MAX + BATCH_BYTES_MAX;

const MAGIC = Buffer.from('MCTSLOG\n');
export const RECORD_MAGIC = Buffer.from('MCE\x01');
const KIND_ENTRY = 1;
/** Written by close(): everything before it was synced. */
const KIND_CLOSED = 2;
const FLAG_EARLY_ANSWERS = 1;

export interface SegmentHeader {
  readonly epoch: bigint;
  /** The position of the first entry, present or to come. */
  readonly first: number;
  /** The time of the last entry before this segment; 0 if it is the first one. */
  readonly baseMs: number;
  /** The inode of the file: a copy of the file has another. */
  readonly inode: bigint;
  /** The boot of the machine, 32 hexadecimal digits. */
  readonly bootId: string;
  /** Appends are answered before their entries are synced. */
  readonly hasEarlyAnswers: boolean;
  readonly salt: number;
}

export type HeaderFault = 'foreign' | 'newer' | 'damaged';

export function encodeHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(FORMAT_VERSION, 8);
  bytes.writeUInt32LE(header.hasEarlyAnswers ? FLAG_EARLY_ANSWERS : 0, 12);
  bytes.writeBigUInt64LE(header.epoch, 16);
  bytes.writeBigUInt64LE(BigInt(header.first), 24);
  bytes.writeBigUInt64LE(BigInt(header.baseMs), 32);
  bytes.writeBigUInt64LE(header.inode, 40);
  bytes.write(header.bootId, 48, 16, 'hex');
  bytes.writeUInt32LE(header.salt, 64);
  bytes.writeUInt32LE(crc32c(bytes, 0, 68), 68);
  return bytes;
}

/** Reads a header; the reason if that is not possible. */
export function decodeHeader(bytes: Buffer): SegmentHeader | HeaderFault {
  if (bytes.length < HEADER_BYTES) return 'damaged';
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'foreign';
  // First, because another version may have another checksum.
  if (bytes.readUInt32LE(8) > FORMAT_VERSION) return 'newer';
  if (bytes.readUInt32LE(68) !== crc32c(bytes, 0, 68)) return 'damaged';
  return {
    hasEarlyAnswers: (bytes.readUInt32LE(12) & FLAG_EARLY_ANSWERS) !== 0,
    epoch: bytes.readBigUInt64LE(16),
    first: Number(bytes.readBigUInt64LE(24)),
    baseMs: Number(bytes.readBigUInt64LE(32)),
    inode: bytes.readBigUInt64LE(40),
    bootId: bytes.toString('hex', 48, 64),
    salt: bytes.readUInt32LE(64),
  };
}

function writeRecord(entry: LogEntry, kind: number, salt: number): Buffer {
  const { seq, atMs, id, batch } = entry;
  const nodeBytes = id.node.length;
  const bytes = Buffer.allocUnsafeSlow(HEAD_BYTES + nodeBytes + batch.length);
  RECORD_MAGIC.copy(bytes);
  bytes.writeUInt32LE(batch.length, 4);
  bytes.writeBigUInt64LE(BigInt(seq), 8);
  bytes.writeBigUInt64LE(BigInt(atMs), 16);
  bytes.writeBigUInt64LE(BigInt(id.count), 24);
  bytes.writeUInt16LE(kind, 32);
  bytes.writeUInt16LE(nodeBytes, 34);
  bytes.write(id.node, HEAD_BYTES, 'latin1');
  batch.copy(bytes, HEAD_BYTES + nodeBytes);
  bytes.writeUInt32LE(crc32c(bytes, HEAD_BYTES, bytes.length, salt), 36);
  bytes.writeUInt32LE(crc32c(bytes, 0, 40, salt), 40);
  return bytes;
}

/** The record of an entry. The node of its id has at most 64 characters of ASCII. */
export function encodeEntry(entry: LogEntry, salt: number): Buffer {
  return writeRecord(entry, KIND_ENTRY, salt);
}

/** The record that ends a log which was closed. */
export function encodeClosed(seq: number, atMs: number, salt: number): Buffer {
  const id = { node: '', count: 0 };
  return writeRecord({ seq, atMs, id, batch: Buffer.alloc(0) }, KIND_CLOSED, salt);
}

/** The batch in a record of encodeEntry(). */
export function batchOf(record: Buffer, { id }: LogEntry): Buffer {
  return record.subarray(HEAD_BYTES + id.node.length);
}

/** The head of a record: everything but node and batch. */
export interface RecordHead {
  readonly bytes: number;
  readonly nodeBytes: number;
  readonly kind: number;
  readonly seq: number;
  readonly atMs: number;
  readonly count: number;
  readonly crc: number;
}

/** Reads the head of a record; null if it is damaged or not there. */
export function decodeHead(window: Buffer, at: number, salt: number): RecordHead | null {
  if (window.compare(RECORD_MAGIC, 0, RECORD_MAGIC.length, at, at + RECORD_MAGIC.length) !== 0) {
    return null;
  }
  const batchBytes = window.readUInt32LE(at + 4);
  const nodeBytes = window.readUInt16LE(at + 34);
  if (batchBytes > BATCH_BYTES_MAX || nodeBytes > NODE_BYTES_MAX) return null;
  if (window.readUInt32LE(at + 40) !== crc32c(window, at, at + 40, salt)) return null;
  return {
    bytes: HEAD_BYTES + nodeBytes + batchBytes,
    nodeBytes,
    kind: window.readUInt16LE(at + 32),
    seq: Number(window.readBigUInt64LE(at + 8)),
    atMs: Number(window.readBigUInt64LE(at + 16)),
    count: Number(window.readBigUInt64LE(at + 24)),
    crc: window.readUInt32LE(at + 36),
  };
}

/** The rest of a record, which is complete in the window; null if it is damaged. */
export function decodeBody(
  window: Buffer,
  at: number,
  head: RecordHead,
  salt: number,
): LogEntry | 'closed' | 'unknown' | null {
  const [from, end] = [at + HEAD_BYTES, at + head.bytes];
  if (crc32c(window, from, end, salt) !== head.crc) return null;
  if (head.kind === KIND_CLOSED) return 'closed';
  if (head.kind !== KIND_ENTRY) return 'unknown';
  const { seq, atMs, count, nodeBytes } = head;
  const node = window.toString('latin1', from, from + nodeBytes);
  return { seq, atMs, id: { node, count }, batch: window.subarray(from + nodeBytes, end) };
}
