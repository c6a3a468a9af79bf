// Reading the history of a channel page by page, for applications and for clients that may.
import { WORKER_FRAMES } from '../ipc/frame-codecs.js';
import { FrameDecoder } from '../ipc/frame-codec.js';
import { MessageFlag, type Frames } from '../ipc/frames.js';
import { cursorStart, type Cursor } from './cursor.js';
import type { HistoryEngine } from './history-engine.js';

export { CLIENT_REQUEST_LIMIT_MAX as HISTORY_LIMIT_MAX } from '../base/native-constants.js';

/** Messages and bytes of one page. It has at least one message, however long. */
export const HISTORY_LIMIT = 100;
const PAGE_BYTES_MAX = 256 * 1024;

/** The page of history() that is read. */
export interface HistoryQuery {
  /** The cursor after which the page begins; default: the oldest message that is kept. */
  readonly since?: string;
  /** Messages at most, up to 1000; default 100. A page of 256 KiB ends earlier. */
  readonly limit?: number;
}

/** A message of a history. */
export interface HistoryMessage {
  /** The channel of the message; another one than that of the query if that is a pattern. */
  readonly channel: string;
  /** Its position in the server's sequence, as clients see it. */
  readonly cursor: string;
  /** The message's bytes; UTF-8 unless `isBinary`. */
  readonly data: Buffer;
  /** Whether the message was published as bytes. */
  readonly isBinary: boolean;
  /** The id that the publisher gave the message; empty without one. */
  readonly id: string;
  /** The event name that the publisher gave the message; empty without one. */
  readonly event: string;
}

/** One page of a history. */
export interface ChannelHistoryPage {
  /** The channel or pattern of the query. */
  readonly channel: string;
  /** In the order of publishing. */
  readonly messages: readonly HistoryMessage[];
  /** The value of `since` for the next page. */
  readonly cursor: string;
  /** Whether the page reaches the present; else another one follows. */
  readonly isComplete: boolean;
  /** False if messages between `since` and this page are gone. */
  readonly isRecovered: boolean;
}

/** A page by its position. */
export interface HistorySelection {
  readonly channel: string;
  /** Null for the oldest message that is kept. */
  readonly since: Cursor | null;
  readonly limit: number;
  readonly bytesMax?: number;
}

export class HistoryReader {
  readonly #engine: HistoryEngine;

  constructor(engine: HistoryEngine) {
    this.#engine = engine;
  }

  read({ channel, since, limit, bytesMax }: HistorySelection): ChannelHistoryPage {
    const { epoch } = this.#engine;
    const page = this.#engine.page({
      channels: [channel],
      since: since ?? { epoch, number: 0n },
      bytesMax: Math.min(bytesMax ?? PAGE_BYTES_MAX, PAGE_BYTES_MAX),
    });
    const { size, lastNumber, isLast, hasGap } = page;
    const bytes = Buffer.allocUnsafe(size);
    page.copyTo(bytes, 0);
    const all = framesIn(bytes);
    const frames = all.slice(0, limit);
    const isCut = frames.length < all.length;
    // A cursor of another epoch is before all messages of this one.
    const after = since?.epoch === epoch ? since.number : 0n;
    const last = isCut ? (frames.at(-1)?.number ?? after) : BigInt(lastNumber);
    const start = cursorStart(epoch);
    return {
      channel,
      messages: frames.map((fields) => messageOf(start, fields)),
      cursor: start + String(last),
      isComplete: isLast && !isCut,
      isRecovered: since === null || !hasGap,
    };
  }
}

function framesIn(bytes: Buffer): Frames['Publish'][] {
  const frames: Frames['Publish'][] = [];
  for (const frame of new FrameDecoder(WORKER_FRAMES.readers).push(bytes)) {
    if (frame.name === 'Publish') frames.push(frame.fields);
  }
  return frames;
}

function messageOf(start: string, fields: Frames['Publish']): HistoryMessage {
  const { channel, number, flags, data, id, event } = fields;
  const isBinary = (flags & MessageFlag.binary) !== 0;
  return { channel, cursor: start + String(number), data, isBinary, id, event };
}
