// The appends of a log in a directory that wait: one write at a time, and repairs after an error.
// Appends that wait at an error are rejected; log-segments.ts keeps those that were answered.
import { setTimeout as sleep } from 'node:timers/promises';

import { reasonOf } from '../base/reason.js';
import type { LogEntry } from './log.js';
import type { LogFeed } from './log-feed.js';
import { RETRY_MS, type LogHealth } from './log-health.js';
import { LogSegments, type LogEnd, type SegmentOptions } from './log-segments.js';
import { HEAD_BYTES } from './segment-format.js';
import { newEpoch } from './segment.js';

/** Bytes of one write at most, unless one entry is longer: the loop computes their checksums at once. */
const WRITE_BYTES_MAX = 1024 * 1024;
/** Bytes for which a disk that was full must have room, before appends go on. */
const SPARE_BYTES_MAX = 1024 * 1024;

/** An append that waits. */
export interface Waiting {
  readonly entry: Pick<LogEntry, 'id' | 'batch'>;
  readonly applied: number;
  resolve(seq: number): void;
  reject(reason: string): void;
}

export class LogAppender {
  appends = 0;
  appendBytes = 0;
  readonly #segments: LogSegments;
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;
  #repairing: Promise<void> | null = null;
  #isClosed = false;

  constructor(
    private readonly options: SegmentOptions,
    private readonly end: LogEnd,
    private readonly feed: LogFeed,
    private readonly health: LogHealth,
  ) {
    this.#segments = new LogSegments(options, end, (error) => {
      // Where a write is under way, the end of it finds the error.
      if (this.#running === null) this.#failed(error, []);
    });
  }

  /** Begins a segment: the end of an older one is never written again. */
  async open(): Promise<void> {
    await this.#segments.begin(this.end.epoch, this.end.next);
  }

  add(waiting: Waiting): void {
    const reason = this.health.reasonOf('write');
    if (reason !== undefined) {
      waiting.reject(reason);
      return;
    }
    this.#waiting.push(waiting);
    this.#start();
  }

  /** Gives up an append, unless its write has begun. */
  remove(waiting: Waiting): boolean {
    const index = this.#waiting.indexOf(waiting);
    if (index === -1) return false;
    this.#waiting.splice(index, 1);
    return true;
  }

  /** Completes all appends, and marks the log as closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#running !== null || this.#repairing !== null) {
      await this.#running;
      await this.#repairing;
    }
    await this.#segments.close(this.health.reasonOf('write') === undefined);
  }

  #start(): void {
    if (this.#running !== null || this.#repairing !== null) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#take();
      let entries: LogEntry[];
      try {
        entries = await this.#store(group);
      } catch (error) {
        this.#failed(error, group);
        return;
      }
      this.#acknowledge(group, entries);
    }
  }

  /** The appends of the next write. */
  #take(): Waiting[] {
    const group: Waiting[] = [];
    let bytes = 0;
    for (const waiting of this.#waiting) {
      bytes += waiting.entry.batch.length;
      const isAlone = this.options.sync === 'always' || waiting.applied >= this.end.next;
      if (group.length > 0 && (isAlone || bytes > WRITE_BYTES_MAX)) break;
      group.push(waiting);
      if (isAlone) break;
    }
    this.#waiting.splice(0, group.length);
    return group;
  }

  async #store(group: readonly Waiting[]): Promise<LogEntry[]> {
    const { end } = this;
    const applied = group[0]?.applied ?? 0;
    if (applied >= end.next) await this.#beginEpoch(applied + 1);
    await this.#segments.makeRoom(bytesOf(group));
    const atMs = Math.max(this.options.nowMs(), end.lastMs);
    const entries = group.map(({ entry }, index) => ({ ...entry, seq: end.next + index, atMs }));
    return await this.#segments.write(entries);
  }

  #acknowledge(group: readonly Waiting[], entries: readonly LogEntry[]): void {
    const { end } = this;
    const { seq, atMs } = entries.at(-1) as LogEntry;
    end.head = seq;
    end.next = seq + 1;
    end.lastMs = atMs;
    this.appends += entries.length;
    for (const { batch } of entries) this.appendBytes += batch.length;
    this.#segments.acknowledge(entries);
    this.feed.deliver(entries);
    for (const [index, one] of group.entries()) one.resolve((entries[index] as LogEntry).seq);
  }

  async #beginEpoch(first: number): Promise<void> {
    const { head } = this.end;
    const epoch = newEpoch();
    await this.#segments.begin(epoch, first);
    this.end.epoch = epoch;
    this.end.next = first;
    this.feed.beginEpoch(epoch, head);
  }

  /** Rejects everything that waits, and repairs the log. */
  #failed(error: unknown, group: readonly Waiting[]): void {
    const reason = `cannot be written: ${reasonOf(error)}`;
    this.#segments.stop();
    this.health.failed('write', reason);
    for (const one of [...group, ...this.#waiting.splice(0)]) one.reject(reason);
    const spareBytes = Math.min(bytesOf(group), SPARE_BYTES_MAX);
    this.#repairing ??= this.#repair(spareBytes).finally(() => {
      this.#repairing = null;
    });
  }

  /** Tries until the disk works. */
  async #repair(spareBytes: number): Promise<void> {
    for (;;) {
      try {
        await this.#segments.replace(spareBytes);
        break;
      } catch (error) {
        this.health.failed('write', `cannot be written: ${reasonOf(error)}`);
      }
      if (this.#isClosed) return;
      await sleep(RETRY_MS);
    }
    this.health.works('write');
  }
}

/** Bytes of the records of appends. */
function bytesOf(group: readonly Waiting[]): number {
  return group.reduce(
    (sum, { entry: { id, batch } }) => sum + HEAD_BYTES + id.node.length + batch.length,
    0,
  );
}
