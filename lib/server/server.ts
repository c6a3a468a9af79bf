// The public face of the library: one server, its options and its life. A façade over the steps of
// the start, the manager of the workers, the broker, and the state of all parts.
import { EventEmitter } from 'node:events';

import type { Readiness } from '../api/admin.js';
import { MegacometError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import type { BroadcastResult } from '../broker/broadcast.js';
import type { DisconnectTarget } from '../broker/client-orders.js';
import type { ChannelHistoryPage, HistoryQuery } from '../broker/history-reader.js';
import type { ChannelPresence } from '../broker/presence.js';
import type { ChannelPage, ChannelQuery, PublishOptions, Receipt } from '../broker/publishing.js';
import type { Capacity } from '../capacity/capacity.js';
import type { Revocation } from '../broker/revocations.js';
import { WorkerMemory, type Stats } from '../stats/stats.js';
import { procReader } from '../system/kernel.js';
import type { Health } from '../systemd/service.js';
import {
  checkPresenceLimit,
  readChannelQuery,
  readChannels,
  readDisconnectTarget,
  readDrainMs,
  readHistoryQuery,
  readRevocation,
} from './calls.js';
import { namespaceRules } from './broker-options.js';
import { DeferredLog } from './deferred-log.js';
import { writeFirstLine } from './first-line.js';
import { notRunning, Parts } from './parts.js';
import { hasPresenceListener, watchListeners, type ServerEvents } from './server-events.js';
import {
  fill,
  loggerOf,
  readAdjustments,
  type Adjustments,
  type Filled,
  type ServerOptions,
} from './server-options.js';
import { ServerState } from './server-state.js';
import type { ServerSummary } from './server-summary.js';
import type { Host, StartContext } from './start-context.js';
import { StartSteps } from './start-steps.js';
import { Startup } from './startup.js';
import { limitsOf, withMaxConnections } from './worker-limits.js';

export type { ServerEvents } from './server-events.js';
export type { Adjustments, ServerOptions } from './server-options.js';
export type { ServerSummary } from './server-summary.js';
export type { Host } from './start-context.js';

/** How close() ends the connections that are open. */
export interface CloseOptions {
  /** Milliseconds over which connections are closed, evenly; default 0: at once. */
  drainMs?: number;
}

/** The result of close(). */
export interface CloseReport {
  /** Pids of workers that had to be killed: empty after a clean stop. */
  readonly killed: readonly number[];
}

/** A server that holds connections in worker processes. Created by `createServer()`. */
export class Server extends EventEmitter<ServerEvents> {
  readonly #options: Filled;
  readonly #log: Logger;
  readonly #startLog: DeferredLog;
  readonly #memory = new WorkerMemory(procReader);
  readonly #parts: Parts;
  readonly #state: ServerState;
  readonly #startup: Startup;
  #drainMs = 0;
  #closing: Promise<CloseReport> | undefined;

  constructor(options: ServerOptions, host: Host) {
    super();
    this.#options = fill(options);
    this.#log = loggerOf(options.logger);
    this.#parts = new Parts(this.#options.protocol);
    this.#startLog = new DeferredLog(this.#log);
    this.#state = new ServerState({
      options: this.#options,
      parts: this.#parts,
      memory: this.#memory,
    });
    const { listen, host: address, port } = options;
    const namesAddress = [address, port, listen].some((value) => value !== undefined);
    const context = this.#makeContext(host, namesAddress);
    this.#startup = new Startup(new StartSteps(context, this.#parts).list());
    this.#watchListeners();
  }

  /** Removes listeners, but not those by which the server notices listeners. */
  override removeAllListeners(event?: keyof ServerEvents): this {
    if (event === undefined) super.removeAllListeners();
    else super.removeAllListeners(event);
    this.#watchListeners();
    return this;
  }

  readonly #onListenerChange = (): void => {
    // 'newListener' is emitted before the listener is added.
    queueMicrotask(() => {
      this.#setPresenceEvents();
    });
  };

  #watchListeners(): void {
    watchListeners(this, this.#onListenerChange);
  }

  #makeContext(host: Host, namesAddress: boolean): StartContext {
    return {
      options: this.#options,
      namesAddress,
      host,
      log: this.#log,
      startLog: this.#startLog,
      memory: this.#memory,
      view: this.#state,
      events: {
        onMessage: (message) => this.emit('message', message),
        onSubscribe: (event) => this.emit('subscribe', event),
        onUnsubscribe: (event) => this.emit('unsubscribe', event),
        onOverflow: (slot) => {
          const reason = 'worker does not read its control stream; replaced';
          this.#parts.manager?.replace(slot, reason);
        },
      },
      deliver: this.deliver.bind(this),
      onWorker: (event) => this.emit('worker', event),
      onMessaging: () => {
        this.#setPresenceEvents();
      },
      drainMs: () => this.#drainMs,
    };
  }

  /** Turns presence events on only while they have a listener: a ramp has a million of them. */
  #setPresenceEvents(): void {
    this.#parts.messaging?.broker.setPresenceEvents(hasPresenceListener(this));
  }

  /** Addresses with their real ports, empty before {@link listen}. */
  get addresses(): readonly string[] {
    return this.#state.addresses;
  }

  /** Port of the admin server; null without one, or if it has unix sockets only. */
  get adminPort(): number | null {
    return this.#parts.adminPort;
  }

  /** Port that receives messages from applications, null without one. */
  get ingestPort(): number | null {
    return this.#parts.ingestPort;
  }

  /**
   * Binds, starts the workers, and resolves when all of them serve.
   *
   * @returns The capacity of the server, and the limit that bounds it.
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_LISTEN`, `ERR_ADMIN_LISTEN`, `ERR_CAPACITY`,
   *   `ERR_WORKER_START`, `ERR_USER`, `ERR_RUNTIME`, `ERR_ALREADY_LISTENING`. Nothing is left open
   *   after any of them.
   */
  async listen(): Promise<Capacity> {
    const parts = this.#parts;
    if (parts.phase !== 'new') {
      const isClosed = parts.phase === 'closed' || parts.phase === 'closing';
      const reason = isClosed ? 'the server is closed; create another' : 'it was called before';
      throw new MegacometError('ERR_ALREADY_LISTENING', `listen(): ${reason}`);
    }
    parts.phase = 'starting';
    try {
      await this.#startup.run(() => {
        if (parts.phase !== 'starting') throw notRunning(parts.phase);
      });
      parts.phase = 'listening';
      const { capacity } = this.#parts.running();
      writeFirstLine(this.#log, this.#parts, capacity, this.stats());
      this.#startLog.flush();
      return capacity;
    } catch (error) {
      // The lines may name the reason.
      this.#startLog.flush();
      await this.close();
      throw error;
    }
  }

  /**
   * Changes limits and namespaces while the server runs. `maxConnections` cannot exceed the number of
   * connections that the workers were started for. `namespaces` replaces all of them: history limits
   * count from the next message of a channel, and subscriptions stay.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_NOT_RUNNING`.
   */
  adjust(changes: Adjustments): void {
    const { maxConnections, ...others } = readAdjustments(changes);
    const { manager, capacity } = this.#parts.running();
    const adjusted =
      maxConnections === undefined ? capacity : withMaxConnections(capacity, maxConnections);
    const { namespaces } = others;
    const broker = namespaces === undefined ? undefined : this.#parts.broker();
    const rules = namespaceRules({ ...this.#options, ...others });
    broker?.setNamespaces(rules);
    Object.assign(this.#options, others);
    this.#parts.capacity = adjusted;
    manager.adjust(limitsOf(adjusted, this.#options));
  }

  /**
   * Reads the files of `tlsCert`, `tlsKey`, `tokenKey`, `signKey` and `hookSecret` again, gives the keys to
   * the workers, and fetches those of `tokenJwksUrl`. After an error the old ones stay.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_NOT_RUNNING`.
   */
  reloadKeys(): void {
    this.#parts.running();
    this.#parts.tls?.reload();
    this.#parts.messaging?.reloadHook();
    this.#parts.keys?.reload();
  }

  /**
   * The metrics of this moment. Counters are read from shared memory, so they are current even if
   * a worker is frozen or dead.
   *
   * @throws MegacometError `ERR_NOT_RUNNING` before listen() has bound, and after close().
   */
  stats(): Stats {
    return this.#state.stats();
  }

  /**
   * The server in brief: version, workers, counts, and which features are on.
   *
   * @throws MegacometError `ERR_NOT_RUNNING` as stats().
   */
  info(): ServerSummary {
    return this.#state.info();
  }

  /** Whether the server should get new clients: half of its workers serve, and none drains. */
  readiness(): Readiness {
    return this.#state.readiness();
  }

  /** The health of the server, for a supervisor of this process. Never throws. */
  health(): Health {
    return this.#state.health();
  }

  /**
   * Comet: gives a message the next number of the server's sequence, and sends it to subscribers.
   *
   * `delivered` is the number of subscribers known at that moment, at most 100 ms old. It is not an
   * acknowledgement.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`; `ERR_BUSY` when a
   *   worker cannot follow, and a later try may succeed; `ERR_NOT_RUNNING`.
   */
  publish(channel: string, data: Uint8Array | string, options?: PublishOptions): Promise<Receipt> {
    // A promise, so that a broker on another machine can replace this one.
    return new Promise((resolve) => {
      resolve(this.#parts.broker().publish(channel, data, options));
    });
  }

  /**
   * Comet: puts a message into the mailbox of a client that polls `/ID.js`. The mailbox keeps it
   * for `mailboxTime`, or until it was written completely. Needs the option `mailboxes` or `ingest`.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`, `ERR_BUSY`,
   *   `ERR_NOT_RUNNING`, `ERR_OPTION_INVALID`.
   */
  deliver(clientId: string, data: Uint8Array | string): void {
    const broker = this.#parts.broker();
    const { mailboxes, ingest } = this.#options;
    if (!mailboxes && ingest === undefined) {
      const message = 'deliver: needs the option mailboxes or ingest';
      throw new MegacometError('ERR_OPTION_INVALID', message);
    }
    broker.mailboxes.deliver(clientId, data);
  }

  /**
   * Comet: a page of the channels with subscribers or history.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_NOT_RUNNING`.
   */
  channels(query?: ChannelQuery): ChannelPage {
    const checked = readChannelQuery(query);
    return this.#parts.broker().channels(checked);
  }

  /**
   * Comet: publishes one message to each of up to 1,000 channels. All names are checked before the
   * first publish.
   *
   * @returns A result for each channel, in their order. One whose workers cannot follow has the
   *   code `ERR_BUSY` instead of a cursor.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_OPTION_INVALID`; `ERR_MESSAGE_SIZE`, also
   *   above 16 MiB for all channels together; `ERR_NOT_RUNNING`.
   */
  broadcast(
    channels: readonly string[],
    data: Uint8Array | string,
    options?: PublishOptions,
  ): Promise<readonly BroadcastResult[]> {
    return new Promise((resolve) => {
      const names = readChannels('broadcast', channels);
      resolve(this.#parts.broker().broadcast(names, data, options));
    });
  }

  /**
   * Comet: closes every subscriber of a channel or pattern, every connection of a user, whose tokens
   * stay valid, one connection by its name in events and presence(), or all connections. The reason
   * is sent where the transport has a field for it.
   *
   * @returns Subscribers that were known; for a connection 1, or 0 if it has ended; for a user and
   *   for all always 0, because only the workers count them.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_OPTION_INVALID`,
   *   `ERR_OPTION_UNKNOWN`, `ERR_NOT_RUNNING`.
   */
  disconnect(target: string | DisconnectTarget, reason?: string): number {
    const checked = readDisconnectTarget(target);
    return this.#parts.broker().disconnect(checked, reason);
  }

  /**
   * Comet: subscribes every WebSocket of a user to up to 100 channels or patterns, without a grant.
   * Each client receives `subscribed`. Connections of other transports have the channels of their
   * request. A client that reconnects has not these channels: subscribe the user again.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_OPTION_INVALID`, `ERR_NOT_RUNNING`.
   */
  subscribe(user: string, channels: readonly string[] | string): void {
    const names = readChannels('subscribe', channels);
    this.#parts.broker().changeChannels(user, names, true);
  }

  /**
   * Comet: ends the subscriptions of a user to exactly these channels or patterns. A WebSocket
   * receives `unsubscribed`; a connection of another transport that has one of them is closed. The
   * user may subscribe again as far as its token allows: see revoke().
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_OPTION_INVALID`, `ERR_NOT_RUNNING`.
   */
  unsubscribe(user: string, channels: readonly string[] | string): void {
    const names = readChannels('unsubscribe', channels);
    this.#parts.broker().changeChannels(user, names, false);
  }

  /**
   * Comet: closes the connections of a user's tokens, or of one token, and rejects those tokens from
   * now on, in all workers. A restart of the server forgets it: issue short-lived tokens.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_BUSY` if 100,000
   *   revocations are kept, `ERR_NOT_RUNNING`.
   */
  revoke(revocation: Revocation): void {
    this.#parts.broker().revoke(readRevocation(revocation));
  }

  /**
   * Comet: one page of the history of a channel or pattern, from the oldest message or after a cursor.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`,
   *   `ERR_NOT_RUNNING`.
   */
  history(channel: string, query?: HistoryQuery): ChannelHistoryPage {
    const checked = readHistoryQuery(query);
    return this.#parts.broker().history(channel, checked);
  }

  /**
   * Comet: the subscribers of exactly this channel or pattern, as the workers report them, by user.
   *
   * @param limit - Connections at most; default 10,000. `subscribers` counts all.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_OPTION_INVALID`, `ERR_BUSY`, `ERR_NOT_RUNNING`.
   */
  async presence(channel: string, limit?: number): Promise<ChannelPresence> {
    checkPresenceLimit(limit);
    return this.#parts.broker().presence(channel, limit);
  }

  /**
   * Stops: rejects new connections, and closes open ones evenly over `drainMs`. A comet server
   * tells the rejected clients when to return.
   *
   * A worker that has not exited 2 s after that is killed and named in the report. A second call
   * joins the first, and its options are ignored.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`; the server runs on.
   */
  async close(options?: CloseOptions): Promise<CloseReport> {
    const drainMs = readDrainMs(options);
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  /** Kills every worker now; a close() that is waiting resolves soon. */
  kill(): void {
    this.#parts.manager?.killAll();
  }

  async #close(drainMs: number): Promise<CloseReport> {
    this.#parts.phase = 'closing';
    this.#drainMs = drainMs;
    // Ingest closes before the drain: a later message could not be delivered.
    const ingestClosed = this.#parts.ingest?.close();
    // During a start this ends the step that waits for the workers.
    await this.#parts.manager?.drain(drainMs);
    await ingestClosed;
    await this.#startup.undo();
    this.#parts.phase = 'closed';
    return { killed: this.#parts.killed };
  }
}
