// The steps of a server's start, each with its undo. Their order matters: mistakes in the options
// come first, while nothing is open; privileges are dropped after the last bind; warnings follow
// the first line of the log.
import { hasPublicKey, isOpen, readsTokens, secretFiles } from '../access/access-rules.js';
import { readHook, type Hook } from '../access/hook-rules.js';
import { ingestAddressOf, openIngest, type IngestAddress } from '../api/ingest.js';
import { MegacometError } from '../base/errors.js';
import type { Address } from '../base/address.js';
import {
  planCapacity,
  readMachineLimits,
  type Capacity,
  type MachineLimits,
} from '../capacity/capacity.js';
import type { Frames } from '../ipc/frames.js';
import { checkRuntime } from '../ipc/runtime.js';
import { Manager } from '../manager/manager.js';
import { LimitWatch, LOOK_INTERVAL_MS } from '../stats/limit-watch.js';
import { becomeUser, identityOf, type Identity } from '../system/identity.js';
import { procReader, sysctl } from '../system/kernel.js';
import { addon } from '../system/native.js';
import { keyFiles } from '../tls/tls-rules.js';
import { AdminSetup } from './admin-setup.js';
import { namespaceRules } from './broker-options.js';
import { ClientKeys } from './client-keys.js';
import { historySyncOf } from './history-log.js';
import { limitRules } from './limit-rules.js';
import { messageLog } from './message-log.js';
import { Messaging } from './messaging.js';
import type { Parts } from './parts.js';
import { ServerAddresses } from './server-addresses.js';
import { ServerTls } from './server-tls.js';
import type { StartContext } from './start-context.js';
import {
  warnOfLimits,
  warnOfAnyAudience,
  warnOfOpenAccess,
  warnOfReaders,
} from './start-warnings.js';
import type { Step } from './startup.js';
import { limitsOf } from './worker-limits.js';

/** The steps of one start, and the values that later steps take from earlier ones. */
export class StartSteps {
  readonly #context: StartContext;
  readonly #parts: Parts;
  readonly #addresses: ServerAddresses;
  readonly #admin: AdminSetup;
  #identity: Identity | undefined;
  #hook: Hook | null = null;
  #ingestAt: IngestAddress | undefined;
  #machine: MachineLimits | undefined;
  #capacity: Capacity | undefined;
  #limitTimer: NodeJS.Timeout | undefined;

  constructor(context: StartContext, parts: Parts) {
    this.#context = context;
    this.#parts = parts;
    this.#addresses = new ServerAddresses(context, parts.addresses);
    this.#admin = new AdminSetup(context);
  }

