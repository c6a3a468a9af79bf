// Mailboxes without a server: leases, limits, dying workers, and random orders of frames.
import fc from 'fast-check';
import t from 'tap';

import { Broker } from '../../lib/broker/broker.js';
import { Chain, type Link } from '../../lib/collections/chain.js';
import { MAILBOX_BYTES_MAX, MAILBOX_COUNT_MAX } from '../../lib/broker/mailbox-store.js';
import { Mailboxes, type MailboxOptions } from '../../lib/broker/mailboxes.js';
import { brokerOptions } from '../../lib/server/broker-options.js';
import { fill } from '../../lib/server/server-options.js';
import { FakePort, FakeIterations, framesIn } from '../support/fakes/comet.js';

const SEED = 20_261_121;

interface Given {
  readonly slot: number;
  readonly fd: number;
  readonly generation: number;
  readonly text: string;
}

/** Mailboxes with a clock, and workers that record their leases. */
class World {
  nowMs = 1000;
  readonly given: Given[] = [];
  readonly full = new Set<number>();
  readonly mailboxes: Mailboxes;
  #generation = 0;

  constructor(options: Partial<MailboxOptions> = {}) {
    const lines = {
      hasRoom: (slot: number): boolean => !this.full.has(slot),
      send: (bytes: Buffer, [slot = -1]: readonly number[]): void => {
        for (const frame of framesIn(bytes)) {
          if (frame.name !== 'MailboxLease') throw new Error(`a ${frame.name}`);
          const { fd, generation, data } = frame.fields;
          this.given.push({ slot, fd, generation, text: data.toString() });
        }
      },
    };
    this.mailboxes = new Mailboxes(lines, () => this.nowMs, {
      messageBytesMax: 65_536,
      timeMs: 60_000,
      ...options,
    });
  }

  get texts(): string[] {
    return this.given.map(({ text }) => text);
  }

