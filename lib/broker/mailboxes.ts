// Mailboxes: queued messages for clients of the legacy long poll, and the polls that wait for them.
// Such clients send no cursor, and two polls of one mailbox may be on two workers.
// A mailbox leases its first message to one poll at a time. An ack removes the message; a nack, the
// end of the poll or the death of its worker puts the message back to the front.
import { checkChannel, isChannel } from '../base/channel-name.js';
import { counter, gauge, valuesOf, type ValuesOf } from '../base/metric.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frame, Frames } from '../ipc/frames.js';
import type { WorkerLines } from '../ipc/outgoing.js';
import type { AppliedRecord } from './log-follower.js';
import type { Applied } from './log-writer.js';
import type { Mailbox, MailboxLease, MailboxPoll } from './mailbox.js';
import { LocalLeases, type MailboxLeases } from './mailbox-leases.js';
import { LoggedLeases, type MailboxLog } from './mailbox-log.js';
import { MailboxPolls, type PollAddress } from './mailbox-polls.js';
import { MailboxStore, type MailboxContents } from './mailbox-store.js';
import { checkData } from './publishing.js';

export interface MailboxOptions {
  /** Bytes of one message. */
  readonly messageBytesMax: number;
  /** Milliseconds that a message waits for its client. */
  readonly timeMs: number;
  /** Memory for all messages. */
  readonly totalBytesMax?: number | undefined;
  /** The log of the messages; default: none. */
  readonly log?: MailboxLog | undefined;
}

export class Mailboxes {
  /** By their field in /stats, under `mailboxes`. */
  static readonly METRICS = {
    mailboxes: gauge(
      'mailboxes',
      'Mailboxes of /ID.js: clients that poll or have queued messages.',
      (all: Mailboxes) => all.#store.size,
    ),
    polls: gauge(
      'mailbox_polls',
      'Polls of /ID.js that wait for a message or write one; each takes about 320 bytes of the ' +
        'manager.',
      (all: Mailboxes) => all.#polls.size,
    ),
    messages: gauge(
      'mailbox_messages',
      'Messages in mailboxes, leased ones included. Growth: applications write to clients that ' +
        'left.',
      (all: Mailboxes) => all.#store.messages,
    ),
    bytes: gauge(
      'mailbox_bytes',
      'Memory of the messages in mailboxes. At 64 MiB the oldest messages are dropped.',
      (all: Mailboxes) => all.#store.bytes,
    ),
    deliveredTotal: counter(
      'mailbox_delivered_total',
      'Messages put into mailboxes, over --ingest or by the library.',
      (all: Mailboxes) => all.#store.delivered,
    ),
    ackedTotal: counter(
      'mailbox_acked_total',
      'Messages written completely to a client. In the long run: delivered minus expired and ' +
        'dropped.',
      (all: Mailboxes) => all.#store.acked,
    ),
    nackedTotal: counter(
      'mailbox_nacked_total',
      'Messages put back because their poll ended first; the next poll gets them. A jump: ' +
        'workers died, or a network broke.',
      (all: Mailboxes) => all.#store.nacked,
    ),
    expiredTotal: counter(
      'mailbox_expired_total',
      'Messages that no client fetched within --mailbox-time. Raise it if clients reconnect later.',
      (all: Mailboxes) => all.#store.expired,
    ),
    droppedTotal: counter(
      'mailbox_dropped_total',
      'Messages dropped at a limit: 100 messages of one client, or 64 MiB for all. Applications ' +
        'send faster than clients fetch.',
      (all: Mailboxes) => all.#store.dropped,
    ),
    unsentEnds: gauge(
      'mailbox_unsent_ends',
      'Acks and nacks that wait for the log: for other nodes their messages are still leased. 0 ' +
        'without a log.',
      (all: Mailboxes) => all.#logged?.unsent ?? 0,
    ),
  };

  readonly #lines: WorkerLines;
  readonly #messageBytesMax: number;
  readonly #store: MailboxStore;
  readonly #polls = new MailboxPolls();
  readonly #leases: MailboxLeases;
  /** The same; null without a log. */
  readonly #logged: LoggedLeases | null;
  /** Mailboxes that wait for a worker with too many queued bytes, or for the log. */
  readonly #blocked = new Set<Mailbox>();

