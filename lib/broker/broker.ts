// The broker of a comet server: publishing, recovery, interest, presence and mailboxes behind one
// interface. It sees workers as ports of their control streams, and no processes: the manager
// reports each worker that starts or dies.
import { EventEmitter } from 'node:events';

import { counter, valuesOf, type ValuesOf } from '../base/metric.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frame } from '../ipc/frames.js';
import type { WorkerPort } from '../ipc/worker-port.js';
import type { BrokerEvents, BrokerOptions, BrokerParts } from './broker-options.js';
import { broadcast, type BroadcastResult } from './broadcast.js';
import type { BrokerLog } from './broker-log.js';
import { wire, type Wiring } from './broker-wiring.js';
import type { DisconnectTarget } from './client-orders.js';
import { ClientPublishing } from './client-publishing.js';
import { ClientRequests } from './client-requests.js';
import { CutOff } from './cut-off.js';
import { HISTORY_METRICS } from './history-engine.js';
import type { ChannelHistoryPage, HistoryQuery } from './history-reader.js';
import { Interest } from './interest.js';
import { JoinLeave } from './join-leave.js';
import { Losses, type Loss } from './lost.js';
import type { Mailboxes } from './mailboxes.js';
import type { ChannelRules, RulesByPattern } from './namespaces.js';
import type { ChannelPresence, GatheredPresence } from './presence.js';
import { PublishPath } from './publish-path.js';
import type { ChannelPage, ChannelQuery, PublishOptions, Receipt } from './publishing.js';
import { Recovery } from './recovery.js';
import { RevocationRepeats } from './revocation-repeats.js';
import { Revocations, type Revocation } from './revocations.js';

