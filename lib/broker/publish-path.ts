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

  readonly #rules: PublishRules;
  readonly #engine: HistoryEngine;
  readonly #interest: Interest;
  readonly #outgoing: Outgoing;
  readonly #iteration: LoopIteration;
  readonly #cursorStart: string;
  readonly #keys = new Idempotency();
  #published = 0;
  #recipients = 0;
  #busy = 0;
  #duplicates = 0;

  constructor(rules: PublishRules, { engine, interest, outgoing, iteration }: PublishPathParts) {
    this.#rules = rules;
    this.#engine = engine;
    this.#interest = interest;
    this.#outgoing = outgoing;
    this.#iteration = iteration;
    this.#cursorStart = cursorStart(engine.epoch);
  }

  /** See Broker.publish(). */
  publish(
    channel: string,
    data: Uint8Array | string,
    options: PublishOptions = NO_OPTIONS,
  ): Receipt {
    const { messageBytesMax, history, historyDefaults } = this.#rules;
    checkChannel(channel);
    checkData(data, messageBytesMax);
    if (options !== NO_OPTIONS) checkOptions(options);
    const limits = limitsOf(options.history, history, historyDefaults);
    const flags = flagsOf(data, options) | ephemeralOf(options, limits, historyDefaults);
    this.#iteration.begin();
    const key = options.idempotencyKey;
    const first = key === undefined ? null : this.#duplicateOf(channel, key);
    if (first !== null) return first;
    const match = this.#interest.match(channel);
    this.#rejectIfBusy(match);
    const delivered = match.subscribers;
    const number = this.#engine.head + 1;
    this.#write(channel, data, flags, limits, options, match);
    if (key !== undefined) {
      this.#keys.add(channel, key, this.#iteration.nowMs, { number, delivered });
    }
    this.#published++;
    this.#recipients += delivered;
    return { cursor: this.#cursorStart + String(number), delivered };
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
    this.#iteration.scheduleFlush();
  }
}
