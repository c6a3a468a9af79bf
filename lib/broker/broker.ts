// The broker of a comet server: publishing, recovery, interest, presence and mailboxes behind one
// interface. It sees workers as ports of their control streams, and no processes: the manager
// reports each worker that starts or dies.
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';

import { checkText } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { counter, valuesOf, type ValuesOf } from '../base/metric.js';
import { TOKEN_NAME_BYTES_MAX } from '../base/native-constants.js';
import { NameHasher } from '../collections/name-hash.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frame, Frames } from '../ipc/frames.js';
import { Outgoing } from '../ipc/outgoing.js';
import type { WorkerPort } from '../ipc/worker-port.js';
import { ChannelList } from './channel-list.js';
import { checkChannel, isChannel, isPattern } from '../base/channel-name.js';
import { ClientPublishing, type ClientMessage } from './client-publishing.js';
import { HeapTrim } from './heap-trim.js';
import { HISTORY_METRICS, type HistoryEngine } from './history-engine.js';
import { History } from './history.js';
import { Interest } from './interest.js';
import { JoinLeave } from './join-leave.js';
import { checkLabel } from './label.js';
import { LoopIteration } from './loop-iteration.js';
import { Mailboxes } from './mailboxes.js';
import { Presence, type ChannelPresence, type MemberEvent } from './presence.js';
import type { ChannelRules, RulesByPattern } from './namespaces.js';
import { PublishPath, type PublishRules } from './publish-path.js';
import type { ChannelPage, ChannelQuery, PublishOptions, Receipt } from './publishing.js';
import { Recovery } from './recovery.js';
import { Revocations, type Revocation } from './revocations.js';
import { QueuedLines } from './worker-lines.js';

export interface BrokerOptions extends PublishRules {
  /** Workers, 1 to 512. */
  readonly slots: number;
  /** Memory for the messages of all channels. */
  readonly historyBytesMax: number;
  /** Milliseconds that a message waits in a client's mailbox. */
  readonly mailboxTimeMs: number;
  /** Seconds by which issuers' clocks may be ahead; null without tokens. Default null. */
  readonly tokenLeewayS?: number | null;
}

/** Replacements for tests, or for another history engine. */
export interface BrokerParts {
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
  /** Runs a function at the end of the present loop iteration. */
  readonly schedule?: (run: () => void) => void;
  readonly epoch?: bigint;
  readonly engine?: HistoryEngine;
  /** Returns free memory of the heap to the kernel. */
  readonly trimHeap?: () => void;
}

export interface BrokerEvents {
  message: [ClientMessage];
  /** While presence events are on: a connection subscribed, or unsubscribed. */
  subscribe: [MemberEvent];
  unsubscribe: [MemberEvent];
  /** This worker does not read, or breaks its protocol: the manager must replace it. */
  overflow: [slot: number];
}

const TICK_MS = 250;
/** Bytes of a reason for closing: the limit of a WebSocket close frame (RFC 6455, 5.5.1). */
const REASON_BYTES_MAX = 123;

function checkReason(reason: unknown): asserts reason is string {
  checkLabel('reason', reason);
  const bytes = Buffer.byteLength(reason);
  if (bytes > REASON_BYTES_MAX) {
    throw new MegacometError(
      'ERR_MESSAGE',
      `reason: ${bytes} bytes are more than ${REASON_BYTES_MAX}`,
    );
  }
}

function checkNameOrPattern(channel: unknown): void {
  if (typeof channel !== 'string' || !isPattern(channel)) checkChannel(channel);
}

export class Broker extends EventEmitter<BrokerEvents> {
  /** The metrics of all parts but the mailboxes, by their field in /stats. */
  static readonly METRICS = {
    ...PublishPath.METRICS,
    ...ClientPublishing.METRICS,
    ...Recovery.METRICS,
    ...Interest.METRICS,
    ...JoinLeave.METRICS,
    ...HISTORY_METRICS,
    workerStreamsOverflowedTotal: counter(
      'worker_streams_overflowed_total',
      'Workers replaced because they did not read their control stream. The log has the cause.',
      (broker: Broker) => broker.#overflows,
    ),
  };

