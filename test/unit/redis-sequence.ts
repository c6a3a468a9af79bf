// The order of the entries that a reader of a stream gets: gaps, and the ends of epochs.
import t from 'tap';

import type { LogBreak } from '../../lib/log/log.js';
import { RedisSequence, type StreamItem, type StreamSeam } from '../../lib/log/redis-sequence.js';

const entry = (seq: number, epoch = 1n): StreamItem => ({
  ...{ kind: 'entry', seq, epoch, atMs: seq, batch: Buffer.alloc(0) },
  id: { node: 'n', count: seq },
});
const seam = (seq: number, more: Partial<StreamSeam> = {}): StreamItem => ({
  ...{ kind: 'seam', seq, epoch: 2n, from: 1n, last: 3, known: 3, ...more },
});
const stranger = (seq: number): StreamItem => ({ kind: 'stranger', seq });

interface Start {
  readonly after?: number;
  readonly epoch?: bigint | null;
  readonly acknowledged?: number;
  readonly applied?: number;
}

/** The calls of a reader: numbers are positions of entries. */
function read(items: readonly StreamItem[], start: Start = {}): unknown[] {
  const { after = 0, epoch = 1n, acknowledged = 0, applied = 0 } = start;
  const found: unknown[] = [];
  const sequence = new RedisSequence(after, epoch, {
    reader: {
      onEntries: (entries) => found.push(...entries.map(({ seq }) => seq)),
      onBreak: (broken: LogBreak) => found.push(broken),
    },
    acknowledged: () => acknowledged,
    applied: () => applied,
    onDispute: ({ seq }) => found.push(`dispute ${seq}`),
  });
  sequence.accept(items);
  t.equal(sequence.position, items.at(-1)?.seq, 'reading goes on after the last item');
  return found;
}

const gap = (after: number, to: number): LogBreak => ({ kind: 'gap', after, to });
const begins = (lastSeq: number, epoch = 2n): LogBreak => ({ kind: 'epoch', epoch, lastSeq });

const ROWS: readonly [sentence: string, items: StreamItem[], start: Start, wanted: unknown[]][] = [
  ['entries', [entry(1), entry(2)], {}, [1, 2]],
  ['missing entries are a gap', [entry(1), entry(4)], {}, [1, gap(1, 3), 4]],
  [
    'an entry of another program is a gap',
    [entry(1), stranger(2), entry(3)],
    {},
    [1, gap(1, 2), 3],
  ],
  [
    'a seam ends an epoch of which all is there',
    [entry(3), seam(9), entry(10, 2n)],
    { after: 2 },
    [3, begins(3), 10],
  ],
  [
    'entries that other nodes know and the log lost are a gap',
    [entry(3), seam(9, { known: 5 }), entry(10, 2n)],
    { after: 2 },
    [3, gap(3, 5), begins(3), 10],
  ],
  [
    'entries that this node has applied are none',
    [seam(9, { known: 5 })],
    { after: 3, applied: 5 },
    [begins(3)],
  ],
  [
    'entries that this reader has read are none',
    [seam(9, { known: 5 })],
    { after: 5 },
    [begins(3)],
  ],
  ['trimmed entries before a seam are a gap', [seam(9)], { after: 1 }, [gap(1, 3), begins(3)]],
  [
    'a reader that has more than any other disputes the epoch',
    [seam(9)],
    { after: 4 },
    [begins(3), 'dispute 9'],
  ],
  [
    'so does a node whose append was acknowledged',
    [seam(9)],
    { after: 3, acknowledged: 4 },
    [begins(3), 'dispute 9'],
  ],
  ['an epoch that goes on has no break', [seam(9, { epoch: 1n }), entry(10)], { after: 3 }, [10]],
  [
    'an epoch that goes on without an entry is disputed',
    [seam(9, { epoch: 1n })],
    { after: 4 },
    ['dispute 9'],
  ],
  [
    'a seam of another log loses all before it',
    [seam(9, { from: 7n })],
    { after: 3 },
    [gap(3, 8), begins(8)],
  ],
  [
    'a trimmed seam is a gap and an epoch',
    [entry(20, 2n)],
    { after: 3 },
    [gap(3, 19), begins(19), 20],
  ],
  [
    'another log that looks complete is a gap all the same',
    [entry(4, 2n), entry(5, 2n)],
    { after: 3 },
    [gap(3, 4), begins(4), 5],
  ],
  [
    'the first entry tells the epoch',
    [entry(4, 5n), entry(5, 5n)],
    { after: 3, epoch: null },
    [4, 5],
  ],
  ['or a seam does', [seam(9), entry(10, 2n)], { after: 8, epoch: null }, [10]],
];

for (const [sentence, items, start, wanted] of ROWS) {
  t.test(sentence, (t) => {
    t.strictSame(read(items, start), wanted);
    t.end();
  });
}
