// A publish as the log keeps it: everything that any node needs to number, keep and deliver the
// message, with the options of its namespace resolved by the node that received it.
import type { BodyReader } from '../ipc/frame-codec.js';
import {
  blobBytesMax,
  textBytesMax,
  writeBlob,
  writeText,
  writeU32,
  writeU8,
} from '../ipc/frame-codec.js';
import type { HistoryLimits } from './history-limits.js';

export interface PublishRecord {
  readonly channel: string;
  readonly data: Uint8Array | string;
  /** Of the Publish frame. */
  readonly flags: number;
  readonly spreadMs: number;
  readonly id: string;
  readonly event: string;
  /** Of the channel from now on; null keeps nothing of the message. */
  readonly limits: HistoryLimits | null;
  /** Time to live, if it is shorter than the age limit. */
  readonly ttlMs: number | undefined;
  /** The idempotency key; undefined without one. */
  readonly key: string | undefined;
}

/** The fields of fixed length, and the lengths of the others. */
const FIXED_BYTES = 4 + 4 + 8 + 1 + 3 * 8 + 4 * 2 + 4;

/** The most bytes that a record takes. */
export function publishRecordBytesMax({ channel, id, event, key, data }: PublishRecord): number {
  const texts = textBytesMax(channel) + textBytesMax(id) + textBytesMax(event);
  return FIXED_BYTES + texts + textBytesMax(key ?? '') + blobBytesMax(data);
}

/** Writes a record and returns its end. An absent time to live is 0, an absent key is empty. */
export function writePublishRecord(target: Buffer, start: number, record: PublishRecord): number {
  const { limits } = record;
  let at = writeU32(target, start, record.flags);
  at = writeU32(target, at, record.spreadMs);
  at = target.writeDoubleLE(record.ttlMs ?? 0, at);
  at = writeU8(target, at, limits === null ? 0 : 1);
  at = target.writeDoubleLE(limits?.count ?? 0, at);
  at = target.writeDoubleLE(limits?.bytes ?? 0, at);
  at = target.writeDoubleLE(limits?.ageMs ?? 0, at);
  at = writeText(target, at, record.channel);
  at = writeText(target, at, record.id);
  at = writeText(target, at, record.event);
  at = writeText(target, at, record.key ?? '');
  return writeBlob(target, at, record.data);
}

/** Reads a record. @throws RangeError for bytes that are too short. */
export function readPublishRecord(body: BodyReader): PublishRecord {
  const flags = body.u32();
  const spreadMs = body.u32();
  const ttlMs = body.f64();
  const hasLimits = body.u8() === 1;
  const count = body.f64();
  const bytes = body.f64();
  const ageMs = body.f64();
  const channel = body.text();
  const id = body.text();
  const event = body.text();
  const key = body.text();
  const data = body.blob();
  const limits = hasLimits ? { count, bytes, ageMs } : null;
  const ttl = ttlMs === 0 ? undefined : ttlMs;
  // A literal without spreads: this is on the path of every message.
  return { channel, data, flags, spreadMs, id, event, limits, ttlMs: ttl, key: key || undefined };
}
