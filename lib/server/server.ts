// The library's face: one server, its options, its life. Wires manager and admin.
import { EventEmitter } from 'node:events';

import { Admin, type Readiness } from '../api/admin.js';
import type { Broker } from '../broker/broker.js';
import type { ClientMessage } from '../broker/client-publishing.js';
import type { ChannelPresence, MemberEvent } from '../broker/presence.js';
import type { ChannelPage, ChannelQuery, PublishOptions, Receipt } from '../broker/publishing.js';
import { planCapacity, readMachineLimits, type Capacity } from '../capacity/capacity.js';
import { criticalFindings } from '../doctor/doctor.js';
import { MegacometError } from '../base/errors.js';
import { becomeUser, identityOf } from '../system/identity.js';
import { ingestAddressOf, openIngest, type Ingest, type IngestAddress } from '../api/ingest.js';
import { hasIpv6, procReader, sysctl } from '../system/kernel.js';
import { LimitWatch, LOOK_INTERVAL_MS } from '../stats/limit-watch.js';
import { formatAddress, formatAddresses, type Address } from '../base/address.js';
import { ListeningAddress, type PeerTimeouts } from '../manager/listening-address.js';
import { configuredAddresses } from './configured-addresses.js';
import { silentLogger, type Logger } from '../base/logger.js';
import { Manager, type CometLink } from '../manager/manager.js';
import type { WorkerEvent } from '../manager/supervisor.js';
import { addon, type Segment } from '../system/native.js';
import { Push } from './push.js';
import type { Health } from '../systemd/service.js';
import { fill, type Adjustments, type Filled, type ServerOptions } from './server-options.js';
import { checkRuntime } from '../ipc/spawn.js';
import { collectStats, WorkerMemory, type Stats } from '../stats/stats.js';
import type { InheritedSocket } from '../systemd/systemd.js';
import { tokenOf } from '../api/token.js';

export type { Adjustments, ServerOptions } from './server-options.js';

/** How close() ends the connections that are open. */
export interface CloseOptions {
  /** Milliseconds over which connections are closed, evenly; default 0: at once. */
  drainMs?: number;
}

/** What close() answers. */
export interface CloseReport {
  /** Pids of workers that had to be killed: empty after a clean stop. */
  readonly killed: readonly number[];
}

/** The events of a {@link Server}, with what their listeners are given. */
export interface ServerEvents {
  /** A worker was started, serves, is late, is stuck or has exited. */
  worker: [WorkerEvent];
  /** Comet: a client published over its WebSocket; see `clientPublish`. */
  message: [ClientMessage];
  /**
   * Comet: a connection subscribed to a channel or pattern. Told only while somebody listens to
   * this or to `unsubscribe`. A worker that dies takes its subscribers with it without these: see
   * `worker`.
   */
  subscribe: [MemberEvent];
  /** Comet: a connection left a channel or pattern, or ended; told as `subscribe` is. */
  unsubscribe: [MemberEvent];
}

/** What a command line brings along; a library in somebody else's program has none of it. */
export interface Host {
  /** Whether this process itself becomes `user` after binding. */
  readonly dropsOwnIdentity: boolean;
  /** Sockets of systemd. Where no option names an address, they are all that is served. */
  readonly sockets: readonly InheritedSocket[];
}

const LIBRARY: Host = { dropsOwnIdentity: false, sockets: [] };

type Phase = 'closed' | 'closing' | 'listening' | 'new' | 'starting';

/** A server that holds connections in worker processes. Made by {@link createServer}. */
export class Server extends EventEmitter<ServerEvents> {
  readonly #options: Filled;
  readonly #log: Logger;
  readonly #memory = new WorkerMemory(procReader);
  #phase: Phase = 'new';
  #capacity: Capacity | undefined;
  #addresses: ListeningAddress[] = [];
  #segment: Segment | undefined;
  #manager: Manager | undefined;
  #push: Push | undefined;
  #admin: Admin | undefined;
  #adminPort: number | null = null;
  #ingest: Ingest | undefined;
  #ingestPort: number | null = null;
  #startedAtMs = 0;
  #limitTimer: NodeJS.Timeout | undefined;
  #closing: Promise<CloseReport> | undefined;
  readonly #host: Host;
  readonly #namesAddress: boolean;
  /** Lines of the log that stand behind the first. */
  readonly #afterStart: (() => void)[] = [];

