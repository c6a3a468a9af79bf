// The log of a broker: writes the records of this node, applies those of every node, and keeps the
// ticks that prove that the log returns them.
import { MegacometError } from '../base/errors.js';
import { valuesOf, type ValuesOf } from '../base/metric.js';
import type { Log, LogStart } from '../log/log.js';
import { LOG_METRICS } from '../log/log-metrics.js';
import { RecordKind } from './log-batch.js';
import type { LogClock } from './log-clock.js';
import { LogFollower, type AppliedRecord, type Gap, type LogEvent } from './log-follower.js';
import { jsonBody, readJson, type Body, type JsonObject } from './log-json.js';
import { LogNodes, TICK_MS, type NodeInfo, type Tick } from './log-nodes.js';
import { LogQuestions, type Answers, type AskOptions } from './log-questions.js';
import { LogWriter, type Applied } from './log-writer.js';
import type { Mailboxes } from './mailboxes.js';
import type { PublishPath } from './publish-path.js';
import {
  publishRecordBytesMax,
  readPublishRecord,
  writePublishRecord,
  type PublishRecord,
} from './publish-record.js';
import type { Receipt } from './publishing.js';
import type { KeptEntries, RevocationLog } from './revocation-repeats.js';

/** A node that reads a question after this time, as after an interruption, does not answer it. */
const QUESTION_AGE_MS_MAX = 5000;

/** The log of a server. */
export interface LogSetup {
  readonly log: Log;
  /** Several servers share the log: they tick, and ask each other. */
  readonly isShared: boolean;
  /** A name for this life of this server: letters, digits, `-`, `_`. */
  readonly node: string;
  /** The version of this program. */
  readonly version: string;
  /** Default: everything. */
  readonly keeps?: KeptEntries;
}

/** The name of a node, for the names of its connections; empty if it is the only one. */
export function nodeNameOf(setup: LogSetup | undefined): string {
  return setup?.isShared === true ? setup.node : '';
}

export interface BrokerLogParts {
  readonly clock: LogClock;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  readonly schedule: (run: () => void) => void;
  readonly path: Pick<PublishPath, 'apply' | 'applyAnnouncement' | 'checkNotBusy'>;
  readonly mailboxes: Pick<Mailboxes, 'apply' | 'onTick'>;
  /** Executes an order on this node. @throws MegacometError */
  readonly onOrder: (order: JsonObject, atMs: number) => unknown;
  /** Answers a question about this node; null if the question is for another one. */
  readonly onQuestion: (question: JsonObject) => Promise<JsonObject | null>;
  readonly onLost: (gap: Gap | null, epoch: bigint | null) => void;
  /** Conditions for the log lines of the server. */
  readonly onEvent: (event: LogEvent) => void;
  /** Open connections of this node. */
  readonly connections: () => number;
}

/** The state of the log for status and stats. */
export interface LogState {
  readonly name: string;
  readonly position: number;
  readonly isDown: boolean;
  readonly isReady: boolean;
  /** Milliseconds that an entry needs through the log and back; null for a log that is not shared. */
  readonly lagMs: number | null;
  readonly nodes: readonly NodeInfo[];
}

export class BrokerLog implements RevocationLog {
  static readonly METRICS = { ...LOG_METRICS, ...LogWriter.METRICS, ...LogFollower.METRICS };
  static readonly CLUSTER_METRICS = { ...LogNodes.METRICS, ...LogQuestions.METRICS };

  readonly #setup: LogSetup;
  readonly #parts: BrokerLogParts;
  readonly #writer: LogWriter;
  readonly #follower: LogFollower;
  readonly #nodes: LogNodes;
  readonly #questions: LogQuestions;
  #isOpen = false;
  #tickTimer: NodeJS.Timeout | undefined;

