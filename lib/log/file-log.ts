// The log in a directory: history that a restart, a crash or a reboot of the machine does not end.
import { closeSync } from 'node:fs';

import { MegacometError } from '../base/errors.js';
import { reasonOf } from '../base/reason.js';
import { systemDisk, type Disk } from './disk.js';
import {
  APPEND_TIMEOUT_MS,
  BATCH_BYTES_MAX,
  type AppendId,
  type Log,
  type LogCounters,
  type LogReader,
  type LogStart,
} from './log.js';
import { LogAppender, type Waiting } from './log-appender.js';
import { LogFeed } from './log-feed.js';
import {
  bootIdOf,
  folderFault,
  lockFolder,
  LogFolder,
  makeFolder,
  type OpenReport,
} from './log-folder.js';
import { LogHealth } from './log-health.js';
import type { SyncMode } from './log-segments.js';
import { SEGMENT_BYTES } from './segment.js';

/** Ids that are remembered: many more than one process has under way. */
const IDS_MAX = 4096;

export interface FileLogOptions {
  readonly directory: string;
  /**
   * `group`: appends that wait while the disk syncs share the next fdatasync, and are answered after
   * it. `always`: each append has its own. A number: appends are answered after the write, and the
   * disk syncs within that number of milliseconds, and at the end.
   */
  readonly sync: SyncMode;
  /** Bytes of the newest entries that are kept. Whole segments are forgotten, so more are there. */
  readonly keepBytes: number;
  /** Milliseconds after which entries are not needed. */
  readonly keepAgeMs: number;
  /** Locks a directory until the descriptor is closed; returns it, or −errno. */
  readonly lock: (directory: string) => number;
  /** Gets the findings of open(). */
  readonly onOpen?: (report: OpenReport) => void;
  /** For tests. */
  readonly disk?: Disk;
  readonly nowMs?: () => number;
  readonly segmentBytes?: number;
  readonly bootId?: string;
}

type Append = Pick<Waiting, 'entry' | 'applied'>;

/** An append without an answer. */
interface Pending {
  readonly waiting: Waiting;
  /** Settles when the entry is stored, or will not be. */
  readonly stored: Promise<number>;
}

/** The parts of an open log. */
interface Parts {
  readonly lock: number;
  readonly appender: LogAppender;
  readonly feed: LogFeed;
}

export class FileLog implements Log {
  readonly name: string;
  readonly #health = new LogHealth();
  /** The newest ids of entries with their positions. */
  readonly #ids = new Map<string, number>();
  readonly #pending = new Map<string, Pending>();
  #parts: Parts | null = null;
  #reading: Promise<void> | null = null;
  #closing: Promise<void> | null = null;
  #appendErrors = 0;
  #appendRetries = 0;

  constructor(private readonly options: FileLogOptions) {
    this.name = options.directory;
  }

  get counters(): LogCounters {
    const { appender, feed } = this.#parts ?? {};
    return {
      appends: appender?.appends ?? 0,
      appendBytes: appender?.appendBytes ?? 0,
      appendErrors: this.#appendErrors,
      appendRetries: this.#appendRetries,
      entriesRead: feed?.entriesRead ?? 0,
      reconnects: this.#health.reconnects,
      breaks: this.#health.breaks,
    };
  }

  async open(): Promise<LogStart> {
    const { directory, disk = systemDisk, lock } = this.options;
    let locked = -1;
    try {
      await makeFolder(disk, directory);
      locked = lockFolder(directory, lock);
      return await this.#openLocked(locked);
    } catch (error) {
      if (locked >= 0) closeSync(locked);
      if (error instanceof MegacometError) throw error;
      throw folderFault(directory, `cannot be used: ${reasonOf(error)}`);
    }
  }

  async #openLocked(lock: number): Promise<LogStart> {
    const { disk = systemDisk, nowMs = Date.now, directory, bootId = bootIdOf() } = this.options;
    const folder = new LogFolder(disk, directory, bootId, IDS_MAX);
    const { ids, report, end } = await folder.open();
    for (const [id, seq] of ids) this.#ids.set(keyOf(id), seq);
    const feed = new LogFeed(disk, end, this.#health);
    const options = { segmentBytes: SEGMENT_BYTES, ...this.options, disk, nowMs, bootId };
    const appender = new LogAppender(options, end, feed, this.#health);
    await appender.open();
    this.#parts = { lock, appender, feed };
    this.options.onOpen?.(report);
    const first = end.segments[0]?.header.first ?? end.next;
    return { epoch: end.epoch, first, head: end.head, nowMs: Math.max(nowMs(), end.lastMs) };
  }

  async append(batch: Buffer, id: AppendId, applied: number): Promise<number> {
    const key = keyOf(id);
    const seq = this.#ids.get(key);
    const again = this.#pending.get(key);
    if (seq !== undefined || again !== undefined) this.#appendRetries += 1;
    if (seq !== undefined) return seq;
    const { appender } = this.#parts ?? {};
    if (appender === undefined || this.#closing !== null) throw this.#fault('is not open');
    if (batch.length > BATCH_BYTES_MAX) {
      throw this.#fault(`cannot take ${batch.length} bytes at once`);
    }
    const pending = again ?? this.#begin(appender, key, { entry: { id, batch }, applied });
    return await this.#beforeDeadline(appender, pending);
  }

  read(after: number, reader: LogReader): void {
    const { feed } = this.#parts ?? {};
    if (feed === undefined || this.#reading !== null) throw new Error('read(): open() first, once');
    this.#health.reader = reader;
    this.#reading = feed.start(after, reader);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#parts === null) return;
    const { appender, feed, lock } = this.#parts;
    await appender.close();
    feed.close();
    await this.#reading;
    closeSync(lock);
  }

  #begin(appender: LogAppender, key: string, append: Append): Pending {
    let waiting: Waiting | null = null;
    const stored = new Promise<number>((resolve, reject) => {
      waiting = { ...append, resolve, reject: (rule) => reject(this.#fault(rule)) };
    });
    const pending = { waiting: waiting as unknown as Waiting, stored };
    this.#pending.set(key, pending);
    stored.then(
      (seq) => this.#remember(key, seq),
      () => this.#pending.delete(key),
    );
    appender.add(pending.waiting);
    return pending;
  }

  #remember(key: string, seq: number): void {
    this.#pending.delete(key);
    this.#ids.set(key, seq);
    const [oldest = ''] = this.#ids.keys();
    if (this.#ids.size > IDS_MAX) this.#ids.delete(oldest);
  }

  /** The position; an error where the disk does not answer in time. */
  #beforeDeadline(appender: LogAppender, { waiting, stored }: Pending): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const rule = `has not answered within ${APPEND_TIMEOUT_MS} ms`;
        // An append that no write has begun will not exist.
        if (appender.remove(waiting)) waiting.reject(rule);
        else reject(this.#fault(rule));
      }, APPEND_TIMEOUT_MS);
      stored.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  #fault(rule: string): MegacometError {
    this.#appendErrors += 1;
    return folderFault(this.options.directory, rule);
  }
}

function keyOf({ node, count }: AppendId): string {
  return `${node}/${count}`;
}
