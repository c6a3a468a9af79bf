// Presence: the connections that subscribe to a channel. The workers answer queries, and report
// each subscribe and unsubscribe while presence events are on. The manager stores no member: a
// million names would be too many.
import { PRESENCE_PAGE_MAX } from '../base/native-constants.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frames } from '../ipc/frames.js';
import type { WorkerLines } from '../ipc/outgoing.js';

/** A connection that subscribed or unsubscribed. */
export interface MemberEvent {
  /** A channel, or the pattern to which the connection subscribed. */
  readonly channel: string;
  /** Names the connection while it is open, and no connection afterwards. */
  readonly member: string;
}

/** The subscribers of a channel. */
export interface ChannelPresence {
  /** The channel or pattern of the query. */
  readonly channel: string;
  /** Subscribers known, at most 100 ms old. */
  readonly subscribers: number;
  /** Connections, in no order; at most the query's limit. */
  readonly members: readonly string[];
  /** False if members are missing: there are more than the limit, or a worker did not answer. */
  readonly isComplete: boolean;
}

/** The address of a connection. */
export interface MemberAddress {
  readonly slot: number;
  readonly fd: number;
  readonly generation: number;
}

/** A worker that hangs for longer is replaced by the manager; the query does not wait for it. */
const ANSWER_MS = 5000;
/** Queries at once: each may gather a hundred thousand names. */
const QUERIES_MAX = 64;
/** The position of the first page: above every index of a subscriber list. */
const FROM_THE_END = 0xffff_ffff;

const MEMBER = /^([0-9a-z]{1,3})-([0-9a-z]{1,8})-([0-9a-z]{1,7})-([0-9a-z]{1,7})$/;

interface Query {
  readonly channel: string;
  readonly limit: number;
  readonly members: string[];
  /** Slots whose last page has not arrived. */
  readonly waiting: Set<number>;
  isComplete: boolean;
  readonly finish: () => void;
}

export class Presence {
  readonly #lines: Pick<WorkerLines, 'send'>;
  /** Workers that a slot has had: the names of an earlier worker's connections differ. */
  readonly #lives = new Map<number, number>();
  readonly #attached = new Set<number>();
  readonly #queries = new Map<number, Query>();
  #lastQuery = 0;
  #areEventsOn = false;

  constructor(lines: Pick<WorkerLines, 'send'>) {
    this.#lines = lines;
  }

  /** Whether workers report each subscribe and unsubscribe. */
  get areEventsOn(): boolean {
    return this.#areEventsOn;
  }

  setEvents(areOn: boolean): void {
    if (areOn === this.#areEventsOn) return;
    this.#areEventsOn = areOn;
    this.#lines.send(encodeFrame('PresenceEvents', { on: Number(areOn) }), [...this.#attached]);
  }

  attach(slot: number): void {
    this.#lives.set(slot, (this.#lives.get(slot) ?? 0) + 1);
    this.#attached.add(slot);
    if (this.#areEventsOn) this.#lines.send(encodeFrame('PresenceEvents', { on: 1 }), [slot]);
  }

  /** Forgets a worker. It had no more members to report: its subscribers died with it. */
  workerGone(slot: number): void {
    this.#attached.delete(slot);
    for (const query of [...this.#queries.values()]) this.#finishSlot(query, slot);
  }

  /** True while further queries are rejected. */
  get isBusy(): boolean {
    return this.#queries.size >= QUERIES_MAX;
  }

  /** Asks the workers that have subscribers of a channel for its members. */
  query(
    channel: string,
    slots: readonly number[],
    subscribers: () => number,
    limit = PRESENCE_PAGE_MAX,
  ): Promise<ChannelPresence> {
    return new Promise((resolve) => {
      this.#lastQuery = (this.#lastQuery + 1) >>> 0;
      const id = this.#lastQuery;
      const timer = setTimeout(() => {
        query.isComplete = false;
        query.finish();
      }, ANSWER_MS);
      const query: Query = {
        channel,
        limit,
        members: [],
        waiting: new Set(slots),
        isComplete: true,
        finish: () => {
          clearTimeout(timer);
          this.#queries.delete(id);
          const { members, isComplete } = query;
          resolve({ channel, subscribers: subscribers(), members, isComplete });
        },
      };
      this.#queries.set(id, query);
      if (slots.length === 0) query.finish();
      else this.#sendQuery(id, channel, FROM_THE_END, slots);
    });
  }

  /** Takes a worker's page of members. */
  onPresent(slot: number, { request: id, below, members }: Frames['Present']): void {
    const query = this.#queries.get(id);
    if (query?.waiting.has(slot) !== true) return;
    const count = members.length / 2;
    const room = query.limit - query.members.length;
    for (let at = 0; at < Math.min(count, room); at++) {
      query.members.push(this.#nameOf(slot, members[2 * at] ?? 0, members[2 * at + 1] ?? 0));
    }
    if (count > room || (below > 0 && count === room)) {
      query.isComplete = false;
      query.finish();
    } else if (below > 0) {
      this.#sendQuery(id, query.channel, below, [slot]);
    } else {
      this.#finishSlot(query, slot);
    }
  }

  /** The event that a worker's Presence frame reports. */
  eventOf(slot: number, { channel, fd, generation }: Frames['Presence']): MemberEvent {
    return { channel, member: this.#nameOf(slot, fd, generation) };
  }

  /** The address of a member; null if the name is invalid or its worker is gone. */
  addressOf(member: string): MemberAddress | null {
    const parts = MEMBER.exec(member);
    if (parts === null) return null;
    const [slot = 0, life = 0, fd = 0, generation = 0] = parts
      .slice(1)
      .map((part) => parseInt(part, 36));
    const isCurrent = this.#attached.has(slot) && this.#lives.get(slot) === life;
    return isCurrent && fd < 2 ** 32 && generation < 2 ** 32 ? { slot, fd, generation } : null;
  }

  #sendQuery(id: number, channel: string, below: number, slots: readonly number[]): void {
    this.#lines.send(encodeFrame('Query', { request: id, channel, below }), slots);
  }

  #finishSlot(query: Query, slot: number): void {
    if (query.waiting.delete(slot) && query.waiting.size === 0) query.finish();
  }

  #nameOf(slot: number, fd: number, generation: number): string {
    const life = this.#lives.get(slot) ?? 0;
    return [slot, life, fd, generation].map((part) => part.toString(36)).join('-');
  }
}
