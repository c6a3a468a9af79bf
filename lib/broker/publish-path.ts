// One publish: checks the message, numbers it, appends it to the history, and queues its frame for
// the workers that have subscribers.
import { counter } from '../base/metric.js';
import { MegacometError } from '../base/errors.js';
import { publishBytesMax, writePublish } from '../ipc/frame-writers.js';
import type { Outgoing } from '../ipc/outgoing.js';
import { checkChannel } from '../base/channel-name.js';
import { cursorStart } from './cursor.js';
import type { HistoryEngine } from './history-engine.js';
import type { HistoryLimits } from './history-limits.js';
import { Idempotency } from './idempotency.js';
import type { Interest, Match } from './interest.js';
import type { LoopIteration } from './loop-iteration.js';
import { Namespaces, usualRules, type ChannelRules, type RulesByPattern } from './namespaces.js';
import type { PublishRecord } from './publish-record.js';
import {
  checkData,
  checkOptions,
  ephemeralOf,
  flagsOf,
  limitsOf,
  type PublishOptions,
  type Receipt,
} from './publishing.js';

/** The options of a server that apply to every publish. */
export interface PublishRules {
  /** Bytes of one message. */
  readonly messageBytesMax: number;
  /** History limits of a publish without its own; null keeps nothing. */
  readonly history: HistoryLimits | null;
  /** Limits for the members of `history` that a publisher leaves out. */
  readonly historyDefaults: HistoryLimits;
  /** Other rules, by pattern of channels; default: none. */
  readonly namespaces?: RulesByPattern;
}

export interface PublishPathParts {
  readonly engine: HistoryEngine;
  /** Shares its NameHasher with the engine: a channel's name is hashed once for both. */
  readonly interest: Interest;
  readonly outgoing: Outgoing;
  readonly iteration: LoopIteration;
}

const NO_OPTIONS: PublishOptions = {};

export class PublishPath {
  static readonly METRICS = {
    messagesPublishedTotal: counter(
      'messages_published_total',
      'Messages that were numbered and sent. The rate is the load of the application.',
      (path: PublishPath) => path.#published,
    ),
    pushRecipientsTotal: counter(
      'push_recipients_total',
      'Subscribers known when their messages were published. Compare with delivered_total, which ' +
        'counts the messages that workers delivered.',
      (path: PublishPath) => path.#recipients,
    ),
    publishesBusyTotal: counter(
      'publishes_busy_total',
      'Publishes rejected with ERR_BUSY or 429, because a worker reads too slowly. ' +
        'Publish slower, or find the cause in that worker.',
      (path: PublishPath) => path.#busy,
    ),
    publishesDuplicateTotal: counter(
      'publishes_duplicate_total',
      'Publishes answered from their idempotency key. Many mean publishers that retry needlessly.',
      (path: PublishPath) => path.#duplicates,
    ),
    idempotencyKeysEvictedTotal: counter(
      'idempotency_keys_evicted_total',
      'Idempotency keys evicted within five minutes, for lack of memory: a retry with such a key ' +
        'is published twice. Publish fewer keys.',
      (path: PublishPath) => path.#keys.evicted,
    ),
  };

  readonly #messageBytesMax: number;
  /** The limits that recent-message caches of workers assume. */
  readonly #historyDefaults: HistoryLimits;
  readonly #engine: HistoryEngine;
  readonly #interest: Interest;
  readonly #outgoing: Outgoing;
  readonly #iteration: LoopIteration;
  #cursorStart: string;
  readonly #keys = new Idempotency();
  readonly #usual: ChannelRules;
  #namespaces: Namespaces;
  #published = 0;
  #recipients = 0;
  #busy = 0;
  #duplicates = 0;

  constructor(rules: PublishRules, { engine, interest, outgoing, iteration }: PublishPathParts) {
    this.#messageBytesMax = rules.messageBytesMax;
    this.#historyDefaults = rules.historyDefaults;
    this.#usual = usualRules(rules.history, rules.historyDefaults);
    this.#namespaces = new Namespaces(this.#usual, rules.namespaces);
    this.#engine = engine;
    this.#interest = interest;
    this.#outgoing = outgoing;
    this.#iteration = iteration;
    this.#cursorStart = cursorStart(engine.epoch);
  }

  get namespaces(): Namespaces {
    return this.#namespaces;
  }

  /** Cursors have the present epoch of the engine from now on. */
  epochChanged(): void {
    this.#cursorStart = cursorStart(this.#engine.epoch);
  }

  /** Replaces the rules of all namespaces, from the next message on. */
  setNamespaces(rules: RulesByPattern): void {
    this.#namespaces = new Namespaces(this.#usual, rules);
  }

