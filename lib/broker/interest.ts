// The interest table: the workers that want each channel, and their numbers of subscribers.
// A channel of one worker costs 25 bytes, each further worker 4, and the name is stored once. A Map
// of Maps would cost 300 bytes, and a full collection of a million would stop the loop for 0.2 s.
import { gauge } from '../base/metric.js';
import { CatchAll } from './catch-all.js';
import { isPattern } from '../base/channel-name.js';
import { HashIndex } from '../collections/hash-index.js';
import { NameHasher } from '../collections/name-hash.js';
import { NameLog } from '../collections/name-log.js';
import { NAMED, SlotShares } from './slot-shares.js';

export interface InterestOptions {
  /** Workers, 1 to 512. */
  readonly slots: number;
  /** Channels in the table; a worker that reports a further one becomes a catch-all worker. */
  readonly channelsMax?: number;
  /** Distinct patterns, likewise. */
  readonly patternsMax?: number;
  /** Memory for the names that channels() lists. */
  readonly namesBytesMax?: number;
  readonly hasher?: NameHasher;
}

/** 16 million channels take 400 MB; that many subscriptions mean that a limit is missing. */
const CHANNELS_DEFAULT = 16_000_000;
const PATTERNS_DEFAULT = 10_000;
const NAMES_BYTES_DEFAULT = 64 * 1024 * 1024;
/** Share of the table in use at which catch-all workers report their interest again. */
const ROOM = 0.75;

/** The workers that want a channel. Valid until the next match(). */
export interface Match {
  /** The first `length` are slots, in no order. */
  readonly slots: Uint16Array;
  length: number;
  /** Subscriptions known, by name and by pattern. */
  subscribers: number;
}

export interface ChannelCount {
  readonly channel: string;
  readonly subscribers: number;
}

export class Interest {
  static readonly METRICS = {
    subscribedChannels: gauge(
      'subscribed_channels',
      'Channels with subscribers, over all workers.',
      (interest: Interest) => interest.channels,
    ),
    patterns: gauge(
      'patterns',
      'Patterns with subscribers, such as news/*. Each costs a look-up for publishes below it.',
      (interest: Interest) => interest.patterns,
    ),
    catchAllWorkers: gauge(
      'catch_all_workers',
      'Workers that get every message, because the interest table was full. It ends when the table ' +
        'has room. Above 0 for long, each publish costs more: lower --channels-per-connection.',
      (interest: Interest) => interest.catchAllWorkers,
    ),
    interestBytes: gauge(
      'interest_bytes',
      'Memory of the interest table; about 25 bytes for a channel of one worker.',
      (interest: Interest) => interest.memoryBytes,
    ),
  };

  readonly #slots: number;
  readonly #channelsMax: number;
  readonly #patternsMax: number;
  readonly #hasher: NameHasher;
  readonly #index = new HashIndex();
  readonly #shares = new SlotShares();
  readonly #names: NameLog;
  /** Prefix, with its slash, to slot to share. */
  readonly #patterns = new Map<string, Map<number, number>>();
  readonly #catchAll = new CatchAll();
  readonly #match: Match;
  /** The match for which a slot was last listed, so that it is listed once. */
  readonly #listedFor: Float64Array;
  #matches = 0;
  /** Channels in the index that no worker wants: tombstones that keep a name in the log. */
  #tombstones = 0;
  readonly #addToMatch = (slot: number, share: number): void => {
    const match = this.#match;
    match.subscribers += share - 1;
    if (this.#listedFor[slot] === this.#matches || slot >= this.#slots) return;
    this.#listedFor[slot] = this.#matches;
    match.slots[match.length++] = slot;
  };

  constructor(options: InterestOptions) {
    this.#slots = options.slots;
    this.#channelsMax = options.channelsMax ?? CHANNELS_DEFAULT;
    this.#patternsMax = options.patternsMax ?? PATTERNS_DEFAULT;
    this.#hasher = options.hasher ?? new NameHasher();
    this.#names = new NameLog(options.namesBytesMax ?? NAMES_BYTES_DEFAULT);
    this.#match = { slots: new Uint16Array(options.slots), length: 0, subscribers: 0 };
    this.#listedFor = new Float64Array(options.slots);
  }

  /** Channels that a worker wants. */
  get channels(): number {
    return this.#index.size - this.#tombstones;
  }

  get patterns(): number {
    return this.#patterns.size;
  }

  /** Workers that get every message. */
  get catchAllWorkers(): number {
    return this.#catchAll.size;
  }

  get memoryBytes(): number {
    return this.#index.memoryBytes + this.#shares.memoryBytes + this.#names.memoryBytes;
  }

  /**
   * Sets a worker's number of subscribers of a channel or pattern.
   *
   * @param isWanted - Whether the worker wants the messages. It may want them for a while without subscribers.
   */
  set(slot: number, channel: string, count: number, isWanted = count > 0): void {
    const share = isWanted ? count + 1 : 0;
    if (isPattern(channel)) this.#setPattern(slot, channel.slice(0, -1), share);
    else this.#setChannel(slot, channel, share);
  }

