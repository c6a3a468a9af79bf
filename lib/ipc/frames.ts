// The manager's codec for control frames, built from the addon's own list of them.
// The layout stands once, in native/ipc/frames.h: here are only the types for TypeScript.
import { addon, camelCase } from '../system/native.js';

/** Fields of each frame; their meaning is documented in native/ipc/frames.h. */
export interface Frames {
  Configure: {
    parent: number;
    slot: number;
    connectionsMax: number;
    serverConnectionsMax: number;
    idleTimeoutS: number;
    acceptRateMilli: number;
    protocol: string;
    listeners: readonly number[];
  };
  Adjust: {
    connectionsMax: number;
    serverConnectionsMax: number;
    idleTimeoutS: number;
    acceptRateMilli: number;
  };
  Watch: { listener: number; on: number };
  Drain: { drainMs: number };
  Comet: {
    epoch: bigint;
    heartbeatS: number;
    pollTimeoutS: number;
    handshakeTimeoutS: number;
    writeTimeoutS: number;
    channelRetentionS: number;
    retryMs: number;
    messageBytesMax: number;
    sendQueueBytesMax: number;
    channelsPerConnectionMax: number;
    workerSendQueueBytesMax: bigint;
    workerInputBytesMax: bigint;
    slicesMax: number;
    flags: number;
    origins: readonly string[];
  };
  Publish: {
    number: bigint;
    flags: number;
    spreadMs: number;
    channel: string;
    id: string;
    event: string;
    data: Buffer;
  };
  ReplayPage: { fd: number; generation: number; flags: number; head: bigint; messages: Buffer };
  Kick: { channel: string; reason: string };
  PresenceEvents: { on: number };
  Query: { question: number; channel: string; below: number };
  Disconnect: { fd: number; generation: number; reason: string };
  Rejected: { fd: number; generation: number; channel: string; id: string; error: string };
  MailboxLease: { fd: number; generation: number; data: Buffer };
  Ready: { version: string; layout: bigint; descriptors: number; connectionsMax: number };
  Log: { level: number; message: string; error: number; suppressed: number };
  NearCapacity: { connections: number };
  Goodbye: { closed: number };
  Interest: { channel: string; count: number; wanted: number };
  Presence: { there: number; fd: number; generation: number; channel: string };
  Present: { question: number; below: number; members: readonly number[] };
  ReplayRequest: {
    fd: number;
    generation: number;
    hasSince: number;
    epoch: bigint;
    number: bigint;
    bytesMax: number;
    channels: readonly string[];
  };
  MailboxPoll: { fd: number; generation: number; name: string };
  MailboxAck: { fd: number; generation: number };
  MailboxNack: { fd: number; generation: number };
  Message: {
    fd: number;
    generation: number;
    flags: number;
    channel: string;
    id: string;
    event: string;
    data: Buffer;
  };
  Dial: {
    parent: number;
    connections: number;
    rateMilli: number;
    connectTimeoutS: number;
    targets: readonly string[];
    sources: readonly string[];
  };
  Subscribe: {
    transport: number;
    awaitsCursor: number;
    channels: number;
    collectMs: number;
    first: number;
    host: string;
    channel: string;
    since: string;
  };
  Gather: { forgets: number };
  Reconnect: { epoch: bigint };
  Verify: { timeoutMs: number };
  Exchange: { connections: number; messageBytes: number; durationMs: number };
  Progress: {
    phase: number;
    finished: number;
    opened: number;
    failed: number;
    lost: number;
    answered: bigint;
    wrong: bigint;
    messages: bigint;
    received: bigint;
    gaps: bigint;
    elapsedUs: bigint;
  };
  Failures: { counts: readonly number[] };
  Latency: { minUs: bigint; maxUs: bigint; buckets: readonly number[] };
  DeliveryTimes: {
    key: bigint;
    count: bigint;
    firstNs: bigint;
    lastNs: bigint;
    buckets: readonly number[];
  };
}

export type FrameName = keyof Frames;

/** A received frame: its name tells the type of its fields. */
export type Frame = {
  [N in FrameName]: { readonly name: N; readonly fields: Frames[N] };
}[FrameName];

type Value = Buffer | bigint | number | string | readonly number[] | readonly string[];

class Writer {
  readonly parts: Buffer[] = [];

