// The rows of channels: look-up by name, counts, eviction watermarks, and reuse of rows.
import t from 'tap';

import { ChannelRows } from '../../lib/broker/channel-rows.js';
import { EvictionWatermarks } from '../../lib/broker/eviction-watermarks.js';
import { NameHasher } from '../../lib/collections/name-hash.js';

/** Gives all names of one length the same hash. */
class LengthHasher extends NameHasher {
  override hash(name: string): void {
    this.hi = 1;
    this.lo = name.length;
  }
}

/** Rows with the names that a history would find in its messages. */
class Bench {
  readonly watermarks = new EvictionWatermarks(1000);
  readonly rows: ChannelRows;
  readonly #names = new Map<number, string>();

  constructor(hasher = new NameHasher()) {
    this.rows = new ChannelRows({
      hasher,
      watermarks: this.watermarks,
      isOf: (row, channel) => this.#names.get(row) === channel,
    });
  }

  open(channel: string): number {
    const row = this.rows.open(channel);
    if (row !== 0) this.#names.set(row, channel);
    return row;
  }
}

t.test('a channel has a row from open to close', (t) => {
  const bench = new Bench();
  t.equal(bench.rows.find('a'), 0);
  const row = bench.open('a');
  t.equal(bench.rows.find('a'), row);
  t.equal(bench.rows.size, 1);
  bench.rows.close(row);
  t.equal(bench.rows.find('a'), 0);
  t.equal(bench.rows.size, 0);
  t.end();
});

t.test('a row counts the messages and bytes of its channel', (t) => {
  const bench = new Bench();
  const [a, b] = [bench.open('a'), bench.open('b')];
  bench.rows.added(a, 10);
  bench.rows.added(a, 20);
  bench.rows.added(b, 5);
  bench.rows.dropped(a, 10, 1);
  t.same([bench.rows.messages(a), bench.rows.bytes(a)], [1, 20]);
  t.same([bench.rows.messages(b), bench.rows.bytes(b)], [1, 5]);
  t.end();
});

t.test('a closed row is used again, with empty counts', (t) => {
  const bench = new Bench();
  const row = bench.open('a');
  bench.rows.added(row, 10);
  bench.rows.dropped(row, 10, 1);
  bench.rows.close(row);
  const { end } = bench.rows;
  t.equal(bench.open('b'), row);
  t.equal(bench.rows.end, end, 'no further row was made');
  t.same([bench.rows.messages(row), bench.rows.bytes(row)], [0, 0]);
  t.equal(
    bench.rows.watermark('b', row),
    0,
    'the row does not have the losses of the earlier channel',
  );
  t.end();
});

t.test('the watermark of a channel outlives its row, and never falls', (t) => {
  const bench = new Bench();
  const { rows } = bench;
  const row = bench.open('a');
  rows.added(row, 10);
  rows.added(row, 10);
  rows.dropped(row, 10, 8);
  rows.dropped(row, 10, 7);
  t.equal(rows.watermark('a', row), 8, 'losses may be noted out of order');
  rows.close(row);
  t.equal(rows.watermark('a', 0), 8);
  const next = bench.open('a');
  t.equal(rows.watermark('a', next), 8);
  rows.raise('a', 9);
  t.equal(rows.watermark('a', next), 9);
  rows.raise('no row', 10);
  t.equal(rows.watermark('no row', rows.find('no row')), 10);
  t.equal(rows.watermark('other', 0), 0);
  t.end();
});

t.test('of two channels with the same hash only the first gets a row', (t) => {
  const bench = new Bench(new LengthHasher());
  const row = bench.open('a');
  t.not(row, 0);
  t.equal(bench.open('b'), 0);
  t.equal(bench.rows.find('b'), 0);
  t.equal(bench.rows.find('a'), row);
  bench.rows.close(row);
  t.not(bench.open('b'), 0, 'the hash is free again');
  t.end();
});

t.test('rows keep their values while the arrays grow', (t) => {
  const bench = new Bench();
  const { memoryBytes } = bench.rows;
  for (let index = 1; index <= 1000; index++) bench.rows.added(bench.open(`c${index}`), index);
  let wrong = 0;
  for (let index = 1; index <= 1000; index++) {
    const row = bench.rows.find(`c${index}`);
    if (row === 0 || bench.rows.bytes(row) !== index) wrong++;
  }
  t.equal(wrong, 0);
  t.ok(bench.rows.memoryBytes > memoryBytes);
  t.end();
});

t.test('repeated calls of heaviest find the row with the most bytes', (t) => {
  const bench = new Bench();
  for (let index = 0; index < 100; index++) bench.rows.added(bench.open(`c${index}`), 10);
  const heavy = bench.rows.find('c77');
  bench.rows.added(heavy, 1000);
  let found = 0;
  for (let calls = 0; calls < 26; calls++) found = bench.rows.heaviest();
  t.equal(found, heavy, 'four rows a call see 101 rows in 26 calls');
  const next = bench.rows.find('c3');
  bench.rows.added(next, 5000);
  bench.rows.noteWeight(next);
  t.equal(bench.rows.heaviest(), next, 'heaviest returns a noted row at once');
  t.end();
});
