// The messages that are kept: their bytes, numbers, ends and channels, in typed arrays.
// One of 100 bytes costs some 200 all in all. Its channel is read from its frame when it is needed.
import { PUBLISH_CHANNEL_AT } from '../ipc/frame-writers.js';
import { Timeline } from './message-index.js';
import { Slabs } from '../collections/slabs.js';
import { grown } from '../collections/typed-array.js';

const SLASH = 0x2f;
const BYTES_PER_ID = 28;

/** A message is an id from 1 on. It can be gone while its id is still in use, in a ring. */
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

  /** Messages that are there. */
  get count(): number {
    return this.#count;
  }

  /** No id is that high. */
  get idEnd(): number {
    return this.#idEnd;
  }

  /** Bytes of the messages, and of the slabs that they lie in. */
  get liveBytes(): number {
    return this.#slabs.liveBytes;
  }

  get slabBytes(): number {
    return this.#slabs.memoryBytes;
  }

  slabBytesWith(size: number): number {
    return this.#slabs.memoryBytesWith(size);
  }

  get memoryBytes(): number {
    const tables = BYTES_PER_ID * this.#number.length + this.timeline.memoryBytes;
    return this.#slabs.memoryBytes + tables;
  }

  /** Packs a slab; false if that won no memory. */
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

  /** Gives up a message. Its id and number stay until release(). */
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

  /** The oldest message of all; there must be one. */
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

  /** Whether a message is of that channel. */
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
