// The messages of all mailboxes, with their limits and leases. It does not read a clock and does not
// know workers: the same calls give the same messages on every node of a cluster.
import { MegacometError } from '../base/errors.js';
import { Chain } from '../collections/chain.js';
import { Mailbox, mailboxCost, MailboxLease, MailboxMessage } from './mailbox.js';

/** Messages and bytes of one mailbox: a client that reloads its page polls again in seconds. */
export const MAILBOX_COUNT_MAX = 100;
export const MAILBOX_BYTES_MAX = 256 * 1024;
/** Memory of all mailboxes: half of the history's, which is in the same process. */
export const MAILBOXES_BYTES_MAX = 64 * 1024 * 1024;

/** A message to put into a mailbox. */
export interface Delivery {
  readonly id: string;
  /** Its name in the log; 0 without a log. */
  readonly number: number;
  /** The store keeps these bytes. */
  readonly data: Buffer;
  readonly expiresAtMs: number;
}

/** A lease to begin. */
export interface Claim {
  /** Its name in the log; 0 without a log. */
  readonly number: number;
  readonly node: string;
  readonly atMs: number;
}

/** The messages of one mailbox, by their numbers. */
export interface MailboxContents {
  readonly id: string;
  readonly waiting: readonly number[];
  readonly leased: { readonly message: number; readonly node: string } | null;
}

export class MailboxStore {
  readonly #totalBytesMax: number;
  readonly #mailboxes = new Map<string, Mailbox>();
  /** All messages that are not leased, the oldest first: the order of expiry and eviction. */
  readonly #waiting = new Chain<MailboxMessage>();
  messages = 0;
  bytes = 0;
  delivered = 0;
  acked = 0;
  nacked = 0;
  expired = 0;
  dropped = 0;

  constructor(totalBytesMax = MAILBOXES_BYTES_MAX) {
    this.#totalBytesMax = totalBytesMax;
  }

  /** Mailboxes with messages or polls. */
  get size(): number {
    return this.#mailboxes.size;
  }

