// The broker of a comet server: publishing, recovery, interest, presence and mailboxes behind one
// interface. It sees workers as ports of their control streams, and no processes: the manager
// reports each worker that starts or dies.
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';

import { counter, valuesOf, type ValuesOf } from '../base/metric.js';
import { NameHasher } from '../collections/name-hash.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frame } from '../ipc/frames.js';
import { Outgoing } from '../ipc/outgoing.js';
import type { WorkerPort } from '../ipc/worker-port.js';
import type { BrokerEvents, BrokerOptions, BrokerParts } from './broker-options.js';
import { broadcast, type BroadcastResult } from './broadcast.js';
import { BrokerLog, type BrokerLogParts } from './broker-log.js';
import { ChannelQueries } from './channel-queries.js';
import { ClientOrders, type DisconnectTarget } from './client-orders.js';
import { ClientPublishing } from './client-publishing.js';
import { ClientRequests } from './client-requests.js';
import { Commands } from './commands.js';
import { HeapTrim } from './heap-trim.js';
import { HISTORY_METRICS, type HistoryEngine } from './history-engine.js';
import { History } from './history.js';
import type { ChannelHistoryPage, HistoryQuery } from './history-reader.js';
import { Interest } from './interest.js';
import { JoinLeave } from './join-leave.js';
import { LogClock } from './log-clock.js';
import { LoopIteration } from './loop-iteration.js';
import { Mailboxes } from './mailboxes.js';
import { MemberOrders } from './member-orders.js';
import type { ChannelRules, RulesByPattern } from './namespaces.js';
import { Presence, type ChannelPresence, type GatheredPresence } from './presence.js';
import { PublishPath } from './publish-path.js';
import type { ChannelPage, ChannelQuery, PublishOptions, Receipt } from './publishing.js';
import { Recovery } from './recovery.js';
import { Revocations, type Revocation } from './revocations.js';
import { TokenRates } from './token-rates.js';
import { WorkerFrames } from './worker-frames.js';
import { QueuedLines } from './worker-lines.js';

const TICK_MS = 250;

function memoryEngine(
  { historyBytesMax: bytesMax }: BrokerOptions,
  { epoch = randomBytes(8).readBigUInt64LE() }: BrokerParts,
  iteration: LoopIteration,
  hasher: NameHasher,
): History {
  return new History({ epoch, now: () => iteration.nowMs, hasher, bytesMax });
}

export class Broker extends EventEmitter<BrokerEvents> {
  /** The metrics of all parts but the mailboxes, by their field in /stats. */
  static readonly METRICS = {
    ...PublishPath.METRICS,
    ...ClientPublishing.METRICS,
    ...ClientRequests.METRICS,
    ...Recovery.METRICS,
    ...Interest.METRICS,
    ...JoinLeave.METRICS,
    ...Revocations.METRICS,
    ...HISTORY_METRICS,
    workerStreamsOverflowedTotal: counter(
      'worker_streams_overflowed_total',
      'Workers replaced because they did not read their control stream. The log has the cause.',
      (broker: Broker) => broker.#overflows,
    ),
  };

