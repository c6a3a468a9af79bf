// The channels that have subscribers or history, page by page.
import { NamePattern } from '../base/name-pattern.js';
import type { HistoryEngine } from './history-engine.js';
import type { Interest } from './interest.js';
import type { ChannelInfo, ChannelPage, ChannelQuery } from './publishing.js';

/** Names that one page looks at. */
export const NAMES_PER_PAGE = 50_000;
export const CHANNELS_LIMIT = 1000;

const NO_HISTORY = { messages: 0, bytes: 0 };

interface Part {
  readonly channels: readonly ChannelInfo[];
  readonly next: number | null;
}

/** Whether a query lists a channel. */
export function channelFilter({
  prefix = '',
  pattern,
}: Pick<ChannelQuery, 'pattern' | 'prefix'>): (channel: string) => boolean {
  const wanted = pattern === undefined ? null : new NamePattern(pattern);
  return (channel) => channel.startsWith(prefix) && wanted?.covers(channel) !== false;
}

export class ChannelList {
  readonly #interest: Interest;
  readonly #engine: HistoryEngine;

  constructor(interest: Interest, engine: HistoryEngine) {
    this.#interest = interest;
    this.#engine = engine;
  }

  page(query: ChannelQuery = {}): ChannelPage {
    const { limit = CHANNELS_LIMIT, from = 0 } = query;
    const isWanted = channelFilter(query);
    const channels: ChannelInfo[] = [];
    let next: number | null = from;
    for (let seen = 0; next !== null && seen < NAMES_PER_PAGE && channels.length < limit;) {
      const part = this.#part(next);
      for (const info of part.channels) {
        if (isWanted(info.channel)) channels.push(info);
      }
      seen += 1 + part.channels.length;
      ({ next } = part);
    }
    return { channels, next, isComplete: true };
  }

  /** One part: those of the interest table come first, then those that have only history. */
  #part(from: number): Part {
    const { listParts } = this.#interest;
    return from < listParts ? this.#subscribed(from) : this.#kept(from - listParts);
  }

  #subscribed(part: number): Part {
    const channels = this.#interest.list(part).map((count) => ({
      ...count,
      ...(this.#engine.describe(count.channel) ?? NO_HISTORY),
    }));
    return { channels, next: part + 1 };
  }

  #kept(from: number): Part {
    const { names, next } = this.#engine.names(from);
    const channels = names
      .filter((channel) => this.#interest.subscribers(channel) === 0)
      .map((channel) => ({
        channel,
        subscribers: 0,
        ...(this.#engine.describe(channel) ?? NO_HISTORY),
      }));
    return { channels, next: next === null ? null : this.#interest.listParts + next };
  }
}
