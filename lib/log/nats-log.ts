// The log in a stream of NATS JetStream. Appends go over one connection, and are read over another,
// so an append succeeds only where both lead to the same stream.
import type { NatsConnection } from '@nats-io/transport-node';
import { randomUUID } from 'node:crypto';

import { MegacometError } from '../base/errors.js';
import {
  BATCH_BYTES_MAX,
  PATIENCE,
  START_PATIENCE,
  type AppendId,
  type Log,
  type LogBreak,
  type LogCounters,
  type LogEntry,
  type LogReader,
  type LogStart,
} from './log.js';
import type { NatsAddress } from './nats-address.js';
import { NatsAppends } from './nats-appends.js';
import { connectNats, type NatsAccess } from './nats-connect.js';
import { NatsLink } from './nats-link.js';
import { loadNats, natsReason, type NatsModule } from './nats-module.js';
import { epochAfter, NatsPosition } from './nats-position.js';
import { NatsReader, newestRecord } from './nats-reader.js';
import { decodeRecord, OVERHEAD_BYTES, positionOf } from './nats-record.js';
import { NatsStream, type StreamOptions } from './nats-stream.js';

export interface NatsLogOptions extends StreamOptions {
  readonly address: NatsAddress;
  readonly access: NatsAccess;
  /** Loads the libraries; for tests. */
  readonly load?: () => Promise<NatsModule>;
}

/** The least max_payload of a server: below it the headers are a large part of each message. */
const PAYLOAD_BYTES_MIN = 65_536;
/** Looks at a stream in which other nodes begin an epoch at the same time. */
const ATTEMPTS = 10;
/** Milliseconds between two looks at the stream that failed appends ask for. */
const LOOK_MS = 200;

export class NatsLog implements Log {
  readonly name: string;
  readonly #options: NatsLogOptions;
  readonly #node = randomUUID();
  readonly #position = new NatsPosition();
  readonly #appends: NatsAppends;
  #module: NatsModule | null = null;
  #reader: NatsReader | null = null;
  #links: readonly NatsLink[] = [];
  #payloadMax = BATCH_BYTES_MAX + OVERHEAD_BYTES;
  #target: LogReader | null = null;
  #waiting: LogEntry[] = [];
  #isWriting = false;
  #isReading = false;
  /** Whether the reader has received the break `down`. */
  #isDown = false;
  #isClosed = false;
  #lookedAtMs = -LOOK_MS;
  #unread = { messages: -1 };
  #entriesRead = 0;
  #reconnects = 0;
  #breaks = 0;