  /** All mailboxes with messages, by id. */
  get contents(): readonly MailboxContents[] {
    return [...this.#mailboxes.values()]
      .filter(({ messages, lease }) => messages !== null || lease !== null)
      .map(({ id, messages, lease }) => ({
        id,
        waiting: (messages ?? []).map(({ number }) => number),
        leased: lease && { message: lease.message.number, node: lease.node },
      }))
      .sort((one, other) => (one.id < other.id ? -1 : 1));
  }

  find(id: string): Mailbox | undefined {
    return this.#mailboxes.get(id);
  }

  open(id: string): Mailbox {
    let mailbox = this.#mailboxes.get(id);
    if (mailbox === undefined) this.#mailboxes.set(id, (mailbox = new Mailbox(id)));
    return mailbox;
  }

  /** Forgets a mailbox without messages and polls. */
  forgetEmpty(mailbox: Mailbox): boolean {
    if (!mailbox.isEmpty) return false;
    // A poll may end after its mailbox was forgotten, and another one has the id.
    if (this.#mailboxes.get(mailbox.id) === mailbox) this.#mailboxes.delete(mailbox.id);
    return true;
  }

  /** @throws MegacometError `ERR_BUSY` while leased messages take all the memory. */
  put({ id, number, data, expiresAtMs }: Delivery): Mailbox {
    const cost = mailboxCost(data.length);
    while (this.bytes + cost > this.#totalBytesMax) {
      const oldest = this.#waiting.first;
      if (oldest === null) {
        throw new MegacometError('ERR_BUSY', 'the mailboxes are full; retry shortly');
      }
      // The oldest message of all is also the first of its mailbox.
      this.#drop(oldest.mailbox);
      this.dropped++;
      this.forgetEmpty(oldest.mailbox);
    }
    const mailbox = this.open(id);
    this.#makeRoom(mailbox, cost);
    const message = new MailboxMessage(mailbox, number, data, expiresAtMs);
    (mailbox.messages ??= []).push(message);
    mailbox.bytes += cost;
    this.#waiting.push(message);
    this.messages++;
    this.bytes += cost;
    this.delivered++;
    return mailbox;
  }

  /** Leases the first message of a mailbox; null if it is leased, or has none. */
  lease(mailbox: Mailbox, { number, node, atMs }: Claim): MailboxLease | null {
    if (mailbox.lease !== null) return null;
    const message = this.#shift(mailbox);
    if (message === null) return null;
    return (mailbox.lease = new MailboxLease(message, number, node, atMs));
  }

  /** Removes the message of a lease that a client has received. */
  ack({ message }: MailboxLease): void {
    message.mailbox.lease = null;
    this.#discount(message);
    this.acked++;
  }

  /** Removes a message whose lease ended before its client had received it. */
  ackLate(mailbox: Mailbox, number: number): void {
    const messages = mailbox.messages ?? [];
    const index = messages.findIndex((message) => message.number === number);
    const [message] = index < 0 ? [] : messages.splice(index, 1);
    if (message === undefined) return;
    this.#removed(message);
    this.#discount(message);
    this.acked++;
  }

  /** Ends a lease: its message returns to the front. */
  nack({ message }: MailboxLease): void {
    const { mailbox } = message;
    mailbox.lease = null;
    this.nacked++;
    (mailbox.messages ??= []).unshift(message);
    mailbox.bytes += message.cost;
    this.#waiting.unshift(message);
  }

  /** Drops the first messages of a mailbox that no client fetched in time. */
  expireFirst(mailbox: Mailbox, nowMs: number): void {
    while ((mailbox.messages?.[0]?.expiresAtMs ?? Infinity) <= nowMs) {
      this.#drop(mailbox);
      this.expired++;
    }
  }

  /** Drops messages that no client fetched in time. */
  expire(nowMs: number): void {
    for (let message = this.#waiting.first; message !== null; message = this.#waiting.first) {
      if (message.expiresAtMs > nowMs) return;
      const { mailbox } = message;
      this.#drop(mailbox);
      this.expired++;
      this.forgetEmpty(mailbox);
    }
  }

  /** Drops all messages, the leased ones too. */
  clear(): void {
    this.dropped += this.messages;
    this.messages = 0;
    this.bytes = 0;
    this.#waiting.clear();
    for (const mailbox of this.#mailboxes.values()) {
      mailbox.messages = null;
      mailbox.bytes = 0;
      mailbox.lease = null;
      this.forgetEmpty(mailbox);
    }
  }

  /** Drops the oldest messages of a full mailbox; the newest message always fits. */
  #makeRoom(mailbox: Mailbox, cost: number): void {
    while (mailbox.messages !== null) {
      const isFull = mailbox.messages.length >= MAILBOX_COUNT_MAX;
      if (!isFull && mailbox.bytes + cost <= MAILBOX_BYTES_MAX) return;
      this.#drop(mailbox);
      this.dropped++;
    }
  }

  /** Removes the first message from its queues. */
  #shift(mailbox: Mailbox): MailboxMessage | null {
    const message = mailbox.messages?.shift();
    if (message === undefined) return null;
    this.#removed(message);
    return message;
  }

  /** A message has left the queue of its mailbox. */
  #removed(message: MailboxMessage): void {
    const { mailbox } = message;
    if (mailbox.messages?.length === 0) mailbox.messages = null;
    mailbox.bytes -= message.cost;
    this.#waiting.remove(message);
  }

  /** Removes the first message of a mailbox for good. */
  #drop(mailbox: Mailbox): void {
    const message = this.#shift(mailbox);
    if (message !== null) this.#discount(message);
  }

  #discount(message: MailboxMessage): void {
    this.messages--;
    this.bytes -= message.cost;
  }
}