  take(slot: number, fd: number, name: string): { fd: number; generation: number } {
    const address = { fd, generation: ++this.#generation };
    this.mailboxes.onFrame(slot, { name: 'MailboxPoll', fields: { ...address, name } });
    return address;
  }

  taken(slot: number, fields: { fd: number; generation: number }): void {
    this.mailboxes.onFrame(slot, { name: 'MailboxAck', fields });
  }

  returned(slot: number, fields: { fd: number; generation: number }): void {
    this.mailboxes.onFrame(slot, { name: 'MailboxNack', fields });
  }
}

t.test('a later poll waits for the end of the lease, by ack or nack', (t) => {
  const world = new World();
  const first = world.take(0, 7, 'a');
  void world.mailboxes.deliver('a', 'one');
  void world.mailboxes.deliver('a', Buffer.from('two'));
  const second = world.take(1, 7, 'a');
  t.same(world.texts, ['one'], 'a mailbox has one lease at a time');
  world.returned(0, first);
  t.same(
    world.given.at(-1),
    { slot: 1, ...second, text: 'one' },
    'the message is leased to the next poll',
  );
  world.taken(0, first);
  world.returned(0, first);
  t.match(world.mailboxes.counters, { messages: 2, ackedTotal: 0, nackedTotal: 1 });
  world.taken(1, second);
  t.equal(world.given.length, 2, 'no poll is open for the second message');
  world.take(0, 9, 'a');
  t.same(world.texts, ['one', 'one', 'two']);
  world.take(0, 9, 'b');
  t.match(
    world.mailboxes.counters,
    { messages: 1, polls: 1, nackedTotal: 2 },
    'a poll at the same address ends the previous one',
  );
  t.end();
});

t.test('the death of a worker frees its leases for polls of other workers', (t) => {
  const world = new World();
  world.take(0, 1, 'a');
  world.take(0, 2, 'a');
  world.take(1, 1, 'a');
  world.take(0, 3, 'b');
  void world.mailboxes.deliver('a', 'one');
  void world.mailboxes.deliver('b', 'unread');
  world.mailboxes.workerGone(0);
  t.same(
    world.given.map(({ slot, text }) => `${slot} ${text}`),
    ['0 one', '0 unread', '1 one'],
  );
  t.match(world.mailboxes.counters, { messages: 2, polls: 1, mailboxes: 2 });
  world.mailboxes.workerGone(0);
  world.mailboxes.workerGone(5);
  t.end();
});

t.test('a message expires after its time, unless it is leased', (t) => {
  const world = new World({ timeMs: 60_000 });
  void world.mailboxes.deliver('a', 'early');
  const poll = world.take(0, 1, 'b');
  void world.mailboxes.deliver('b', 'leased');
  world.nowMs += 59_999;
  world.mailboxes.sweep();
  void world.mailboxes.deliver('a', 'late');
  t.equal(world.mailboxes.counters.messages, 3);
  world.nowMs += 1;
  world.mailboxes.sweep();
  t.match(world.mailboxes.counters, { messages: 2, expiredTotal: 1 }, 'the leased message stays');
  world.returned(0, poll);
  world.mailboxes.sweep();
  t.match(world.mailboxes.counters, { messages: 1, expiredTotal: 2, mailboxes: 1 });
  world.take(0, 1, 'a');
  t.same(world.texts, ['leased', 'late']);
  void world.mailboxes.deliver('c', 'x');
  world.nowMs += 60_000;
  world.take(0, 2, 'c');
  t.equal(world.given.length, 2, 'an expired message is not leased, even before a sweep');
  t.end();
});

t.test('a mailbox drops its oldest message at its count and byte limits', (t) => {
  const world = new World({ messageBytesMax: 1_000_000 });
  for (let index = 0; index <= MAILBOX_COUNT_MAX; index++) {
    void world.mailboxes.deliver('a', `m${index}`);
  }
  t.match(world.mailboxes.counters, { messages: MAILBOX_COUNT_MAX, droppedTotal: 1 });
  world.take(0, 1, 'a');
  t.same(world.texts, ['m1']);
  const half = 'x'.repeat(MAILBOX_BYTES_MAX / 2);
  for (let index = 0; index < 3; index++) void world.mailboxes.deliver('b', half);
  t.match(world.mailboxes.counters, { messages: MAILBOX_COUNT_MAX + 1 }, 'a message of that size');
  void world.mailboxes.deliver('b', 'y'.repeat(2 * MAILBOX_BYTES_MAX));
  world.take(0, 2, 'b');
  t.equal(world.texts.at(-1)?.charAt(0), 'y', 'the newest message always fits');
  t.end();
});

t.test('at the limit of all mailboxes the oldest unleased message is dropped', async (t) => {
  const world = new World({ totalBytesMax: 10_000 });
  const kilo = 'x'.repeat(1000);
  const poll = world.take(0, 1, 'leased');
  void world.mailboxes.deliver('leased', kilo);
  for (let index = 0; index < 20; index++) void world.mailboxes.deliver(`id${index}`, kilo);
  const { bytes, droppedTotal, messages, mailboxes } = world.mailboxes.counters;
  t.ok(bytes <= 10_000, `${bytes} bytes`);
  t.equal(messages + droppedTotal, 21);
  t.equal(mailboxes, messages, 'an empty mailbox is forgotten');
  world.take(0, 2, 'id0');
  world.take(0, 3, 'id19');
  t.equal(world.given.length, 2, 'the oldest message is dropped, and the newest is kept');
  world.taken(0, poll);
  for (let fd = 10; fd < 17; fd++) {
    world.take(0, fd, `busy${fd}`);
    void world.mailboxes.deliver(`busy${fd}`, kilo);
  }
  await t.rejects(world.mailboxes.deliver('one too many', kilo), { code: 'ERR_BUSY' });
  await t.rejects(world.mailboxes.deliver('a*', 'x'), { code: 'ERR_CHANNEL' });
  await t.rejects(world.mailboxes.deliver('a', 'x'.repeat(100_000)), { code: 'ERR_MESSAGE_SIZE' });
});

t.test('a worker that does not read delays only its own messages', (t) => {
  const world = new World();
  world.full.add(0);
  world.take(0, 1, 'a');
  world.take(1, 1, 'b');
  void world.mailboxes.deliver('a', 'for 0');
  void world.mailboxes.deliver('b', 'for 1');
  t.same(world.texts, ['for 1']);
  t.equal(world.mailboxes.isBlocked, true);
  world.mailboxes.retry();
  t.same(world.texts, ['for 1']);
  world.full.clear();
  world.mailboxes.retry();
  t.same(world.texts, ['for 1', 'for 0']);
  t.equal(world.mailboxes.isBlocked, false);
  t.end();
});

t.test('the broker bounds the bytes queued for a worker that does not read', (t) => {
  const turns = new FakeIterations();
  const options = brokerOptions(1, fill({ protocol: 'comet', messageBytes: 100_000 }));
  const broker = new Broker(options, { now: turns.now, schedule: turns.schedule, epoch: 1n });
  const port = new FakePort(0);
  port.isHung = true;
  broker.attach(port);
  const count = 40;
  for (let fd = 0; fd < count; fd++) {
    broker.onFrame(0, { name: 'MailboxPoll', fields: { fd, generation: 1, name: `id${fd}` } });
    void broker.mailboxes.deliver(`id${fd}`, 'x'.repeat(90_000));
    turns.endAll();
  }
  const before = port.take();
  t.ok(before.length > 10 && before.length < 14, `${before.length} messages are queued`);
  t.equal(
    broker.mailboxes.counters.messages,
    count,
    'the other messages wait, and none was rejected',
  );
  port.isHung = false;
  port.queuedBytes = 0;
  for (let turn = 0; turn < count && broker.mailboxes.isBlocked; turn++) {
    broker.drained();
    turns.endAll();
  }
  const found = [...before, ...port.take()].map(
    (frame) => frame.name === 'MailboxLease' && frame.fields.fd,
  );
  t.same(
    found,
    [...Array(count).keys()],
    'each message arrives once, in order, when the worker reads',
  );
  for (let fd = 0; fd < count; fd++) {
    broker.onFrame(0, { name: 'MailboxAck', fields: { fd, generation: 1 } });
  }
  t.match(broker.mailboxes.counters, { mailboxes: 0, messages: 0, bytes: 0, ackedTotal: count });
  t.end();
});

const IDS = ['a', 'b'];
const SLOTS = 3;
type Step =
  | { readonly kind: 'deliver'; readonly id: string }
  | { readonly kind: 'die'; readonly slot: number }
  | { readonly kind: 'end'; readonly which: number; readonly isTaken: boolean }
  | { readonly kind: 'fill'; readonly slot: number }
  | { readonly kind: 'take'; readonly id: string; readonly slot: number };

const slot = fc.nat(SLOTS - 1);
const id = fc.constantFrom(...IDS);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('deliver' as const), id }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('take' as const), id, slot }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      which: fc.nat(100),
      isTaken: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), slot }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fill' as const), slot }) },
);

