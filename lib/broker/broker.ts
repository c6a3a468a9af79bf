// Order, history and interest of every channel: takes publishes, feeds the workers.
// It knows workers as ports, and nothing of processes; the manager tells it who comes and goes.
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';

import { ClientPublishing, type ClientCounters, type ClientMessage } from './client-publishing.js';
import {
  checkChannel,
  checkLabel,
  cursorStart,
  HISTORY_DEFAULT,
  isChannel,
  isPattern,
  MESSAGE_BYTES_DEFAULT,
  type HistoryLimits,
} from '../ipc/comet.js';
import { MegacometError } from '../base/errors.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import {
  publishBytesMax,
  REPLAY_PAGE_HEAD_BYTES,
  writePublish,
  writeReplayPageHead,
} from '../ipc/frame-writers.js';
import { ReplayPageFlag, type Frame, type Frames } from '../ipc/frames.js';
import { History } from './history.js';
import type { HistoryCounters, HistoryEngine, Question } from './history-engine.js';
import { Idempotency } from './idempotency.js';
import { Interest, type Match } from './interest.js';
import { Mailboxes } from './mailboxes.js';
import { NameHasher } from '../collections/name-hash.js';
import { Outgoing, type WorkerLines } from '../ipc/outgoing.js';
import type { WorkerPort } from '../ipc/worker-port.js';
import { Presence, type ChannelPresence, type MemberEvent } from './presence.js';
import {
  checkData,
  checkOptions,
  ephemeralOf,
  flagsOf,
  limitsOf,
  type ChannelInfo,
  type ChannelPage,
  type ChannelQuery,
  type PublishOptions,
  type Receipt,
} from './publishing.js';
import { Questions, type ReplayRequest } from './replay-requests.js';

export type { ClientMessage } from './client-publishing.js';
export type { WorkerPort } from '../ipc/worker-port.js';
export type { ChannelPresence, MemberEvent } from './presence.js';
export type {
  ChannelInfo,
  ChannelPage,
  ChannelQuery,
  PublishOptions,
  Receipt,
} from './publishing.js';

export interface BrokerOptions {
  /** Workers, 1 to 512. */
  readonly slots: number;
  /** Bytes of one message. */
  readonly messageBytesMax?: number;
  /** What a channel keeps where the publisher does not say; `false` for nothing. */
  readonly history?: HistoryLimits | false;
  /** Memory for the messages of all channels. */
  readonly historyBytesMax?: number;
  /** Milliseconds that a message waits in a client's mailbox. */
  readonly mailboxTimeMs?: number;
}

/** What a test, or another engine, puts in the place of the real thing. */
export interface BrokerParts {
  /** Milliseconds that never go back. */
  readonly now?: () => number;
  /** Runs something at the end of this turn of the loop. */
  readonly schedule?: (run: () => void) => void;
  readonly epoch?: bigint;
  readonly engine?: HistoryEngine;
}

export interface BrokerEvents {
  message: [ClientMessage];
  /** While observe() is on: a subscriber came, and one went. */
  subscribe: [MemberEvent];
  unsubscribe: [MemberEvent];
  /** This worker cannot follow, or does not keep to the protocol: it has to be replaced. */
  overflow: [slot: number];
}

/** Counters of the broker, for stats. Totals since it was made. */
export interface BrokerCounters extends HistoryCounters, ClientCounters {
  /** Messages numbered, and the subscribers that were known for them. */
  readonly publishedTotal: number;
  readonly deliveredTotal: number;
  /** Publishes refused since a worker had too much waiting. */
  readonly busyTotal: number;
  /** Publishes answered from their idempotency key; keys given up for lack of room. */
  readonly duplicatesTotal: number;
  readonly keysEvictedTotal: number;
  /** Pages of missed messages, their bytes, and those that had to say that some are gone. */
  readonly pagesTotal: number;
  readonly pageBytesTotal: number;
  readonly pagesLostTotal: number;
  /** Questions that wait for their page now. */
  readonly questions: number;
  /** Channels with subscribers, patterns, and workers that get everything for lack of room. */
  readonly subscribedChannels: number;
  readonly patterns: number;
  readonly takers: number;
  readonly interestBytes: number;
  /** Workers given up, since they did not read. */
  readonly overflowsTotal: number;
}

