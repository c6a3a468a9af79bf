// The bytes of one message of the stream: a header that all readers check alike, then the batch.
import type { AppendId } from './log.js';

export interface NatsRecord {
  /** An `epoch` begins an epoch and has no batch. */
  readonly kind: 'entry' | 'epoch';
  /** The epoch that the writer knew, or the one that it begins. A greater one replaces a smaller one. */
  readonly epoch: bigint;
  /** When the stream was made, in nanoseconds: a record that reached another stream does not count. */
  readonly createdNs: bigint;
  /** Of an entry: its position less its sequence in the stream. Of an epoch: its position. */
  readonly base: number;
  /** The log's clock as the writer knew it: the clock stays above it after the server's went back. */
  readonly clockMs: number;
  readonly id: AppendId;
  readonly batch: Buffer;
}

const VERSION = 1;
const KINDS = ['entry', 'epoch'] as const;
/** Version, kind, length of the node's name, epoch, creation, base, clock, count. */
const FIXED_BYTES = 3 + 5 * 8;
const NODE_BYTES_MAX = 64;

/** Of a message besides the batch: the longest header above, and the headers of NATS. */
export const OVERHEAD_BYTES = 512;

/** Encodes a record; copies its batch. */
export function encodeRecord({ kind, epoch, createdNs, base, ...rest }: NatsRecord): Buffer {
  const { clockMs, id, batch } = rest;
  const node = Buffer.from(id.node, 'latin1');
  const bytes = Buffer.allocUnsafe(FIXED_BYTES + node.length + batch.length);
  bytes[0] = VERSION;
  bytes[1] = KINDS.indexOf(kind);
  bytes[2] = node.length;
  bytes.writeBigUInt64BE(epoch, 3);
  bytes.writeBigUInt64BE(createdNs, 11);
  bytes.writeDoubleBE(base, 19);
  bytes.writeDoubleBE(clockMs, 27);
  bytes.writeDoubleBE(id.count, 35);
  node.copy(bytes, FIXED_BYTES);
  batch.copy(bytes, FIXED_BYTES + node.length);
  return bytes;
}

/** Decodes a message without a copy; null for one that another program wrote. */
export function decodeRecord(data: Uint8Array): NatsRecord | null {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  const [version, kindIndex = -1, nodeBytes = 0] = bytes;
  const kind = KINDS[kindIndex];
  const isWhole = bytes.length >= FIXED_BYTES + nodeBytes && nodeBytes <= NODE_BYTES_MAX;
  if (version !== VERSION || kind === undefined || !isWhole) return null;
  const base = bytes.readDoubleBE(19);
  const clockMs = bytes.readDoubleBE(27);
  const count = bytes.readDoubleBE(35);
  const hasIntegers = Number.isSafeInteger(base) && Number.isSafeInteger(clockMs);
  if (!hasIntegers || !Number.isSafeInteger(count)) return null;
  const batchAt = FIXED_BYTES + nodeBytes;
  return {
    ...{ kind, base, clockMs },
    epoch: bytes.readBigUInt64BE(3),
    createdNs: bytes.readBigUInt64BE(11),
    id: { node: bytes.toString('latin1', FIXED_BYTES, batchAt), count },
    batch: bytes.subarray(batchAt),
  };
}

/** The position of a record that has this sequence in its stream. */
export function positionOf({ kind, base }: NatsRecord, streamSeq: number): number {
  return kind === 'epoch' ? base : base + streamSeq;
}

/** The nanoseconds since 1970 of a time such as `2026-01-02T03:04:05.678Z`, with up to nine digits. */
export function nanosecondsOf(time: string): bigint {
  const [, whole = '', digits = ''] = /^(.*?)(?:\.(\d{1,9}))?(?:Z|[+-]\d\d:\d\d)$/.exec(time) ?? [];
  const zone = time.slice(whole.length + (digits === '' ? 0 : digits.length + 1));
  const seconds = BigInt(Math.floor(Date.parse(`${whole}${zone}`) / 1000));
  return seconds * 1_000_000_000n + BigInt(digits.padEnd(9, '0'));
}