  /** The workers that want messages of a channel. */
  match(channel: string): Match {
    const match = this.#match;
    match.length = 0;
    match.subscribers = 0;
    this.#matches++;
    this.#shares.each(this.#valueOf(channel), this.#addToMatch);
    if (this.#patterns.size > 0) this.#matchPatterns(channel);
    for (const slot of this.#catchAll.slots()) this.#addToMatch(slot, 1);
    return match;
  }

  /** Subscriptions of exactly this channel or pattern. */
  subscribers(channel: string): number {
    let sum = 0;
    this.#eachShare(channel, (_slot, share) => {
      sum += share - 1;
    });
    return sum;
  }

  /** Slots of the workers that want, or may want, exactly this channel or pattern. */
  workersFor(channel: string): number[] {
    const slots = new Set(this.#catchAll.slots());
    this.#eachShare(channel, (slot) => {
      slots.add(slot);
    });
    return [...slots];
  }

  /**
   * The catch-all worker that has to report its interest again, because the table has room; null
   * without one. The worker's answer goes to set(), and its end to reported().
   */
  nextReport(nowMs: number): { readonly slot: number; readonly request: number } | null {
    if (this.#catchAll.size === 0) return null;
    const hasRoom =
      this.channels <= this.#channelsMax * ROOM && this.patterns <= this.#patternsMax * ROOM;
    return hasRoom ? this.#catchAll.nextReport(nowMs) : null;
  }

  /** A worker has reported all of its interest. */
  reported(slot: number, request: number): void {
    this.#catchAll.reported(slot, request);
  }

  /** Forgets a worker with all its subscribers. One pass over the table: 10 ms a million. */
  drop(slot: number): void {
    this.#catchAll.delete(slot);
    for (const [prefix, shares] of this.#patterns) {
      if (shares.delete(slot) && shares.size === 0) this.#patterns.delete(prefix);
    }
    const packable = new Set<number>();
    this.#index.update((value, hi) => {
      const changed = this.#shares.changed(value, slot, 0);
      if (changed === NAMED && value !== NAMED) {
        this.#tombstones++;
        if (this.#names.markDead(hi >>> 24)) packable.add(hi >>> 24);
      }
      return changed;
    });
    for (const shard of packable) this.#pack(shard);
  }

  /** Parts of the list of channels. */
  get listParts(): number {
    return this.#names.shards + 1;
  }

  /** One part of the channels that have subscribers; the last part has the patterns. */
  list(part: number): readonly ChannelCount[] {
    const names =
      part < this.#names.shards
        ? this.#names.list(part)
        : [...this.#patterns.keys()].map((prefix) => `${prefix}*`);
    return names
      .map((channel) => ({ channel, subscribers: this.subscribers(channel) }))
      .filter(({ subscribers }) => subscribers > 0);
  }

  // ---- Channels

  #valueOf(channel: string): number {
    this.#hasher.hash(channel);
    return this.#index.get(this.#hasher.hi, this.#hasher.lo);
  }

  #eachShare(channel: string, visit: (slot: number, share: number) => void): void {
    if (!isPattern(channel)) {
      this.#shares.each(this.#valueOf(channel), visit);
      return;
    }
    for (const [slot, share] of this.#patterns.get(channel.slice(0, -1)) ?? []) visit(slot, share);
  }

  #setChannel(slot: number, channel: string, share: number): void {
    const before = this.#valueOf(channel);
    const { hi, lo } = this.#hasher;
    if (before === 0 && share > 0 && this.channels >= this.#channelsMax) {
      this.#catchAll.add(slot);
      return;
    }
    let after = this.#shares.changed(before, slot, share);
    if (before === 0 && after !== 0 && this.#names.add(hi >>> 24, channel)) after |= NAMED;
    if (before === NAMED && after !== NAMED) this.#tombstones--;
    this.#index.set(hi, lo, after);
    if (after !== NAMED || before === NAMED) return;
    this.#tombstones++;
    if (this.#names.markDead(hi >>> 24)) this.#pack(hi >>> 24);
  }

  /** Removes a shard's tombstones, from the log and from the index. */
  #pack(shard: number): void {
    this.#names.pack(shard, (name) => {
      if (this.#valueOf(name) !== NAMED) return true;
      this.#index.set(this.#hasher.hi, this.#hasher.lo, 0);
      this.#tombstones--;
      return false;
    });
  }

  // ---- Patterns

  #setPattern(slot: number, prefix: string, share: number): void {
    const shares = this.#patterns.get(prefix);
    if (shares === undefined) {
      if (share === 0) return;
      if (this.#patterns.size >= this.#patternsMax) this.#catchAll.add(slot);
      else this.#patterns.set(prefix, new Map([[slot, share]]));
      return;
    }
    if (share > 0) shares.set(slot, share);
    else if (shares.delete(slot) && shares.size === 0) this.#patterns.delete(prefix);
  }

  /** One look-up for each slash of the name, however many patterns there are. */
  #matchPatterns(channel: string): void {
    for (let at = channel.indexOf('/'); at !== -1; at = channel.indexOf('/', at + 1)) {
      const shares = this.#patterns.get(channel.slice(0, at + 1));
      if (shares === undefined) continue;
      for (const [slot, share] of shares) this.#addToMatch(slot, share);
    }
  }
}
