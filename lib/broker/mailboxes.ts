// Mailboxes: queued messages for clients of the legacy long poll, and the polls that wait for them.
// Such clients send no cursor, and two polls of one mailbox may be on two workers.
// A mailbox leases its first message to one poll at a time. An ack removes the message; a nack, the
// end of the poll or the death of its worker puts the message back to the front.
import { Chain, type Link } from '../collections/chain.js';
import { MegacometError } from '../base/errors.js';
import { counter, gauge, valuesOf, type ValuesOf } from '../base/metric.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frame, Frames } from '../ipc/frames.js';
import type { WorkerLines } from '../ipc/outgoing.js';
import { checkChannel, isChannel } from '../base/channel-name.js';
import { checkData } from './publishing.js';

export interface MailboxOptions {
  /** Bytes of one message. */
  readonly messageBytesMax: number;
  /** Milliseconds that a message waits for its client. */
  readonly timeMs: number;
  /** Memory for all messages. */
  readonly totalBytesMax?: number | undefined;
}

/** Messages and bytes of one mailbox: a client that reloads its page polls again in seconds. */
export const MAILBOX_COUNT_MAX = 100;
export const MAILBOX_BYTES_MAX = 256 * 1024;
/** Memory of all mailboxes: half of the history's, which is in the same process. */
export const MAILBOXES_BYTES_MAX = 64 * 1024 * 1024;
/** Memory of a message besides its data: its objects, links, and array entry. */
const MESSAGE_OVERHEAD_BYTES = 160;

class Message implements Link<Message> {
  previous: Message | null = null;
  next: Message | null = null;

  constructor(
    readonly mailbox: Mailbox,
    readonly data: Buffer,
    readonly expiresAtMs: number,
  ) {}

  get cost(): number {
    return this.data.length + MESSAGE_OVERHEAD_BYTES;
  }
}

class Poll implements Link<Poll> {
  previous: Poll | null = null;
  next: Poll | null = null;

  constructor(
    readonly mailbox: Mailbox,
    readonly slot: number,
    readonly fd: number,
    readonly generation: number,
  ) {}
}

class Mailbox {
  /** Queued messages, the oldest first; null for none, as in most of a million mailboxes. */
  messages: Message[] | null = null;
  bytes = 0;
  /** Polls without a lease, the oldest first. */
  readonly polls = new Chain<Poll>();
  /** The poll that has the lease, and the leased message. */
  holder: Poll | null = null;
  leased: Message | null = null;

  constructor(readonly id: string) {}

  get isEmpty(): boolean {
    return this.messages === null && this.holder === null && this.polls.first === null;
  }
}

/** The address of a poll within its worker. */
type PollAddress = Frames['MailboxNack'];

