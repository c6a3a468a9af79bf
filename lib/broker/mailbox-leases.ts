// How messages get into the mailboxes, and how leases begin and end: at once, or through a log.
import type { Mailbox, MailboxLease } from './mailbox.js';
import type { MailboxStore } from './mailbox-store.js';

export interface MailboxLeases {
  /** The node of the leases that belong to polls of this node. */
  readonly node: string;

  /**
   * Puts a message into a mailbox.
   *
   * @param data - Bytes that the caller may change afterwards.
   * @returns A promise while the message is on its way to the log; undefined if it is there.
   * @throws MegacometError `ERR_BUSY`, `ERR_LOG`: at once, or as a rejection.
   */
  accept(id: string, data: Uint8Array | string): Promise<void> | undefined;

  /** Requests the lease of the first message of a mailbox for this node. */
  claim(mailbox: Mailbox): void;

  /** The client of a lease of this node has received the message. */
  ack(lease: MailboxLease): void;

  /** A lease of this node ended without. */
  nack(lease: MailboxLease): void;

  /** Drops expired messages, and sends again to the log. To be called a few times a second. */
  sweep(): void;
}

export interface LocalLeasesParts {
  readonly store: MailboxStore;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Milliseconds that a message waits for its client. */
  readonly timeMs: number;
  /** A mailbox has another message, or a lease. */
  readonly onChange: (mailbox: Mailbox) => void;
}

/** Leases of a server without a log: everything happens at once. */
export class LocalLeases implements MailboxLeases {
  readonly node = '';
  readonly #parts: LocalLeasesParts;

  constructor(parts: LocalLeasesParts) {
    this.#parts = parts;
  }

  accept(id: string, data: Uint8Array | string): undefined {
    const { store, now, timeMs, onChange } = this.#parts;
    // A copy: the caller's bytes may be part of a larger buffer, or change.
    const bytes = Buffer.from(data as string);
    onChange(store.put({ id, number: 0, data: bytes, expiresAtMs: now() + timeMs }));
  }

  claim(mailbox: Mailbox): void {
    const { store, now, onChange } = this.#parts;
    const atMs = now();
    store.expireFirst(mailbox, atMs);
    store.lease(mailbox, { number: 0, node: this.node, atMs });
    onChange(mailbox);
  }

  ack(lease: MailboxLease): void {
    this.#parts.store.ack(lease);
  }

  nack(lease: MailboxLease): void {
    this.#parts.store.nack(lease);
  }

  sweep(): void {
    this.#parts.store.expire(this.#parts.now());
  }
}