/** Pages that one turn makes: 1 to 3 ms, so that publishes do not wait for a crowd of questions. */
const PAGES_PER_TURN = 1024;
/** While more waits for a worker, it gets no further page. */
const PAGES_WAITING_BYTES = 1024 * 1024;
const TICK_MS = 250;
/** Bytes of a reason for closing: what a WebSocket's close frame takes. */
const REASON_BYTES_MAX = 123;
/** Names that one page of channels() looks at. */
const NAMES_PER_PAGE = 50_000;
const CHANNELS_LIMIT = 1000;

/** Where the parts of channels() by history begin; before are those by interest. */
const HISTORY_FROM = 1_000_000;

const NO_OPTIONS: PublishOptions = {};

type OwnCounters = Omit<BrokerCounters, keyof ClientCounters | keyof HistoryCounters>;

function count(): Record<keyof OwnCounters, number> {
  return {
    publishedTotal: 0,
    deliveredTotal: 0,
    busyTotal: 0,
    duplicatesTotal: 0,
    keysEvictedTotal: 0,
    pagesTotal: 0,
    pageBytesTotal: 0,
    pagesLostTotal: 0,
    questions: 0,
    subscribedChannels: 0,
    patterns: 0,
    takers: 0,
    interestBytes: 0,
    overflowsTotal: 0,
  };
}

function checkReason(reason: string): void {
  checkLabel('reason', reason);
  if (Buffer.byteLength(reason) > REASON_BYTES_MAX) {
    throw new MegacometError('ERR_MESSAGE', `a reason takes at most ${REASON_BYTES_MAX} bytes`);
  }
}

