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
  readonly #cursorStart: string;
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

  /** Replaces the rules of all namespaces, from the next message on. */
  setNamespaces(rules: RulesByPattern): void {
    this.#namespaces = new Namespaces(this.#usual, rules);
  }

  /** See Broker.publish(). */
  publish(
    channel: string,
    data: Uint8Array | string,
    options: PublishOptions = NO_OPTIONS,
  ): Receipt {
    checkChannel(channel);
    checkData(data, this.#messageBytesMax);
    if (options !== NO_OPTIONS) checkOptions(options);
    const rules = this.#namespaces.of(channel);
    const limits = limitsOf(options.history, rules.history, rules.historyDefaults);
    const flags = flagsOf(data, options, rules.policy) | this.#ephemeralOf(options, rules, limits);
    this.#iteration.begin();
    const key = options.idempotencyKey;
    const first = key === undefined ? null : this.#duplicateOf(channel, key);
    if (first !== null) return first;
    const match = this.#interest.match(channel);
    this.#rejectIfBusy(match);
    const delivered = match.subscribers;
    const number = this.#engine.head + 1;
    const { id = '', event = '', spreadMs = rules.spreadMs } = options;
    const outgoing = this.#outgoing;
    const start = outgoing.room(publishBytesMax(channel, id, event, data));
    const end =
      match.length > 0 || limits !== null
        ? writePublish(outgoing.chunk, start, number, flags, spreadMs, channel, id, event, data)
        : start;
    this.#engine.append(channel, outgoing.chunk, start, end, limits, options.ttlMs);
    this.#queue(start, end, match);
    if (key !== undefined) {
      this.#keys.add(channel, key, this.#iteration.nowMs, { number, delivered });
    }
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
    const { spreadMs, policy } = this.#namespaces.of(channel);
    const flags = flagsOf(data, NO_OPTIONS, policy);
    const outgoing = this.#outgoing;
    const start = outgoing.room(publishBytesMax(channel, '', event, data));
    const number = this.#engine.head + 1;
    const { chunk } = outgoing;
    const end = writePublish(chunk, start, number, flags, spreadMs, channel, '', event, data);
    this.#engine.skip();
    this.#queue(start, end, match);
  }

  /** Forgets idempotency keys that are too old. */
  sweep(): void {
    this.#keys.sweep(this.#iteration.nowMs);
  }

  /** The receipt of the first publish with a key; null if the key is new. */
  #duplicateOf(channel: string, key: string): Receipt | null {
    const first = this.#keys.find(channel, key, this.#iteration.nowMs);
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
