// Readers of a stream of NATS with a model of a server that loses messages, removes the oldest, and
// makes the stream anew. No server runs.
import t from 'tap';

import type { LogBreak, LogEntry } from '../../lib/log/log.js';
import {
  epochAfter,
  NatsPosition,
  type StreamMessage,
  type StreamState,
} from '../../lib/log/nats-position.js';
import {
  decodeRecord,
  encodeRecord,
  nanosecondsOf,
  type NatsRecord,
} from '../../lib/log/nats-record.js';
import { seededRandom, type Random } from '../support/random.js';

const RECORD: NatsRecord = {
  ...{ kind: 'entry', epoch: 2n ** 63n + 1n, createdNs: 1_700_000_000_123_456_789n, base: -1 },
  ...{ clockMs: 1_700_000_000_123, id: { node: 'n-1_x', count: 7 }, batch: Buffer.from('batch') },
};

t.test('a record keeps all of its members', (t) => {
  t.same(decodeRecord(encodeRecord(RECORD)), RECORD);
  const epoch = { ...RECORD, kind: 'epoch', batch: Buffer.alloc(0) } as const;
  t.same(decodeRecord(encodeRecord(epoch)), epoch);
  t.end();
});

t.test('bytes of other programs are not a record', (t) => {
  const bytes = encodeRecord(RECORD);
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[at] = value;
    return copy;
  };
  const others = [
    Buffer.alloc(0),
    Buffer.from('{"a":1}'),
    bytes.subarray(0, 20),
    changed(0, 2),
    changed(1, 2),
    changed(2, 65),
    changed(19, 0x7f),
  ];
  for (const other of others) t.equal(decodeRecord(other), null);
  t.end();
});

t.test('times of the server have up to nine digits', (t) => {
  t.equal(nanosecondsOf('2026-01-02T03:04:05.678901234Z'), 1_767_323_045_678_901_234n);
  t.equal(nanosecondsOf('2026-01-02T03:04:05.6Z'), 1_767_323_045_600_000_000n);
  t.equal(nanosecondsOf('2026-01-02T03:04:05Z'), 1_767_323_045_000_000_000n);
  t.equal(nanosecondsOf('2026-01-02T05:04:05.5+02:00'), 1_767_323_045_500_000_000n);
  t.end();
});

t.test('an epoch is greater than the one before, also when the clock went back', (t) => {
  const first = epochAfter(0n, 1_700_000_000_000);
  const second = epochAfter(first, 1_600_000_000_000);
  t.ok(second > first);
  t.ok(epochAfter(second, 1_800_000_000_000) > second);
  t.ok(second < 2n ** 63n);
  t.end();
});

/** A stream, with the faults of a server. */
class ModelStream {
  createdNs = 1n;
  messages: StreamMessage[] = [];
  last = 0;
  #stampNs = 1_700_000_000_000_000_000n;

  get state(): StreamState {
    return {
      createdNs: this.createdNs,
      first: this.messages[0]?.seq ?? this.last + 1,
      last: this.last,
    };
  }

  at(seq: number): StreamMessage | undefined {
    return this.messages.find((message) => message.seq === seq);
  }