export class Mailboxes {
  /** By their field in /stats, under `mailboxes`. */
  static readonly METRICS = {
    mailboxes: gauge(
      'mailboxes',
      'Mailboxes of /ID.js: clients that poll or have queued messages.',
      (all: Mailboxes) => all.#mailboxes.size,
    ),
    polls: gauge(
      'mailbox_polls',
      'Polls of /ID.js that wait for a message or write one; each takes about 320 bytes of the ' +
        'manager.',
      (all: Mailboxes) => [...all.#polls.values()].reduce((sum, { size }) => sum + size, 0),
    ),
    messages: gauge(
      'mailbox_messages',
      'Messages in mailboxes, leased ones included. Growth: applications write to clients that ' +
        'left.',
      (all: Mailboxes) => all.#messages,
    ),
    bytes: gauge(
      'mailbox_bytes',
      'Memory of the messages in mailboxes. At 64 MiB the oldest messages are dropped.',
      (all: Mailboxes) => all.#bytes,
    ),
    deliveredTotal: counter(
      'mailbox_delivered_total',
      'Messages put into mailboxes, over --ingest or by the library.',
      (all: Mailboxes) => all.#delivered,
    ),
    ackedTotal: counter(
      'mailbox_acked_total',
      'Messages written completely to a client. In the long run: delivered minus expired and ' +
        'dropped.',
      (all: Mailboxes) => all.#acked,
    ),
    nackedTotal: counter(
      'mailbox_nacked_total',
      'Messages put back because their poll ended first; the next poll gets them. A jump: ' +
        'workers died, or a network broke.',
      (all: Mailboxes) => all.#nacked,
    ),
    expiredTotal: counter(
      'mailbox_expired_total',
      'Messages that no client fetched within --mailbox-time. Raise it if clients reconnect later.',
      (all: Mailboxes) => all.#expired,
    ),
    droppedTotal: counter(
      'mailbox_dropped_total',
      'Messages dropped at a limit: 100 messages of one client, or 64 MiB for all. Applications ' +
        'send faster than clients fetch.',
      (all: Mailboxes) => all.#dropped,
    ),
  };

  readonly #lines: WorkerLines;
  readonly #now: () => number;
  readonly #messageBytesMax: number;
  readonly #timeMs: number;
  readonly #totalBytesMax: number;
  readonly #mailboxes = new Map<string, Mailbox>();
  /** By slot and descriptor. */
  readonly #polls = new Map<number, Map<number, Poll>>();
  /** All messages that are not leased, the oldest first: the order of expiry and eviction. */
  readonly #waiting = new Chain<Message>();
  /** Mailboxes whose next poll is at a worker with too many queued bytes. */
  readonly #blocked = new Set<Mailbox>();
  #messages = 0;
  #bytes = 0;
  #delivered = 0;
  #acked = 0;
  #nacked = 0;
  #expired = 0;
  #dropped = 0;

  /**
   * @param lines - The owner calls retry() when a worker without room has room again.
   * @param now - Milliseconds of a monotonic clock.
   */
  constructor(lines: WorkerLines, now: () => number, options: MailboxOptions) {
    this.#lines = lines;
    this.#now = now;
    this.#messageBytesMax = options.messageBytesMax;
    this.#timeMs = options.timeMs;
    this.#totalBytesMax = options.totalBytesMax ?? MAILBOXES_BYTES_MAX;
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof Mailboxes.METRICS> {
    return valuesOf(Mailboxes.METRICS, this);
  }

  /** Whether a message waits only because a worker has too many queued bytes. */
  get isBlocked(): boolean {
    return this.#blocked.size > 0;
  }

  /**
   * Puts a message into a client's mailbox; a waiting poll gets it at once.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`; `ERR_BUSY` while
   *   leased messages take all the memory.
   */
  deliver(id: string, data: Uint8Array | string): void {
    checkChannel(id);
    checkData(data, this.#messageBytesMax);
    // A copy: the caller's bytes may be part of a larger buffer, or change.
    const bytes = Buffer.from(data as string);
    const cost = bytes.length + MESSAGE_OVERHEAD_BYTES;
    while (this.#bytes + cost > this.#totalBytesMax) {
      const oldest = this.#waiting.first;
      if (oldest === null) {
        throw new MegacometError('ERR_BUSY', 'the mailboxes are full; retry shortly');
      }
      // The oldest message of all is also the first of its mailbox.
      this.#drop(oldest.mailbox);
      this.#dropped++;
      this.#forgetEmpty(oldest.mailbox);
    }
    const mailbox = this.#open(id);
    this.#makeRoom(mailbox, cost);
    const message = new Message(mailbox, bytes, this.#now() + this.#timeMs);
    (mailbox.messages ??= []).push(message);
    mailbox.bytes += cost;
    this.#waiting.push(message);
    this.#messages++;
    this.#bytes += cost;
    this.#delivered++;
    this.#serve(mailbox);
  }

  /** Takes a worker's frame about a poll; other frames are ignored. */
  onFrame(slot: number, frame: Frame): void {
    if (frame.name === 'MailboxPoll') this.#onPoll(slot, frame.fields);
    else if (frame.name === 'MailboxAck') this.#onAck(slot, frame.fields);
    else if (frame.name === 'MailboxNack') this.#onNack(slot, frame.fields);
  }

  /** Ends the polls of a worker that died; leased messages go to the next polls. */
  workerGone(slot: number): void {
    const polls = this.#polls.get(slot);
    if (polls === undefined) return;
    this.#polls.delete(slot);
    // All polls end before a mailbox leases again, so that none gets the message of another.
    for (const poll of polls.values()) this.#release(poll);
    for (const { mailbox } of polls.values()) this.#serve(mailbox);
  }

  /** Drops messages that no client fetched in time. To be called a few times a second. */
  sweep(): void {
    const now = this.#now();
    for (let message = this.#waiting.first; message !== null; message = this.#waiting.first) {
      if (message.expiresAtMs > now) return;
      const { mailbox } = message;
      this.#drop(mailbox);
      this.#expired++;
      this.#forgetEmpty(mailbox);
    }
  }

  /** Serves the mailboxes again whose worker had too many queued bytes. */
  retry(): void {
    const mailboxes = [...this.#blocked];
    this.#blocked.clear();
    for (const mailbox of mailboxes) this.#serve(mailbox);
  }

  // ---- Inside

  #open(id: string): Mailbox {
    let mailbox = this.#mailboxes.get(id);
    if (mailbox === undefined) this.#mailboxes.set(id, (mailbox = new Mailbox(id)));
    return mailbox;
  }

  #forgetEmpty(mailbox: Mailbox): void {
    if (!mailbox.isEmpty) return;
    this.#blocked.delete(mailbox);
    this.#mailboxes.delete(mailbox.id);
  }

  /** Drops the oldest messages of a full mailbox; the newest message always fits. */
  #makeRoom(mailbox: Mailbox, cost: number): void {
    while (mailbox.messages !== null) {
      const isFull = mailbox.messages.length >= MAILBOX_COUNT_MAX;
      if (!isFull && mailbox.bytes + cost <= MAILBOX_BYTES_MAX) return;
      this.#drop(mailbox);
      this.#dropped++;
    }
  }

  /** Removes the first message from its queues. */
  #shift(mailbox: Mailbox): Message | null {
    const message = mailbox.messages?.shift();
    if (message === undefined) return null;
    if (mailbox.messages?.length === 0) mailbox.messages = null;
    mailbox.bytes -= message.cost;
    this.#waiting.remove(message);
    return message;
  }

  /** Removes the first message of a mailbox for good. */
  #drop(mailbox: Mailbox): void {
    const message = this.#shift(mailbox);
    if (message !== null) this.#discount(message);
  }

