// Messages that wait for the ancestor's clients, and the polls that wait for them.
// One poll at a time has the first message of a mailbox, as a lease: the message leaves when it was
// written whole, and goes back to its place on any other end, the death of a worker included.
import { Chain, type Link } from '../collections/chain.js';
import {
  checkChannel,
  HISTORY_DEFAULT,
  isChannel,
  MAILBOX_TIME_MS_DEFAULT,
  MESSAGE_BYTES_DEFAULT,
  type MailboxCounters,
} from '../ipc/comet.js';
import { MegacometError } from '../base/errors.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frame, Frames } from '../ipc/frames.js';
import type { WorkerLines } from '../ipc/outgoing.js';
import { checkData } from './publishing.js';

export interface MailboxOptions {
  /** Bytes of one message. */
  readonly messageBytesMax?: number | undefined;
  /** Milliseconds that a message waits for its client. */
  readonly timeMs?: number | undefined;
  /** Memory for all messages that wait. */
  readonly totalBytesMax?: number | undefined;
}

/** Messages and bytes of one mailbox: as many as a channel keeps for one that comes back. */
export const MAILBOX_COUNT_MAX = HISTORY_DEFAULT.count;
export const MAILBOX_BYTES_MAX = HISTORY_DEFAULT.bytes;
/** All mailboxes: half of what history may take, beside which they lie in the same process. */
export const MAILBOXES_BYTES_MAX = 64 * 1024 * 1024;
/** What a message costs besides its data: its objects, links, and place in an array. */
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
  /** What waits, the oldest first; null while nothing does, as in most of a million. */
  messages: Message[] | null = null;
  bytes = 0;
  /** Polls that have nothing yet, the one that came first in front. */
  readonly polls = new Chain<Poll>();
  /** The poll that is being answered, and with what. */
  holder: Poll | null = null;
  leased: Message | null = null;

  constructor(readonly id: string) {}

  get isEmpty(): boolean {
    return this.messages === null && this.holder === null && this.polls.first === null;
  }
}

type Place = Frames['MailboxNack'];

