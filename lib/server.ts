// The library's face: one server, its options, its life. Level 5. Wires manager and admin.
import { EventEmitter } from 'node:events';
import { execFileSync } from 'node:child_process';

import { Admin, type Readiness } from './admin.js';
import { planCapacity, readMachineLimits, type Capacity } from './capacity.js';
import { defaultsOf } from './config.js';
import { MegacometError } from './errors.js';
import { hasIpv6, procReader, sysctl } from './kernel.js';
import { formatAddress, ListeningAddress, parseAddress, type Address } from './listening.js';
import { silentLogger, type Logger } from './logger.js';
import { Manager, type WorkerEvent } from './manager.js';
import { addon, type Segment } from './native.js';
import { keyOf, libraryOptions, parseOption, unknownOption } from './options.js';
import { checkRuntime } from './spawn.js';
import { collectStats, WorkerMemory, type Stats } from './stats.js';

/** Options of {@link createServer}; each is also an option of `megacomet-ts serve`. */
export interface ServerOptions {
  /** Numeric address; default `::`, which takes IPv4 peers too. */
  host?: string;
  /** Default 8000; 0 lets the kernel choose. */
  port?: number;
  /** `HOST:PORT`, `[V6]:PORT` or `unix:PATH`, instead of host and port. */
  listen?: readonly string[];
  /** Worker processes, 1 to 512; default `auto`: one per core, more if descriptors need it. */
  workers?: number | 'auto';
  /** Connections held at most; default: what the machine allows. */
  maxConnections?: number;
  /** Default `echo`. */
  protocol?: 'echo';
  /** Connections that may wait to be accepted, per worker; default 4096. */
  backlog?: number;
  /** Seconds without a byte until a connection is closed; default 0: never. */
  idleTimeout?: number;
  /** Connections accepted per second by the whole server; default 0: no limit. */
  acceptRate?: number;
  /** Seconds of silence until TCP keep-alive probes; default 240, 0 for none. */
  keepalive?: number;
  /** Seconds without a beat until a worker is replaced; default 10. */
  heartbeatLimit?: number;
  /** Numeric address of the admin server; default 127.0.0.1. */
  adminHost?: string;
  /** Port of the admin server, 0 for any; no admin server without it. */
  adminPort?: number;
  /** User that the workers run as, when this process is root. */
  user?: string;
  /** Where log lines go; a pino instance fits. Default: nowhere. */
  logger?: Logger;
}

export interface CloseOptions {
  /** Milliseconds over which connections are closed, evenly; default 0: at once. */
  drainMs?: number;
}

export interface CloseReport {
  /** Pids of workers that had to be killed: empty after a clean stop. */
  readonly killed: readonly number[];
}

/** What can be changed while the server runs. */
export type Adjustments = Pick<ServerOptions, 'acceptRate' | 'idleTimeout' | 'maxConnections'>;

export interface ServerEvents {
  worker: [WorkerEvent];
}

type Filled = Required<
  Omit<ServerOptions, 'adminPort' | 'listen' | 'logger' | 'maxConnections' | 'user'>
> &
  Pick<ServerOptions, 'adminPort' | 'listen' | 'maxConnections' | 'user'>;

function fill(options: ServerOptions): Filled {
  const specs = libraryOptions();
  const keys = specs.map((spec) => keyOf(spec.name));
  const given: Record<string, unknown> = {};
  for (const [key, raw] of Object.entries(options)) {
    if (key === 'logger' || raw === undefined) continue;
    const spec = specs[keys.indexOf(key)];
    if (spec === undefined) throw unknownOption('createServer', key, [...keys, 'logger']);
    given[key] = parseOption(spec, `createServer: ${key}`, raw);
  }
  // Without a port the library has no admin server; the command line always gives one.
  const withDefault = specs.filter((spec) => spec.name !== 'admin-port');
  return { ...defaultsOf(withDefault), ...given } as unknown as Filled;
}

function addressesOf(options: Filled, log: Logger): Address[] {
  if (options.listen !== undefined) {
    return options.listen.map((text) => parseAddress('listen', text));
  }
  let { host } = options;
  if (host === '::' && !hasIpv6(procReader)) {
    host = '0.0.0.0';
    log.warn({}, 'this kernel has no IPv6; listening on 0.0.0.0 instead of ::');
  }
  const text = host.includes(':') ? `[${host}]:${options.port}` : `${host}:${options.port}`;
  return [parseAddress('host', text)];
}

interface Identity {
  readonly uid: number;
  readonly gid: number;
}

