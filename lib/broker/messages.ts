// The kept messages: their bytes, numbers, expiry times and channels, in typed arrays.
// A message of 100 bytes costs about 200 in all. Its channel is read from its frame when needed.
import { PUBLISH_CHANNEL_AT } from '../ipc/frame-writers.js';
import { Timeline } from './message-index.js';
import { Slabs } from '../collections/slabs.js';
import { grown } from '../collections/typed-array.js';

const SLASH = 0x2f;
const BYTES_PER_ID = 28;

/** A message is an id from 1 on. It can be dropped while its id is still in a ring. */
export class Messages {
  readonly timeline = new Timeline((id, number) => this.has(id) && this.#number[id] === number);
  readonly #slabs: Slabs;
  #number = new Float64Array(256);
  #expiresAtMs = new Float64Array(256);
  /** Row of the message's channel; of a free id the next free one. */
  #row = new Uint32Array(256);
  #idEnd = 1;
  #freeId = 0;
  #count = 0;

  constructor(slabBytes?: number) {
    this.#slabs = new Slabs(slabBytes);
  }

  /** Messages that are kept. */
  get count(): number {
    return this.#count;
  }

  /** The upper bound of the ids, exclusive. */
  get idEnd(): number {
    return this.#idEnd;
  }

  /** Bytes of the messages. */
  get liveBytes(): number {
    return this.#slabs.liveBytes;
  }

  /** Bytes of the slabs that hold the messages. */
  get slabBytes(): number {
    return this.#slabs.memoryBytes;
  }

  /** The value of slabBytes with one more message. */
  slabBytesWith(size: number): number {
    return this.#slabs.memoryBytesWith(size);
  }

  get memoryBytes(): number {
    const tables = BYTES_PER_ID * this.#number.length + this.timeline.memoryBytes;
    return this.#slabs.memoryBytes + tables;
  }

  /** Compacts a slab; false if that gave no memory back. */
  compact(): boolean {
    return this.#slabs.compact();
  }

  /** Keeps a Publish frame, source[start, end), and returns its id. */
  put(
    row: number,
    number: number,
    expiresAtMs: number,
    source: Buffer,
    start: number,
    end: number,
  ): number {
    const id = this.#takeId();
    this.#slabs.put(id, source, start, end);
    this.#number[id] = number;
    this.#expiresAtMs[id] = expiresAtMs;
    this.#row[id] = row;
    this.timeline.push(id, number);
    this.#count++;
    return id;
  }

  /** Drops a message. Its id and number stay until release(). */
  drop(id: number): void {
    this.#slabs.free(id);
    this.#count--;
  }

  release(id: number): void {
    this.#row[id] = this.#freeId;
    this.#freeId = id;
  }

  has(id: number): boolean {
    return this.#slabs.has(id);
  }

  /** The oldest message of all; 0 if there is none. */
  oldest(): number {
    return this.timeline.oldest();
  }

  number(id: number): number {
    return this.#number[id] ?? 0;
  }

  expiresAtMs(id: number): number {
    return this.#expiresAtMs[id] ?? 0;
  }

  row(id: number): number {
    return this.#row[id] ?? 0;
  }

  size(id: number): number {
    return this.#slabs.size(id);
  }

  /** Copies a message's frame, and returns its size. */
  copy(id: number, target: Buffer, at: number): number {
    return this.#slabs.copy(id, target, at);
  }

  channel(id: number): string {
    const bytes = this.#slabs.bytes(id);
    const at = this.#channelAt(id);
    return bytes.toString('utf8', at, at + this.#channelBytes(id));
  }

  /** Whether a message belongs to a channel. */
  isOf(id: number, channel: string): boolean {
    const bytes = this.#slabs.bytes(id);
    const at = this.#channelAt(id);
    const { length } = channel;
    for (let index = 0; index < length; index++) {
      const code = channel.charCodeAt(index);
      if (code > 0x7f) return this.channel(id) === channel;
      if (bytes[at + index] !== code) return false;
    }
    return this.#channelBytes(id) === length;
  }

  /** Whether a message's channel starts with a prefix. */
  isUnder(id: number, prefix: Buffer): boolean {
    if (this.#channelBytes(id) < prefix.length) return false;
    const at = this.#channelAt(id);
    return this.#slabs.bytes(id).compare(prefix, 0, prefix.length, at, at + prefix.length) === 0;
  }

  /** Whether a message's channel can match a pattern. */
  hasSlash(id: number): boolean {
    const bytes = this.#slabs.bytes(id);
    const start = this.#channelAt(id);
    const end = start + this.#channelBytes(id);
    for (let at = start; at < end; at++) if (bytes[at] === SLASH) return true;
    return false;
  }

  #channelAt(id: number): number {
    return this.#slabs.start(id) + PUBLISH_CHANNEL_AT + 2;
  }

  #channelBytes(id: number): number {
    return this.#slabs.bytes(id).readUInt16LE(this.#slabs.start(id) + PUBLISH_CHANNEL_AT);
  }

  #takeId(): number {
    const id = this.#freeId;
    if (id !== 0) {
      this.#freeId = this.#row[id] ?? 0;
      return id;
    }
    if (this.#idEnd === this.#number.length) {
      this.#number = grown(this.#number, 0);
      this.#expiresAtMs = grown(this.#expiresAtMs, 0);
      this.#row = grown(this.#row, 0);
    }
    return this.#idEnd++;
  }
}