export class Mailboxes {
  readonly #lines: WorkerLines;
  readonly #now: () => number;
  readonly #messageBytesMax: number;
  readonly #timeMs: number;
  readonly #totalBytesMax: number;
  readonly #mailboxes = new Map<string, Mailbox>();
  /** By slot and descriptor. */
  readonly #polls = new Map<number, Map<number, Poll>>();
  /** All that wait and are not leased, the oldest first: what expires, or goes for lack of room. */
  readonly #waiting = new Chain<Message>();
  /** Mailboxes whose next poll is with a worker that has too much on its way. */
  readonly #blocked = new Set<Mailbox>();
  readonly #counters = {
    messages: 0,
    bytes: 0,
    deliveredTotal: 0,
    ackedTotal: 0,
    nackedTotal: 0,
    expiredTotal: 0,
    droppedTotal: 0,
  };

  /**
   * @param lines - retry() follows when a worker without room has some again.
   * @param now - Milliseconds that never go back.
   */
  constructor(lines: WorkerLines, now: () => number, options: MailboxOptions = {}) {
    this.#lines = lines;
    this.#now = now;
    this.#messageBytesMax = options.messageBytesMax ?? MESSAGE_BYTES_DEFAULT;
    this.#timeMs = options.timeMs ?? MAILBOX_TIME_MS_DEFAULT;
    this.#totalBytesMax = options.totalBytesMax ?? MAILBOXES_BYTES_MAX;
  }

  get counters(): MailboxCounters {
    let polls = 0;
    for (const ofSlot of this.#polls.values()) polls += ofSlot.size;
    return { ...this.#counters, mailboxes: this.#mailboxes.size, polls };
  }

  /** True while a message waits only for a worker to read. */
  get isBlocked(): boolean {
    return this.#blocked.size > 0;
  }

  /**
   * Puts a message into a client's mailbox; a poll that waits gets it at once.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`; `ERR_BUSY` while all
   *   the memory for messages is taken by such as are being written.
   */
  deliver(id: string, data: Uint8Array | string): void {
    checkChannel(id);
    checkData(data, this.#messageBytesMax);
    // A copy: what came in may be a part of something larger, or change.
    const bytes = Buffer.from(data as string);
    const cost = bytes.length + MESSAGE_OVERHEAD_BYTES;
    while (this.#counters.bytes + cost > this.#totalBytesMax) {
      const oldest = this.#waiting.first;
      if (oldest === null) {
        throw new MegacometError('ERR_BUSY', 'the mailboxes are full: try again in a moment');
      }
      // The first of all is the first of its mailbox too.
      this.#drop(oldest.mailbox);
      this.#counters.droppedTotal++;
      this.#forgetEmpty(oldest.mailbox);
    }
    const mailbox = this.#open(id);
    this.#makeRoom(mailbox, cost);
    const message = new Message(mailbox, bytes, this.#now() + this.#timeMs);
    (mailbox.messages ??= []).push(message);
    mailbox.bytes += cost;
    this.#waiting.push(message);
    this.#counters.messages++;
    this.#counters.bytes += cost;
    this.#counters.deliveredTotal++;
    this.#serve(mailbox);
  }

  /** Takes what a worker says of its polls; other frames are none of its business. */
  onFrame(slot: number, frame: Frame): void {
    if (frame.name === 'MailboxPoll') this.#onTake(slot, frame.fields);
    else if (frame.name === 'MailboxAck') this.#onTaken(slot, frame.fields);
    else if (frame.name === 'MailboxNack') this.#onReturned(slot, frame.fields);
  }

  /** A worker is gone: its polls too, and what they had goes to the next. */
  workerGone(slot: number): void {
    const polls = this.#polls.get(slot);
    if (polls === undefined) return;
    this.#polls.delete(slot);
    // First all of them, so that none is given a message that another had.
    for (const poll of polls.values()) this.#release(poll);
    for (const { mailbox } of polls.values()) this.#serve(mailbox);
  }

  /** Called a few times a second: drops what nobody fetched in time. */
  sweep(): void {
    const now = this.#now();
    for (let message = this.#waiting.first; message !== null; message = this.#waiting.first) {
      if (message.expiresAtMs > now) return;
      const { mailbox } = message;
      this.#drop(mailbox);
      this.#counters.expiredTotal++;
      this.#forgetEmpty(mailbox);
    }
  }

  /** Tries the mailboxes again whose worker had too much on its way. */
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

  /** Drops the oldest of a mailbox that is full; the newest message always finds room. */
  #makeRoom(mailbox: Mailbox, cost: number): void {
    while (mailbox.messages !== null) {
      const isFull = mailbox.messages.length >= MAILBOX_COUNT_MAX;
      if (!isFull && mailbox.bytes + cost <= MAILBOX_BYTES_MAX) return;
      this.#drop(mailbox);
      this.#counters.droppedTotal++;
    }
  }

  /** Takes the first message out of where it waits. */
  #shift(mailbox: Mailbox): Message | null {
    const message = mailbox.messages?.shift();
    if (message === undefined) return null;
    if (mailbox.messages?.length === 0) mailbox.messages = null;
    mailbox.bytes -= message.cost;
    this.#waiting.remove(message);
    return message;
  }

  /** Takes the first message of a mailbox out for good. */
  #drop(mailbox: Mailbox): void {
    const message = this.#shift(mailbox);
    if (message !== null) this.#discount(message);
  }

  #discount(message: Message): void {
    this.#counters.messages--;
    this.#counters.bytes -= message.cost;
  }

  /** Leases the first message to the first poll, if there are both and no other lease. */
  #serve(mailbox: Mailbox): void {
    if (mailbox.holder !== null) return;
    const now = this.#now();
    while ((mailbox.messages?.[0]?.expiresAtMs ?? Infinity) <= now) {
      this.#drop(mailbox);
      this.#counters.expiredTotal++;
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

  #onTake(slot: number, { fd, generation, name }: Frames['MailboxPoll']): void {
    // A worker checks the names that it takes, and ends a poll before it begins another.
    if (!isChannel(name)) return;
    let polls = this.#polls.get(slot);
    if (polls === undefined) this.#polls.set(slot, (polls = new Map<number, Poll>()));
    const before = polls.get(fd);
    if (before !== undefined) this.#onReturned(slot, before);
    const mailbox = this.#open(name);
    const poll = new Poll(mailbox, slot, fd, generation);
    polls.set(fd, poll);
    mailbox.polls.push(poll);
    this.#serve(mailbox);
  }

  #onTaken(slot: number, place: Place): void {
    const poll = this.#end(slot, place);
    if (poll === null) return;
    const { mailbox } = poll;
    if (mailbox.holder === poll && mailbox.leased !== null) {
      this.#discount(mailbox.leased);
      this.#counters.ackedTotal++;
      mailbox.holder = null;
      mailbox.leased = null;
    } else {
      this.#release(poll);
    }
    this.#serve(mailbox);
  }

  #onReturned(slot: number, place: Place): void {
    const poll = this.#end(slot, place);
    if (poll === null) return;
    this.#release(poll);
    this.#serve(poll.mailbox);
  }

  /** The poll at a worker's place, which is over; null if it ended before. */
  #end(slot: number, { fd, generation }: Place): Poll | null {
    const polls = this.#polls.get(slot);
    const poll = polls?.get(fd);
    if (polls === undefined || poll?.generation !== generation) return null;
    polls.delete(fd);
    return poll;
  }

  /** Takes a poll out of its mailbox; what it had goes back to its place. */
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
    this.#counters.nackedTotal++;
    (mailbox.messages ??= []).unshift(message);
    mailbox.bytes += message.cost;
    this.#waiting.unshift(message);
  }
}