  u8(value: number): void {
    this.parts.push(Buffer.of(value));
  }
  u16(value: number): void {
    const part = Buffer.alloc(2);
    part.writeUInt16LE(value);
    this.parts.push(part);
  }
  u32(value: number): void {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    this.parts.push(part);
  }
  u64(value: bigint | number): void {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    this.parts.push(part);
  }
  text(value: string): void {
    const bytes = Buffer.from(value);
    this.u16(bytes.length);
    this.parts.push(bytes);
  }
  blob(bytes: Buffer): void {
    this.u32(bytes.length);
    this.parts.push(bytes);
  }
  numbers(values: readonly number[]): void {
    this.u32(values.length);
    for (const value of values) this.u64(value);
  }
  texts(values: readonly string[]): void {
    this.u16(values.length);
    for (const value of values) this.text(value);
  }
}

/** Reads a body; a short one throws RangeError, as Buffer does. */
class Reader {
  #at = 0;
  constructor(readonly bytes: Buffer) {}

  get isAtEnd(): boolean {
    return this.#at === this.bytes.length;
  }
  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.bytes.length) throw new RangeError('frame too short');
    this.#at += size;
    return at;
  }
  u8(): number {
    return this.bytes.readUInt8(this.#take(1));
  }
  u16(): number {
    return this.bytes.readUInt16LE(this.#take(2));
  }
  u32(): number {
    return this.bytes.readUInt32LE(this.#take(4));
  }
  u64(): bigint {
    return this.bytes.readBigUInt64LE(this.#take(8));
  }
  text(): string {
    const size = this.u16();
    const at = this.#take(size);
    return this.bytes.toString('utf8', at, at + size);
  }
  /** A view of the frame's bytes, which nobody writes to again. */
  blob(): Buffer {
    const size = this.u32();
    const at = this.#take(size);
    return this.bytes.subarray(at, at + size);
  }
  numbers(): number[] {
    const count = this.u32();
    const values = [];
    for (let index = 0; index < count; index++) values.push(Number(this.u64()));
    return values;
  }
  texts(): string[] {
    const count = this.u16();
    const values = [];
    for (let index = 0; index < count; index++) values.push(this.text());
    return values;
  }
}

type FieldType = 'blob' | 'numbers' | 'text' | 'texts' | 'u32' | 'u64' | 'u8';

interface Layout {
  readonly name: FrameName;
  readonly type: number;
  readonly fields: readonly { readonly key: string; readonly type: FieldType }[];
}

const LAYOUTS: readonly Layout[] = addon.frames.map((info) => ({
  name: info.name as FrameName,
  type: info.type,
  fields: info.fields.map((field) => ({
    key: camelCase(field.name),
    type: field.type as FieldType,
  })),
}));
const BY_NAME = new Map(LAYOUTS.map((layout) => [layout.name, layout]));
const BY_TYPE = new Map(LAYOUTS.map((layout) => [layout.type, layout]));

/** One whole frame, ready to be written to a control stream. */
export function encodeFrame<N extends FrameName>(name: N, fields: Frames[N]): Buffer {
  const layout = BY_NAME.get(name);
  if (layout === undefined) throw new TypeError(`no frame is called ${name}`);
  const writer = new Writer();
  writer.u8(layout.type);
  for (const { key, type } of layout.fields) {
    const value = (fields as Record<string, Value>)[key];
    (writer[type] as (value: unknown) => void).call(writer, value);
  }
  const body = Buffer.concat(writer.parts);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([length, body]);
}

function decodeBody(bytes: Buffer): Frame {
  const layout = BY_TYPE.get(bytes[0] ?? 0);
  if (layout === undefined) throw new RangeError(`unknown frame type ${bytes[0] ?? 0}`);
  const reader = new Reader(bytes.subarray(1));
  const fields: Record<string, Value> = {};
  for (const { key, type } of layout.fields) fields[key] = reader[type]();
  if (!reader.isAtEnd) throw new RangeError(`bytes left over in ${layout.name}`);
  return { name: layout.name, fields } as unknown as Frame;
}

/** Cuts a control stream into frames. */
export class FrameDecoder {
  #pending: Buffer = Buffer.alloc(0);

  /**
   * Takes bytes in and returns the frames that they complete.
   *
   * @throws RangeError when the bytes cannot be frames; nothing after that can be trusted.
   */
  push(chunk: Buffer): Frame[] {
    let bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const frames: Frame[] = [];
    while (bytes.length >= 4) {
      const length = bytes.readUInt32LE(0);
      if (length === 0 || length > addon.bounds.frameBytesMax) {
        throw new RangeError(`frame of ${length} bytes`);
      }
      if (bytes.length < 4 + length) break;
      frames.push(decodeBody(bytes.subarray(4, 4 + length)));
      bytes = bytes.subarray(4 + length);
    }
    this.#pending = bytes;
    return frames;
  }
}
