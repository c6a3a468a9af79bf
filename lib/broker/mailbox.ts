// One mailbox: the queued messages of a client, its polls at this node, and the lease of the first
// message.
import { Chain, type Link } from '../collections/chain.js';

/** Memory of a message besides its data: its objects, links, and array entry. */
const MESSAGE_OVERHEAD_BYTES = 160;

/** The memory that a message with this many bytes of data takes. */
export function mailboxCost(dataBytes: number): number {
  return dataBytes + MESSAGE_OVERHEAD_BYTES;
}

export class MailboxMessage implements Link<MailboxMessage> {
  previous: MailboxMessage | null = null;
  next: MailboxMessage | null = null;

  /** @param number - Its name in the log; 0 without a log. */
  constructor(
    readonly mailbox: Mailbox,
    readonly number: number,
    readonly data: Buffer,
    readonly expiresAtMs: number,
  ) {}

  get cost(): number {
    return mailboxCost(this.data.length);
  }
}

/** A message that one node may write to a client. */
export class MailboxLease {
  /** The poll of this node that has it. */
  poll: MailboxPoll | null = null;
  /** This node has asked the log to end it. */
  isEnding = false;

  /**
   * @param number - Its name in the log; 0 without a log.
   * @param node - The name of the node that has it; empty without a log.
   * @param sinceMs - Its beginning by the clock of the log.
   */
  constructor(
    readonly message: MailboxMessage,
    readonly number: number,
    readonly node: string,
    readonly sinceMs: number,
  ) {}
}

/** A request of a client of this node that waits for a message or writes one. */
export class MailboxPoll implements Link<MailboxPoll> {
  previous: MailboxPoll | null = null;
  next: MailboxPoll | null = null;
  /** The message that its worker writes. */
  lease: MailboxLease | null = null;

  constructor(
    readonly mailbox: Mailbox,
    readonly slot: number,
    readonly fd: number,
    readonly generation: number,
  ) {}
}

export class Mailbox {
  /** Queued messages, the oldest first; null for none, as in most of a million mailboxes. */
  messages: MailboxMessage[] | null = null;
  bytes = 0;
  /** Polls without a lease, the oldest first. */
  readonly polls = new Chain<MailboxPoll>();
  lease: MailboxLease | null = null;
  /** A claim of this node is on its way to the log. */
  isClaiming = false;

  constructor(readonly id: string) {}

  get isEmpty(): boolean {
    return (
      this.messages === null && this.lease === null && this.polls.first === null && !this.isClaiming
    );
  }
}