  constructor(setup: LogSetup, parts: BrokerLogParts) {
    const { log, node } = setup;
    const { now, schedule, clock } = parts;
    this.#setup = setup;
    this.#parts = parts;
    this.#nodes = new LogNodes(node, now);
    this.#questions = new LogQuestions(now);
    this.#writer = new LogWriter({
      ...{ log, node, schedule, now },
      applied: () => this.#follower.applied,
    });
    this.#follower = new LogFollower({
      ...{ log, node, clock },
      apply: (record) => this.#apply(record),
      onOwnEntry: (count, results) => {
        this.#writer.onApplied(count, results);
      },
      ...{ onLost: parts.onLost, onEvent: parts.onEvent },
      onDown: (reason) => {
        this.#writer.setDown(reason);
      },
    });
  }

  get counters(): ValuesOf<typeof BrokerLog.METRICS> {
    return {
      ...valuesOf(LOG_METRICS, this.#setup.log.counters),
      ...valuesOf(LogWriter.METRICS, this.#writer),
      ...valuesOf(LogFollower.METRICS, this.#follower),
    };
  }

  /** Counters of a log that several servers share; null for another. */
  get clusterCounters(): ValuesOf<typeof BrokerLog.CLUSTER_METRICS> | null {
    if (!this.#setup.isShared) return null;
    return {
      ...valuesOf(LogNodes.METRICS, this.#nodes),
      ...valuesOf(LogQuestions.METRICS, this.#questions),
    };
  }

  get state(): LogState {
    const { isShared, log } = this.#setup;
    const { applied: position, isDown, isOutdated } = this.#follower;
    const isAlive = !isShared || this.#nodes.isAlive;
    return {
      ...{ name: log.name, position, isDown },
      isReady: this.#isOpen && isAlive && !isDown && !isOutdated,
      lagMs: isShared ? this.#nodes.lagMs : null,
      nodes: isShared ? this.#nodes.list(this.#parts.clock.nowMs) : [],
    };
  }

  /** Milliseconds since this node read its own last tick; null for a log that is closed or not shared. */
  get tickAgeMs(): number | null {
    return this.#isOpen && this.#setup.isShared ? this.#nodes.ownTickAgeMs : null;
  }

  /** Whether other servers share the log. */
  get isShared(): boolean {
    return this.#setup.isShared;
  }

  get keeps(): KeptEntries {
    return this.#setup.keeps ?? { bytes: Infinity, ageMs: Infinity };
  }

  get appliedBytes(): number {
    return this.#follower.bytes;
  }

  get rank(): number {
    return this.#setup.isShared ? this.#nodes.rank : 0;
  }

  /** The name of this node: see nodeNameOf(). */
  get nodeName(): string {
    return nodeNameOf(this.#setup);
  }

  /**
   * Opens the log and applies everything up to its present head.
   *
   * @param onStart - Called before anything is applied.
   * @throws MegacometError `ERR_LOG`.
   */
  async open(onStart: (start: LogStart) => void): Promise<void> {
    const start = await this.#setup.log.open();
    this.#parts.clock.observe(start.nowMs);
    onStart(start);
    await this.#follower.catchUp(start);
    this.#isOpen = true;
    if (!this.#setup.isShared) return;
    this.#tick();
    this.#tickTimer = setInterval(() => {
      this.#tick();
    }, TICK_MS).unref();
  }

  /** Appends the records that wait, and ends reading. */
  async close(): Promise<void> {
    clearInterval(this.#tickTimer);
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#writer.close();
    await this.#setup.log.close();
  }

  /**
   * Publishes a message; resolves when this node has applied it.
   *
   * @throws MegacometError `ERR_BUSY`; `ERR_BUSY`, `ERR_LOG` as rejections.
   */
  publish(record: PublishRecord): Promise<Receipt> {
    this.#parts.path.checkNotBusy(record.channel);
    const bytesMax = publishRecordBytesMax(record);
    const write = (target: Buffer, at: number): number => writePublishRecord(target, at, record);
    return this.write(RecordKind.publish, { bytesMax, write }) as Promise<Receipt>;
  }

  /** See PublishPath.announce(). @throws MegacometError `ERR_BUSY`, `ERR_LOG`: as rejections. */
  async announce(channel: string, data: string, event: string): Promise<void> {
    await this.write(RecordKind.announce, jsonBody({ channel, data, event }));
  }

  /** Executes an order on every node; resolves to its result on this one. */
  order(order: JsonObject): Promise<unknown> {
    return this.write(RecordKind.order, jsonBody(order));
  }

  /**
   * Asks every node, or one.
   *
   * @throws MegacometError `ERR_BUSY`, `ERR_LOG`: as rejections.
   */
  async ask(question: JsonObject, options?: AskOptions): Promise<Answers> {
    const { id, answers } = this.#questions.open(this.#nodes, options);
    try {
      await this.write(RecordKind.question, jsonBody({ ...question, id }));
    } catch (error) {
      this.#questions.drop(id);
      throw error;
    }
    this.#questions.written(id);
    return answers;
  }

  /** @throws MegacometError `ERR_BUSY`, `ERR_LOG`: a record of this size cannot be written now. */
  checkRoom(bytes: number): void {
    if (this.#isOpen) this.#writer.checkRoom(bytes);
  }

  /** Writes a record; resolves to its result on this node. */
  write(kind: number, body: Body): Promise<unknown> {
    if (!this.#isOpen) {
      const error = new MegacometError(
        'ERR_NOT_RUNNING',
        'the server is not running: its log is closed',
      );
      return Promise.reject(error);
    }
    return this.#writer.add(kind, body);
  }

  #tick(): void {
    const tick: Tick = { version: this.#setup.version, connections: this.#parts.connections() };
    this.#nodes.ticked();
    // A tick that fails is missed by isAlive.
    this.write(RecordKind.tick, jsonBody(tick)).catch(ignoreOperating);
  }

  #apply(record: AppliedRecord): Applied | undefined {
    const { kind, body, number, atMs } = record;
    const { path, mailboxes, onOrder } = this.#parts;
    switch (kind) {
      case RecordKind.publish:
        return { value: path.apply(readPublishRecord(body), number, atMs) };
      case RecordKind.announce: {
        const { channel, data, event } = readJson(body);
        path.applyAnnouncement(String(channel), String(data), String(event), number);
        return DONE;
      }
      case RecordKind.tick:
        this.#nodes.onTick(record.node, readJson(body) as unknown as Tick, atMs);
        this.#nodes.sweep(atMs);
        mailboxes.onTick(this.#nodes.names, atMs);
        return DONE;
      case RecordKind.order:
        return { value: onOrder(readJson(body), atMs) };
      case RecordKind.question:
        this.#answer(record, readJson(body));
        return DONE;
      case RecordKind.answer:
        this.#onAnswer(record.node, readJson(body));
        return DONE;
      default:
        return mailboxes.apply(record);
    }
  }

  /** Answers a question, unless its node does not wait any more. */
  #answer({ node: asker, atMs }: AppliedRecord, question: JsonObject): void {
    if (!this.#isOpen || this.#parts.clock.nowMs - atMs > QUESTION_AGE_MS_MAX) return;
    const { id } = question;
    const isOwn = asker === this.#setup.node;
    this.#parts
      .onQuestion(question)
      .then((answer) => {
        if (answer === null) return undefined;
        if (!isOwn) return this.write(RecordKind.answer, jsonBody({ asker, id, answer }));
        this.#onAnswer(asker, { asker, id, answer });
        return undefined;
      })
      .catch(ignoreOperating);
  }

  #onAnswer(node: string, { asker, id, answer }: JsonObject): void {
    if (asker !== this.#setup.node || typeof id !== 'number') return;
    this.#questions.onAnswer(id, node, answer as JsonObject);
  }
}

const DONE: Applied = { value: undefined };

/** Condition of the log: the writer counts it. Anything else is a bug. */
function ignoreOperating(error: unknown): void {
  if (!(error instanceof MegacometError)) throw error;
}