  constructor(options: NatsLogOptions) {
    this.#options = options;
    this.name = `${options.address.name}/${options.name}`;
    this.#appends = new NatsAppends(options.name, {
      terms: () => this.#position,
      hasPassed: (streamSeq) => streamSeq <= this.#position.streamSeq,
      headers: () => this.#loaded.core.headers(),
      onSilence: () => {
        this.#look();
      },
      onUnread: () => {
        this.#dropUnread();
      },
    });
  }

  get counters(): LogCounters {
    const { appends, bytes, errors, retries } = this.#appends;
    return {
      ...{ appends, appendBytes: bytes, appendErrors: errors, appendRetries: retries },
      ...{ entriesRead: this.#entriesRead, reconnects: this.#reconnects, breaks: this.#breaks },
    };
  }

  get batchBytesMax(): number {
    return Math.min(BATCH_BYTES_MAX, this.#payloadMax - OVERHEAD_BYTES);
  }

  get #loaded(): NatsModule {
    if (this.#module === null) throw new Error('open() comes first');
    return this.#module;
  }

  async open(): Promise<LogStart> {
    this.#module = await loadNats(this.#options.load);
    const connections: NatsConnection[] = [];
    try {
      for (let count = 0; count < 2; count += 1)
        connections.push(await this.#connect(START_PATIENCE));
      const [reading, writing] = connections as [NatsConnection, NatsConnection];
      const stream = await NatsStream.of(this.#loaded, writing, this.#options, START_PATIENCE);
      const first = await this.#start(stream);
      const head = this.#position.position;
      const nowMs = await this.#follow(reading, writing);
      return { epoch: this.#position.epoch, first: Math.min(first, head + 1), head, nowMs };
    } catch (error) {
      this.#isClosed = true;
      for (const link of this.#links) await link.close();
      for (const connection of connections) await connection.close();
      throw new MegacometError('ERR_LOG', `engine: ${this.name}: ${natsReason(error)}`);
    }
  }

  async #connect(patience = PATIENCE): Promise<NatsConnection> {
    const { address, access } = this.#options;
    const connection = await connectNats(this.#loaded, address, access, patience);
    const { max_payload: bytes = 0 } = connection.info ?? {};
    if (bytes >= PAYLOAD_BYTES_MIN) return connection;
    await connection.close();
    const rule = `must be at least ${PAYLOAD_BYTES_MIN}`;
    throw new Error(`the server's max_payload is ${bytes} and ${rule}`);
  }

  /** Finds the end of the log, or begins one. @returns The position of its oldest entry. */
  async #start(stream: NatsStream): Promise<number> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const state = await stream.ensure();
      const newest = await newestRecord(stream, state);
      if (newest === null) {
        const { createdNs, last } = state;
        const epoch = epochAfter(0n, Date.now());
        await stream.begin(createdNs, { epoch, base: last, after: last }, this.#node);
        continue;
      }
      await stream.probe();
      this.#position.start(state, newest.message, newest.record);
      const oldest = await stream.message(state.first);
      const record = oldest === null ? null : decodeRecord(oldest.data);
      if (record === null) return this.#position.base + state.first;
      return positionOf(record, state.first) + (record.kind === 'epoch' ? 1 : 0);
    }
    throw new Error(`other nodes change the stream ${this.#options.name} all the time`);
  }

  /** Reads and appends from now on. @returns The log's clock. */
  async #follow(reading: NatsConnection, writing: NatsConnection): Promise<number> {
    const reader = this.#makeReader();
    this.#reader = reader;
    let begun: Promise<number | null> = Promise.resolve(null);
    const links = [
      new NatsLink(() => this.#connect(), {
        onUp: (connection) => {
          begun = reader.attach(connection);
        },
        onDown: (reason) => {
          reader.detach();
          this.#pause(reason, { isReading: false });
        },
        onError: () => undefined,
      }),
      this.#makeWriter(),
    ] as const;
    this.#links = links;
    links[1].start(writing);
    links[0].start(reading);
    const nowMs = await begun;
    if (nowMs === null) throw new Error('the stream cannot be read');
    return Math.max(nowMs, this.#position.clockMs);
  }

  #makeReader(): NatsReader {
    return new NatsReader(this.#loaded, this.#options, this.#position, this.#node, {
      onEntry: (entry) => {
        this.#take(entry);
      },
      onBreak: (broken) => {
        this.#breaks += 1;
        this.#break(broken);
      },
      onLive: () => {
        this.#isReading = true;
        this.#resume();
      },
      onPause: (reason) => {
        this.#pause(reason, { isReading: false });
      },
    });
  }

  #makeWriter(): NatsLink {
    return new NatsLink(() => this.#connect(), {
      onUp: (connection) => {
        this.#payloadMax = connection.info?.max_payload ?? PAYLOAD_BYTES_MIN;
        this.#appends.attach(connection, this.#loaded.core.createInbox());
        this.#isWriting = true;
        // A server that was started anew may have lost the end of the log.
        if (this.#isReading || this.#isDown) void this.#reader?.restart();
      },
      onDown: (reason) => {
        this.#pause(reason, { isWriting: false });
      },
      onError: (error) => {
        if (error.name === 'PermissionViolationError') this.#appends.failAll(natsReason(error));
      },
    });
  }

  append(batch: Buffer, id: AppendId, applied: number): Promise<number> {
    if (this.#isClosed || this.#reader === null) return this.#reject('the log is closed');
    if (batch.length > this.batchBytesMax) {
      const rule = `at most ${this.batchBytesMax} are allowed (max_payload of the server)`;
      return this.#reject(`the batch has ${batch.length} bytes, and ${rule}`);
    }
    if (applied > this.#position.position) {
      this.#position.suspect(applied);
      void this.#reader.restart();
    }
    return this.#appends.append(batch, id);
  }

  #reject(reason: string): Promise<number> {
    this.#appends.errors += 1;
    return Promise.reject(new MegacometError('ERR_LOG', `engine: the append failed: ${reason}`));
  }

  read(after: number, reader: LogReader): void {
    this.#target = reader;
    this.#position.startAfter(after);
    void this.#reader?.restart();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#target = null;
    await this.#appends.settled();
    this.#reader?.detach();
    await Promise.all(this.#links.map((link) => link.close()));
  }

  #take(entry: LogEntry): void {
    this.#appends.onEntry(entry.id, entry.seq);
    if (this.#target === null) return;
    this.#entriesRead += 1;
    // All entries of one chunk of the connection are delivered together.
    if (this.#waiting.push(entry) > 1) return;
    queueMicrotask(() => {
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#waiting.length === 0) return;
    const entries = this.#waiting;
    this.#waiting = [];
    this.#target?.onEntries(entries);
  }

  #break(broken: LogBreak): void {
    this.#deliver();
    this.#target?.onBreak(broken);
  }

  #pause(reason: string | null, state: { isReading?: boolean; isWriting?: boolean }): void {
    if (state.isReading !== undefined) this.#isReading = state.isReading;
    if (state.isWriting !== undefined) this.#isWriting = state.isWriting;
    this.#appends.pause(reason ?? 'the stream is checked');
    if (reason === null || this.#isDown || this.#isClosed) return;
    this.#isDown = true;
    this.#break({ kind: 'down', reason });
  }

  #resume(): void {
    if (!this.#isReading || !this.#isWriting) return;
    this.#appends.resume();
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#reconnects += 1;
    this.#break({ kind: 'up' });
  }

  /** Looks at the stream, which may be gone. */
  #look(): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = nowMs;
    this.#reader?.look();
  }

  /** Two connections that do not lead to the same stream: both are made anew. */
  #dropUnread(): void {
    const messages = this.#reader?.messages ?? 0;
    // A reader that gets messages is late, and not wrong.
    const isLate = messages !== this.#unread.messages;
    this.#unread = { messages };
    if (isLate) return;
    for (const link of this.#links) link.drop('an entry of this node was not read');
  }
}
