// Leases through a log: every node applies the same records, so each knows the same messages and
// leases. A node with a poll claims the first message; the first claim in the log has the lease.
import { MegacometError } from '../base/errors.js';
import type { Mailbox, MailboxLease } from './mailbox.js';
import type { MailboxLeases } from './mailbox-leases.js';
import {
  deliverBody,
  messageBody,
  readDeliver,
  readMessage,
  readReturned,
  returnedBody,
  type DeliverRecord,
  type MailboxMessageRecord,
  type ReturnedLeases,
} from './mailbox-records.js';
import type { MailboxStore } from './mailbox-store.js';
import { RecordKind } from './log-batch.js';
import type { AppliedRecord } from './log-follower.js';
import type { Body } from './log-json.js';
import type { Applied } from './log-writer.js';

/** A lease of a node that does not tick lasts this long: a node may claim before it ticks. */
const STRANGER_LEASE_MS = 10_000;

/** The log, as the mailboxes use it. */
export interface MailboxLog {
  /** The name of this life of this node. */
  readonly node: string;
  /** Whether other servers share the log, whose ticks are its clock. */
  readonly isShared: boolean;
  /** @throws MegacometError `ERR_BUSY`, `ERR_LOG`: a record of this size cannot be written now. */
  readonly checkRoom: (bytes: number) => void;
  /** Resolves when this node has applied the record. @throws MegacometError as a rejection. */
  readonly write: (kind: number, body: Body) => Promise<unknown>;
}

export interface LoggedLeasesParts {
  readonly log: MailboxLog;
  readonly store: MailboxStore;
  /** Milliseconds of the log's clock, as this node knows it. */
  readonly now: () => number;
  /** Milliseconds that a message waits for its client. */
  readonly timeMs: number;
  /** A mailbox has another message, or its lease began or ended. */
  readonly onChange: (mailbox: Mailbox) => void;
  /** A mailbox has to be served again later. */
  readonly onBlocked: (mailbox: Mailbox) => void;
}

/** An end of a lease that the log has not taken. */
interface Ending {
  readonly kind: number;
  readonly body: Body;
}

const DONE: Applied = { value: undefined };

export class LoggedLeases implements MailboxLeases {
  readonly node: string;
  readonly #parts: LoggedLeasesParts;
  /** By the number of the claim, in the order of the log. */
  readonly #leases = new Map<number, MailboxLease>();
  /** Ends of leases that the log did not take yet: one for each lease at most. */
  #unsent: Ending[] = [];
  /** The log failed: the next sweep tries again. */
  #isHalted = false;
  #isProbing = false;

  constructor(parts: LoggedLeasesParts) {
    this.#parts = parts;
    this.node = parts.log.node;
  }

  /** Ends of leases that wait for the log. */
  get unsent(): number {
    return this.#unsent.length;
  }

  accept(id: string, data: Uint8Array | string): Promise<void> {
    const { log, timeMs } = this.#parts;
    const body = deliverBody({ id, timeMs, data });
    log.checkRoom(body.bytesMax);
    return this.#deliver(body);
  }

  claim(mailbox: Mailbox): void {
    const number = mailbox.messages?.[0]?.number;
    if (number === undefined) return;
    if (this.#isHalted) {
      this.#parts.onBlocked(mailbox);
      return;
    }
    mailbox.isClaiming = true;
    const { log, onBlocked } = this.#parts;
    log.write(RecordKind.claim, messageBody({ id: mailbox.id, number })).catch((error: unknown) => {
      this.#halt(error);
      // The claim may be in the log nevertheless: then the node has the lease when it is applied.
      mailbox.isClaiming = false;
      onBlocked(mailbox);
    });
  }

  ack(lease: MailboxLease): void {
    const { mailbox, number } = lease.message;
    lease.isEnding = true;
    this.#send({ kind: RecordKind.taken, body: messageBody({ id: mailbox.id, number }) });
  }

