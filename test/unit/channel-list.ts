// The channel list: subscribed channels, then channels with history only, page by page.
import t from 'tap';

import { ChannelList } from '../../lib/broker/channel-list.js';
import { History } from '../../lib/broker/history.js';
import { Interest } from '../../lib/broker/interest.js';
import type { ChannelInfo, ChannelQuery } from '../../lib/broker/publishing.js';
import { publishFrame } from '../support/fakes/comet.js';

const HISTORY = { count: 100, bytes: 262_144, ageMs: 300_000 };

class Bench {
  readonly interest = new Interest({ slots: 2 });
  readonly engine = new History({ epoch: 1n, now: () => 0, bytesMax: 134_217_728 });
  readonly list = new ChannelList(this.interest, this.engine);

  /** Appends a message. Returns its bytes in the history. */
  append(channel: string): number {
    const number = this.engine.head + 1;
    const frame = publishFrame(number, channel, 'x');
    this.engine.append(number, 0, channel, frame, 0, frame.length, HISTORY);
    return frame.length;
  }

  /** All pages, one after the other. */
  pages(query: ChannelQuery = {}): (readonly ChannelInfo[])[] {
    const pages: (readonly ChannelInfo[])[] = [];
    for (let from: number | null = 0; from !== null;) {
      const page = this.list.page({ ...query, from });
      pages.push(page.channels);
      from = page.next;
    }
    return pages;
  }
}

t.test('an empty server lists no channel, on one page', (t) => {
  t.same(new Bench().list.page(), { channels: [], next: null, isComplete: true });
  t.end();
});

t.test('a channel has its subscribers of all workers and its history', (t) => {
  const bench = new Bench();
  bench.interest.set(0, 'both', 2);
  bench.interest.set(1, 'both', 3);
  bench.interest.set(1, 'live', 1);
  bench.interest.set(0, 'live/*', 4);
  const bytes = bench.append('both') + bench.append('both');
  const old = bench.append('old');
  const found = bench.pages().flat();
  found.sort((one, other) => (one.channel < other.channel ? -1 : 1));
  t.same(found, [
    { channel: 'both', subscribers: 5, messages: 2, bytes },
    { channel: 'live', subscribers: 1, messages: 0, bytes: 0 },
    { channel: 'live/*', subscribers: 4, messages: 0, bytes: 0 },
    { channel: 'old', subscribers: 0, messages: 1, bytes: old },
  ]);
  t.end();
});

t.test('a prefix selects names on every page', (t) => {
  const bench = new Bench();
  bench.interest.set(0, 'user/1', 1);
  bench.interest.set(0, 'group/1', 1);
  bench.append('user/2');
  bench.append('group/2');
  const names = bench
    .pages({ prefix: 'user/' })
    .flat()
    .map(({ channel }) => channel);
  t.same(names.sort(), ['user/1', 'user/2']);
  t.same(bench.pages({ prefix: 'none' }).flat(), []);
  t.end();
});

t.test('pages of a small limit list each channel exactly once', (t) => {
  const bench = new Bench();
  for (let index = 0; index < 2000; index++) bench.interest.set(0, `live/${index}`, 1);
  for (let index = 1000; index < 7000; index++) bench.append(`live/${index}`);
  const pages = bench.pages({ limit: 10 });
  const names = pages.flat().map(({ channel }) => channel);
  t.equal(names.length, 7000);
  t.equal(new Set(names).size, 7000);
  t.ok(pages.length > 100, `${pages.length} pages`);
  t.end();
});

t.test('a channel that loses its last subscriber between pages is listed once more', (t) => {
  const bench = new Bench();
  bench.interest.set(0, 'a', 1);
  bench.append('a');
  let from: number | null = 0;
  const seen: number[] = [];
  while (from !== null) {
    const page = bench.list.page({ from, limit: 1 });
    for (const { subscribers } of page.channels) seen.push(subscribers);
    if (seen.length === 1) bench.interest.set(0, 'a', 0);
    from = page.next;
  }
  t.same(seen, [1, 0], 'listed with its subscriber, then with its history');
  t.end();
});