const TICK_MS = 250;

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
    ...RevocationRepeats.METRICS,
    ...Losses.METRICS,
    ...CutOff.METRICS,
    ...HISTORY_METRICS,
    workerStreamsOverflowedTotal: counter(
      'worker_streams_overflowed_total',
      'Workers replaced because they did not read their control stream. The log has the cause.',
      (broker: Broker) => broker.#overflows,
    ),
  };

  /** Messages for clients of the legacy long poll, apart from channels and their history. */
  readonly mailboxes: Mailboxes;
  readonly #parts: Wiring;
  #overflows = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BrokerOptions, parts: BrokerParts = {}) {
    super();
    this.#parts = wire(options, parts, {
      publish: (channel, data, publishOptions) => this.publish(channel, data, publishOptions),
      onFlush: () => {
        this.#flush();
      },
      onOverflow: (slot) => {
        this.#overflows++;
        this.emit('overflow', slot);
      },
      onMessage: (message) => this.emit('message', message),
      onPresence: (name, event) => this.emit(name, event),
      onRevoke: (user) => this.emit('revoke', user),
      onLogEvent: (event) => this.emit('log', event),
    });
    this.mailboxes = this.#parts.mailboxes;
  }

  /** Starts the periodic sweeps. They do not keep the process alive. */
  start(): void {
    this.#timer = setInterval(() => {
      this.tick();
    }, TICK_MS).unref();
  }

  /** Names the present sequence of messages. */
  get epoch(): bigint {
    return this.#parts.engine.epoch;
  }

  /** The log, for its state and metrics; null without one. */
  get log(): Pick<BrokerLog, 'clusterCounters' | 'counters' | 'state'> | null {
    return this.#parts.log;
  }

  /** Whether clients are closed and rejected, because this server is cut off from its engine. */
  get isCutOff(): boolean {
    return this.#parts.cutOff.isOn;
  }

  /** Opens the log, and applies its entries. @throws MegacometError `ERR_LOG`. */
  async openLog(): Promise<void> {
    const { losses, log } = this.#parts;
    await log?.open((start) => {
      losses.begin(start);
    });
    this.mailboxes.opened();
  }

  /** Messages were lost, or an epoch begins: see Losses.report(). */
  lost(loss: Loss): void {
    this.#parts.losses.report(loss);
  }

  /** Sends all queued frames; later publishes are rejected. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.mailboxes.close();
    await this.#parts.log?.close();
    this.#parts.iteration.close();
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof Broker.METRICS> {
    return {
      ...valuesOf(PublishPath.METRICS, this.#parts.path),
      ...valuesOf(ClientPublishing.METRICS, this.#parts.clients),
      ...valuesOf(ClientRequests.METRICS, this.#parts.requests),
      ...valuesOf(Recovery.METRICS, this.#parts.recovery),
      ...valuesOf(Interest.METRICS, this.#parts.interest),
      ...valuesOf(JoinLeave.METRICS, this.#parts.joinLeave),
      ...valuesOf(Revocations.METRICS, this.#parts.revocations),
      ...valuesOf(RevocationRepeats.METRICS, this.#parts.repeats),
      ...valuesOf(Losses.METRICS, this.#parts.losses),
      ...valuesOf(CutOff.METRICS, this.#parts.cutOff),
      ...valuesOf(HISTORY_METRICS, this.#parts.engine.usage),
      workerStreamsOverflowedTotal: this.#overflows,
    };
  }

  // ---- Workers

  /** Attaches a new worker, without subscribers. Its control stream must be empty. */
  attach(port: WorkerPort): void {
    if (this.#parts.outgoing.slots().includes(port.slot)) this.workerGone(port.slot);
    this.#parts.outgoing.attach(port);
    this.#parts.presence.attach(port.slot);
  }

  /** The frames that a worker must have before its first client. */
  openingFrames(): readonly Buffer[] {
    const { namespaces } = this.#parts.path;
    return [
      ...(namespaces.isEmpty ? [] : [namespaces.frame()]),
      ...this.#parts.revocations.frames(),
      ...this.#parts.cutOff.frames(),
    ];
  }

  /** Forgets a worker that died, with its subscribers. */
  workerGone(slot: number): void {
    this.#parts.interest.drop(slot);
    this.#parts.recovery.workerGone(slot);
    this.#parts.requests.workerGone(slot);
    this.#parts.outgoing.detach(slot);
    this.#parts.presence.workerGone(slot);
    this.#parts.members.workerGone(slot);
    this.mailboxes.workerGone(slot);
  }

  /** A worker has read all that was queued for it: blocked replay pages go on at once. */
  drained(): void {
    if (this.#parts.recovery.isBlocked || this.mailboxes.isBlocked)
      this.#parts.iteration.scheduleFlush();
  }

  /** Takes a worker's frame; frames for other parts of the manager are ignored. */
  onFrame(slot: number, frame: Frame): void {
    this.#parts.frames.onFrame(slot, frame);
  }

  /** Drops expired messages, keys and polls, and checks the interest table. start() calls it a few times a second. */
  tick(): void {
    this.#parts.iteration.readClock();
    this.#parts.engine.sweep();
    this.#parts.path.sweep();
    this.mailboxes.sweep();
    this.#parts.cutOff.check();
    this.#parts.repeats.check();
    this.#requestInterest();
    this.#parts.heapTrim.check(this.#parts.interest.channels);
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
    this.#parts.iteration.checkOpen();
    const { log, path, cluster } = this.#parts;
    const receipt =
      log === null
        ? path.publish(channel, data, options)
        : log.publish(path.check(channel, data, options));
    return options?.count === undefined ? receipt : cluster.counted(channel, receipt);
  }

  /** Subscriptions of exactly this channel or pattern, at most 100 ms old. */
  subscribers(channel: string): number {
    return this.#parts.interest.subscribers(channel);
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
    this.#parts.iteration.checkOpen();
    return broadcast(this.publish.bind(this), channels, data, options);
  }

  /** See Commands.disconnect(). */
  disconnect(target: DisconnectTarget, reason?: string): Promise<number> {
    return this.#parts.commands.disconnect(target, reason);
  }

  /** See Commands.changeChannels(). */
  changeChannels(user: string, channels: readonly string[], isOn: boolean): Promise<void> {
    return this.#parts.commands.changeChannels(user, channels, isOn);
  }

  /** See Commands.revoke(). */
  revoke(revocation: Revocation): Promise<void> {
    return this.#parts.commands.revoke(revocation);
  }

  /** The options of a channel, or of a pattern itself. */
  rulesOf(channel: string): ChannelRules {
    return this.#parts.path.namespaces.of(channel);
  }

  /** Replaces all namespaces, here and in the workers. */
  setNamespaces(rules: RulesByPattern): void {
    this.#parts.path.setNamespaces(rules);
    this.#parts.lines.send(this.#parts.path.namespaces.frame(), this.#parts.outgoing.slots());
  }

  /** Turns the events `subscribe` and `unsubscribe` on or off. Off, workers send none. */
  setPresenceEvents(areOn: boolean): void {
    this.#parts.presence.setEvents(areOn);
  }

  /** See ClusterQueries.presence(). */
  presence(channel: string, limit?: number): Promise<ChannelPresence> {
    return this.#parts.cluster.presence(channel, limit);
  }

  /** See ClusterQueries.presence(). */
  gatherPresence(channel: string, limit?: number): Promise<GatheredPresence> {
    return this.#parts.cluster.gatherPresence(channel, limit);
  }

  /** See ChannelQueries.history(). */
  history(channel: string, query?: HistoryQuery): ChannelHistoryPage {
    return this.#parts.queries.history(channel, query);
  }

  /** See ClusterQueries.channels(). */
  channels(query?: ChannelQuery): Promise<ChannelPage> {
    return this.#parts.cluster.channels(query);
  }

  // ---- Inside

  /** Interest routing returns for a catch-all worker when the table has room. */
  #requestInterest(): void {
    const report = this.#parts.interest.nextReport(this.#parts.iteration.nowMs);
    if (report === null) return;
    const { slot, request } = report;
    this.#parts.lines.send(encodeFrame('InterestRequest', { request }), [slot]);
  }

  /** Ends a loop iteration: sends its publishes first, then the replay pages. */
  #flush(): void {
    this.mailboxes.retry();
    const hasMore = this.#parts.recovery.flush();
    const hasRequests = this.#parts.requests.flush();
    this.#parts.outgoing.flush();
    if (hasMore || hasRequests) this.#parts.iteration.scheduleFlush();
  }
}
