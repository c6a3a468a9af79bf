// Mailboxes of nodes that share a log: one lease in the cluster, and the same messages on each node.
import fc from 'fast-check';
import t, { type Test } from 'tap';

import { eachRecord, RecordKind } from '../../lib/broker/log-batch.js';
import { MAILBOX_COUNT_MAX } from '../../lib/broker/mailbox-store.js';
import { MailboxCluster, type FakePoll, type MailboxNode } from '../support/fakes/mailbox-nodes.js';

const SEED = 20_261_130;

async function cluster(t: Test, count: number, isShared = true): Promise<MailboxCluster> {
  const nodes = await MailboxCluster.start(count, isShared);
  t.teardown(() => nodes.close());
  return nodes;
}

/** Delivers some messages through a node, in order. */
async function deliver(all: MailboxCluster, node: MailboxNode, ...texts: string[]): Promise<void> {
  const deliveries = texts.map((text) => node.broker.mailboxes.deliver('jim', text));
  await all.settle();
  await Promise.all(deliveries);
  await all.settle();
}

/** Records of mailboxes in the log; ticks come at any time. */
function records({ store }: MailboxCluster): number {
  let count = 0;
  for (const { batch } of store.entries) {
    eachRecord(batch, ({ kind }) => {
      if (kind >= RecordKind.deliver && kind <= RecordKind.returned) count++;
    });
  }
  return count;
}

function areEqual(t: Test, { contents }: MailboxCluster, message: string): void {
  for (const one of contents) t.equal(one, contents[0], message);
}

t.test('a message delivered on one node reaches a poll of another', async (t) => {
  const all = await cluster(t, 2);
  const [a, b] = [all.node(0), all.node(1)];
  const poll = b.poll('jim');
  await all.settle();
  t.equal(records(all), 0, 'a poll that waits is not an entry');
  await deliver(all, a, 'hello');
  t.equal(poll.text, 'hello');
  t.equal(records(all), 2, 'the message and the claim');
  areEqual(t, all, 'both nodes know the lease');
  b.ack(poll);
  await all.settle();
  for (const { broker } of all.nodes) {
    t.match(broker.mailboxes.counters, { messages: 0, bytes: 0, mailboxes: 0, ackedTotal: 1 });
  }
});

t.test('of two polls on two nodes one gets a message, and the other the next', async (t) => {
  const all = await cluster(t, 3);
  const [first, second] = [all.node(0).poll('jim'), all.node(1).poll('jim')];
  await deliver(all, all.node(2), 'one', 'two');
  const [holder, other] = first.text === null ? [second, first] : [first, second];
  t.same([holder.text, other.text], ['one', null]);
  areEqual(t, all, 'one lease');
  holder.node.ack(holder);
  await all.settle();
  t.equal(other.text, 'two');
  areEqual(t, all, 'the next lease');
});

t.test('a nack or the death of a worker returns the message to the front', async (t) => {
  const all = await cluster(t, 2);
  const [a, b] = [all.node(0), all.node(1)];
  await deliver(all, a, 'one', 'two');
  const first = a.poll('jim');
  await all.settle();
  const second = b.poll('jim', 1);
  await all.settle();
  t.same([first.text, second.text], ['one', null]);
  a.nack(first);
  await all.settle();
  t.equal(second.text, 'one', 'after a nack');
  const third = a.poll('jim');
  await all.settle();
  b.restart(1);
  await all.settle();
  t.equal(third.text, 'one', 'after the death of a worker');
  a.ack(third);
  await all.settle();
  areEqual(t, all, 'the second message is left');
  t.match(b.broker.mailboxes.counters, { messages: 1, ackedTotal: 1, nackedTotal: 2 });
});

t.test('a poll that ends while its claim is on its way does not take the message', async (t) => {
  const all = await cluster(t, 2);
  const [a, b] = [all.node(0), all.node(1)];
  await deliver(all, a, 'one');
  a.nack(a.poll('jim'));
  const poll = b.poll('jim');
  await all.settle();
  t.equal(poll.text, 'one');
  areEqual(t, all, 'one lease');
});

t.test(
  'the leases of a node that dies return after ten seconds, of a node that leaves at once',
  async (t) => {
    const all = await cluster(t, 3);
    const [a, b, c] = [all.node(0), all.node(1), all.node(2)];
    await deliver(all, a, 'one');
    const lost = b.poll('jim');
    await all.settle();
    const left = c.poll('jim');
    const last = a.poll('jim');
    t.equal(lost.text, 'one');
    all.kill(1);
    await all.pass(9000);
    t.same([left.text, last.text], [null, null]);
    await all.pass(3000);
    const texts = [left.text, last.text].filter((text) => text !== null);
    t.same(texts, ['one'], 'one of the polls that wait gets it');
    areEqual(t, all, 'both nodes missed the dead one at the same entry');
    const holder = left.text === null ? last : left;
    const other = holder === left ? last : left;
    await holder.node.broker.close();
    all.nodes.splice(all.nodes.indexOf(holder.node), 1);
    await all.settle();
    t.equal(other.text, 'one', 'the node that is left');
  },
);