  /**
   * Checks a publish, and resolves its options.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`.
   */
  check(
    channel: string,
    data: Uint8Array | string,
    options: PublishOptions = NO_OPTIONS,
  ): PublishRecord {
    checkChannel(channel);
    checkData(data, this.#messageBytesMax);
    if (options !== NO_OPTIONS) checkOptions(options);
    const rules = this.#namespaces.of(channel);
    const limits = limitsOf(options.history, rules.history, rules.historyDefaults);
    const flags = flagsOf(data, options, rules.policy) | this.#ephemeralOf(options, rules, limits);
    const { id = '', event = '', spreadMs = rules.spreadMs, ttlMs, idempotencyKey: key } = options;
    return { channel, data, flags, spreadMs, id, event, limits, ttlMs, key };
  }

  /** Publishes without a log: see Broker.publish(). */
  publish(channel: string, data: Uint8Array | string, options?: PublishOptions): Receipt {
    const record = this.check(channel, data, options);
    this.#iteration.begin();
    const { nowMs } = this.#iteration;
    const first = this.#duplicateOf(record, nowMs);
    if (first !== null) return first;
    const match = this.#interest.match(channel);
    this.#rejectIfBusy(match);
    return this.#add(record, this.#engine.head + 1, nowMs, match);
  }

  /** @throws MegacometError `ERR_BUSY` if a worker with subscribers of the channel reads too slowly. */
  checkNotBusy(channel: string): void {
    this.#rejectIfBusy(this.#interest.match(channel));
  }

  /**
   * Publishes a record of the log: the same record, number and time do the same on every node.
   *
   * @param atMs - Time of the record by the broker's clock.
   */
  apply(record: PublishRecord, number: number, atMs: number): Receipt {
    const first = this.#duplicateOf(record, atMs);
    if (first !== null) return first;
    return this.#add(record, number, atMs, this.#interest.match(record.channel));
  }

  #add(record: PublishRecord, number: number, atMs: number, match: Match): Receipt {
    const { channel, data, flags, spreadMs, id, event, limits, key } = record;
    const delivered = match.subscribers;
    const outgoing = this.#outgoing;
    const start = outgoing.room(publishBytesMax(channel, id, event, data));
    const end =
      match.length > 0 || limits !== null
        ? writePublish(outgoing.chunk, start, number, flags, spreadMs, channel, id, event, data)
        : start;
    this.#engine.append(number, atMs, channel, outgoing.chunk, start, end, limits, record.ttlMs);
    this.#queue(start, end, match);
    if (key !== undefined) this.#keys.add(channel, key, atMs, { number, delivered });
    this.#published++;
    this.#recipients += delivered;
    return { cursor: this.#cursorStart + String(number), delivered };
  }

  /**
   * Sends a text that no history keeps. A client that resumes after it misses nothing else.
   *
   * @throws MegacometError `ERR_BUSY`.
   */
  announce(channel: string, data: string, event: string): void {
    this.#iteration.begin();
    const match = this.#interest.match(channel);
    if (match.length === 0) return;
    this.#rejectIfBusy(match);
    this.#announce(channel, data, event, this.#engine.head + 1, match);
  }

  /** The same for a record of the log. */
  applyAnnouncement(channel: string, data: string, event: string, number: number): void {
    this.#announce(channel, data, event, number, this.#interest.match(channel));
  }

  #announce(channel: string, data: string, event: string, number: number, match: Match): void {
    const { spreadMs, policy } = this.#namespaces.of(channel);
    const flags = flagsOf(data, NO_OPTIONS, policy);
    const outgoing = this.#outgoing;
    const start = outgoing.room(publishBytesMax(channel, '', event, data));
    const { chunk } = outgoing;
    const end = writePublish(chunk, start, number, flags, spreadMs, channel, '', event, data);
    this.#engine.skip(number);
    this.#queue(start, end, match);
  }

  /** Forgets idempotency keys that are too old. */
  sweep(): void {
    this.#keys.sweep(this.#iteration.nowMs);
  }

  /** The receipt of the first publish with the key; null without a key, or with a new one. */
  #duplicateOf({ channel, key }: PublishRecord, nowMs: number): Receipt | null {
    const first = key === undefined ? null : this.#keys.find(channel, key, nowMs);
    if (first === null) return null;
    this.#duplicates++;
    const cursor = this.#cursorStart + String(first.number);
    return { cursor, delivered: first.delivered, duplicate: true };
  }

  #rejectIfBusy(match: Match): void {
    for (let index = 0; index < match.length; index++) {
      const slot = match.slots[index] ?? 0;
      if (!this.#outgoing.isBusy(slot)) continue;
      this.#busy++;
      throw new MegacometError(
        'ERR_BUSY',
        `worker ${slot} has too many queued messages; retry shortly`,
      );
    }
  }

  /** Only the limits of a publisher or of a namespace can be below those that workers assume. */
  #ephemeralOf(options: PublishOptions, rules: ChannelRules, limits: HistoryLimits | null): number {
    const { history, ttlMs } = options;
    if (ttlMs === undefined && history === undefined && rules === this.#usual) return 0;
    return ephemeralOf(ttlMs, limits, this.#historyDefaults);
  }

  #queue(start: number, end: number, match: Match): void {
    if (match.length === 0) return;
    this.#outgoing.keep(end);
    for (let index = 0; index < match.length; index++) {
      this.#outgoing.add(match.slots[index] ?? 0, start, end);
    }
    this.#iteration.scheduleFlush();
  }
}