  /** The steps in their order. */
  list(): readonly Step[] {
    const parts = this.#parts;
    const addresses = this.#addresses;
    const closeAddresses = (): void => {
      addresses.close();
    };
    return [
      { name: 'check options', run: () => this.#checkOptions() },
      {
        name: 'register inherited sockets',
        run: () => addresses.register(),
        undo: closeAddresses,
      },
      { name: 'plan capacity', run: () => this.#planCapacity() },
      {
        name: 'bind addresses',
        run: () => addresses.bind(this.#planned.workers),
        undo: closeAddresses,
      },
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
      { name: 'open log', run: () => parts.messaging?.broker.openLog() },
      {
        name: 'fetch keys of tokens',
        run: () => parts.keys?.start(),
        undo: () => parts.keys?.close(),
      },
      {
        name: 'watch certificates and ticket keys',
        run: () => this.#parts.tls?.start(this.#context.log),
        undo: () => this.#parts.tls?.close(),
      },
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
    const { user, ingest, protocol, historySync } = options;
    historySyncOf(historySync);
    this.#identity = user === undefined ? undefined : identityOf(user);
    this.#addresses.planFiles(this.#identity);
    this.#ingestAt = ingest === undefined ? undefined : ingestAddressOf(ingest);
    this.#readTls();
    if (protocol === 'comet') this.#readKeys();
    this.#admin.plan(this.#identity);
  }

  #readTls(): void {
    const { options, startLog } = this.#context;
    const tls = ServerTls.read(options, {
      onCertificates: () => {
        if (tls === undefined) return;
        this.#parts.manager?.setTls(tls.frame);
        this.#parts.admin?.setCertificates(tls.ofManager);
      },
      onTicketKeys: (frame) => this.#parts.manager?.setTlsTickets(frame),
    });
    this.#parts.tls = tls;
    if (tls === undefined) return;
    const missing = addon.missingOpensslTlsFunction();
    if (missing !== '') {
      const reason = `this build of Node exports no OpenSSL for it (${missing} is missing)`;
      throw new MegacometError('ERR_OPTION_INVALID', `tls-cert: ${reason}`);
    }
    for (const file of keyFiles(options)) warnOfReaders(file, startLog);
    tls.warnOfDates(startLog);
  }

  /** The keys of clients' tokens. */
  #readKeys(): void {
    const { options, startLog } = this.#context;
    this.#parts.keys = this.#makeKeys();
    this.#hook = readHook(options);
    // Throws for a namespace that needs tokens.
    namespaceRules(options);
    const hasKeys = readsTokens(options) || options.signKey !== undefined;
    const missing = hasKeys ? addon.missingOpensslFunction() : '';
    if (missing !== '') {
      const reason = `this build of Node has no OpenSSL that verifies tokens (${missing} is missing)`;
      const [name] = (['tokenKey', 'tokenJwksUrl', 'signKey'] as const).filter(
        (key) => options[key] !== undefined,
      );
      throw new MegacometError('ERR_OPTION_INVALID', `${name}: ${reason}`);
    }
    const files = secretFiles(options);
    for (const file of files) warnOfReaders(file, startLog);
    // An own secret signs for this server alone; public keys are often those of an identity provider.
    if (hasPublicKey(options) && options.tokenAudience === undefined) warnOfAnyAudience(startLog);
  }

  #makeKeys(): ClientKeys {
    const { options, log } = this.#context;
    const takers = {
      onAccess: (access: Frames['Access']): void => this.#parts.manager?.setAccess(access),
      onChecked: (seconds: number): void => this.#parts.manager?.tellKeysChecked(seconds),
    };
    return new ClientKeys(options, takers, log);
  }

  #planCapacity(): void {
    const { workers, maxConnections } = this.#context.options;
    const addresses = this.#addresses.plan();
    this.#machine = readMachineLimits(procReader);
    // Clients with TLS 1.2 are few, so they do not lower the capacity for all others.
    const tls = this.#parts.tls === undefined ? undefined : { tls12Connections: 0 };
    const capacity = planCapacity(this.#machine, workers, maxConnections, addresses.length, tls);
    this.#capacity = capacity;
    this.#parts.capacity = capacity;
    this.#warn(capacity, addresses);
  }

  #warn(capacity: Capacity, addresses: readonly Address[]): void {
    const { host, options, startLog } = this.#context;
    const { backlog, acceptRate, keepalive } = options;
    const findings = host.findLimits({
      target: capacity.maxConnections,
      workers: capacity.workers,
      acceptRate,
      ports: addresses.filter(({ isUnix }) => !isUnix).map(({ port }) => port),
      backlog,
      keepaliveS: keepalive,
    });
    const hasTarget = options.maxConnections !== undefined;
    const somaxconn = sysctl(procReader, 'net.core.somaxconn');
    warnOfLimits({ findings, capacity, hasTarget, backlog, somaxconn }, startLog);
    if (options.protocol === 'comet' && isOpen(options)) warnOfOpenAccess(addresses, startLog);
  }

  /** The planned capacity, after the step that plans it. */
  get #planned(): Capacity {
    if (this.#capacity === undefined) throw new Error('the capacity is not planned yet');
    return this.#capacity;
  }

  async #openMessaging(): Promise<void> {
    const { options, events, log, onMessaging } = this.#context;
    if (options.protocol !== 'comet') return;
    const { keys } = this.#parts;
    if (keys === undefined) throw new Error('the keys are not read yet');
    const cores = this.#machine?.cores ?? 1;
    const clients = { keys, hook: this.#hook };
    const { workers } = this.#planned;
    this.#parts.messaging = new Messaging(workers, options, clients, cores, events, log, {
      log: await messageLog(options, log),
      connections: () => this.#parts.manager?.openConnections() ?? 0,
    });
    onMessaging();
  }

  async #openAdmin(): Promise<void> {
    const opened = await this.#admin.open(this.#parts.messaging?.api, this.#parts.tls?.ofManager);
    if (opened === undefined) return;
    this.#parts.admin = opened.admin;
    this.#parts.adminAddresses = opened.addresses;
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
   * Becomes the user of the options. No request was read before, because all steps after the first
   * socket listens run in one iteration of the event loop.
   */
  #dropPrivileges(): void {
    const { host } = this.#context;
    if (!host.dropsOwnIdentity) return;
    if (this.#identity !== undefined) becomeUser(this.#identity);
    // A worker is a process of the same user, and this process has the token. A program that uses
    // the library decides for itself.
    addon.forbidTracing();
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
    const { segment, messaging, addresses, tls } = this.#parts;
    const { maxConnections } = this.#planned;
    const served = addresses.map(({ address }) => address);
    if (segment === undefined) throw new Error('the stats segment is not mapped yet');
    tls?.divideAmong(this.#planned.workers);
    return new Manager(
      {
        slots: this.#planned.workers,
        cores: this.#machine?.cores ?? 1,
        protocol: options.protocol,
        backlog: options.backlog,
        heartbeatLimitMs: options.heartbeatLimit * 1000,
        limits: limitRules(options, served, maxConnections),
        listenerFlags: this.#addresses.flags,
        ...(tls === undefined ? {} : { tls }),
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