  nack(lease: MailboxLease): void {
    lease.isEnding = true;
    const { number } = lease;
    // It may have ended already, because this node was out of the cluster.
    if (this.#leases.get(number) === lease) this.#sendReturned({ which: 'one', number });
  }

  sweep(): void {
    const { log, store, now } = this.#parts;
    if (!log.isShared) store.expire(now());
    if (!this.#isHalted || this.#isProbing) return;
    const [first] = this.#unsent;
    if (first === undefined) {
      this.#isHalted = false;
      return;
    }
    // One record shows whether the log takes records again.
    this.#isProbing = true;
    log
      .write(first.kind, first.body)
      .then(() => {
        const [, ...unsent] = this.#unsent;
        this.#unsent = [];
        this.#isHalted = false;
        for (const ending of unsent) this.#send(ending);
      })
      .catch((error: unknown) => {
        this.#halt(error);
      })
      .finally(() => {
        this.#isProbing = false;
      });
  }

  /** The log is open, and its records up to now are applied. */
  opened(): void {
    const { isShared } = this.#parts.log;
    if (!isShared && this.#leases.size > 0) this.#sendReturned({ which: 'others' });
  }

  /** This node leaves: its last records go to the log. */
  close(): void {
    this.#isHalted = false;
    for (const ending of this.#unsent.splice(0)) this.#send(ending);
    const hasLease = [...this.#leases.values()].some(({ node }) => node === this.node);
    if (hasLease) this.#sendReturned({ which: 'own' });
  }

  // ---- Records of all nodes, in the order of the log

  /** @returns Undefined for a record of another kind. @throws MegacometError `ERR_BUSY`. */
  apply(record: AppliedRecord): Applied | undefined {
    const { kind, body, atMs } = record;
    switch (kind) {
      case RecordKind.deliver:
        this.#parts.store.expire(atMs);
        this.#applyDeliver(record, readDeliver(body));
        return DONE;
      case RecordKind.claim:
        this.#applyClaim(record, readMessage(body));
        return DONE;
      case RecordKind.taken:
        this.#applyTaken(readMessage(body));
        return DONE;
      case RecordKind.returned:
        this.#applyReturned(record, readReturned(body));
        return DONE;
      default:
        return undefined;
    }
  }

  /**
   * A node ticked.
   *
   * @param nodes - The nodes that live.
   */
  onTick(nodes: readonly string[], atMs: number): void {
    this.#parts.store.expire(atMs);
    const ended: MailboxLease[] = [];
    for (const lease of this.#leases.values()) {
      if (atMs - lease.sinceMs <= STRANGER_LEASE_MS) break;
      if (!nodes.includes(lease.node)) ended.push(lease);
    }
    this.#end(ended);
  }

  /**
   * Entries of the log are lost. After a gap other nodes know what happened to the messages, and this
   * one does not; in a new epoch the claims of some leases may not exist any more.
   */
  onLost(hasGap: boolean): void {
    if (!hasGap) {
      this.#end([...this.#leases.values()]);
      return;
    }
    this.#leases.clear();
    this.#parts.store.clear();
  }

  #applyDeliver({ number, atMs }: AppliedRecord, { id, timeMs, data }: DeliverRecord): void {
    const { store, onChange } = this.#parts;
    // A copy: the body is a part of the entry.
    const bytes = Buffer.from(data as Uint8Array);
    onChange(store.put({ id, number, data: bytes, expiresAtMs: atMs + timeMs }));
  }

  #applyClaim(record: AppliedRecord, { id, number: message }: MailboxMessageRecord): void {
    const { store, onChange } = this.#parts;
    const { number, node, atMs } = record;
    const mailbox = store.find(id);
    if (mailbox === undefined) return;
    store.expireFirst(mailbox, atMs);
    if (node === this.node) mailbox.isClaiming = false;
    if (mailbox.messages?.[0]?.number === message) {
      const lease = store.lease(mailbox, { number, node, atMs });
      if (lease !== null) this.#leases.set(number, lease);
    }
    onChange(mailbox);
  }

  #applyTaken({ id, number }: MailboxMessageRecord): void {
    const { store, onChange } = this.#parts;
    const mailbox = store.find(id);
    if (mailbox === undefined) return;
    const { lease } = mailbox;
    if (lease?.message.number === number) {
      this.#leases.delete(lease.number);
      store.ack(lease);
    } else {
      store.ackLate(mailbox, number);
    }
    onChange(mailbox);
  }

  #applyReturned({ node }: AppliedRecord, returned: ReturnedLeases): void {
    if (returned.which === 'one') {
      const lease = this.#leases.get(returned.number);
      if (lease !== undefined) this.#end([lease]);
      return;
    }
    const areOwn = returned.which === 'own';
    this.#end([...this.#leases.values()].filter((lease) => (lease.node === node) === areOwn));
  }

  /** Ends leases. All end before a mailbox is served again. */
  #end(leases: readonly MailboxLease[]): void {
    const { store, onChange } = this.#parts;
    for (const lease of leases) {
      this.#leases.delete(lease.number);
      store.nack(lease);
    }
    for (const { message } of leases) onChange(message.mailbox);
  }

  // ---- Records of this node

  async #deliver(body: Body): Promise<void> {
    await this.#parts.log.write(RecordKind.deliver, body);
  }

  #sendReturned(leases: ReturnedLeases): void {
    this.#send({ kind: RecordKind.returned, body: returnedBody(leases) });
  }

  /** Writes an end of a lease, now or when the log takes records again. */
  #send(ending: Ending): void {
    if (this.#isHalted) {
      this.#unsent.push(ending);
      return;
    }
    this.#parts.log.write(ending.kind, ending.body).catch((error: unknown) => {
      this.#halt(error);
      this.#unsent.push(ending);
    });
  }

  /** Condition of the log: the writer counts it. Anything else is a bug. */
  #halt(error: unknown): void {
    if (!(error instanceof MegacometError)) throw error;
    this.#isHalted = true;
  }
}
