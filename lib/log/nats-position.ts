// The state of a reader of the stream: its position, the epoch in force, and whether the log went back.
// A function of the messages alone, so that all nodes decide alike.
import { randomInt } from 'node:crypto';

import type { LogBreak, LogEntry } from './log.js';
import { decodeRecord, positionOf, type NatsRecord } from './nats-record.js';

/** The stream at one moment. */
export interface StreamState {
  readonly createdNs: bigint;
  /** The sequence of its oldest message; last + 1 if it is empty. */
  readonly first: number;
  readonly last: number;
}

export interface StreamMessage {
  /** The sequence in the stream. */
  readonly seq: number;
  /** When the server stored it, in nanoseconds since 1970. */
  readonly stampNs: bigint;
  readonly data: Uint8Array;
}

/** The effect of one message on the reader, breaks first. */
export interface Taken {
  readonly breaks: readonly LogBreak[];
  readonly entry: LogEntry | null;
}

/** The epoch to begin. */
export interface Claim {
  readonly epoch: bigint;
  readonly base: number;
  /** The stream's last message that this reader knows: the claim fails if there is a later one. */
  readonly after: number;
}

const NOTHING: Taken = { breaks: [], entry: null };
/** Nodes whose last append is remembered; each restart of a node is a new one. */
const NODES_MAX = 1000;
const RANDOM_BITS = 20;

/**
 * A greater epoch than an earlier one. Its upper bits are the time, so that an epoch of a stream that
 * was made anew is greater than those that no node remembers; the lower ones are random.
 */
export function epochAfter(earlier: bigint, nowMs: number): bigint {
  const shift = BigInt(RANDOM_BITS);
  const least = (earlier >> shift) + 1n;
  const upper = BigInt(nowMs) > least ? BigInt(nowMs) : least;
  return (upper << shift) | BigInt(randomInt(2 ** RANDOM_BITS));
}

/** The state of the server's clock after a message: it never runs backwards. */
function clockAfter(clockMs: number, stampNs: bigint, record: NatsRecord): number {
  return Math.max(clockMs, Number(stampNs / 1_000_000n), record.clockMs);
}

export class NatsPosition {
  /** The epoch that the reader knows, and the number to add to a sequence of the stream in it. */
  epoch = 0n;
  base = 0;
  createdNs = 0n;
  clockMs = 0;
  /** The position of the last entry or gap. */
  position = 0;
  /** The last message of the stream, and its time if the reader saw it. */
  streamSeq = 0;
  stampNs = 0n;
  /** The log went back, and no epoch above our position has begun since. */
  isDoubtful = false;
  /** The greatest epoch since reading began: records of a smaller one do not count. */
  #scanned = 0n;
  /** The position of the last record that counted, in whichever epoch. */
  #top = 0;
  #isGap = false;
  /**
   * Messages were removed before they were read, so an epoch may have begun in them. Other nodes may
   * have ignored the entries that were accepted since.
   */
  #hasUnread = false;
  #hasUnproven = false;
  /** An epoch that repeats positions of ours: its nodes lack entries that we have. 0 for none. */
  #disputed = 0n;
  #createdNs = 0n;
  readonly #counts = new Map<string, number>();

  /** Begins behind the newest message of a stream. */
  start({ createdNs }: StreamState, { seq, stampNs }: StreamMessage, record: NatsRecord): void {
    this.epoch = record.epoch;
    this.base = record.kind === 'epoch' ? record.base - seq : record.base;
    this.createdNs = createdNs;
    this.#createdNs = createdNs;
    this.#scanned = record.epoch;
    this.position = positionOf(record, seq);
    this.#top = this.position;
    this.streamSeq = seq;
    this.stampNs = stampNs;
    this.clockMs = clockAfter(0, stampNs, record);
  }

  /** Begins after a position, which may be in an earlier epoch of the stream. */
  startAfter(position: number): void {
    this.position = position;
    // Earlier epochs have a smaller base, so this is at most the right sequence.
    this.streamSeq = Math.max(0, position - this.base);
    this.stampNs = 0n;
    this.#scanned = 0n;
    this.#counts.clear();
  }

  /** A position that a node has applied, and the log does not have. */
  suspect(applied: number): void {
    this.position = applied;
    this.isDoubtful = true;
  }

  /**
   * Compares the stream with the messages that the reader knows, after each reconnect.
   *
   * @param newest - The record of the stream's last message.
   * @param isSame - Whether the stream still has the last message that the reader saw.
   */
  begin(state: StreamState, newest: NatsRecord | null, isSame: boolean): readonly LogBreak[] {
    this.#createdNs = state.createdNs;
    const isIntact = state.createdNs === this.createdNs && state.last >= this.streamSeq;
    if (!isIntact || !isSame) this.isDoubtful = true;
    if (this.isDoubtful) this.#rescan(state, newest);
    return this.isDoubtful ? [] : this.#skipTrimmed(state.first);
  }

