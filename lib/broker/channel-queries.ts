// Queries about channels: their subscribers, their history, and the list of them.
import { invalidValue } from '../base/call-check.js';
import { ChannelList } from './channel-list.js';
import { checkNameOrPattern } from './client-orders.js';
import { parseCursor } from './cursor.js';
import type { HistoryEngine } from './history-engine.js';
import {
  HISTORY_LIMIT,
  HistoryReader,
  type ChannelHistoryPage,
  type HistoryQuery,
  type HistorySelection,
} from './history-reader.js';
import type { Interest } from './interest.js';
import type { LoopIteration } from './loop-iteration.js';
import type { GatheredPresence, Presence } from './presence.js';
import type { ChannelPage, ChannelQuery } from './publishing.js';

export interface ChannelQueriesParts {
  readonly engine: HistoryEngine;
  readonly interest: Interest;
  readonly presence: Presence;
  readonly iteration: LoopIteration;
}

export class ChannelQueries {
  readonly #interest: Interest;
  readonly #presence: Presence;
  readonly #iteration: LoopIteration;
  readonly #history: HistoryReader;
  readonly #list: ChannelList;

  constructor({ engine, interest, presence, iteration }: ChannelQueriesParts) {
    this.#interest = interest;
    this.#presence = presence;
    this.#iteration = iteration;
    this.#history = new HistoryReader(engine);
    this.#list = new ChannelList(interest, engine);
  }

  /** @throws MegacometError `ERR_CHANNEL` for a channel without presence; `ERR_NOT_RUNNING`. */
  checkPresence(channel: string): void {
    this.#iteration.checkOpen();
    checkNameOrPattern(channel);
    this.#presence.checkIsOnFor(channel);
  }

  /**
   * The connections of this node that subscribe to exactly this channel or pattern, as the workers
   * report them.
   *
   * @param limit - Members at most; by default 10,000.
   * @throws MegacometError `ERR_CHANNEL`; `ERR_BUSY` while 64 queries run; `ERR_NOT_RUNNING`.
   */
  async gatherPresence(channel: string, limit?: number): Promise<GatheredPresence> {
    this.checkPresence(channel);
    const subscribers = (): number => this.#interest.subscribers(channel);
    return this.#presence.query(channel, this.#interest.workersFor(channel), subscribers, limit);
  }

  /**
   * One page of the history of a channel or pattern.
   *
   * @throws MegacometError `ERR_CHANNEL`; `ERR_OPTION_INVALID` for `since`; `ERR_NOT_RUNNING`.
   */
  history(
    channel: string,
    { since, limit = HISTORY_LIMIT }: HistoryQuery = {},
  ): ChannelHistoryPage {
    this.#iteration.checkOpen();
    checkNameOrPattern(channel);
    const cursor = since === undefined ? null : parseCursor(since);
    if (since !== undefined && cursor === null) {
      throw invalidValue('history: since', since, 'a cursor');
    }
    return this.#history.read({ channel, since: cursor, limit });
  }

  /** A page of history for a request whose fields are checked. */
  read(selection: HistorySelection): ChannelHistoryPage {
    return this.#history.read(selection);
  }

  /** Channels with subscribers or history, in no order, page by page. */
  channels(query?: ChannelQuery): ChannelPage {
    return this.#list.page(query);
  }
}