/** Simulated workers, and the outcome of the messages of each id. */
class Story {
  readonly world = new World();
  readonly polls: { slot: number; fd: number; generation: number; id: string }[] = [];
  readonly sent: Record<string, string[]> = { a: [], b: [] };
  readonly got: Record<string, string[]> = { a: [], b: [] };
  #fd = 0;
  #seen = 0;

  run(step: Step): void {
    const { world, polls } = this;
    if (step.kind === 'deliver') {
      const text = String(this.sent[step.id]?.length);
      this.sent[step.id]?.push(text);
      void world.mailboxes.deliver(step.id, text);
    } else if (step.kind === 'take') {
      const address = world.take(step.slot, ++this.#fd, step.id);
      polls.push({ slot: step.slot, ...address, id: step.id });
    } else if (step.kind === 'die') {
      const gone = polls.filter((poll) => poll.slot === step.slot);
      for (const poll of gone) polls.splice(polls.indexOf(poll), 1);
      world.mailboxes.workerGone(step.slot);
    } else if (step.kind === 'fill') {
      if (!world.full.delete(step.slot)) world.full.add(step.slot);
      world.mailboxes.retry();
    } else if (polls.length > 0) {
      this.#end(step.which % polls.length, step.isTaken);
    }
  }

  /** The lease of an id that its poll still has. */
  holders(id: string): { fd: number; text: string }[] {
    return this.world.given.filter(({ slot, fd, generation }) =>
      this.polls.some(
        (poll) =>
          poll.id === id && poll.slot === slot && poll.fd === fd && poll.generation === generation,
      ),
    );
  }

  #end(which: number, isTaken: boolean): void {
    const [poll] = this.polls.splice(which, 1);
    if (poll === undefined) return;
    const text = this.world.given.find(
      ({ slot, fd, generation }) =>
        slot === poll.slot && fd === poll.fd && generation === poll.generation,
    )?.text;
    // A worker acks only messages that it leased.
    if (isTaken && text !== undefined) {
      this.got[poll.id]?.push(text);
      this.world.taken(poll.slot, poll);
    } else {
      this.world.returned(poll.slot, poll);
    }
  }

