// Nodes with mailboxes that share one log in memory: a test decides when each node appends, and acts
// as the workers.
import { setImmediate as turn } from 'node:timers/promises';

import { Broker } from '../../../lib/broker/broker.js';
import { BatchWriter, RecordKind } from '../../../lib/broker/log-batch.js';
import { jsonBody } from '../../../lib/broker/log-json.js';
import { brokerOptions } from '../../../lib/server/broker-options.js';
import { fill } from '../../../lib/server/server-options.js';
import { MemoryLog, MemoryStore } from '../memory-log.js';
import { FakeIterations, FakePort } from './comet.js';

const SLOTS = 2;

/** A poll of a client; its message when it has one. */
export interface FakePoll {
  readonly node: MailboxNode;
  readonly slot: number;
  readonly fd: number;
  readonly generation: number;
  readonly id: string;
  text: string | null;
}

export class MailboxNode {
  readonly polls: FakePoll[] = [];
  readonly turns = new FakeIterations();
  readonly log: MemoryLog;
  readonly broker: Broker;
  readonly #ports: FakePort[] = [];
  #fd = 0;

  constructor(
    readonly name: string,
    store: MemoryStore,
    isShared: boolean,
    mailboxTimeMs: number,
  ) {
    this.log = new MemoryLog(store);
    const { now, schedule } = this.turns;
    this.broker = new Broker(
      { ...brokerOptions(SLOTS, fill({})), mailboxTimeMs },
      { now, schedule, log: { log: this.log, isShared, node: name, version: '1.2.3' } },
    );
    for (let slot = 0; slot < SLOTS; slot++) this.#attach(slot);
  }

  poll(id: string, slot = 0): FakePoll {
    const address = { fd: ++this.#fd, generation: 1 };
    const poll = { node: this, slot, id, text: null, ...address };
    this.polls.push(poll);
    this.broker.onFrame(slot, { name: 'MailboxPoll', fields: { ...address, name: id } });
    return poll;
  }

  ack(poll: FakePoll): void {
    this.#end(poll, 'MailboxAck');
  }

  nack(poll: FakePoll): void {
    this.#end(poll, 'MailboxNack');
  }

  /** A worker dies with its polls; another one starts in its slot. */
  restart(slot: number): void {
    this.broker.workerGone(slot);
    const gone = this.polls.filter((poll) => poll.slot === slot);
    for (const poll of gone) this.polls.splice(this.polls.indexOf(poll), 1);
    this.#attach(slot);
  }

  /** Ends one iteration of the loop, and gives the messages to their polls. */
  end(): void {
    this.turns.end();
    for (const { slot } of this.#ports) this.#read(slot);
  }

  #attach(slot: number): void {
    const port = new FakePort(slot);
    this.#ports[slot] = port;
    this.broker.attach(port);
  }

  #read(slot: number): void {
    for (const frame of this.#ports[slot]?.take() ?? []) {
      if (frame.name !== 'MailboxLease') continue;
      const { fd, data } = frame.fields;
      const poll = this.polls.find((one) => one.slot === slot && one.fd === fd);
      if (poll === undefined) continue;
      if (poll.text !== null) throw new Error(`a second message for poll ${fd}`);
      poll.text = data.toString();
    }
  }

  #end(poll: FakePoll, name: 'MailboxAck' | 'MailboxNack'): void {
    const { slot, fd, generation } = poll;
    this.polls.splice(this.polls.indexOf(poll), 1);
    this.broker.onFrame(slot, { name, fields: { fd, generation } });
  }
}

/** The nodes a, b, c … of one log. */
export class MailboxCluster {
  readonly store = new MemoryStore();
  readonly nodes: MailboxNode[] = [];
  nowMs = 1_000_000;
  readonly #ticks = new MemoryLog(this.store);
  #count = 1_000_000;

  constructor(
    readonly isShared = true,
    readonly mailboxTimeMs = 60_000,
  ) {
    this.store.now = () => this.nowMs;
  }

  static async start(count: number, isShared = true): Promise<MailboxCluster> {
    const cluster = new MailboxCluster(isShared);
    for (const name of ['a', 'b', 'c'].slice(0, count)) await cluster.join(name);
    await cluster.settle();
    return cluster;
  }

  node(index: number): MailboxNode {
    const node = this.nodes[index];
    if (node === undefined) throw new RangeError(`no node ${index}`);
    return node;
  }

  async join(name: string): Promise<MailboxNode> {
    const node = new MailboxNode(name, this.store, this.isShared, this.mailboxTimeMs);
    await node.broker.openLog();
    this.nodes.push(node);
    return node;
  }

  /** A node ends without a word. */
  kill(index: number): MailboxNode {
    const node = this.node(index);
    this.store.logs.delete(node.log);
    this.nodes.splice(index, 1);
    return node;
  }

  /** The log's clock goes on, and all nodes tick, so that those that were killed are missed. */
  async pass(ms: number): Promise<void> {
    await this.#ticks.open();
    for (const step of [ms / 2, ms / 2 + 1]) {
      this.nowMs += step;
      for (const { name } of this.nodes) await this.#tick(name);
    }
    await this.settle();
  }

  /** Ends iterations of all nodes until none has anything to do. */
  async settle(): Promise<void> {
    do {
      for (const node of this.nodes) node.end();
      await turn();
    } while (this.nodes.some(({ turns }) => turns.isScheduled));
    for (const node of this.nodes) node.end();
  }

  /** The messages and leases of all mailboxes on each node. */
  get contents(): string[] {
    return this.nodes.map(({ broker }) => JSON.stringify(broker.mailboxes.contents));
  }

  async close(): Promise<void> {
    for (const { broker } of this.nodes) await broker.close();
    await this.#ticks.close();
  }

  async #tick(node: string): Promise<void> {
    const batch = new BatchWriter();
    const { bytesMax, write } = jsonBody({ version: '1.2.3', connections: 0 });
    batch.add(RecordKind.tick, bytesMax, write);
    await this.#ticks.append(batch.take(), { node, count: ++this.#count }, 0);
  }
}
