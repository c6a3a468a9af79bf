// The steps of a server's start, each with its undo. Their order matters: mistakes in the options
// come first, while nothing is open; privileges are dropped after the last bind; warnings follow
// the first line of the log.
import { Admin, type AdminView } from '../api/admin.js';
import { ingestAddressOf, openIngest, type Ingest, type IngestAddress } from '../api/ingest.js';
import { tokenOf } from '../api/token.js';
import { formatAddress, type Address } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import { LISTENERS_MAX } from '../base/native-constants.js';
import {
  planCapacity,
  readMachineLimits,
  type Capacity,
  type MachineLimits,
} from '../capacity/capacity.js';
import { checkRuntime } from '../ipc/spawn.js';
import type { Limits } from '../manager/limits.js';
import { ListeningAddress, type PeerTimeouts } from '../manager/listening-address.js';
import { Manager } from '../manager/manager.js';
import type { WorkerEvent } from '../manager/supervisor.js';
import { LimitWatch, LOOK_INTERVAL_MS } from '../stats/limit-watch.js';
import type { WorkerMemory } from '../stats/stats.js';
import { becomeUser, identityOf, type Identity } from '../system/identity.js';
import { hasIpv6, procReader, sysctl } from '../system/kernel.js';
import { addon, type Segment } from '../system/native.js';
import type { InheritedSocket } from '../systemd/systemd.js';
import { configuredAddresses } from './configured-addresses.js';
import { Messaging, type MessagingEvents } from './messaging.js';
import type { Filled } from './server-options.js';
import { warnOfLimits, type FindLimits } from './start-warnings.js';
import type { Step } from './startup.js';

/** The program around a server: the command line, or a program that uses the library. */
export interface Host {
  /** Whether this process itself becomes `user` after binding. */
  readonly dropsOwnIdentity: boolean;
  /** Sockets from systemd. If no option names an address, the server serves only them. */
  readonly sockets: readonly InheritedSocket[];
  readonly findLimits: FindLimits;
}

/** What the steps open. */
export class Parts {
  readonly addresses: ListeningAddress[] = [];
  capacity: Capacity | undefined;
  messaging: Messaging | undefined;
  admin: Admin | undefined;
  adminPort: number | null = null;
  ingest: Ingest | undefined;
  ingestPort: number | null = null;
  segment: Segment | undefined;
  startedAtMs = 0;
  manager: Manager | undefined;
  /** Pids of workers that had to be killed. */
  killed: readonly number[] = [];
}

/** What the steps need of the server that starts. */
export interface StartContext {
  readonly options: Filled;
  /** Whether an option names an address. */
  readonly namesAddress: boolean;
  readonly host: Host;
  readonly log: Logger;
  /** Lines that follow the first line of the log. */
  readonly startLog: Logger;
  readonly memory: WorkerMemory;
  readonly view: AdminView;
  readonly events: MessagingEvents;
  readonly deliver: (id: string, message: Buffer) => void;
  readonly onWorker: (event: WorkerEvent) => void;
  /** The broker exists. */
  readonly onMessaging: () => void;
  /** Milliseconds over which the workers close their connections. */
  readonly drainMs: () => number;
}

/** The limits of the workers. */
export function limitsOf(capacity: Capacity, options: Filled): Limits {
  return {
    maxConnections: capacity.maxConnections,
    workerConnectionsMax: capacity.workerConnectionsMax,
    idleTimeout: options.idleTimeout,
    acceptRate: options.acceptRate,
  };
}

/** The steps of one start, and the values that later steps take from earlier ones. */
export class StartSteps {
  readonly #context: StartContext;
  readonly #parts: Parts;
  #identity: Identity | undefined;
  #token: string | null = null;
  #ingestAt: IngestAddress | undefined;
  #toBind: readonly Address[] = [];
  #machine: MachineLimits | undefined;
  #capacity: Capacity | undefined;
  #limitTimer: NodeJS.Timeout | undefined;