  /** Fetches all messages that are left. */
  finish(): void {
    this.world.full.clear();
    this.world.mailboxes.retry();
    while (this.polls.length > 0) this.#end(0, true);
    for (const id of IDS) {
      while (this.world.mailboxes.counters.messages > 0 && this.#seen++ < 10_000) {
        this.run({ kind: 'take', id, slot: 0 });
        const before = this.got[id]?.length;
        this.#end(0, true);
        if (this.got[id]?.length === before) break;
      }
    }
  }
}

t.test('in any order of events each message is acked once, in order', (t) => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 80 }), (steps) => {
      const story = new Story();
      for (const step of steps) {
        story.run(step);
        if (IDS.some((id) => story.holders(id).length > 1)) return false;
      }
      story.finish();
      const { counters } = story.world.mailboxes;
      const isClean = counters.messages === 0 && counters.bytes === 0 && counters.mailboxes === 0;
      return isClean && IDS.every((id) => story.got[id]?.join() === story.sent[id]?.join());
    }),
    { seed: SEED, numRuns: 1000 },
  );
  t.pass('no message is lost or delivered twice');
  t.end();
});

class Item implements Link<Item> {
  previous: Item | null = null;
  next: Item | null = null;
  constructor(readonly number: number) {}
}

t.test('a chain keeps its order when any item is removed', (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 40 }), (words) => {
      const chain = new Chain<Item>();
      const wanted: Item[] = [];
      for (const [index, word] of words.entries()) {
        const item = new Item(index);
        if (word % 3 === 0) {
          chain.push(item);
          wanted.push(item);
        } else if (word % 3 === 1) {
          chain.unshift(item);
          wanted.unshift(item);
        } else if (wanted.length > 0) {
          for (const gone of wanted.splice(word % wanted.length, 1)) chain.remove(gone);
        }
      }
      const found: Item[] = [];
      for (let item = chain.first; item !== null; item = item.next) found.push(item);
      const back: Item[] = [];
      for (let item = chain.last; item !== null; item = item.previous) back.unshift(item);
      const numbers = (items: Item[]): string => items.map((item) => item.number).join();
      return numbers(found) === numbers(wanted) && numbers(back) === numbers(wanted);
    }),
    { seed: SEED, numRuns: 500 },
  );
  t.pass('the chain has the same order in both directions');
  t.end();
});