  /** Messages for clients of the legacy long poll, apart from channels and their history. */
  readonly mailboxes: Mailboxes;
  readonly #iteration: LoopIteration;
  readonly #engine: HistoryEngine;
  readonly #interest: Interest;
  readonly #outgoing: Outgoing;
  readonly #lines: QueuedLines;
  readonly #path: PublishPath;
  readonly #recovery: Recovery;
  readonly #revocations: Revocations;
  readonly #presence: Presence;
  readonly #members: MemberOrders;
  readonly #joinLeave: JoinLeave;
  readonly #frames: WorkerFrames;
  readonly #commands: Commands;
  readonly #log: BrokerLog | null;
  readonly #queries: ChannelQueries;
  readonly #requests: ClientRequests;
  readonly #clients: ClientPublishing;
  readonly #heapTrim: HeapTrim;
  #overflows = 0;
  readonly #overflow = (slot: number): void => {
    this.#overflows++;
    this.emit('overflow', slot);
  };
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BrokerOptions, parts: BrokerParts = {}) {
    super();
    const { slots, messageBytesMax, mailboxTimeMs: timeMs } = options;
    const monotonic = parts.now ?? ((): number => performance.now());
    const clock = new LogClock(monotonic);
    const now = (): number => clock.nowMs;
    const schedule = parts.schedule ?? setImmediate;
    const iteration = new LoopIteration({
      now,
      schedule,
      onEnd: () => {
        this.#flush();
      },
    });
    const hasher = new NameHasher();
    const engine = parts.engine ?? memoryEngine(options, parts, iteration, hasher);
    const interest = new Interest({ slots, hasher });
    const outgoing = new Outgoing(this.#overflow);
    const lines = new QueuedLines(outgoing, iteration);
    this.mailboxes = new Mailboxes(lines, now, { messageBytesMax, timeMs });
    this.#iteration = iteration;
    this.#engine = engine;
    this.#interest = interest;
    this.#outgoing = outgoing;
    this.#lines = lines;
    this.#path = new PublishPath(options, { engine, interest, outgoing, iteration });
    this.#recovery = new Recovery({ engine, outgoing, lines });
    this.#revocations = new Revocations(options.tokenLeewayS ?? null);
    this.#presence = new Presence(lines, (channel) => this.rulesOf(channel).hasPresence);
    this.#members = new MemberOrders(lines, this.#presence);
    this.#log = this.#makeLog(parts, { clock, now: monotonic, schedule });
    this.#commands = this.#makeCommands();
    this.#queries = new ChannelQueries({ engine, interest, presence: this.#presence, iteration });
    this.#requests = new ClientRequests(lines, {
      presence: (channel) => this.#queries.gatherPresence(channel),
      history: (selection) => this.#queries.read(selection),
      onRoom: () => {
        iteration.scheduleFlush();
      },
    });
    this.#joinLeave = new JoinLeave({
      subscribers: (channel) => interest.subscribers(channel),
      announce: (channel, data, event) => this.#announce(channel, data, event),
    });
    this.#heapTrim = new HeapTrim(parts.trimHeap ?? ((): void => undefined));
    this.#clients = new ClientPublishing(
      lines,
      (channel, data, publishOptions) => this.publish(channel, data, publishOptions),
      new TokenRates(options.publishesPerToken ?? 0, parts.now),
    );
    this.#frames = this.#makeFrames();
  }

  #makeFrames(): WorkerFrames {
    return new WorkerFrames({
      ...{ iteration: this.#iteration, interest: this.#interest, recovery: this.#recovery },
      ...{ clients: this.#clients, presence: this.#presence, joinLeave: this.#joinLeave },
      ...{ members: this.#members },
      ...{ requests: this.#requests, mailboxes: this.mailboxes },
      hasJoinLeave: (channel) => this.rulesOf(channel).hasJoinLeave,
      onMessage: (message) => this.emit('message', message),
      onPresence: (name, event) => this.emit(name, event),
      onOverflow: this.#overflow,
    });
  }

  #makeCommands(): Commands {
    const slots = (): readonly number[] => this.#outgoing.slots();
    const revocations = this.#revocations;
    const orders = new ClientOrders({
      ...{ lines: this.#lines, interest: this.#interest, members: this.#members, slots },
      checkHasUsers: (call) => {
        revocations.checkHasUsers(call);
      },
    });
    return new Commands({
      ...{ orders, revocations, lines: this.#lines, slots, log: this.#log },
      onRevoke: (user) => this.emit('revoke', user),
    });
  }

  #makeLog(
    { log: setup, connections = (): number => 0 }: BrokerParts,
    times: Pick<BrokerLogParts, 'clock' | 'now' | 'schedule'>,
  ): BrokerLog | null {
    if (setup === undefined) return null;
    return new BrokerLog(setup, {
      ...times,
      ...{ path: this.#path, connections },
      onOrder: (order) => this.#commands.apply(order),
      onQuestion: () => Promise.resolve({}),
      onLost: (_gap, epoch) => {
        if (epoch !== null) this.#beginEpoch(epoch);
      },
    });
  }

  /** Starts the periodic sweeps. They do not keep the process alive. */
  start(): void {
    this.#timer = setInterval(() => {
      this.tick();
    }, TICK_MS).unref();
  }

  /** Names the present sequence of messages. */
  get epoch(): bigint {
    return this.#engine.epoch;
  }

  /** The log, for its state and metrics; null without one. */
  get log(): Pick<BrokerLog, 'clusterCounters' | 'counters' | 'state'> | null {
    return this.#log;
  }

  /** Opens the log, and applies its entries. @throws MegacometError `ERR_LOG`. */
  async openLog(): Promise<void> {
    await this.#log?.open((epoch) => {
      this.#beginEpoch(epoch);
    });
  }

  /** Sends all queued frames; later publishes are rejected. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#log?.close();
    this.#iteration.close();
  }

  #beginEpoch(epoch: bigint): void {
    this.#engine.beginEpoch(epoch);
    this.#path.epochChanged();
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof Broker.METRICS> {
    return {
      ...valuesOf(PublishPath.METRICS, this.#path),
      ...valuesOf(ClientPublishing.METRICS, this.#clients),
      ...valuesOf(ClientRequests.METRICS, this.#requests),
      ...valuesOf(Recovery.METRICS, this.#recovery),
      ...valuesOf(Interest.METRICS, this.#interest),
      ...valuesOf(JoinLeave.METRICS, this.#joinLeave),
      ...valuesOf(Revocations.METRICS, this.#revocations),
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
    this.#requests.workerGone(slot);
    this.#outgoing.detach(slot);
    this.#presence.workerGone(slot);
    this.#members.workerGone(slot);
    this.mailboxes.workerGone(slot);
  }

  /** A worker has read all that was queued for it: blocked replay pages go on at once. */
  drained(): void {
    if (this.#recovery.isBlocked || this.mailboxes.isBlocked) this.#iteration.scheduleFlush();
  }

  /** Takes a worker's frame; frames for other parts of the manager are ignored. */
  onFrame(slot: number, frame: Frame): void {
    this.#frames.onFrame(slot, frame);
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
   *   worker with subscribers reads too slowly, and a later attempt may succeed; `ERR_LOG` when the
   *   log is not available; `ERR_NOT_RUNNING`. As rejections.
   */
  async publish(
    channel: string,
    data: Uint8Array | string,
    options?: PublishOptions,
  ): Promise<Receipt> {
    this.#iteration.checkOpen();
    if (this.#log === null) return this.#path.publish(channel, data, options);
    return this.#log.publish(this.#path.check(channel, data, options));
  }

  async #announce(channel: string, data: string, event: string): Promise<void> {
    if (this.#log === null) this.#path.announce(channel, data, event);
    else await this.#log.announce(channel, data, event);
  }

  /** Subscriptions of exactly this channel or pattern, at most 100 ms old. */
  subscribers(channel: string): number {
    return this.#interest.subscribers(channel);
  }

  /**
   * Publishes one message to each of the channels. All names are checked before the first publish.
   *
   * @returns A result for each channel; ERR_BUSY of one does not keep the others from it.
   * @throws MegacometError as publish(), but for `ERR_BUSY`; `ERR_OPTION_INVALID`.
   */
  async broadcast(
    channels: readonly string[],
    data: Uint8Array | string,
    options?: PublishOptions,
  ): Promise<BroadcastResult[]> {
    this.#iteration.checkOpen();
    return broadcast(this.publish.bind(this), channels, data, options);
  }

  /** See Commands.disconnect(). */
  disconnect(target: DisconnectTarget, reason?: string): Promise<number> {
    return this.#commands.disconnect(target, reason);
  }

  /** See Commands.changeChannels(). */
  changeChannels(user: string, channels: readonly string[], isOn: boolean): Promise<void> {
    return this.#commands.changeChannels(user, channels, isOn);
  }

  /** See Commands.revoke(). */
  revoke(revocation: Revocation): Promise<void> {
    return this.#commands.revoke(revocation);
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

  /** See ChannelQueries.presence(). */
  presence(channel: string, limit?: number): Promise<ChannelPresence> {
    return this.#queries.presence(channel, limit);
  }

  /** See ChannelQueries.presence(). */
  gatherPresence(channel: string, limit?: number): Promise<GatheredPresence> {
    return this.#queries.gatherPresence(channel, limit);
  }

  /** See ChannelQueries.history(). */
  history(channel: string, query?: HistoryQuery): ChannelHistoryPage {
    return this.#queries.history(channel, query);
  }

  /** Channels with subscribers or history, in no order, page by page. */
  channels(query?: ChannelQuery): ChannelPage {
    return this.#queries.channels(query);
  }

  // ---- Inside

  /** Interest routing returns for a catch-all worker when the table has room. */
  #requestInterest(): void {
    const report = this.#interest.nextReport(this.#iteration.nowMs);
    if (report === null) return;
    const { slot, request } = report;
    this.#lines.send(encodeFrame('InterestRequest', { request }), [slot]);
  }

  /** Ends a loop iteration: sends its publishes first, then the replay pages. */
  #flush(): void {
    this.mailboxes.retry();
    const hasMore = this.#recovery.flush();
    const hasRequests = this.#requests.flush();
    this.#outgoing.flush();
    if (hasMore || hasRequests) this.#iteration.scheduleFlush();
  }
}