  constructor(context: StartContext, parts: Parts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** The steps in their order. */
  list(): readonly Step[] {
    const parts = this.#parts;
    const closeAddresses = (): void => {
      for (const address of parts.addresses) address.close();
    };
    return [
      { name: 'check options', run: () => this.#checkOptions() },
      {
        name: 'register inherited sockets',
        run: () => this.#registerSockets(),
        undo: closeAddresses,
      },
      { name: 'plan capacity', run: () => this.#planCapacity() },
      { name: 'bind addresses', run: () => this.#bind(), undo: closeAddresses },
      {
        name: 'open messaging',
        run: () => this.#openMessaging(),
        undo: () => parts.messaging?.close(),
      },
      {
        name: 'open admin server',
        run: () => this.#openAdmin(),
        undo: () => parts.admin?.close(),
      },
      { name: 'open ingest', run: () => this.#openIngest(), undo: () => parts.ingest?.close() },
      { name: 'drop privileges', run: () => this.#dropPrivileges() },
      {
        name: 'map stats segment',
        run: () => this.#mapSegment(),
        undo: () => parts.segment?.close(),
      },
      {
        name: 'start workers',
        run: () => this.#startWorkers(),
        undo: () => this.#stopWorkers(),
      },
      {
        name: 'watch limits',
        run: () => this.#watchLimits(),
        undo: () => clearInterval(this.#limitTimer),
      },
    ];
  }

  #checkOptions(): void {
    checkRuntime();
    const { options } = this.#context;
    const { user, ingest, protocol } = options;
    this.#identity = user === undefined ? undefined : identityOf(user);
    this.#token = protocol === 'comet' ? tokenOf(options) : null;
    this.#ingestAt = ingest === undefined ? undefined : ingestAddressOf(ingest, protocol);
  }

  #registerSockets(): void {
    const { host, startLog: log } = this.#context;
    for (const { fd, name } of host.sockets) {
      const registered = ListeningAddress.register(fd, name, this.#timeouts());
      this.#parts.addresses.push(registered);
      const listen = formatAddress(registered.address);
      log.info({ name, listen }, 'serving a socket from systemd');
    }
  }

  /** TCP_USER_TIMEOUT only for comet: an echo server waits for its peers as long as the kernel. */
  #timeouts(): PeerTimeouts {
    const { keepalive, protocol, writeTimeout } = this.#context.options;
    const userTimeoutMs = protocol === 'comet' ? writeTimeout * 1000 : 0;
    return { keepaliveS: keepalive, userTimeoutMs };
  }

  #planCapacity(): void {
    const { options } = this.#context;
    this.#toBind = this.#addressesToBind();
    this.#machine = readMachineLimits(procReader);
    const count = this.#parts.addresses.length + this.#toBind.length;
    const { workers, maxConnections } = options;
    const capacity = planCapacity(this.#machine, workers, maxConnections, count);
    this.#capacity = capacity;
    this.#parts.capacity = capacity;
    this.#warn(capacity);
  }

  /** The addresses of the options that no inherited socket serves. */
  #addressesToBind(): readonly Address[] {
    const { host, namesAddress, options, log } = this.#context;
    if (host.sockets.length > 0 && !namesAddress) return [];
    const served = this.#parts.addresses.map(({ address }) => formatAddress(address));
    const addresses = configuredAddresses(options, hasIpv6(procReader), log).filter(
      (address) => !served.includes(formatAddress(address)),
    );
    const count = served.length + addresses.length;
    if (count <= LISTENERS_MAX) return addresses;
    throw new MegacometError(
      'ERR_LISTEN',
      `cannot listen on ${count} addresses: a server has at most ${LISTENERS_MAX}`,
    );
  }

  #warn(capacity: Capacity): void {
    const { host, options, startLog } = this.#context;
    const { backlog, acceptRate, keepalive } = options;
    const inherited = this.#parts.addresses.map(({ address }) => address);
    const addresses = [...inherited, ...this.#toBind].filter(({ isUnix }) => !isUnix);
    const findings = host.findLimits({
      target: capacity.maxConnections,
      workers: capacity.workers,
      acceptRate,
      ports: addresses.map(({ port }) => port),
      backlog,
      keepaliveS: keepalive,
    });
    const hasTarget = options.maxConnections !== undefined;
    const somaxconn = sysctl(procReader, 'net.core.somaxconn');
    warnOfLimits({ findings, capacity, hasTarget, backlog, somaxconn }, startLog);
  }

  async #bind(): Promise<void> {
    const inherited = this.#parts.addresses.map(({ address }) => address);
    const all = [...inherited, ...this.#toBind];
    for (const address of this.#toBind) {
      const takesIpv4 = (other: Address): boolean =>
        other !== address && other.port === address.port && !other.host.includes(':');
      this.#parts.addresses.push(
        await ListeningAddress.bind(address, {
          slots: this.#planned.workers,
          ...this.#timeouts(),
          v6Only: address.host !== '::' || all.some(takesIpv4),
        }),
      );
    }
  }

  /** The planned capacity, after the step that plans it. */
  get #planned(): Capacity {
    if (this.#capacity === undefined) throw new Error('the capacity is not planned yet');
    return this.#capacity;
  }

  #openMessaging(): void {
    const { options, events, onMessaging } = this.#context;
    if (options.protocol !== 'comet') return;
    const settings = { ...options, token: this.#token };
    const cores = this.#machine?.cores ?? 1;
    this.#parts.messaging = new Messaging(this.#planned.workers, settings, cores, events);
    onMessaging();
  }

  async #openAdmin(): Promise<void> {
    const { options, view } = this.#context;
    if (options.adminPort === undefined) return;
    const admin = new Admin(view, this.#parts.messaging?.api);
    this.#parts.admin = admin;
    this.#parts.adminPort = await admin.listen(options.adminHost, options.adminPort);
  }

  async #openIngest(): Promise<void> {
    const { options, log, deliver } = this.#context;
    if (this.#ingestAt === undefined) return;
    const limits = { messageBytesMax: options.messageBytes };
    const opened = await openIngest(this.#ingestAt, { deliver }, limits, log);
    this.#parts.ingest = opened.ingest;
    this.#parts.ingestPort = opened.port;
  }

  /**
   * Becomes the user of the options. No request was read before: the steps since the sockets
   * listen run in one turn of the event loop.
   */
  #dropPrivileges(): void {
    const { host } = this.#context;
    if (this.#identity !== undefined && host.dropsOwnIdentity) becomeUser(this.#identity);
  }

  #mapSegment(): void {
    this.#parts.segment = new addon.Segment(this.#planned.workers);
    this.#parts.startedAtMs = performance.now();
  }

  async #startWorkers(): Promise<void> {
    const manager = this.#makeManager();
    this.#parts.manager = manager;
    manager.on('worker', this.#context.onWorker);
    await manager.start();
    if (this.#identity !== undefined || process.getuid?.() !== 0) return;
    const { startLog: log } = this.#context;
    log.warn({}, 'serving as root; --user NAME drops privileges after binding');
  }

  #makeManager(): Manager {
    const { options, host, memory, log } = this.#context;
    const { segment, messaging, addresses } = this.#parts;
    if (segment === undefined) throw new Error('the stats segment is not mapped yet');
    return new Manager(
      {
        slots: this.#planned.workers,
        cores: this.#machine?.cores ?? 1,
        protocol: options.protocol,
        backlog: options.backlog,
        heartbeatLimitMs: options.heartbeatLimit * 1000,
        ...(host.dropsOwnIdentity ? {} : this.#identity),
        ...(messaging === undefined ? {} : { comet: messaging.link }),
      },
      limitsOf(this.#planned, options),
      addresses,
      segment,
      memory,
      log,
    );
  }

  async #stopWorkers(): Promise<void> {
    this.#parts.killed = (await this.#parts.manager?.drain(this.#context.drainMs())) ?? [];
    this.#parts.manager = undefined;
  }

  #watchLimits(): void {
    const watch = new LimitWatch(procReader, this.#context.log);
    this.#limitTimer = setInterval(() => {
      // stats() would read the memory of each worker: 15 ms for 56 workers.
      const connections = this.#parts.manager?.openConnections() ?? 0;
      watch.look(connections, this.#parts.capacity?.maxConnections ?? 0, performance.now());
    }, LOOK_INTERVAL_MS);
    this.#limitTimer.unref();
  }
}
