// Pages from hand-made rings and rows: order, size, gaps, and expired messages.
import t from 'tap';

import { ChannelRows } from '../../lib/broker/channel-rows.js';
import { EvictionWatermarks, PatternWatermarks } from '../../lib/broker/eviction-watermarks.js';
import type { HistoryPage } from '../../lib/broker/history-engine.js';
import { Rings } from '../../lib/broker/message-index.js';
import { Messages } from '../../lib/broker/messages.js';
import { PageBuilder, type PageStart } from '../../lib/broker/page-builder.js';
import { NameHasher } from '../../lib/collections/name-hash.js';
import { messagesIn, publishFrame } from '../support/fakes/comet.js';

/** The content of a page, with the numbers of its messages. */
interface Content {
  readonly numbers: number[];
  readonly lastNumber: number;
  readonly isLast: boolean;
  readonly hasGap: boolean;
}

class Bench {
  readonly watermarks = new EvictionWatermarks(1000);
  readonly rows: ChannelRows;
  readonly patterns: PatternWatermarks;
  readonly messages = new Messages();
  readonly pages: PageBuilder;
  head = 0;
  readonly #rings = new Rings();

  constructor() {
    const hasher = new NameHasher();
    const { messages, watermarks } = this;
    const rings = this.#rings;
    const isOf = (row: number, channel: string): boolean =>
      messages.isOf(rings.at(row, 0), channel);
    this.rows = new ChannelRows({ hasher, watermarks, isOf });
    this.patterns = new PatternWatermarks(hasher, watermarks);
    this.pages = new PageBuilder({ messages, rings, rows: this.rows, patterns: this.patterns });
  }

  /** Adds the next message. Returns its id and size. */
  add(channel: string, expiresAtMs = Infinity): { id: number; size: number } {
    let row = this.rows.find(channel);
    if (row === 0) {
      row = this.rows.open(channel);
      this.#rings.open(row);
    }
    const number = ++this.head;
    const frame = publishFrame(number, channel, 'x');
    const id = this.messages.put(row, number, expiresAtMs, frame, 0, frame.length);
    this.#rings.push(row, id);
    this.rows.added(row, frame.length);
    return { id, size: frame.length };
  }

  build(channels: readonly string[], start: Partial<PageStart> = {}, hasGap = false): Content {
    const all = { channels, after: 0, bytesMax: 100_000, nowMs: 0, ...start };
    return content(this.pages.build(all, this.head, hasGap));
  }
}

function content(page: HistoryPage): Content {
  const { size, lastNumber, isLast, hasGap } = page;
  const bytes = Buffer.alloc(size);
  page.copyTo(bytes, 0);
  const numbers = messagesIn(bytes).map(({ number }) => Number(number));
  return { numbers, lastNumber, isLast, hasGap };
}

t.test('an empty page covers the numbers up to the current one', (t) => {
  const { pages } = new Bench();
  const none = { numbers: [], lastNumber: 7, isLast: true };
  t.same(content(pages.empty(7, false)), { ...none, hasGap: false });
  t.same(content(pages.empty(7, true)), { ...none, hasGap: true });
  t.end();
});

t.test('the messages of several channels are merged by number, after the cursor', (t) => {
  const bench = new Bench();
  for (const channel of ['a', 'b', 'a', 'c', 'b', 'a']) bench.add(channel);
  t.same(bench.build(['a', 'b']).numbers, [1, 2, 3, 5, 6]);
  t.same(
    bench.build(['b', 'a', 'b'], { after: 2 }).numbers,
    [3, 5, 6],
    'a repeated name counts once',
  );
  t.same(bench.build(['a'], { after: 6 }).numbers, []);
  t.same(bench.build(['unknown']).numbers, []);
  t.same(bench.build([]), { numbers: [], lastNumber: 6, isLast: true, hasGap: false });
  t.end();
});

t.test('a full page ends before its first missing message', (t) => {
  const bench = new Bench();
  const { size } = bench.add('a');
  for (const channel of ['other', 'a', 'other', 'a']) bench.add(channel);
  const first = bench.build(['a'], { bytesMax: 2 * size });
  t.same(first, { numbers: [1, 3], lastNumber: 4, isLast: false, hasGap: false });
  t.same(bench.build(['a'], { bytesMax: 2 * size, after: first.lastNumber }), {
    numbers: [5],
    lastNumber: 5,
    isLast: true,
    hasGap: false,
  });
  t.same(bench.build(['a'], { bytesMax: 1 }).numbers, [1], 'one message always fits');
  t.end();
});

t.test('a pattern and names in one page list each message once', (t) => {
  const bench = new Bench();
  for (const channel of ['n/1', 'other', 'n/2', 'name', 'n']) bench.add(channel);
  t.same(bench.build(['n/*', 'n/2', 'name']).numbers, [1, 3, 4]);
  t.same(bench.build(['other'], {}).numbers, [2], 'the marks of one page do not reach the next');
  t.same(bench.build(['n/*'], { bytesMax: 1 }), {
    numbers: [1],
    lastNumber: 2,
    isLast: false,
    hasGap: false,
  });
  t.end();
});

t.test('a watermark above the cursor is a gap, for a name and for a pattern', (t) => {
  const bench = new Bench();
  for (const channel of ['n/1', 'n/2', 'n/1']) bench.add(channel);
  bench.rows.raise('n/1', 2);
  bench.patterns.raise('n/1', 2);
  for (const channel of ['n/1', 'n/*']) {
    t.equal(bench.build([channel], { after: 1 }).hasGap, true, `${channel} after 1`);
    t.equal(bench.build([channel], { after: 2 }).hasGap, false, `${channel} after 2`);
  }
  t.equal(bench.build(['n/2'], { after: 0 }).hasGap, false, 'another channel lost nothing');
  t.equal(bench.build(['n/2'], { after: 0 }, true).hasGap, true, 'a known gap stays reported');
  t.end();
});

t.test('an expired message is left out and reported as a gap', (t) => {
  const bench = new Bench();
  bench.add('n/1', 10);
  bench.add('n/1', 20);
  for (const channel of ['n/1', 'n/*']) {
    t.match(bench.build([channel], { nowMs: 9 }), { numbers: [1, 2], hasGap: false });
    t.match(bench.build([channel], { nowMs: 10 }), { numbers: [2], hasGap: true });
    const later = bench.build([channel], { nowMs: 10, after: 1 });
    t.match(later, { numbers: [2], hasGap: false }, 'the cursor is after the expired message');
  }
  t.end();
});

t.test('a dropped message inside a ring is skipped', (t) => {
  const bench = new Bench();
  bench.add('n/1');
  const { id } = bench.add('n/1');
  bench.add('n/1');
  bench.messages.drop(id);
  t.same(bench.build(['n/1']).numbers, [1, 3]);
  t.same(bench.build(['n/*']).numbers, [1, 3]);
  t.end();
});

t.test('a page of 100 channels and 1000 messages is complete', (t) => {
  const bench = new Bench();
  for (let index = 0; index < 1000; index++) bench.add(`c${index % 100}`);
  const names = Array.from({ length: 100 }, (_, index) => `c${index}`);
  const { numbers } = bench.build(names);
  t.same(
    numbers,
    Array.from({ length: 1000 }, (_, index) => index + 1),
  );
  t.end();
});
