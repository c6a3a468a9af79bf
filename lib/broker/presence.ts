// Presence: the connections that subscribe to a channel. The workers answer queries, and report
// each subscribe and unsubscribe while presence events are on. The manager stores no member: a
// million names would be too many.
import { MegacometError } from '../base/errors.js';
import { quoted } from '../base/quoted.js';
import { PRESENCE_PAGE_MAX } from '../base/native-constants.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frames } from '../ipc/frames.js';
import type { WorkerLines } from '../ipc/outgoing.js';
import { localNameOf, memberNameOf, nodeOfMember } from './member-name.js';
import { infoOf, MemberList, memberOf, type MemberRow, type PresenceMember } from './members.js';

/** A connection that subscribed or unsubscribed. */
export interface MemberEvent {
  /** A channel, or the pattern to which the connection subscribed. */
  readonly channel: string;
  /** Names the connection while it is open, and no connection afterwards. */
  readonly member: string;
  /** The claim `sub` of its token; empty without a user. */
  readonly user: string;
  /** The claim `info` of its token; undefined without one. */
  readonly info?: unknown;
}

/** The subscribers of a channel. */
export interface ChannelPresence {
  /** The channel or pattern of the query. */
  readonly channel: string;
  /** Connections that subscribe to it, at most 100 ms old. */
  readonly subscribers: number;
  /** Users among the members. */
  readonly users: number;
  /** Users with their connections, in no order; connections without a user are members of their own. */
  readonly members: readonly PresenceMember[];
  /** False if members are missing: there are more than the limit, or a worker did not answer. */
  readonly isComplete: boolean;
}

/** A presence before its members are put into the form of an answer. */
export interface GatheredPresence {
  readonly channel: string;
  readonly subscribers: number;
  readonly users: number;
  readonly rows: readonly MemberRow[];
  readonly isComplete: boolean;
}

/** The form of the library. */
export function presenceOf({ rows, ...rest }: GatheredPresence): ChannelPresence {
  const { channel, subscribers, users, isComplete } = rest;
  return { channel, subscribers, users, members: rows.map(memberOf), isComplete };
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

/** Numbers of one member in a page: descriptor, generation and owner. */
const TRIPLE = 3;

const MEMBER = /^([0-9a-z]{1,3})-([0-9a-z]{1,8})-([0-9a-z]{1,7})-([0-9a-z]{1,7})$/;

interface Query {
  readonly channel: string;
  readonly limit: number;
  readonly members: MemberList;
  /** Slots whose last page has not arrived. */
  readonly waiting: Set<number>;
  isComplete: boolean;
  readonly finish: () => void;
}

export class Presence {
  readonly #lines: Pick<WorkerLines, 'send'>;
  readonly #isOnFor: (channel: string) => boolean;
  readonly #node: string;
  /** Workers that a slot has had: the names of an earlier worker's connections differ. */
  readonly #lives = new Map<number, number>();
  readonly #attached = new Set<number>();
  readonly #queries = new Map<number, Query>();
  #lastQuery = 0;
  #areEventsOn = false;

  /**
   * @param isOnFor - Whether a channel or pattern has presence at all.
   * @param node - The name of this node in the names of its connections; default: none.
   */
  constructor(
    lines: Pick<WorkerLines, 'send'>,
    isOnFor: (channel: string) => boolean = (): boolean => true,
    node = '',
  ) {
    this.#lines = lines;
    this.#isOnFor = isOnFor;
    this.#node = node;
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

  /** @throws MegacometError `ERR_CHANNEL` for a channel without presence. */
  checkIsOnFor(channel: string): void {
    if (this.#isOnFor(channel)) return;
    throw new MegacometError('ERR_CHANNEL', `${quoted(channel)} is a channel without presence`);
  }

  /**
   * Asks the workers that have subscribers of a channel for its members.
   *
   * @param limit - Connections at most.
   * @throws MegacometError `ERR_BUSY`.
   */
  query(
    channel: string,
    slots: readonly number[],
    subscribers: () => number,
    limit = PRESENCE_PAGE_MAX,
  ): Promise<GatheredPresence> {
    if (this.#queries.size >= QUERIES_MAX) {
      throw new MegacometError('ERR_BUSY', 'too many presence queries; retry shortly');
    }
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
        members: new MemberList(),
        waiting: new Set(slots),
        isComplete: true,
        finish: () => {
          clearTimeout(timer);
          this.#queries.delete(id);
          const { members, isComplete } = query;
          const { users, rows } = members;
          resolve({ channel, subscribers: subscribers(), users, rows, isComplete });
        },
      };
      this.#queries.set(id, query);
      if (slots.length === 0) query.finish();
      else this.#sendQuery(id, channel, FROM_THE_END, slots);
    });
  }

  /**
   * Takes a worker's page of members.
   *
   * @returns False for a page that no honest worker sends.
   */
  onPresent(slot: number, page: Frames['Present']): boolean {
    const { request: id, below, members } = page;
    if (members.length % TRIPLE !== 0) return false;
    const query = this.#queries.get(id);
    if (query?.waiting.has(slot) !== true) return true;
    const count = members.length / TRIPLE;
    const room = query.limit - query.members.connections;
    if (!this.#addMembers(slot, query.members, page, Math.min(count, room))) return false;
    if (count > room || (below > 0 && count === room)) {
      query.isComplete = false;
      query.finish();
    } else if (below > 0) {
      this.#sendQuery(id, query.channel, below, [slot]);
    } else {
      this.#finishSlot(query, slot);
    }
    return true;
  }

  /** Adds the first members of a page; false if an owner does not exist. */
  #addMembers(slot: number, list: MemberList, page: Frames['Present'], count: number): boolean {
    const { members, users, infos } = page;
    const owners = [
      list.rowOf('', ''),
      ...users.map((user, at) => list.rowOf(user, infos[at] ?? '')),
    ];
    for (let at = 0; at < TRIPLE * count; at += TRIPLE) {
      const row = owners[members[at + 2] ?? 0];
      if (row === undefined) return false;
      list.add(row, this.#nameOf(slot, members[at] ?? 0, members[at + 1] ?? 0));
    }
    return true;
  }

  /** The event that a worker's Presence frame reports. */
  eventOf(slot: number, fields: Frames['Presence']): MemberEvent {
    const { channel, fd, generation, user, info } = fields;
    return { channel, member: this.#nameOf(slot, fd, generation), user, ...infoOf(info) };
  }

  /** The address of a member; null if the name is invalid, of another node, or its worker is gone. */
  addressOf(member: string): MemberAddress | null {
    const parts = MEMBER.exec(localNameOf(member));
    if (parts === null || nodeOfMember(member) !== this.#node) return null;
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
    const parts = [slot, life, fd, generation].map((part) => part.toString(36));
    return memberNameOf(this.#node, parts.join('-'));
  }
}