  /**
   * @param lines - The owner calls retry() when a worker without room has room again.
   * @param now - Milliseconds of a monotonic clock; with a log that of the log.
   */
  constructor(lines: WorkerLines, now: () => number, options: MailboxOptions) {
    this.#lines = lines;
    this.#messageBytesMax = options.messageBytesMax;
    this.#store = new MailboxStore(options.totalBytesMax);
    const { timeMs, log } = options;
    const parts = {
      ...{ store: this.#store, now, timeMs },
      onChange: (mailbox: Mailbox) => {
        this.#serve(mailbox);
      },
      onBlocked: (mailbox: Mailbox) => {
        this.#blocked.add(mailbox);
      },
    };
    this.#logged = log === undefined ? null : new LoggedLeases({ ...parts, log });
    this.#leases = this.#logged ?? new LocalLeases(parts);
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof Mailboxes.METRICS> {
    return valuesOf(Mailboxes.METRICS, this);
  }

  /** All messages, by the ids of their mailboxes. */
  get contents(): readonly MailboxContents[] {
    return this.#store.contents;
  }

  /** Whether a message waits only because a worker has too many queued bytes, or for the log. */
  get isBlocked(): boolean {
    return this.#blocked.size > 0;
  }

  /**
   * Puts a message into a client's mailbox; a waiting poll gets it at once.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`; `ERR_BUSY` while
   *   leased messages take all the memory; `ERR_LOG`. As rejections.
   */
  async deliver(id: string, data: Uint8Array | string): Promise<void> {
    await this.accept(id, data);
  }

  /**
   * The same for a caller that keeps an order: a message that was rejected at once is not followed by
   * a later one.
   *
   * @returns A promise while the message is on its way to the log; undefined if it is in its mailbox.
   * @throws MegacometError at once, or as a rejection.
   */
  accept(id: string, data: Uint8Array | string): Promise<void> | undefined {
    checkChannel(id);
    checkData(data, this.#messageBytesMax);
    return this.#leases.accept(id, data);
  }

  /** Takes a worker's frame about a poll; other frames are ignored. */
  onFrame(slot: number, frame: Frame): void {
    if (frame.name === 'MailboxPoll') this.#onPoll(slot, frame.fields);
    else if (frame.name === 'MailboxAck') this.#onAck(slot, frame.fields);
    else if (frame.name === 'MailboxNack') this.#onNack(slot, frame.fields);
  }

  /** Ends the polls of a worker that died; leased messages go to the next polls. */
  workerGone(slot: number): void {
    const polls = this.#polls.endAll(slot);
    // All polls end before a mailbox leases again, so that none gets the message of another.
    for (const poll of polls) this.#release(poll);
    for (const { mailbox } of polls) this.#serve(mailbox);
  }

  /** Drops messages that no client fetched in time. To be called a few times a second. */
  sweep(): void {
    this.#leases.sweep();
  }

  /** Serves the mailboxes again whose worker had too many queued bytes, or that wait for the log. */
  retry(): void {
    const mailboxes = [...this.#blocked];
    this.#blocked.clear();
    for (const mailbox of mailboxes) this.#serve(mailbox);
  }

  // ---- The log

  /** See LoggedLeases.apply(). */
  apply(record: AppliedRecord): Applied | undefined {
    return this.#logged?.apply(record);
  }

  /** See LoggedLeases.onTick(). */
  onTick(nodes: readonly string[], atMs: number): void {
    this.#logged?.onTick(nodes, atMs);
  }

  /** See LoggedLeases.onLost(). */
  onLost(hasGap: boolean): void {
    this.#logged?.onLost(hasGap);
  }

  /** See LoggedLeases.opened(). */
  opened(): void {
    this.#logged?.opened();
  }

  /** See LoggedLeases.close(). */
  close(): void {
    this.#logged?.close();
  }

  // ---- Inside

  #forgetEmpty(mailbox: Mailbox): void {
    if (this.#store.forgetEmpty(mailbox)) this.#blocked.delete(mailbox);
  }

  /** Leases the first message to the first poll, if both exist and no lease is open. */
  #serve(mailbox: Mailbox): void {
    const { lease } = mailbox;
    if (lease !== null) {
      if (lease.node === this.#leases.node && !lease.isEnding) this.#handOver(lease);
      return;
    }
    if (mailbox.isClaiming) return;
    const poll = mailbox.polls.first;
    if (poll === null || mailbox.messages === null) {
      this.#forgetEmpty(mailbox);
      return;
    }
    if (this.#hasRoom(poll)) this.#leases.claim(mailbox);
  }

  /** Sends a leased message to the first poll, unless one has it. */
  #handOver(lease: MailboxLease): void {
    if (lease.poll !== null) return;
    const { mailbox, data } = lease.message;
    const poll = mailbox.polls.first;
    if (poll === null) {
      // The poll ended while its claim was on the way to the log.
      this.#leases.nack(lease);
      return;
    }
    if (!this.#hasRoom(poll)) return;
    mailbox.polls.remove(poll);
    lease.poll = poll;
    poll.lease = lease;
    const { slot, fd, generation } = poll;
    this.#lines.send(encodeFrame('MailboxLease', { fd, generation, data }), [slot]);
  }

  /** Whether the worker of a poll has room; otherwise its mailbox waits. */
  #hasRoom({ slot, mailbox }: MailboxPoll): boolean {
    if (this.#lines.hasRoom(slot)) return true;
    this.#blocked.add(mailbox);
    return false;
  }

  #onPoll(slot: number, { fd, generation, name }: Frames['MailboxPoll']): void {
    // Workers check the ids, and end a poll before the same connection begins another.
    if (!isChannel(name)) return;
    const before = this.#polls.find(slot, fd);
    if (before !== null) this.#onNack(slot, before);
    const mailbox = this.#store.open(name);
    this.#polls.begin(mailbox, slot, { fd, generation });
    this.#serve(mailbox);
  }

  #onAck(slot: number, address: PollAddress): void {
    const poll = this.#polls.end(slot, address);
    if (poll === null) return;
    if (poll.lease === null) this.#release(poll);
    else this.#leases.ack(poll.lease);
    this.#serve(poll.mailbox);
  }

  #onNack(slot: number, address: PollAddress): void {
    const poll = this.#polls.end(slot, address);
    if (poll === null) return;
    this.#release(poll);
    this.#serve(poll.mailbox);
  }

  /** Removes a poll from its mailbox; its leased message returns to the front. */
  #release(poll: MailboxPoll): void {
    if (poll.lease === null) poll.mailbox.polls.remove(poll);
    else this.#leases.nack(poll.lease);
  }
}