t.test('a message expires by the clock of the log, on every node', async (t) => {
  const all = await cluster(t, 2);
  const [a, b] = [all.node(0), all.node(1)];
  await deliver(all, a, 'early');
  all.nowMs += 59_000;
  await deliver(all, b, 'late');
  all.nowMs += 1000;
  const poll = b.poll('jim');
  await all.settle();
  t.equal(poll.text, 'late', 'a claim comes too late for the first');
  areEqual(t, all, 'expired on both');
  b.nack(poll);
  await all.settle();
  await all.pass(61_000);
  for (const { broker } of all.nodes) {
    t.match(broker.mailboxes.counters, { messages: 0, mailboxes: 0, expiredTotal: 2 });
  }
});

t.test('the limit of a mailbox drops the same messages on every node', async (t) => {
  const all = await cluster(t, 2);
  const texts = Array.from({ length: MAILBOX_COUNT_MAX + 3 }, (_, index) => `m${index}`);
  await deliver(all, all.node(0), ...texts);
  areEqual(t, all, 'the same messages');
  t.match(all.node(1).broker.mailboxes.counters, {
    messages: MAILBOX_COUNT_MAX,
    droppedTotal: 3,
  });
  const poll = all.node(1).poll('jim');
  await all.settle();
  t.equal(poll.text, 'm3');
  await t.rejects(all.node(0).broker.mailboxes.deliver('a*', 'x'), { code: 'ERR_CHANNEL' });
});

t.test('an ack while the log is down reaches it when it is up again', async (t) => {
  const all = await cluster(t, 2);
  const [a, b] = [all.node(0), all.node(1)];
  const poll = a.poll('jim');
  await deliver(all, b, 'one', 'two');
  const repair = all.store.interrupt();
  a.ack(poll);
  const next = a.poll('jim');
  await all.settle();
  a.broker.tick();
  await all.settle();
  t.equal(a.broker.mailboxes.counters.unsentEnds, 1);
  await t.rejects(a.broker.mailboxes.deliver('jim', 'x'), { code: 'ERR_LOG' });
  t.throws(() => a.broker.mailboxes.accept('jim', 'x'), { code: 'ERR_LOG' }, 'at once for ingest');
  repair();
  for (let tick = 0; tick < 3; tick++) {
    a.broker.tick();
    await all.settle();
  }
  t.equal(next.text, 'two');
  t.match(a.broker.mailboxes.counters, { unsentEnds: 0, messages: 1, ackedTotal: 1 });
  areEqual(t, all, 'the other node has read the ack');
});

t.test('a claim that the log did not take is made again', async (t) => {
  const all = await cluster(t, 1);
  const node = all.node(0);
  await deliver(all, node, 'one');
  const repair = all.store.interrupt();
  const poll = node.poll('jim');
  await all.settle();
  t.equal(node.broker.mailboxes.isBlocked, true);
  repair();
  for (let tick = 0; tick < 3; tick++) {
    node.broker.tick();
    await all.settle();
  }
  t.equal(poll.text, 'one');
});

t.test('the messages of the log of one server are there after a restart', async (t) => {
  const all = await cluster(t, 1, false);
  const before = all.node(0);
  await deliver(all, before, 'one', 'two', 'three');
  const poll = before.poll('jim');
  await all.settle();
  before.ack(poll);
  const lost = before.poll('jim');
  await all.settle();
  t.equal(lost.text, 'two');
  all.kill(0);
  const after = await all.join('next');
  await all.settle();
  const again = after.poll('jim');
  await all.settle();
  t.equal(again.text, 'two', 'leases of the life before ended');
  t.match(after.broker.mailboxes.counters, { messages: 2 });
  all.nowMs += 60_000;
  await deliver(all, after, 'four');
  after.broker.tick();
  t.match(after.broker.mailboxes.counters, { messages: 2, expiredTotal: 1 }, 'the third expired');
});

t.test(
  'a node that missed entries forgets its messages; a new epoch ends all leases',
  async (t) => {
    const all = await cluster(t, 2);
    const [a, b] = [all.node(0), all.node(1)];
    const poll = a.poll('jim');
    await deliver(all, b, 'one', 'two');
    const lastSeq = all.store.head;
    all.store.tell({ kind: 'epoch', epoch: 7n, lastSeq });
    await all.settle();
    areEqual(t, all, 'the message returned on both');
    a.ack(poll);
    await all.settle();
    t.match(b.broker.mailboxes.counters, { messages: 1, ackedTotal: 1 }, 'a late ack counts');
    a.log.onBreak({ kind: 'gap', after: lastSeq, to: all.store.head + 10 });
    t.match(a.broker.mailboxes.counters, { messages: 0, bytes: 0, mailboxes: 0, droppedTotal: 1 });
    t.equal(b.broker.mailboxes.counters.messages, 1);
  },
);