  add(record: NatsRecord, stepNs = 1_000_000n): void {
    this.last += 1;
    this.#stampNs += stepNs;
    this.messages.push({ seq: this.last, stampNs: this.#stampNs, data: encodeRecord(record) });
  }

  loseEnd(count: number): void {
    this.messages = this.messages.slice(0, Math.max(0, this.messages.length - count));
    this.last = this.messages.at(-1)?.seq ?? Math.max(0, this.last - count);
  }

  trim(count: number): void {
    this.messages = this.messages.slice(count);
  }

  makeAnew(): void {
    this.createdNs += 1n;
    this.messages = [];
    this.last = 0;
  }
}

class ModelNode {
  readonly position = new NatsPosition();
  readonly entries: LogEntry[] = [];
  readonly breaks: LogBreak[] = [];
  readonly name: string;
  readonly #stream: ModelStream;
  #count = 0;

  constructor(name: string, stream: ModelStream) {
    this.name = name;
    this.#stream = stream;
    const newest = stream.messages.at(-1);
    const record = newest === undefined ? null : decodeRecord(newest.data);
    if (newest === undefined || record === null) throw new Error('the stream has no record');
    this.position.start(stream.state, newest, record);
  }

  connect(): void {
    const { state } = this.#stream;
    const { streamSeq, stampNs } = this.position;
    const found = this.#stream.at(streamSeq);
    const isSame = stampNs === 0n || found === undefined || found.stampNs === stampNs;
    const newest = this.#stream.messages.at(-1);
    const record = newest === undefined ? null : decodeRecord(newest.data);
    this.breaks.push(...this.position.begin(state, record, isSame));
  }

  /** Reads up to `count` messages; begins an epoch at the end of the stream if that is due. */
  read(count: number): void {
    for (let left = count; left > 0; left -= 1) {
      const next = this.#stream.messages.find(({ seq }) => seq > this.position.streamSeq);
      if (next === undefined) break;
      const { breaks, entry } = this.position.take(next);
      this.breaks.push(...breaks);
      if (entry !== null) this.entries.push(entry);
    }
    this.#claim();
  }

  #claim(): void {
    if (!this.position.isDoubtful) return;
    const { after, epoch, base } = this.position.claim(1);
    if (after !== this.#stream.last) return;
    const id = { node: this.name, count: 0 };
    const { createdNs } = this.#stream;
    this.#stream.add({
      ...RECORD,
      kind: 'epoch',
      epoch,
      base,
      createdNs,
      id,
      batch: Buffer.alloc(0),
    });
  }

