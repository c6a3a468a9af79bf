// Builds the pages of a history: the messages of some channels and patterns after a number, in
// order.
import { isPattern } from '../base/channel-name.js';
import { grown } from '../collections/typed-array.js';
import type { ChannelRows } from './channel-rows.js';
import type { PatternWatermarks } from './eviction-watermarks.js';
import type { HistoryPage } from './history-engine.js';
import type { Rings } from './message-index.js';
import type { Messages } from './messages.js';

/** Messages that one page of a pattern looks at: about a millisecond. */
const SCAN_MAX = 32_768;
const PAGE_BYTES_MAX = 256 * 1024;

/** A page as the ids of its messages. */
class IdPage implements HistoryPage {
  size = 0;
  lastNumber = 0;
  isLast = true;
  hasGap = false;
  #ids = new Uint32Array(256);
  #count = 0;
  readonly #messages: Messages;

  constructor(messages: Messages) {
    this.#messages = messages;
  }

  reset(head: number, hasGap: boolean): void {
    this.size = 0;
    this.#count = 0;
    this.lastNumber = head;
    this.isLast = true;
    this.hasGap = hasGap;
  }

  /** Adds a message; false if it does not fit. */
  add(id: number, bytesMax: number): boolean {
    const size = this.#messages.size(id);
    if (this.#count > 0 && this.size + size > bytesMax) return false;
    if (this.#count === this.#ids.length) this.#ids = grown(this.#ids, 0);
    this.#ids[this.#count++] = id;
    this.size += size;
    return true;
  }

  endAt(number: number): void {
    this.isLast = false;
    this.lastNumber = number;
  }

  copyTo(target: Buffer, at: number): void {
    for (let index = 0; index < this.#count; index++) {
      at += this.#messages.copy(this.#ids[index] ?? 0, target, at);
    }
  }
}

export interface PageBuilderParts {
  readonly messages: Messages;
  readonly rings: Rings;
  readonly rows: ChannelRows;
  readonly patterns: PatternWatermarks;
}

/** Where a page begins, and how large it may be. */
export interface PageStart {
  readonly channels: readonly string[];
  /** The page holds messages with higher numbers. */
  readonly after: number;
  readonly bytesMax: number;
  readonly nowMs: number;
}

export class PageBuilder {
  readonly #messages: Messages;
  readonly #rings: Rings;
  readonly #rows: ChannelRows;
  readonly #patterns: PatternWatermarks;
  readonly #page: IdPage;
  /** The last page that looked at a row; plus 1 where the row did not belong to it. */
  #mark = new Float64Array(64);
  /** Counts pages in steps of two, for the marks. */
  #pages = 0;
  #nowMs = 0;
  // The rows of the page, and for each the position in its ring and the number of its next message.
  #row = new Uint32Array(16);
  #position = new Uint32Array(16);
  #number = new Float64Array(16);

  constructor({ messages, rings, rows, patterns }: PageBuilderParts) {
    this.#messages = messages;
    this.#rings = rings;
    this.#rows = rows;
    this.#patterns = patterns;
    this.#page = new IdPage(messages);
  }

  get memoryBytes(): number {
    return 8 * this.#mark.length;
  }

  /** A page without messages, up to the number `head`. */
  empty(head: number, hasGap: boolean): HistoryPage {
    this.#page.reset(head, hasGap);
    return this.#page;
  }

  /** The next page up to the number `head`. @param hasGap - Whether a gap is known already. */
  build(
    { channels, after, bytesMax, nowMs }: PageStart,
    head: number,
    hasGap: boolean,
  ): HistoryPage {
    this.#page.reset(head, hasGap);
    this.#pages += 2;
    this.#nowMs = nowMs;
    if (this.#mark.length < this.#rows.end) this.#mark = grown(this.#mark, this.#rows.end);
    const most = Math.min(bytesMax, PAGE_BYTES_MAX);
    const rows = this.#collect(channels, after);
    const patterns = channels.filter(isPattern);
    if (patterns.length === 0) this.#merge(rows, after, most);
    else this.#scan(patterns, after, most);
    return this.#page;
  }

  /** Marks the rows of the names, and compares all watermarks. Returns the number of rows. */
  #collect(channels: readonly string[], after: number): number {
    let rows = 0;
    for (const channel of channels) {
      let watermark: number;
      if (isPattern(channel)) {
        watermark = this.#patterns.get(channel);
      } else {
        const row = this.#rows.find(channel);
        watermark = this.#rows.watermark(channel, row);
        if (row !== 0 && this.#mark[row] !== this.#pages) {
          this.#mark[row] = this.#pages;
          this.#addRow(rows++, row);
        }
      }
      if (watermark > after) this.#page.hasGap = true;
    }
    return rows;
  }

  #addRow(index: number, row: number): void {
    if (index === this.#row.length) {
      this.#row = grown(this.#row, 0);
      this.#position = grown(this.#position, 0);
      this.#number = grown(this.#number, 0);
    }
    this.#row[index] = row;
  }

  /** Adds the messages of the collected rows in the order of their numbers. */
  #merge(rows: number, after: number, bytesMax: number): void {
    for (let index = 0; index < rows; index++) {
      this.#position[index] = this.#positionAfter(this.#row[index] ?? 0, after);
      this.#advance(index);
    }
    for (;;) {
      let next = 0;
      for (let index = 1; index < rows; index++) {
        if ((this.#number[index] ?? 0) < (this.#number[next] ?? 0)) next = index;
      }
      const number = rows === 0 ? Infinity : (this.#number[next] ?? 0);
      if (number === Infinity) return;
      const position = this.#position[next] ?? 0;
      if (!this.#page.add(this.#rings.at(this.#row[next] ?? 0, position), bytesMax)) {
        this.#page.endAt(number - 1);
        return;
      }
      this.#position[next] = position + 1;
      this.#advance(next);
    }
  }

  /** Advances a row to its next message that is not gone; its number is Infinity at the end. */
  #advance(index: number): void {
    const row = this.#row[index] ?? 0;
    const span = this.#rings.span(row);
    for (let position = this.#position[index] ?? 0; position < span; position++) {
      const id = this.#rings.at(row, position);
      if (!this.#messages.has(id) || this.#isExpired(id)) continue;
      this.#position[index] = position;
      this.#number[index] = this.#messages.number(id);
      return;
    }
    this.#number[index] = Infinity;
  }

  /** The first position of a ring with a number above `number`. */
  #positionAfter(row: number, number: number): number {
    let low = 0;
    let high = this.#rings.span(row);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#messages.number(this.#rings.at(row, middle)) > number) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Whether a message is too old for a page, which then reports a gap. */
  #isExpired(id: number): boolean {
    if (this.#messages.expiresAtMs(id) > this.#nowMs) return false;
    this.#page.hasGap = true;
    return true;
  }

  /** Looks at all messages after a number, for patterns and the rows that #collect() marked. */
  #scan(patterns: readonly string[], after: number, bytesMax: number): void {
    const prefixes = patterns.map((pattern) => Buffer.from(pattern.slice(0, -1)));
    const { timeline } = this.#messages;
    const first = timeline.positionAfter(after);
    const end = Math.min(timeline.end, first + SCAN_MAX);
    for (let at = first; at < end; at++) {
      if (!timeline.holds(at)) continue;
      const id = timeline.id(at);
      if (!this.#matches(id, prefixes) || this.#isExpired(id)) continue;
      if (this.#page.add(id, bytesMax)) continue;
      this.#page.endAt(timeline.number(at) - 1);
      return;
    }
    if (end < timeline.end) this.#page.endAt(timeline.number(end) - 1);
  }

  /** Whether the channel of a message belongs to the page. The mark remembers it; odd means no. */
  #matches(id: number, prefixes: readonly Buffer[]): boolean {
    const row = this.#messages.row(id);
    const mark = this.#mark[row] ?? 0;
    if (mark >= this.#pages) return mark === this.#pages;
    const isMatch = prefixes.some((prefix) => this.#messages.isUnder(id, prefix));
    this.#mark[row] = isMatch ? this.#pages : this.#pages + 1;
    return isMatch;
  }
}