  readonly epoch: bigint;
  /** Messages for clients of the legacy long poll, apart from channels and their history. */
  readonly mailboxes: Mailboxes;
  readonly #iteration: LoopIteration;
  readonly #engine: HistoryEngine;
  readonly #interest: Interest;
  readonly #outgoing: Outgoing;
  readonly #lines: QueuedLines;
  readonly #path: PublishPath;
  readonly #recovery: Recovery;
  readonly #channels: ChannelList;
  readonly #revocations: Revocations;
  readonly #presence: Presence;
  readonly #joinLeave: JoinLeave;
  readonly #clients: ClientPublishing;
  readonly #heapTrim: HeapTrim;
  #overflows = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BrokerOptions, parts: BrokerParts = {}) {
    super();
    const { slots, messageBytesMax, mailboxTimeMs: timeMs } = options;
    const now = parts.now ?? ((): number => performance.now());
    const iteration = new LoopIteration({
      now,
      schedule: parts.schedule ?? setImmediate,
      onEnd: () => {
        this.#flush();
      },
    });
    const hasher = new NameHasher();
    const engine =
      parts.engine ??
      new History({
        epoch: parts.epoch ?? randomBytes(8).readBigUInt64LE(),
        now: () => iteration.nowMs,
        hasher,
        bytesMax: options.historyBytesMax,
      });
    const interest = new Interest({ slots, hasher });
    const outgoing = new Outgoing((slot) => {
      this.#overflow(slot);
    });
    const lines = new QueuedLines(outgoing, iteration);
    this.epoch = engine.epoch;
    this.mailboxes = new Mailboxes(lines, now, { messageBytesMax, timeMs });
    this.#iteration = iteration;
    this.#engine = engine;
    this.#interest = interest;
    this.#outgoing = outgoing;
    this.#lines = lines;
    this.#path = new PublishPath(options, { engine, interest, outgoing, iteration });
    this.#recovery = new Recovery({ engine, outgoing, lines });
    this.#channels = new ChannelList(interest, engine);
    this.#revocations = new Revocations(options.tokenLeewayS ?? null);
    this.#presence = new Presence(lines);
    this.#joinLeave = new JoinLeave({
      subscribers: (channel) => interest.subscribers(channel),
      announce: (channel, data, event) => {
        this.#path.announce(channel, data, event);
      },
    });
    this.#heapTrim = new HeapTrim(parts.trimHeap ?? ((): void => undefined));
    this.#clients = new ClientPublishing(lines, (channel, data, publishOptions) =>
      this.publish(channel, data, publishOptions),
    );
  }

  /** Starts the periodic sweeps. They do not keep the process alive. */
  start(): void {
    this.#timer = setInterval(() => {
      this.tick();
    }, TICK_MS).unref();
  }

  /** Sends all queued frames; later publishes are rejected. */
  close(): void {
    clearInterval(this.#timer);
    this.#iteration.close();
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof Broker.METRICS> {
    return {
      ...valuesOf(PublishPath.METRICS, this.#path),
      ...valuesOf(ClientPublishing.METRICS, this.#clients),
      ...valuesOf(Recovery.METRICS, this.#recovery),
      ...valuesOf(Interest.METRICS, this.#interest),
      ...valuesOf(JoinLeave.METRICS, this.#joinLeave),
      ...valuesOf(HISTORY_METRICS, this.#engine.usage),
      workerStreamsOverflowedTotal: this.#overflows,
    };
  }

  // ---- Workers

  /** Attaches a new worker, without subscribers. Its control stream must be empty. */
  attach(port: WorkerPort): void {
    if (this.#outgoing.slots().includes(port.slot)) this.workerGone(port.slot);
    this.#outgoing.attach(port);
    this.#presence.attach(port.slot);
  }

  /** The frames that a worker must have before its first client. */
  openingFrames(): readonly Buffer[] {
    const { namespaces } = this.#path;
    return [...(namespaces.isEmpty ? [] : [namespaces.frame()]), ...this.#revocations.frames()];
  }

  /** Forgets a worker that died, with its subscribers. */
  workerGone(slot: number): void {
    this.#interest.drop(slot);
    this.#recovery.workerGone(slot);
    this.#outgoing.detach(slot);
    this.#presence.workerGone(slot);
    this.mailboxes.workerGone(slot);
  }

  /** A worker has read all that was queued for it: blocked replay pages go on at once. */
  drained(): void {
    if (this.#recovery.isBlocked || this.mailboxes.isBlocked) this.#iteration.scheduleFlush();
  }

  /** Takes a worker's frame; frames for other parts of the manager are ignored. */
  onFrame(slot: number, frame: Frame): void {
    switch (frame.name) {
      case 'Interest':
        this.#onInterest(slot, frame.fields);
        return;
      case 'InterestEnd':
        this.#interest.reported(slot, frame.fields.request);
        return;
      case 'ReplayRequest':
        this.#iteration.scheduleFlush();
        if (!this.#recovery.onRequest(slot, frame.fields)) this.#overflow(slot);
        return;
      case 'Message': {
        const message = this.#clients.onMessage(slot, frame.fields);
        if (message !== null) this.emit('message', message);
        return;
      }
      case 'Presence':
        this.#onPresence(slot, frame.fields);
        return;
      case 'Present':
        this.#presence.onPresent(slot, frame.fields);
        return;
      default:
        this.mailboxes.onFrame(slot, frame);
    }
  }

  /** Drops expired messages, keys and polls, and checks the interest table. start() calls it a few times a second. */
  tick(): void {
    this.#iteration.readClock();
    this.#engine.sweep();
    this.#path.sweep();
    this.mailboxes.sweep();
    this.#requestInterest();
    this.#heapTrim.check(this.#interest.channels);
    this.drained();
  }

  // ---- Calls of the application

  /**
   * Numbers a message, appends it to the history, and sends it to the workers that have subscribers
   * at the end of the loop iteration.
   *
   * @param data - A string is sent as text; bytes are sent as bytes, unless `binary` is false.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`; `ERR_BUSY` when a
   *   worker with subscribers reads too slowly, and a later attempt may succeed; `ERR_NOT_RUNNING`.
   */
  publish(channel: string, data: Uint8Array | string, options?: PublishOptions): Receipt {
    this.#checkOpen();
    return this.#path.publish(channel, data, options);
  }

  /** Subscriptions of exactly this channel or pattern, at most 100 ms old. */
  subscribers(channel: string): number {
    return this.#interest.subscribers(channel);
  }

  /**
   * Closes every subscriber of a channel, or of a pattern.
   *
   * @returns Subscribers known.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE` for a reason of more than 123 bytes.
   */
  kick(channel: string, reason = ''): number {
    checkNameOrPattern(channel);
    checkReason(reason);
    this.#sendKick(channel, reason, this.#interest.workersFor(channel));
    return this.#interest.subscribers(channel);
  }

  /**
   * Closes one connection.
   *
   * @returns False if no open connection has this name.
   * @throws MegacometError `ERR_MESSAGE` for a reason of more than 123 bytes.
   */
  kickMember(member: string, reason = ''): boolean {
    checkReason(reason);
    const address = this.#presence.addressOf(member);
    if (address === null) return false;
    const { slot, fd, generation } = address;
    this.#lines.send(encodeFrame('Disconnect', { fd, generation, reason }), [slot]);
    return true;
  }

  /**
   * Closes every connection of a user, whose tokens go on counting.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_MESSAGE`.
   */
  kickUser(user: string, reason = ''): void {
    checkReason(reason);
    this.#revocations.checkHasUsers('disconnect');
    checkText('disconnect: user', user, TOKEN_NAME_BYTES_MAX);
    this.#lines.send(encodeFrame('DisconnectUser', { user, reason }), this.#outgoing.slots());
  }

  /**
   * Closes the connections of tokens, and rejects those tokens from now on.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_BUSY`.
   */
  revoke(revocation: Revocation): void {
    this.#lines.send(this.#revocations.add(revocation), this.#outgoing.slots());
  }

  /** Closes every connection. @throws MegacometError `ERR_MESSAGE`. */
  kickAll(reason = ''): void {
    checkReason(reason);
    this.#sendKick('', reason, this.#outgoing.slots());
  }

  /** The options of a channel, or of a pattern itself. */
  rulesOf(channel: string): ChannelRules {
    return this.#path.namespaces.of(channel);
  }

  /** Replaces all namespaces, here and in the workers. */
  setNamespaces(rules: RulesByPattern): void {
    this.#path.setNamespaces(rules);
    this.#lines.send(this.#path.namespaces.frame(), this.#outgoing.slots());
  }

  /** Turns the events `subscribe` and `unsubscribe` on or off. Off, workers send none. */
  setPresenceEvents(areOn: boolean): void {
    this.#presence.setEvents(areOn);
  }

  /**
   * The connections that subscribe to exactly this channel or pattern, as the workers report them.
   *
   * @param limit - Members at most; by default 10,000.
   * @throws MegacometError `ERR_CHANNEL`; `ERR_BUSY` while 64 queries run; `ERR_NOT_RUNNING`.
   */
  async presence(channel: string, limit?: number): Promise<ChannelPresence> {
    this.#checkOpen();
    checkNameOrPattern(channel);
    if (this.#presence.isBusy) {
      throw new MegacometError('ERR_BUSY', 'too many presence queries; retry shortly');
    }
    const subscribers = (): number => this.#interest.subscribers(channel);
    return this.#presence.query(channel, this.#interest.workersFor(channel), subscribers, limit);
  }

  /** Channels with subscribers or history, in no order, page by page. */
  channels(query?: ChannelQuery): ChannelPage {
    return this.#channels.page(query);
  }

  // ---- Inside

  #checkOpen(): void {
    if (!this.#iteration.isClosed) return;
    throw new MegacometError('ERR_NOT_RUNNING', 'the server is not running: it is closed');
  }

  #sendKick(channel: string, reason: string, slots: readonly number[]): void {
    this.#lines.send(encodeFrame('Kick', { channel, reason }), slots);
  }

  #onInterest(slot: number, { channel, count, wanted }: Frames['Interest']): void {
    // Workers check the names of their subscribers; an invalid one would damage the tables.
    if (!isPattern(channel) && !isChannel(channel)) return;
    this.#interest.set(slot, channel, count, wanted === 1);
  }

  #onPresence(slot: number, fields: Frames['Presence']): void {
    const event = this.#presence.eventOf(slot, fields);
    const hasJoined = fields.present === 1;
    if (this.#presence.areEventsOn) this.emit(hasJoined ? 'subscribe' : 'unsubscribe', event);
    if (!this.rulesOf(event.channel).hasJoinLeave) return;
    if (!this.#iteration.isClosed) this.#joinLeave.onEvent(hasJoined ? 'join' : 'leave', event);
  }

  /** Interest routing returns for a catch-all worker when the table has room. */
  #requestInterest(): void {
    const report = this.#interest.nextReport(this.#iteration.nowMs);
    if (report === null) return;
    const { slot, request } = report;
    this.#lines.send(encodeFrame('InterestRequest', { request }), [slot]);
  }

  #overflow(slot: number): void {
    this.#overflows++;
    this.emit('overflow', slot);
  }

  /** Ends a loop iteration: sends its publishes first, then the replay pages. */
  #flush(): void {
    this.mailboxes.retry();
    const hasMore = this.#recovery.flush();
    this.#outgoing.flush();
    if (hasMore) this.#iteration.scheduleFlush();
  }
}