  append(): void {
    if (this.position.isDoubtful) return;
    const { epoch, base, createdNs } = this.position;
    this.#count += 1;
    const id = { node: this.name, count: this.#count };
    this.#stream.add({ ...RECORD, epoch, base, createdNs, id });
  }
}

function begun(): ModelStream {
  const stream = new ModelStream();
  const id = { node: 'first', count: 0 };
  stream.add({
    ...RECORD,
    kind: 'epoch',
    epoch: 1n,
    base: 0,
    createdNs: 1n,
    id,
    batch: Buffer.alloc(0),
  });
  return stream;
}

const pick = (random: Random, count: number): number => Math.floor(random() * count);

/** Whether all nodes know the epoch in force. */
function isSettled(stream: ModelStream, nodes: readonly ModelNode[]): boolean {
  const [first] = nodes.map(({ position }) => position.epoch);
  return (
    nodes.every(({ position }) => !position.isDoubtful && position.epoch === first) &&
    stream.messages.every(({ data }) => (decodeRecord(data)?.epoch ?? 0n) <= (first ?? 0n))
  );
}

function fault(stream: ModelStream, nodes: readonly ModelNode[], random: Random): void {
  const kind = pick(random, 3);
  if (kind === 0) stream.loseEnd(1 + pick(random, 4));
  else if (kind === 1) stream.makeAnew();
  // A node that has not read the begin of an epoch learns it from the next entry of another; the nodes
  // of this model do not tick. A test of its own has that case.
  else if (isSettled(stream, nodes)) stream.trim(1 + pick(random, 4));
  // A server that has lost something was started anew: all connections ended.
  if (kind !== 2) for (const node of nodes) node.connect();
}

function step(stream: ModelStream, nodes: readonly ModelNode[], random: Random): void {
  const node = nodes[pick(random, nodes.length)];
  const kind = pick(random, 20);
  if (kind === 0) fault(stream, nodes, random);
  else if (kind < 3) node?.connect();
  else if (kind < 12) node?.append();
  else node?.read(1 + pick(random, 3));
}

t.test('all nodes agree after any faults, and positions only grow', (t) => {
  const random = seededRandom(t);
  for (let run = 0; run < 200; run += 1) {
    const stream = begun();
    const nodes = ['a', 'b', 'c'].map((name) => new ModelNode(name, stream));
    for (let count = 0; count < 60; count += 1) step(stream, nodes, random);
    for (let round = 0; round < 10; round += 1) {
      for (const node of nodes) {
        if (round === 0) node.connect();
        node.read(1000);
      }
    }
    const marks = nodes.map(({ entries }) => entries.length);
    for (const node of nodes) node.append();
    for (const node of nodes) node.read(1000);
    const ends = nodes.map(({ entries }, index) => entries.slice(marks[index]));
    const states = nodes.map(({ position: { epoch, base, position } }) => ({
      epoch,
      base,
      position,
    }));
    const isOrdered = nodes.every(({ entries }) =>
      entries.every(({ seq }, index) => seq > (entries[index - 1]?.seq ?? 0)),
    );
    const isSame =
      ends.every((end) => end.length === 3) &&
      JSON.stringify(ends[1]) === JSON.stringify(ends[0]) &&
      JSON.stringify(ends[2]) === JSON.stringify(ends[0]);
    const isEqual = states.every(
      ({ epoch, base, position }) =>
        epoch === states[0]?.epoch && base === states[0].base && position === states[0].position,
    );
    if (isOrdered && isSame && isEqual) continue;
    t.same(states, [], `run ${run}: ordered ${isOrdered}, same ${isSame}, equal ${isEqual}`);
    break;
  }
  t.pass('in all runs');
  t.end();
});

t.test(
  'a node that did not read the begin of an epoch makes another one, of which all know',
  (t) => {
    const stream = begun();
    const [late, other] = [new ModelNode('late', stream), new ModelNode('other', stream)];
    other.position.suspect(100);
    other.connect();
    for (let round = 0; round < 2; round += 1) other.read(10);
    const second = other.position.epoch;
    stream.trim(10);
    late.append();
    late.read(10);
    other.read(10);
    t.same([late.entries.length, other.entries.length], [1, 0], 'each is in another epoch');
    other.breaks.length = 0;
    other.append();
    for (let round = 0; round < 3; round += 1) for (const node of [late, other]) node.read(10);
    t.ok(late.position.epoch > second, 'a third epoch');
    t.equal(late.position.epoch, other.position.epoch);
    t.match(
      other.breaks,
      [{ kind: 'gap' }, { kind: 'epoch' }],
      'subscribers of the other node know',
    );
    t.match(late.breaks.slice(-2), [{ kind: 'gap' }, { kind: 'epoch' }]);
    const counts = [late, other].map(({ entries }) => entries.length);
    late.append();
    for (const node of [late, other]) node.read(10);
    t.same(late.entries.slice(counts[0]), other.entries.slice(counts[1]));
    t.end();
  },
);

t.test('an entry of an epoch that has ended does not count', (t) => {
  const stream = begun();
  const [late, other] = [new ModelNode('late', stream), new ModelNode('other', stream)];
  other.position.suspect(100);
  other.connect();
  other.read(10);
  late.append();
  other.read(10);
  late.read(10);
  t.same(late.entries, []);
  t.same(other.entries, []);
  t.equal(late.position.epoch, other.position.epoch);
  late.append();
  for (const node of [late, other]) node.read(10);
  t.same(
    other.entries.map(({ seq, id }) => [seq, id.count]),
    [[103, 2]],
  );
  t.same(late.entries, other.entries);
  t.end();
});

t.test('the same append twice, or one after its successor, counts once', (t) => {
  const stream = begun();
  const node = new ModelNode('a', stream);
  for (const count of [1, 2, 2, 1, 3]) {
    stream.add({ ...RECORD, epoch: 1n, base: -1, createdNs: 1n, id: { node: 'b', count } });
  }
  node.read(10);
  t.same(
    node.entries.map(({ id }) => id.count),
    [1, 2, 3],
  );
  t.same(node.breaks, []);
  t.end();
});

t.test('an earlier time of the server does not move the clock of the log', (t) => {
  const stream = begun();
  const node = new ModelNode('a', stream);
  const base = { ...RECORD, epoch: 1n, base: -1, createdNs: 1n, clockMs: 0 };
  stream.add({ ...base, id: { node: 'b', count: 1 } });
  stream.add({ ...base, id: { node: 'b', count: 2 } }, -5_000_000_000n);
  node.read(10);
  const [first, second] = node.entries;
  t.equal(second?.atMs, first?.atMs);
  // A node that begins later learns the clock from a writer.
  const fresh = new ModelNode('c', stream);
  stream.add({ ...base, clockMs: first?.atMs ?? 0, id: { node: 'b', count: 3 } });
  fresh.read(10);
  t.equal(fresh.entries[0]?.atMs, first?.atMs);
  t.end();
});
