// The channels of a cluster, page by page. The names with subscribers come first, node by node in the
// order of the names of nodes, then those with nothing but history, which is the same on every node.
// A node lists its names; the subscribers of a page's names are asked of all nodes. A name belongs to
// the first node that has subscribers of it, so that it is listed once.
import { channelFilter, CHANNELS_LIMIT, NAMES_PER_PAGE } from './channel-list.js';
import { ANSWER_BYTES_MAX } from './cluster-presence.js';
import type { HistoryEngine } from './history-engine.js';
import type { Interest } from './interest.js';
import type { JsonObject } from './log-json.js';
import type { Answers, AskOptions } from './log-questions.js';
import type { ChannelInfo, ChannelPage, ChannelQuery } from './publishing.js';

/**
 * A position is a place, a part and an offset in it: 11, 10 and 32 bits for names with subscribers.
 * Parts of the history are short and many: 29 and 13 bits.
 */
const PLACE = 2 ** 42;
const SUBSCRIBED_PART = 2 ** 32;
const KEPT_PART = 2 ** 13;
/** The place after those of all nodes. */
const KEPT_PLACE = 2047;
/** Quotes and comma of a name. */
const NAME_BYTES = 3;

/** The parts of a broker that it uses. */
export interface ClusterChannelsParts {
  readonly interest: Interest;
  readonly engine: HistoryEngine;
  /** The name of this node. */
  readonly node: string;
  /** The names of all nodes that live, in their order. */
  readonly nodes: () => readonly string[];
  readonly ask: (question: JsonObject, options: AskOptions) => Promise<Answers>;
}

/** The names of one node from a position on. */
interface Names {
  readonly names: readonly string[];
  /** The next position of this place; null after its last name. */
  readonly next: number | null;
}

type Counts = ReadonlyMap<string, readonly number[]>;

function readNames({ names, next }: JsonObject): Names | null {
  const isList = Array.isArray(names) && names.every((name) => typeof name === 'string');
  if (!isList || (next !== null && typeof next !== 'number')) return null;
  return { names, next };
}

function isCounts(counts: unknown, length: number): counts is readonly number[] {
  return (
    Array.isArray(counts) &&
    counts.length === length &&
    counts.every((count) => typeof count === 'number')
  );
}

export class ClusterChannels {
  readonly #parts: ClusterChannelsParts;

  constructor(parts: ClusterChannelsParts) {
    this.#parts = parts;
  }

  /**
   * One page of the channels of the cluster.
   *
   * @throws MegacometError `ERR_BUSY`, `ERR_LOG`: as rejections.
   */
  async page(query: ChannelQuery = {}): Promise<ChannelPage> {
    const { from = 0, prefix = '', pattern, limit = CHANNELS_LIMIT } = query;
    const place = Math.floor(from / PLACE);
    const nodes = this.#parts.nodes();
    const node = nodes[place === KEPT_PLACE ? 0 : place];
    const found =
      node === undefined
        ? END
        : await this.#ask(node, {
            ...{ prefix, limit, from },
            ...(pattern === undefined ? {} : { pattern }),
          });
    const { channels, isComplete } = await this.#listed(place, node ?? '', found?.names ?? []);
    const next = this.#nextOf(place, nodes.length, found?.next ?? null);
    return { channels, next, isComplete: isComplete && found !== null };
  }

  /** The names of this node from a position on: the answer to another node. */
  names({ prefix, pattern, limit, from }: JsonObject): Names {
    const isWanted = channelFilter({
      prefix: String(prefix),
      ...(typeof pattern === 'string' ? { pattern } : {}),
    });
    const isKept = Math.floor(Number(from) / PLACE) === KEPT_PLACE;
    const unit = isKept ? KEPT_PART : SUBSCRIBED_PART;
    const names: string[] = [];
    let next: number | null = Number(from) % PLACE;
    let bytes = 0;
    for (let seen = 0; next !== null && seen < NAMES_PER_PAGE && names.length < Number(limit);) {
      const part = Math.floor(next / unit);
      const all = isKept ? this.#parts.engine.names(part) : this.#subscribed(part);
      for (let at = next % unit; at < all.names.length; at++) {
        const name = all.names[at] ?? '';
        if (!isWanted(name)) continue;
        bytes += Buffer.byteLength(JSON.stringify(name)) + NAME_BYTES;
        if (bytes > ANSWER_BYTES_MAX) return { names, next: part * unit + at };
        names.push(name);
      }
      seen += 1 + all.names.length;
      next = all.next === null ? null : all.next * unit;
    }
    return { names, next };
  }

  /** The subscribers of this node for some channels: the answer to another node. */
  counts({ channels }: JsonObject): JsonObject {
    const names = Array.isArray(channels) ? channels : [];
    return { counts: names.map((name) => this.#parts.interest.subscribers(String(name))) };
  }

  #subscribed(part: number): Names {
    const { interest } = this.#parts;
    const last = interest.listParts - 1;
    const names = part > last ? [] : interest.list(part).map(({ channel }) => channel);
    return { names, next: part < last ? part + 1 : null };
  }

  /** The names of a node; null if it does not answer. */
  async #ask(node: string, question: JsonObject): Promise<Names | null> {
    if (node === this.#parts.node) return this.names(question);
    const { answers } = await this.#parts.ask(
      { ask: 'names', to: node, ...question },
      { isSlow: true, only: node },
    );
    const answer = answers.find((one) => one.node === node);
    return answer === undefined ? null : readNames(answer.answer);
  }

  async #listed(place: number, node: string, names: readonly string[]): Promise<Listed> {
    if (names.length === 0) return { channels: [], isComplete: true };
    const question = { ask: 'counts', channels: names };
    const { answers, isComplete } = await this.#parts.ask(question, { isSlow: true });
    const counts = new Map<string, readonly number[]>();
    for (const { node: from, answer } of answers) {
      if (isCounts(answer['counts'], names.length)) counts.set(from, answer['counts']);
    }
    const owner = place === KEPT_PLACE ? null : node;
    const channels = names.flatMap((channel, at) => this.#infoOf(channel, at, counts, owner));
    return { channels, isComplete: isComplete && counts.size === answers.length };
  }

  /**
   * A channel of a page, or nothing if it belongs to another one.
   *
   * @param owner - The node whose names are listed; null for the names with nothing but history.
   */
  #infoOf(channel: string, at: number, counts: Counts, owner: string | null): ChannelInfo[] {
    const having = [...counts].filter(([, list]) => (list[at] ?? 0) > 0);
    const first = having.map(([node]) => node).sort()[0] ?? null;
    const kept = this.#parts.engine.describe(channel);
    if (first !== owner || (first === null && kept === null)) return [];
    const subscribers = having.reduce((sum, [, list]) => sum + (list[at] ?? 0), 0);
    return [{ channel, subscribers, messages: kept?.messages ?? 0, bytes: kept?.bytes ?? 0 }];
  }

  #nextOf(place: number, nodes: number, own: number | null): number | null {
    if (own !== null) return place * PLACE + own;
    if (place === KEPT_PLACE) return null;
    return (place + 1 < nodes ? place + 1 : KEPT_PLACE) * PLACE;
  }
}

interface Listed {
  readonly channels: readonly ChannelInfo[];
  readonly isComplete: boolean;
}

const END: Names = { names: [], next: null };