  constructor(options: ServerOptions, host: Host = LIBRARY) {
    super();
    this.#options = fill(options);
    this.#namesAddress = [options.host, options.port, options.listen].some(
      (value) => value !== undefined,
    );
    this.#log = options.logger ?? silentLogger;
    this.#host = host;
    // Behind this turn, when the listener is there or gone.
    const observe = (): void => {
      queueMicrotask(() => {
        this.#observe();
      });
    };
    this.on('newListener' as never, observe as never);
    this.on('removeListener' as never, observe as never);
  }

  /** Has the workers tell of subscribers while somebody listens: a ramp is a million events. */
  #observe(): void {
    const arePresenceEventsOn =
      this.listenerCount('subscribe') + this.listenerCount('unsubscribe') > 0;
    this.#push?.broker.setPresenceEvents(arePresenceEventsOn);
  }

  /** Addresses with their real ports, empty before {@link listen}. */
  get addresses(): readonly string[] {
    return this.#addresses.map((listening) => formatAddress(listening.address));
  }

  /** Port of the admin server, null without one. */
  get adminPort(): number | null {
    return this.#adminPort;
  }

  /** Port that takes messages of applications, null without one. */
  get ingestPort(): number | null {
    return this.#ingestPort;
  }

  /**
   * Binds, starts the workers, and resolves when all of them serve.
   *
   * @returns What the server can hold, and the limit that binds.
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_LISTEN`, `ERR_ADMIN_LISTEN`, `ERR_CAPACITY`,
   *   `ERR_WORKER_START`, `ERR_USER`, `ERR_RUNTIME`, `ERR_ALREADY_LISTENING`. Nothing is left open
   *   after any of them.
   */
  async listen(): Promise<Capacity> {
    if (this.#phase !== 'new') {
      throw new MegacometError('ERR_ALREADY_LISTENING', 'listen() was called before');
    }
    this.#phase = 'starting';
    try {
      const capacity = await this.#start();
      this.#phase = 'listening';
      this.#announce(capacity);
      return capacity;
    } catch (error) {
      // What may be the reason.
      this.#tellWhatWaits();
      await this.close();
      // A close() that ran during the start ended before the start had opened its last.
      await this.#release();
      throw error;
    }
  }

  /** The first line of the log says where, how much, and what binds; the warnings follow it. */
  #announce({ workers, maxConnections, binding }: Capacity): void {
    this.#log.info(
      {
        listen: this.addresses,
        workers,
        maxConnections,
        adminPort: this.adminPort,
        ...(this.ingestPort === null ? {} : { ingestPort: this.ingestPort }),
        workerPids: this.stats().workers.map(({ pid }) => pid),
      },
      `listening on ${formatAddresses(this.addresses)} with ${workers} workers, for ` +
        `${maxConnections} connections; the limit that binds: ${binding}`,
    );
    this.#tellWhatWaits();
  }

  #tellWhatWaits(): void {
    for (const tell of this.#afterStart.splice(0)) tell();
  }

  /** Throws if close() was called since the start began; asked after every wait. */
  #checkStarting(): void {
    if (this.#phase !== 'starting') throw notRunning();
  }

  async #start(): Promise<Capacity> {
    checkRuntime();
    const options = this.#options;
    // What a user can get wrong comes first: nothing was opened then.
    const identity = options.user === undefined ? undefined : identityOf(options.user);
    const token = options.protocol === 'comet' ? tokenOf(options) : null;
    const { ingest, protocol } = options;
    const ingestPlace = ingest === undefined ? undefined : ingestAddressOf(ingest, protocol);
    this.#registerSockets();
    const addresses = this.#addressesToBind();
    const limits = readMachineLimits(procReader);
    const capacity = planCapacity(
      limits,
      options.workers,
      options.maxConnections,
      this.#addresses.length + addresses.length,
    );
    this.#capacity = capacity;
    const inherited = this.#addresses.map(({ address }) => address);
    this.#warnOfLimits(capacity, [...inherited, ...addresses]);
    await this.#bind(addresses, capacity.workers);
    const sharing = this.#openPush(capacity.workers, limits.cores, token);
    await this.#openDoors(ingestPlace);
    // Nothing is read before: Admin.listen() resolves in the turn of the loop in which it bound.
    if (identity !== undefined && this.#host.dropsOwnIdentity) becomeUser(identity);
    this.#segment = new addon.Segment(capacity.workers);
    this.#startedAtMs = performance.now();
    this.#manager = new Manager(
      {
        slots: capacity.workers,
        cores: limits.cores,
        protocol: options.protocol,
        backlog: options.backlog,
        heartbeatLimitMs: options.heartbeatLimit * 1000,
        ...(this.#host.dropsOwnIdentity ? {} : identity),
        ...sharing,
      },
      this.#limits(capacity),
      this.#addresses,
      this.#segment,
      this.#memory,
      this.#log,
    );
    this.#manager.on('worker', (event) => this.emit('worker', event));
    await this.#manager.start();
    if (identity === undefined && process.getuid?.() === 0) {
      this.#afterStart.push(() => {
        this.#log.warn({}, 'serving as root: --user NAME gives its privileges up after binding');
      });
    }
    this.#watchLimits();
    return capacity;
  }

  /** Where operators and applications come in: the admin server, and ingest. */
  async #openDoors(ingestPlace: IngestAddress | undefined): Promise<void> {
    const options = this.#options;
    if (options.adminPort !== undefined) {
      this.#admin = new Admin(
        { stats: () => this.stats(), readiness: () => this.readiness() },
        this.#push?.api,
      );
      this.#adminPort = await this.#admin.listen(options.adminHost, options.adminPort);
      this.#checkStarting();
    }
    if (ingestPlace !== undefined) {
      const inboxes = { deliver: this.deliver.bind(this) };
      const limits = { messageBytesMax: options.messageBytes };
      const opened = await openIngest(ingestPlace, inboxes, limits, this.#log);
      ({ ingest: this.#ingest, port: this.#ingestPort } = opened);
      this.#checkStarting();
    }
  }

  /** What a comet server has besides: order, history, and who subscribes where. */
  #openPush(slots: number, cores: number, token: string | null): { comet?: CometLink } {
    if (this.#options.protocol !== 'comet') return {};
    const push = new Push(slots, { ...this.#options, token }, cores, {
      onMessage: (message) => this.emit('message', message),
      onSubscribe: (event) => this.emit('subscribe', event),
      onUnsubscribe: (event) => this.emit('unsubscribe', event),
      onOverflow: (slot) => {
        this.#manager?.replace(slot, 'worker does not read its control stream; replaced');
      },
    });
    this.#push = push;
    this.#observe();
    return { comet: push.link };
  }

  /** Echo waits for its peers as long as the kernel does; comet knows how long is too long. */
  #timeouts(): PeerTimeouts {
    const { keepalive, protocol, writeTimeout } = this.#options;
    const userTimeoutMs = protocol === 'comet' ? writeTimeout * 1000 : 0;
    return { keepaliveS: keepalive, userTimeoutMs };
  }

  /** Takes over the sockets of systemd, so that a wrong one ends the start before anything else. */
  #registerSockets(): void {
    for (const { fd, name } of this.#host.sockets) {
      const registered = ListeningAddress.register(fd, name, this.#timeouts());
      this.#addresses.push(registered);
      const listen = formatAddress(registered.address);
      this.#afterStart.push(() => {
        this.#log.info({ name, listen }, 'serving a socket of systemd');
      });
    }
  }

  /** The addresses that are not served yet by an inherited socket. */
  #addressesToBind(): Address[] {
    if (this.#host.sockets.length > 0 && !this.#namesAddress) return [];
    const served = this.addresses;
    const addresses = configuredAddresses(this.#options, hasIpv6(procReader), this.#log).filter(
      (address) => !served.includes(formatAddress(address)),
    );
    const count = served.length + addresses.length;
    if (count <= addon.bounds.listenersMax) return addresses;
    throw new MegacometError(
      'ERR_LISTEN',
      `cannot listen on ${count} addresses: a server has ${addon.bounds.listenersMax} at most`,
    );
  }

  async #bind(addresses: readonly Address[], slots: number): Promise<void> {
    const all = [...this.#addresses.map(({ address }) => address), ...addresses];
    for (const address of addresses) {
      const takesIpv4 = (other: Address): boolean =>
        other !== address && other.port === address.port && !other.host.includes(':');
      this.#addresses.push(
        await ListeningAddress.bind(address, {
          slots,
          ...this.#timeouts(),
          v6Only: address.host !== '::' || all.some(takesIpv4),
        }),
      );
      this.#checkStarting();
    }
  }

  #watchLimits(): void {
    const watch = new LimitWatch(procReader, this.#log);
    this.#limitTimer = setInterval(() => {
      // Not stats(): reading the memory of 56 workers costs 15 ms, these counters microseconds.
      const connections = this.#manager?.openConnections() ?? 0;
      watch.look(connections, this.#capacity?.maxConnections ?? 0, performance.now());
    }, LOOK_INTERVAL_MS);
    // The workers' pipes keep the process alive; this must not.
    this.#limitTimer.unref();
  }

  /** One line for each limit of this machine that stands in the way of what was asked for. */
  #warnOfLimits(capacity: Capacity, addresses: readonly Address[]): void {
    const options = this.#options;
    const findings = criticalFindings({
      target: capacity.maxConnections,
      workers: capacity.workers,
      acceptRate: options.acceptRate,
      ports: addresses.filter((address) => !address.isUnix).map((address) => address.port),
      backlog: options.backlog,
      keepaliveS: options.keepalive,
    }).filter(
      // A server that was given no number takes what these limits leave: the first line names it.
      ({ connections }) => options.maxConnections !== undefined || connections === null,
    );
    for (const { id, current, needed, why } of findings) {
      this.#afterStart.push(() => {
        this.#log.warn({ limit: id, current, needed }, `${id}: ${why}`);
      });
    }
    // One line for a limit, however many notice it.
    const subject = (text: string): string => text.replace(/ [/(].*$/, '');
    const isTold = (text: string): boolean =>
      findings.some(({ id }) => subject(id) === subject(text));
    const { warning } = capacity;
    if (warning !== null && !isTold(capacity.binding)) {
      this.#afterStart.push(() => {
        this.#log.warn({}, warning);
      });
    }
    const somaxconn = sysctl(procReader, 'net.core.somaxconn');
    if (somaxconn !== null && somaxconn < options.backlog && !isTold('net.core.somaxconn')) {
      const { backlog } = options;
      this.#afterStart.push(() => {
        this.#log.warn({ somaxconn, backlog }, 'net.core.somaxconn cuts the backlog');
      });
    }
  }

  #limits(capacity: Capacity): ConstructorParameters<typeof Manager>[1] {
    return {
      maxConnections: capacity.maxConnections,
      workerConnectionsMax: capacity.workerConnectionsMax,
      idleTimeout: this.#options.idleTimeout,
      acceptRate: this.#options.acceptRate,
    };
  }

  /**
   * Changes limits while the server runs. `maxConnections` can go down and back up, not above what
   * the workers were started for.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_NOT_RUNNING`.
   */
  adjust(changes: Adjustments): void {
    if (this.#manager === undefined || this.#capacity === undefined) throw notRunning();
    const changed = fill(changes);
    const most = this.#capacity.workerConnectionsMax * this.#capacity.workers;
    if (changes.maxConnections !== undefined && changes.maxConnections > most) {
      throw new MegacometError(
        'ERR_OPTION_INVALID',
        `max-connections: ${changes.maxConnections} needs more than the ${most} places that this ` +
          'server was started with',
      );
    }
    for (const key of ['acceptRate', 'idleTimeout'] as const) {
      if (changes[key] !== undefined) this.#options[key] = changed[key];
    }
    const maxConnections = changes.maxConnections ?? this.#capacity.maxConnections;
    this.#capacity = { ...this.#capacity, maxConnections };
    this.#manager.adjust(this.#limits(this.#capacity));
  }

  /**
   * The figures of this moment. Counters are read from shared memory, so they are true also while
   * a worker is frozen or dead.
   *
   * @throws MegacometError `ERR_NOT_RUNNING` before listen() has bound, and after close().
   */
  stats(): Stats {
    const manager = this.#manager;
    if (manager === undefined || this.#capacity === undefined) throw notRunning();
    return collectStats(
      {
        startedAtMs: this.#startedAtMs,
        protocol: this.#options.protocol,
        listen: this.addresses,
        maxConnections: this.#capacity.maxConnections,
        isDraining: manager.isStopping,
        messages: this.#push?.counters ?? null,
        mailboxes: this.#push?.broker.mailboxes.counters ?? null,
        ingest: this.#ingest?.counters ?? null,
      },
      manager.registry.slots,
      manager.segmentReader,
      this.#memory,
      procReader,
    );
  }

  /** Whether the server should get new clients: half of its capacity serves, and no drain runs. */
  readiness(): Readiness {
    const slots = this.#manager?.registry.slots ?? [];
    const notServing = slots
      .filter((slot) => slot.state !== 'serving')
      .map(({ slot, state }) => ({ slot, state }));
    const isDraining = this.#manager?.isStopping ?? false;
    // Every worker serves every address, so their capacities are the same.
    const isHalf = slots.length > 0 && notServing.length * 2 <= slots.length;
    return {
      isReady: isHalf && !isDraining && this.#phase === 'listening',
      isDraining,
      notServing,
    };
  }

  /** How the server is, for a supervisor of this process; never throws. */
  health(): Health {
    const manager = this.#manager;
    const { notServing } = this.readiness();
    return {
      connections: manager?.openConnections() ?? 0,
      maxConnections: this.#capacity?.maxConnections ?? 0,
      slots: this.#capacity?.workers ?? 0,
      notServing,
      isDraining: manager?.isStopping ?? true,
      periodsUnsupervised: manager?.periodsUnsupervised ?? 0,
      limitsHung: manager?.limitsHung ?? 0,
    };
  }

  /**
   * Comet: gives a message the next place in the server's sequence and sends it to the subscribers.
   *
   * `delivered` is the number of subscribers known at that moment, at most 100 ms old: it is no
   * acknowledgement.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`; `ERR_BUSY` when a
   *   worker cannot follow, and a later try may succeed; `ERR_NOT_RUNNING`.
   */
  publish(channel: string, data: Uint8Array | string, options?: PublishOptions): Promise<Receipt> {
    // A promise, so that a broker behind a network can come here without a change for anybody.
    return new Promise((resolve) => {
      resolve(this.#comet().publish(channel, data, options));
    });
  }

  /**
   * Comet: puts a message into the mailbox of a client that polls `/ID.js`. It waits there for
   * `mailboxTime`, and leaves when it was written whole.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`, `ERR_BUSY`,
   *   `ERR_NOT_RUNNING`.
   */
  deliver(clientId: string, data: Uint8Array | string): void {
    this.#comet().mailboxes.deliver(clientId, data);
  }

  /** Comet: channels with subscribers or history, some at a time. @throws `ERR_NOT_RUNNING`. */
  channels(query?: ChannelQuery): ChannelPage {
    return this.#comet().channels(query);
  }

  /**
   * Comet: closes every subscriber of a channel or pattern, with a reason where one fits; or one
   * connection, by its name in events and presence().
   *
   * @returns Subscribers that were known; for a connection 1, or 0 if it is gone.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_NOT_RUNNING`.
   */
  disconnect(target: string | { readonly member: string }, reason?: string): number {
    if (typeof target === 'string') return this.#comet().kick(target, reason);
    return Number(this.#comet().kickMember(target.member, reason));
  }

  /**
   * Comet: who subscribes to exactly this channel or pattern, asked of the workers.
   *
   * @param limit - Connections named at most; default 10,000. The count is of all.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_BUSY`, `ERR_NOT_RUNNING`.
   */
  async presence(channel: string, limit?: number): Promise<ChannelPresence> {
    return this.#comet().presence(channel, limit);
  }

  #comet(): Broker {
    if (this.#push === undefined || this.#manager === undefined) throw notRunning();
    return this.#push.broker;
  }

  /**
   * Stops: new connections are refused at once, open ones are closed evenly over `drainMs`.
   *
   * A worker that has not left 2 s after that is killed and named in the report. A second call
   * joins the first, and its options are ignored.
   */
  close(options: CloseOptions = {}): Promise<CloseReport> {
    this.#closing ??= this.#close(options.drainMs ?? 0);
    return this.#closing;
  }

  /** Kills every worker now; a close() that runs then resolves soon. */
  kill(): void {
    this.#manager?.killAll();
  }

  async #close(drainMs: number): Promise<CloseReport> {
    this.#phase = 'closing';
    clearInterval(this.#limitTimer);
    // At once: what came later would wait in a server that ends.
    const ingestClosed = this.#ingest?.close();
    const killed = (await this.#manager?.drain(drainMs)) ?? [];
    await ingestClosed;
    this.#manager = undefined;
    await this.#release();
    this.#phase = 'closed';
    return { killed };
  }

  async #release(): Promise<void> {
    this.#push?.close();
    await this.#ingest?.close();
    await this.#admin?.close();
    for (const address of this.#addresses) address.close();
    this.#segment?.close();
  }
}

function notRunning(): MegacometError {
  return new MegacometError('ERR_NOT_RUNNING', 'the server does not run');
}

/**
 * Makes a server; {@link Server.listen} starts it.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`, naming option, value, rule.
 */
export function createServer(options: ServerOptions = {}): Server {
  return new Server(options);
}