function identityOf(user: string | undefined): Identity | undefined {
  if (user === undefined) return undefined;
  if (process.getuid?.() !== 0) {
    throw new MegacometError('ERR_USER', `--user: "${user}" can be taken by root only`);
  }
  try {
    const id = (flag: string): number =>
      Number(execFileSync('id', [flag, '--', user], { encoding: 'utf8', stdio: 'pipe' }));
    const identity = { uid: id('-u'), gid: id('-g') };
    if (identity.uid !== 0) return identity;
  } catch {
    throw new MegacometError('ERR_USER', `--user: "${user}" is no user of this machine`);
  }
  throw new MegacometError('ERR_USER', `--user: "${user}" is root, which drops nothing`);
}

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
  #admin: Admin | undefined;
  #adminPort: number | null = null;
  #startedAtMs = 0;
  #closing: Promise<CloseReport> | undefined;
  readonly #dropsOwnIdentity: boolean;

  /**
   * @param dropsOwnIdentity - Whether this process itself becomes `user` after binding: right for
   *   the command line, never for a library in somebody else's program.
   */
  constructor(options: ServerOptions, dropsOwnIdentity: boolean) {
    super();
    this.#options = fill(options);
    this.#log = options.logger ?? silentLogger;
    this.#dropsOwnIdentity = dropsOwnIdentity;
  }

  /** Addresses with their real ports, empty before {@link listen}. */
  get addresses(): readonly string[] {
    return this.#addresses.map((listening) => formatAddress(listening.address));
  }

  /** Port of the admin server, null without one. */
  get adminPort(): number | null {
    return this.#adminPort;
  }

  /**
   * Binds, starts the workers, and resolves when all of them serve.
   *
   * @returns What the server can hold, and the limit that binds.
   * @throws MegacometError `ERR_LISTEN`, `ERR_ADMIN_LISTEN`, `ERR_CAPACITY`, `ERR_WORKER_START`,
   *   `ERR_USER`, `ERR_RUNTIME`, `ERR_ALREADY_LISTENING`. Nothing is left open after any of them.
   */
  async listen(): Promise<Capacity> {
    if (this.#phase !== 'new') {
      throw new MegacometError('ERR_ALREADY_LISTENING', 'listen() was called before');
    }
    this.#phase = 'starting';
    try {
      const capacity = await this.#start();
      this.#phase = 'listening';
      return capacity;
    } catch (error) {
      await this.close();
      // A close() that ran during the start ended before the start had opened its last.
      await this.#release();
      throw error;
    }
  }

  /** Throws if close() was called since the start began; asked after every wait. */
  #checkStarting(): void {
    if (this.#phase !== 'starting') throw notRunning();
  }

  async #start(): Promise<Capacity> {
    checkRuntime();
    const options = this.#options;
    const identity = identityOf(options.user);
    const addresses = addressesOf(options, this.#log);
    const limits = readMachineLimits(procReader);
    const capacity = planCapacity(
      limits,
      options.workers,
      options.maxConnections,
      addresses.length,
    );
    this.#capacity = capacity;
    if (capacity.warning !== null) this.#log.warn({}, capacity.warning);
    const somaxconn = sysctl(procReader, 'net.core.somaxconn');
    if (somaxconn !== null && somaxconn < options.backlog) {
      this.#log.warn(
        { somaxconn, backlog: options.backlog },
        'net.core.somaxconn cuts the backlog',
      );
    }
    for (const address of addresses) {
      const takesIpv4 = (other: Address): boolean =>
        other !== address && other.port === address.port && !other.host.includes(':');
      this.#addresses.push(
        await ListeningAddress.bind(address, {
          slots: capacity.workers,
          keepaliveS: options.keepalive,
          v6Only: address.host !== '::' || addresses.some(takesIpv4),
        }),
      );
      this.#checkStarting();
    }
    if (options.adminPort !== undefined) {
      this.#admin = new Admin({ stats: () => this.stats(), readiness: () => this.readiness() });
      this.#adminPort = await this.#admin.listen(options.adminHost, options.adminPort);
      this.#checkStarting();
    }
    if (identity !== undefined && this.#dropsOwnIdentity) dropIdentity(identity);
    this.#segment = new addon.Segment(capacity.workers);
    this.#startedAtMs = performance.now();
    this.#manager = new Manager(
      {
        slots: capacity.workers,
        cores: limits.cores,
        protocol: options.protocol,
        backlog: options.backlog,
        heartbeatLimitMs: options.heartbeatLimit * 1000,
        ...(this.#dropsOwnIdentity ? {} : identity),
      },
      this.#limits(capacity),
      this.#addresses,
      this.#segment,
      this.#memory,
      this.#log,
    );
    this.#manager.on('worker', (event) => this.emit('worker', event));
    await this.#manager.start();
    return capacity;
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
    const killed = (await this.#manager?.drain(drainMs)) ?? [];
    this.#manager = undefined;
    await this.#release();
    this.#phase = 'closed';
    return { killed };
  }

  async #release(): Promise<void> {
    await this.#admin?.close();
    for (const address of this.#addresses) address.close();
    this.#segment?.close();
  }
}

function notRunning(): MegacometError {
  return new MegacometError('ERR_NOT_RUNNING', 'the server does not run');
}

/** Becomes another user for good: no supplementary groups, then the group, then the user. */
function dropIdentity({ uid, gid }: Identity): void {
  process.setgroups?.([]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  addon.forbidNewPrivileges();
}

/**
 * Makes a server; {@link Server.listen} starts it.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`, naming option, value, rule.
 */
export function createServer(options: ServerOptions = {}): Server {
  return new Server(options, false);
}