const IDS = ['a', 'b'];
const node = fc.nat(2);
const id = fc.constantFrom(...IDS);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('deliver' as const), node, id }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('poll' as const), node, id, slot: fc.nat(1) }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('ack' as const), node, which: fc.nat(50) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('nack' as const), node, which: fc.nat(50) }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('turn' as const), node }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('restart' as const), node, slot: fc.nat(1) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('kill' as const), node }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), node }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Random nodes and clients, and the messages that the clients received. */
class Story {
  /** By mailbox: the messages in the order of the log, and those with an ack in the log. */
  readonly sent: Record<string, string[]> = { a: [], b: [] };
  readonly got: Record<string, string[]> = { a: [], b: [] };
  /** Acks that their node did not append yet: its death loses them. */
  readonly #acks = new Map<MailboxNode, FakePoll[]>();
  #texts = 0;

  constructor(readonly all: MailboxCluster) {}

  async run(step: Step): Promise<void> {
    const { nodes } = this.all;
    const index = step.node % nodes.length;
    const node = this.all.node(index);
    if (step.do === 'deliver') this.#deliver(node, step.id);
    else if (step.do === 'poll') node.poll(step.id, step.slot);
    else if (step.do === 'restart') node.restart(step.slot);
    else if (step.do === 'kill' && nodes.length > 1) this.#acks.delete(this.all.kill(index));
    else if (step.do === 'pass') await this.#pass();
    else if (step.do === 'turn') await this.#turn(node);
    else if (step.do === 'ack' || step.do === 'nack') this.#end(node, step.which, step.do);
  }

  /** Fetches everything that is left, through one node. */
  async finish(): Promise<void> {
    for (const { polls } of this.all.nodes) {
      for (const poll of [...polls]) this.#finishPoll(poll);
    }
    await this.#pass();
    for (const id of IDS) {
      for (;;) {
        const poll = this.all.node(0).poll(id);
        await this.#settle();
        this.#finishPoll(poll);
        await this.#settle();
        if (poll.text === null) break;
      }
    }
  }

  #finishPoll(poll: FakePoll): void {
    if (poll.text === null) poll.node.nack(poll);
    else this.#ack(poll);
  }

  #deliver(node: MailboxNode, id: string): void {
    const text = String(this.#texts++);
    node.broker.mailboxes.deliver(id, text).then(
      () => this.sent[id]?.push(text),
      () => undefined,
    );
  }

  #end(node: MailboxNode, which: number, how: 'ack' | 'nack'): void {
    const poll = node.polls[which % Math.max(1, node.polls.length)];
    if (poll === undefined) return;
    // A worker acks only messages that it has.
    if (how === 'ack' && poll.text !== null) this.#ack(poll);
    else node.nack(poll);
  }

  #ack(poll: FakePoll): void {
    const acks = this.#acks.get(poll.node) ?? [];
    this.#acks.set(poll.node, [...acks, poll]);
    poll.node.ack(poll);
  }

  async #turn(node: MailboxNode): Promise<void> {
    node.end();
    this.#acked(node);
    await new Promise(setImmediate);
    node.end();
  }

  #acked(node: MailboxNode): void {
    for (const { id, text } of this.#acks.get(node) ?? []) this.got[id]?.push(text ?? '');
    this.#acks.delete(node);
  }

  async #settle(): Promise<void> {
    for (const node of this.all.nodes) await this.#turn(node);
    await this.all.settle();
  }

  async #pass(): Promise<void> {
    await this.#settle();
    await this.all.pass(11_000);
  }
}

t.test('in any order of events each message is acked once, in order, on one node', async (t) => {
  let acked = 0;
  let killed = 0;
  const property = fc.asyncProperty(
    fc.array(step, { size: 'max', maxLength: 100 }),
    async (steps) => {
      const all = new MailboxCluster(true, 10_000_000);
      for (const name of ['a', 'b', 'c']) await all.join(name);
      await all.settle();
      const story = new Story(all);
      for (const one of steps) {
        await story.run(one);
        if (new Set(all.contents).size > 1)
          throw new Error(`nodes differ: ${all.contents.join(' ')}`);
      }
      killed += 3 - all.nodes.length;
      await story.finish();
      await all.join('late');
      const contents = new Set(all.contents);
      await all.close();
      if (contents.size > 1 || !contents.has('[]')) throw new Error('messages are left');
      for (const id of IDS) {
        const [sent, got] = [story.sent[id]?.join(), story.got[id]?.join()];
        if (sent !== got) throw new Error(`${id}: sent ${sent}, received ${got}`);
        acked += story.got[id]?.length ?? 0;
      }
    },
  );
  await fc.assert(property, { seed: SEED, numRuns: 40 });
  t.ok(acked > 200 && killed > 20, `${acked} messages received, ${killed} nodes died`);
});