  #rescan({ createdNs, first, last }: StreamState, newest: NatsRecord | null): void {
    const record = newest?.createdNs === createdNs ? newest : null;
    // Another node has begun an epoch: it is somewhere in the stream.
    const isClaimed = record !== null && record.epoch > this.epoch;
    this.streamSeq = isClaimed ? first - 1 : last;
    this.stampNs = 0n;
    this.#scanned = 0n;
    this.#isGap = false;
    this.#top = isClaimed || record === null ? 0 : positionOf(record, last);
  }

  #skipTrimmed(first: number): readonly LogBreak[] {
    if (first <= this.streamSeq + 1) return [];
    this.streamSeq = first - 1;
    this.stampNs = 0n;
    // In an earlier epoch the positions are known with the first record.
    this.#missed();
    return this.#scanned === this.epoch ? this.#gapBefore(this.base + first) : [];
  }

  #missed(): void {
    this.#isGap = true;
    this.#hasUnread = true;
  }

  #gapBefore(position: number): readonly LogBreak[] {
    const [after, to] = [this.position, position - 1];
    const isGap = this.#isGap && to > after;
    this.#isGap = false;
    if (!isGap) return [];
    this.position = to;
    return [{ kind: 'gap', after, to }];
  }

  /** The epoch to begin if the log went back. */
  claim(nowMs: number): Claim {
    const known = this.#scanned > this.epoch ? this.#scanned : this.epoch;
    // The nodes of a disputed epoch may be at its end: a position that it does not have tells them.
    const unused = this.#disputed === 0n ? 0 : 1;
    const base = Math.max(this.position, this.#top) + unused + 1;
    return { epoch: epochAfter(known, nowMs), base, after: this.streamSeq };
  }

  /** Checks the next message. */
  take({ seq, stampNs, data }: StreamMessage): Taken {
    if (seq > this.streamSeq + 1) this.#missed();
    this.streamSeq = seq;
    this.stampNs = stampNs;
    const record = decodeRecord(data);
    if (record?.createdNs !== this.#createdNs) return NOTHING;
    if (record.epoch < this.#scanned) {
      // Its node did not know our epoch: all older messages had been removed.
      if (record.kind === 'epoch' && this.#scanned === this.epoch) this.isDoubtful = true;
      return NOTHING;
    }
    this.#scanned = record.epoch;
    const position = positionOf(record, seq);
    const lastSeq = this.#top;
    this.#top = position;
    if (position <= this.position) {
      // Positions of a new epoch that were used in the old one: its nodes do not know our entries.
      if (record.epoch > this.epoch) this.#dispute(record.epoch);
      return NOTHING;
    }
    if (record.epoch === this.#disputed) return NOTHING;
    if (record.epoch > this.epoch) {
      if (record.kind === 'epoch' || !this.#hasUnproven)
        return this.#beginEpoch(record, lastSeq, { seq, stampNs });
      // The epoch began in messages that were removed: its nodes have ignored entries of ours. One
      // more epoch tells the subscribers of all nodes.
      this.#dispute(record.epoch);
      return NOTHING;
    }
    if (this.isDoubtful) return NOTHING;
    return { breaks: this.#gapBefore(position), entry: this.#accept(record, seq, stampNs) };
  }

  #dispute(epoch: bigint): void {
    this.isDoubtful = true;
    this.#disputed = epoch;
  }

  #beginEpoch(
    record: NatsRecord,
    lastSeq: number,
    { seq, stampNs }: Omit<StreamMessage, 'data'>,
  ): Taken {
    this.epoch = record.epoch;
    this.base = record.kind === 'epoch' ? record.base - seq : record.base;
    this.createdNs = record.createdNs;
    this.isDoubtful = false;
    this.#disputed = 0n;
    // The node that began the epoch knew all positions below its base. A stream that was trimmed may
    // not have that record any more.
    const before = positionOf(record, seq) - 1;
    const hasLost = before > this.position && (record.kind === 'epoch' || this.#isGap);
    const gap: LogBreak = { kind: 'gap', after: this.position, to: before };
    this.#isGap = false;
    this.#hasUnread = false;
    this.#hasUnproven = false;
    // An entry that was lost with the end of the old epoch is appended again.
    this.#counts.clear();
    const broken: LogBreak = { kind: 'epoch', epoch: record.epoch, lastSeq };
    return {
      breaks: hasLost ? [gap, broken] : [broken],
      entry: this.#accept(record, seq, stampNs),
    };
  }

  /** The entry of a record that counts; null for an epoch, and for an append that came before. */
  #accept(record: NatsRecord, streamSeq: number, stampNs: bigint): LogEntry | null {
    const { id, batch } = record;
    const seq = positionOf(record, streamSeq);
    this.position = seq;
    this.clockMs = clockAfter(this.clockMs, stampNs, record);
    if (record.kind === 'epoch' || id.count <= (this.#counts.get(id.node) ?? 0)) return null;
    this.#hasUnproven ||= this.#hasUnread;
    this.#counts.set(id.node, id.count);
    if (this.#counts.size > NODES_MAX) {
      const [oldest = ''] = this.#counts.keys();
      this.#counts.delete(oldest);
    }
    return { seq, atMs: this.clockMs, id, batch };
  }
}