export class Broker extends EventEmitter<BrokerEvents> {
  readonly epoch: bigint;
  /** Messages for the ancestor's clients, apart from channels and their history. */
  readonly mailboxes: Mailboxes;
  readonly #messageBytesMax: number;
  readonly #limits: HistoryLimits | null;
  readonly #completeLimits: HistoryLimits;
  readonly #now: () => number;
  readonly #schedule: (run: () => void) => void;
  readonly #cursorStart: string;
  readonly #engine: HistoryEngine;
  readonly #interest: Interest;
  readonly #outgoing: Outgoing;
  readonly #questions = new Questions();
  readonly #lines: WorkerLines = {
    hasRoom: (slot, waitingBytes) => this.#hasRoom(slot, waitingBytes),
    send: (frame, slots) => {
      this.#send(frame, slots);
    },
  };
  readonly #presence = new Presence(this.#lines);
  readonly #clients = new ClientPublishing(this.#lines, (channel, data, options) =>
    this.publish(channel, data, options),
  );
  readonly #keys = new Idempotency();
  readonly #counters = count();
  readonly #flushTurn = (): void => {
    this.#flush();
  };
  #timer: NodeJS.Timeout | undefined;
  #isScheduled = false;
  #isClosed = false;
  /** The time, read once a turn. */
  #nowMs: number;

  constructor(options: BrokerOptions, parts: BrokerParts = {}) {
    super();
    this.#messageBytesMax = options.messageBytesMax ?? MESSAGE_BYTES_DEFAULT;
    this.#completeLimits =
      options.history === false ? HISTORY_DEFAULT : (options.history ?? HISTORY_DEFAULT);
    this.#limits = options.history === false ? null : this.#completeLimits;
    this.#now = parts.now ?? ((): number => performance.now());
    this.#schedule = parts.schedule ?? setImmediate;
    this.#nowMs = this.#now();
    const hasher = new NameHasher();
    this.#engine =
      parts.engine ??
      new History({
        epoch: parts.epoch ?? randomBytes(8).readBigUInt64LE(),
        now: () => this.#nowMs,
        hasher,
        ...(options.historyBytesMax === undefined ? {} : { bytesMax: options.historyBytesMax }),
      });
    this.epoch = this.#engine.epoch;
    this.#cursorStart = cursorStart(this.epoch);
    this.#interest = new Interest({ slots: options.slots, hasher });
    this.#outgoing = new Outgoing((slot) => {
      this.#giveUp(slot);
    });
    const { messageBytesMax, mailboxTimeMs: timeMs } = options;
    this.mailboxes = new Mailboxes(this.#lines, this.#now, { messageBytesMax, timeMs });
  }

  /** Begins to look after what grows old. Holds no process back from ending. */
  start(): void {
    this.#timer = setInterval(() => {
      this.tick();
    }, TICK_MS).unref();
  }

  /** Sends what waits; nothing is taken in afterwards. */
  close(): void {
    clearInterval(this.#timer);
    this.#flush();
    this.#isClosed = true;
  }

  get counters(): BrokerCounters {
    const { channels, patterns, takers, memoryBytes } = this.#interest;
    return {
      ...this.#counters,
      ...this.#clients.counters,
      ...this.#engine.counters,
      keysEvictedTotal: this.#keys.evicted,
      questions: this.#questions.length,
      subscribedChannels: channels,
      patterns,
      takers,
      interestBytes: memoryBytes,
    };
  }

  // ---- Workers

  /** A worker is there, with nobody subscribed. Its control stream has to be empty. */
  attach(port: WorkerPort): void {
    if (this.#outgoing.slots().includes(port.slot)) this.workerGone(port.slot);
    this.#outgoing.attach(port);
    this.#presence.attach(port.slot);
  }

  /** A worker is gone, and its subscribers with it. */
  workerGone(slot: number): void {
    this.#interest.drop(slot);
    this.#questions.drop(slot);
    this.#outgoing.detach(slot);
    this.#presence.workerGone(slot);
    this.mailboxes.workerGone(slot);
  }

  /** A worker has taken all that waited for it. Pages go on at once instead of within 250 ms. */
  drained(): void {
    if (this.#questions.isBlocked || this.mailboxes.isBlocked) this.#beginIteration();
  }

  /** Takes what a worker says; frames that are not the broker's are none of its business. */
  onFrame(slot: number, frame: Frame): void {
    switch (frame.name) {
      case 'Interest':
        this.#onInterest(slot, frame.fields);
        return;
      case 'ReplayRequest':
        this.#onAsk(slot, frame.fields);
        return;
      case 'Message': {
        const message = this.#clients.take(slot, frame.fields);
        if (message !== null) this.emit('message', message);
        return;
      }
      case 'Presence': {
        const event = this.#presence.eventOf(slot, frame.fields);
        this.emit(frame.fields.there === 1 ? 'subscribe' : 'unsubscribe', event);
        return;
      }
      case 'Present':
        this.#presence.onPresent(slot, frame.fields);
        return;
      default:
        this.mailboxes.onFrame(slot, frame);
    }
  }

  /** Called a few times a second by start(). */
  tick(): void {
    this.#nowMs = this.#now();
    this.#engine.sweep();
    this.#keys.sweep(this.#nowMs);
    this.mailboxes.sweep();
    this.drained();
  }

  // ---- What an application asks

  /**
   * Numbers a message, keeps it, and sends it to the workers concerned at the end of the turn.
   *
   * @param data - A string goes out as text; bytes go out as bytes, unless `binary` is false.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`; `ERR_BUSY` when a
   *   worker with subscribers cannot follow, and a later try may succeed; `ERR_NOT_RUNNING`.
   */
  publish(
    channel: string,
    data: Uint8Array | string,
    options: PublishOptions = NO_OPTIONS,
  ): Receipt {
    if (this.#isClosed) throw new MegacometError('ERR_NOT_RUNNING', 'the server is not running');
    checkChannel(channel);
    checkData(data, this.#messageBytesMax);
    if (options !== NO_OPTIONS) checkOptions(options);
    const limits = limitsOf(options.history, this.#limits, this.#completeLimits);
    const flags = flagsOf(data, options) | ephemeralOf(options, limits, this.#completeLimits);
    if (!this.#isScheduled) this.#nowMs = this.#now();
    const key = options.idempotencyKey;
    if (key !== undefined) {
      const first = this.#keys.find(channel, key, this.#nowMs);
      if (first !== null) {
        this.#counters.duplicatesTotal++;
        const cursor = this.#cursorStart + String(first.number);
        return { cursor, delivered: first.delivered, duplicate: true };
      }
    }
    const match = this.#interest.match(channel);
    this.#refuseIfBusy(match);
    const delivered = match.subscribers;
    const number = this.#engine.head + 1;
    this.#write(channel, data, flags, limits, options, match);
    if (key !== undefined) this.#keys.add(channel, key, this.#nowMs, { number, delivered });
    this.#counters.publishedTotal++;
    this.#counters.deliveredTotal += delivered;
    return { cursor: this.#cursorStart + String(number), delivered };
  }

  /** Subscriptions of exactly this channel or pattern, at most 100 ms old. */
  subscribers(channel: string): number {
    return this.#interest.subscribers(channel);
  }

  /**
   * Closes every subscriber of a channel, or of a pattern.
   *
   * @returns Subscribers known.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE` for a reason of more than 123 bytes.
   */
  kick(channel: string, reason = ''): number {
    if (!isPattern(channel)) checkChannel(channel);
    this.#sendKick(channel, reason, this.#interest.workersFor(channel));
    return this.#interest.subscribers(channel);
  }

  /**
   * Closes one connection.
   *
   * @returns False if the name is that of nobody who is there.
   * @throws MegacometError `ERR_MESSAGE` for a reason of more than 123 bytes.
   */
  kickMember(member: string, reason = ''): boolean {
    checkReason(reason);
    const place = this.#presence.placeOf(member);
    if (place === null) return false;
    const { slot, fd, generation } = place;
    this.#send(encodeFrame('Disconnect', { fd, generation, reason }), [slot]);
    return true;
  }

  /** Whether the events `subscribe` and `unsubscribe` come: a worker sends none otherwise. */
  observe(arePresenceEventsOn: boolean): void {
    this.#presence.observe(arePresenceEventsOn);
  }

  /**
   * The connections that subscribe to exactly this channel or pattern, asked of the workers.
   *
   * @param limit - Members at most; by default 10,000.
   * @throws MegacometError `ERR_CHANNEL`; `ERR_BUSY` while too many ask; `ERR_NOT_RUNNING`.
   */
  async presence(channel: string, limit?: number): Promise<ChannelPresence> {
    if (this.#isClosed) throw new MegacometError('ERR_NOT_RUNNING', 'the server is not running');
    if (!isPattern(channel)) checkChannel(channel);
    if (this.#presence.isBusy) {
      throw new MegacometError('ERR_BUSY', 'too many ask for presence: ask again in a moment');
    }
    const subscribers = (): number => this.#interest.subscribers(channel);
    return this.#presence.ask(channel, this.#interest.workersFor(channel), subscribers, limit);
  }

  /** Closes every connection. @throws MegacometError `ERR_MESSAGE`. */
  kickAll(reason = ''): void {
    this.#sendKick('', reason, this.#outgoing.slots());
  }

  /** Channels with subscribers or history, in no order, some at a time. */
  channels({ prefix = '', limit = CHANNELS_LIMIT, from = 0 }: ChannelQuery = {}): ChannelPage {
    const channels: ChannelInfo[] = [];
    let next: number | null = from;
    for (let seen = 0; next !== null && seen < NAMES_PER_PAGE && channels.length < limit;) {
      const part = this.#listPart(next);
      for (const info of part.channels) {
        if (info.channel.startsWith(prefix)) channels.push(info);
      }
      seen += 1 + part.channels.length;
      ({ next } = part);
    }
    return { channels, next };
  }

  // ---- Inside

  /** One part of the list: first by interest, then what has nothing but history. */
  #listPart(from: number): { channels: readonly ChannelInfo[]; next: number | null } {
    if (from < HISTORY_FROM) {
      const { channels, next } = this.#interest.list(from);
      return {
        channels: channels.map(({ channel, subscribers }) => ({
          channel,
          subscribers,
          ...(this.#engine.describe(channel) ?? { messages: 0, bytes: 0 }),
        })),
        next: next ?? HISTORY_FROM,
      };
    }
    const { names, next } = this.#engine.names(from - HISTORY_FROM);
    return {
      channels: names
        .filter((channel) => this.#interest.subscribers(channel) === 0)
        .map((channel) => ({
          channel,
          subscribers: 0,
          ...(this.#engine.describe(channel) ?? { messages: 0, bytes: 0 }),
        })),
      next: next === null ? null : next + HISTORY_FROM,
    };
  }

  #refuseIfBusy(match: Match): void {
    for (let index = 0; index < match.length; index++) {
      const slot = match.slots[index] ?? 0;
      if (!this.#outgoing.isBusy(slot)) continue;
      this.#counters.busyTotal++;
      throw new MegacometError(
        'ERR_BUSY',
        `worker ${slot} has too much waiting to be sent: publish again in a moment`,
      );
    }
  }

  #write(
    channel: string,
    data: Uint8Array | string,
    flags: number,
    limits: HistoryLimits | null,
    options: PublishOptions,
    match: Match,
  ): void {
    const { id = '', event = '', spreadMs = 0 } = options;
    const outgoing = this.#outgoing;
    const start = outgoing.room(publishBytesMax(channel, id, event, data));
    let end = start;
    if (match.length > 0 || limits !== null) {
      const number = this.#engine.head + 1;
      end = writePublish(outgoing.chunk, start, number, flags, spreadMs, channel, id, event, data);
    }
    this.#engine.append(channel, outgoing.chunk, start, end, limits, options.ttlMs);
    if (match.length === 0) return;
    outgoing.keep(end);
    for (let index = 0; index < match.length; index++) {
      outgoing.add(match.slots[index] ?? 0, start, end);
    }
    this.#beginIteration();
  }

  #sendKick(channel: string, reason: string, slots: readonly number[]): void {
    checkReason(reason);
    this.#send(encodeFrame('Kick', { channel, reason }), slots);
  }

  /** Whether a worker can take more of what could as well be sent later. */
  #hasRoom(slot: number, waitingBytes = PAGES_WAITING_BYTES): boolean {
    return this.#outgoing.queuedBytes(slot) < waitingBytes;
  }

  #send(frame: Buffer, slots: readonly number[]): void {
    const start = this.#outgoing.room(frame.length);
    frame.copy(this.#outgoing.chunk, start);
    this.#outgoing.keep(start + frame.length);
    for (const slot of slots) this.#outgoing.add(slot, start, start + frame.length);
    this.#beginIteration();
  }

  #onInterest(slot: number, { channel, count: subscribers, wanted }: Frames['Interest']): void {
    // A worker checks the names that it takes; one that does not would harm the tables.
    if (!isPattern(channel) && !isChannel(channel)) return;
    this.#interest.set(slot, channel, subscribers, wanted === 1);
  }

  #onAsk(slot: number, ask: ReplayRequest): void {
    this.#beginIteration();
    if (ask.hasSince === 0 && this.#hasRoom(slot)) {
      // Who begins now is counted from now on, so the next publish of this turn is for him.
      this.#answer(slot, ask);
    } else if (!this.#questions.add(slot, ask)) {
      this.#giveUp(slot);
    }
  }

  #giveUp(slot: number): void {
    this.#counters.overflowsTotal++;
    this.emit('overflow', slot);
  }

  #beginIteration(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    this.#schedule(this.#flushTurn);
  }

  /** Ends a turn: what was published goes first, then the pages of what was missed. */
  #flush(): void {
    this.#isScheduled = false;
    this.#nowMs = this.#now();
    this.#questions.unblock();
    this.mailboxes.retry();
    const hasMore = this.#questions.answer(
      PAGES_PER_TURN,
      (slot) => this.#hasRoom(slot),
      (slot, ask) => {
        this.#answer(slot, ask);
      },
    );
    this.#outgoing.flush();
    if (hasMore) this.#beginIteration();
  }

  #answer(slot: number, ask: ReplayRequest): void {
    const question: Question = {
      channels: ask.channels,
      since: ask.hasSince === 0 ? null : { epoch: ask.epoch, number: ask.number },
      bytesMax: ask.bytesMax,
    };
    const page = this.#engine.page(question);
    const flags = (page.isLast ? ReplayPageFlag.last : 0) | (page.isLost ? ReplayPageFlag.lost : 0);
    const start = this.#outgoing.room(REPLAY_PAGE_HEAD_BYTES + page.size);
    const messagesAt = writeReplayPageHead(
      this.#outgoing.chunk,
      start,
      ask.fd,
      ask.generation,
      flags,
      page.lastNumber,
      page.size,
    );
    page.copyTo(this.#outgoing.chunk, messagesAt);
    this.#outgoing.keep(messagesAt + page.size);
    this.#outgoing.add(slot, start, messagesAt + page.size);
    this.#counters.pagesTotal++;
    this.#counters.pageBytesTotal += page.size;
    if (page.isLost) this.#counters.pagesLostTotal++;
  }
}