  #discount(message: Message): void {
    this.#messages--;
    this.#bytes -= message.cost;
  }

  /** Leases the first message to the first poll, if both exist and no lease is open. */
  #serve(mailbox: Mailbox): void {
    if (mailbox.holder !== null) return;
    const now = this.#now();
    while ((mailbox.messages?.[0]?.expiresAtMs ?? Infinity) <= now) {
      this.#drop(mailbox);
      this.#expired++;
    }
    const poll = mailbox.polls.first;
    if (poll === null || mailbox.messages === null) {
      this.#forgetEmpty(mailbox);
      return;
    }
    if (!this.#lines.hasRoom(poll.slot)) {
      this.#blocked.add(mailbox);
      return;
    }
    const message = this.#shift(mailbox);
    if (message === null) return;
    mailbox.polls.remove(poll);
    mailbox.holder = poll;
    mailbox.leased = message;
    const { slot, fd, generation } = poll;
    this.#lines.send(encodeFrame('MailboxLease', { fd, generation, data: message.data }), [slot]);
  }

  #onPoll(slot: number, { fd, generation, name }: Frames['MailboxPoll']): void {
    // Workers check the ids, and end a poll before the same connection begins another.
    if (!isChannel(name)) return;
    let polls = this.#polls.get(slot);
    if (polls === undefined) this.#polls.set(slot, (polls = new Map<number, Poll>()));
    const before = polls.get(fd);
    if (before !== undefined) this.#onNack(slot, before);
    const mailbox = this.#open(name);
    const poll = new Poll(mailbox, slot, fd, generation);
    polls.set(fd, poll);
    mailbox.polls.push(poll);
    this.#serve(mailbox);
  }

  #onAck(slot: number, address: PollAddress): void {
    const poll = this.#end(slot, address);
    if (poll === null) return;
    const { mailbox } = poll;
    if (mailbox.holder === poll && mailbox.leased !== null) {
      this.#discount(mailbox.leased);
      this.#acked++;
      mailbox.holder = null;
      mailbox.leased = null;
    } else {
      this.#release(poll);
    }
    this.#serve(mailbox);
  }

  #onNack(slot: number, address: PollAddress): void {
    const poll = this.#end(slot, address);
    if (poll === null) return;
    this.#release(poll);
    this.#serve(poll.mailbox);
  }

  /** Ends the poll at an address; null if it ended before. */
  #end(slot: number, { fd, generation }: PollAddress): Poll | null {
    const polls = this.#polls.get(slot);
    const poll = polls?.get(fd);
    if (polls === undefined || poll?.generation !== generation) return null;
    polls.delete(fd);
    return poll;
  }

  /** Removes a poll from its mailbox; its leased message returns to the front. */
  #release(poll: Poll): void {
    const { mailbox } = poll;
    if (mailbox.holder !== poll) {
      mailbox.polls.remove(poll);
      return;
    }
    const message = mailbox.leased;
    mailbox.holder = null;
    mailbox.leased = null;
    if (message === null) return;
    this.#nacked++;
    (mailbox.messages ??= []).unshift(message);
    mailbox.bytes += message.cost;
    this.#waiting.unshift(message);
  }
}
