// The public face of the library: one server, its options and its life. A façade over the steps of
// the start, the manager of the workers, the broker, and the state of all parts.
import type { Readiness } from '../api/admin.js';
import { MegacometError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import type { Capacity } from '../capacity/capacity.js';
import { WorkerMemory, type Stats } from '../stats/stats.js';
import { procReader } from '../system/kernel.js';
import type { Health } from '../systemd/service.js';
import { readDrainMs } from './calls.js';
import { namespaceRules } from './broker-options.js';
import { CometCalls } from './comet-calls.js';
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

/**
 * A server that holds connections in worker processes, and the emitter of {@link ServerEvents}.
 * Created by `createServer()`.
 */
export class Server extends CometCalls {
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
    const filled = fill(options);
    const parts = new Parts(filled.protocol);
    super(parts, filled);
    this.#options = filled;
    this.#parts = parts;
    this.#log = loggerOf(options.logger);
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
      deliver: (id, message) => this.#parts.broker().mailboxes.accept(id, message),
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
   *   `ERR_LOG`, `ERR_WORKER_START`, `ERR_USER`, `ERR_RUNTIME`, `ERR_ALREADY_LISTENING`. Nothing is left open
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
   * Reads the files of `tlsCert`, `tlsKey`, `tlsTicketKeyFile`, `tokenKey`, `signKey` and `hookSecret` again, gives the keys to
   * the workers, and fetches those of `tokenJwksUrl`. After an error the old ones stay.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_NOT_RUNNING`.
   */
  reloadKeys(): void {
    this.#parts.running();
    const setTls = this.#parts.tls?.reload(this.#log);
    this.#parts.messaging?.reloadHook();
    this.#parts.keys?.reload();
    setTls?.();
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
