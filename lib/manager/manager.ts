// The manager of one server's workers: a façade that connects supervision, steering, limits and
// the broker to the workers' control streams. Knows no HTTP, no command line and no stats format.
import { EventEmitter } from 'node:events';

import { systemClock, type Timer } from '../base/clock.js';
import { MegacometError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import { encodeFrame, WORKER_FRAMES } from '../ipc/frame-codecs.js';
import { Ownership, type Frame, type Frames } from '../ipc/frames.js';
import type { WorkerPort } from '../ipc/worker-port.js';
import { AddonProcess, type ChildHandlers } from '../ipc/spawn.js';
import { SegmentReader, type WorkerMemory } from '../stats/stats.js';
import { childSystem } from '../system/child-system.js';
import { addon, packageVersion, type Segment } from '../system/native.js';
import { LimitTables } from './limit-tables.js';
import { limitsFrame, type Limits } from './limits.js';
import type { ListeningAddress } from './listening-address.js';
import type { Registry } from './registry.js';
import { RoomShares, type RoomDemand } from './room-shares.js';
import { freeCapacities, Steering } from './steering.js';
import { Supervisor, type WorkerEvent, type WorkerProcess } from './supervisor.js';
import { logWorkerLine } from './worker-log.js';

/** The broker's end of the workers' control streams. */
export interface BrokerLink {
  /** Frames that a worker gets before Configure. */
  openingFrames(): readonly Buffer[];
  attach(port: WorkerPort): void;
  workerGone(slot: number): void;
  /** A worker has read everything that was queued for it. */
  drained(): void;
  onFrame(slot: number, frame: Frame): void;
}

/** The comet half of a server's workers. */
export interface CometLink {
  /** The settings that a worker gets before Configure. */
  readonly settings: Frames['Comet'];
  /** The access rules, sent after them; null if everybody may use the server. */
  readonly access: Frames['Access'] | null;
  /** A worker has met tokens whose key it does not know. */
  readonly onUnknownKey: (tokens: number) => void;
  readonly broker: BrokerLink;
}

export interface ManagerOptions {
  readonly slots: number;
  readonly cores: number;
  readonly protocol: string;
  readonly backlog: number;
  readonly heartbeatLimitMs: number;
  readonly uid?: number;
  readonly gid?: number;
  /** How much an address, a user and a connection may take. */
  readonly limits: Frames['Limits'];
  /** A set of ListenerFlag for each address. */
  readonly listenerFlags: readonly number[];
  /** The keys of session tickets and the certificates, sent before Configure. */
  readonly tls?: { readonly tickets: Frames['TlsTickets']; readonly frame: Frames['Tls'] };
  readonly comet?: CometLink;
}

/** Starts in flight per core: a spawn blocks the manager for 3 to 15 ms. */
const STARTS_PER_CORE = 2;

/** Between two shares of the room that workers asked for: one takes 5 µs per worker. */
const SHARE_MS = 5;

export class Manager extends EventEmitter<{ worker: [WorkerEvent] }> {
  readonly registry: Registry;
  readonly segmentReader: SegmentReader;
  readonly #options: ManagerOptions;
  readonly #addresses: readonly ListeningAddress[];
  readonly #segment: Segment;
  readonly #memory: WorkerMemory;
  readonly #log: Logger;
  readonly #supervisor: Supervisor;
  readonly #steering: Steering;
  readonly #room: RoomShares;
  readonly #limitTables: LimitTables;
  #shareTimer: Timer | undefined;
  #limits: Limits;
  /** Workers that share the accept rate: those that serve. */
  #rateShares: number;

  constructor(
    options: ManagerOptions,
    limits: Limits,
    addresses: readonly ListeningAddress[],
    segment: Segment,
    memory: WorkerMemory,
    log: Logger,
  ) {
    super();
    this.#options = options;
    this.#limits = limits;
    this.#addresses = addresses;
    this.#segment = segment;
    this.#memory = memory;
    this.#log = log;
    this.#rateShares = options.slots;
    this.segmentReader = new SegmentReader(segment, options.slots);
    this.#supervisor = this.#makeSupervisor();
    this.registry = this.#supervisor.registry;
    this.#room = new RoomShares(options.slots, {
      grant: (slot, allowance) => segment.grant(slot, allowance),
      tell: (slot, isServerFull) => {
        this.#tellRoom(slot, isServerFull);
      },
    });
    this.#limitTables = new LimitTables({
      clock: systemClock,
      clear: (set) => {
        segment.clearLimits(set);
      },
      recount: (set) => {
        if (this.isStopping) return;
        for (const process of this.#supervisor.processes) process.send('Recount', { tables: set });
      },
    });
    const watchersMax = Math.min(options.cores, options.slots);
    const watch = (slot: number, listener: number, isOn: boolean): void => {
      this.#supervisor.processOf(slot)?.send('Watch', { listener, on: isOn ? 1 : 0 });
    };
    this.#steering = new Steering(addresses, watchersMax, watch, log);
  }

  get isStopping(): boolean {
    return this.#supervisor.isStopping;
  }

  /** Workers that were replaced because they wrote or sent invalid data. */
  get workerFaults(): number {
    return this.#supervisor.workerFaults;
  }

  /** Supervision periods since the last check; below 1 while this process's loop runs. */
  get periodsUnsupervised(): number {
    return this.#supervisor.periodsUnsupervised;
  }

  /** Heartbeat limits for which the oldest hung worker has resisted its replacement; 0 without. */
  get limitsHung(): number {
    return this.#supervisor.limitsHung;
  }

  /**
   * Starts all workers; resolves when each has been ready once.
   *
   * @throws MegacometError `ERR_WORKER_START` when a slot fails several times in a row;
   *   `ERR_LISTEN`.
   */
  start(): Promise<void> {
    return this.#supervisor.start();
  }

  /** Applies new limits to the workers that run and to their successors. */
  adjust(limits: Limits): void {
    this.#limits = limits;
    // A worker that starts gets it too: Configure comes before it on the same stream.
    const frame = limitsFrame(limits, this.#rateShares);
    this.#shareRoom();
    for (const process of this.#supervisor.processes) process.send('Adjust', frame);
  }

  /** Gives the workers that run other keys; the next workers get those of the link. */
  setAccess(access: Frames['Access']): void {
    const frame = encodeFrame('Access', access);
    for (const process of this.#supervisor.processes) process.write(frame);
  }

  /** Gives the workers that run other certificates; the next workers get those of the options. */
  setTls(tls: Frames['Tls']): void {
    const frame = encodeFrame('Tls', tls);
    for (const process of this.#supervisor.processes) process.write(frame);
  }

  /** The same for the keys of session tickets. */
  setTlsTickets(tickets: Frames['TlsTickets']): void {
    const frame = encodeFrame('TlsTickets', tickets);
    for (const process of this.#supervisor.processes) process.write(frame);
  }

  /** The keys were fetched because of an unknown one, which for this time is not one of the issuer. */
  tellKeysChecked(seconds: number): void {
    for (const process of this.#supervisor.processes) process.send('KeysChecked', { seconds });
  }

  /**
   * Closes all connections evenly over a time, then lets the workers exit.
   *
   * @returns Pids of the workers that had to be killed; see {@link Supervisor.drain}.
   */
  drain(drainMs: number): Promise<readonly number[]> {
    this.#limitTables.close();
    return this.#supervisor.drain(drainMs);
  }

  /** Kills every worker now. */
  killAll(): void {
    this.#limitTables.close();
    this.#supervisor.killAll();
  }

  /** Kills a worker that cannot follow; a successor starts as after a crash. */
  replace(slot: number, reason: string): void {
    this.#supervisor.replace(slot, reason);
  }

  /** Connections open in all workers now. */
  openConnections(): number {
    this.segmentReader.refresh();
    return this.registry.slots.reduce((sum, { slot }) => sum + this.#openIn(slot), 0);
  }

  #openIn(slot: number): number {
    return Number(this.segmentReader.counter(slot, 'connections'));
  }

  #makeSupervisor(): Supervisor {
    const { slots, cores, heartbeatLimitMs, comet } = this.#options;
    return new Supervisor(
      { slots, startsInFlightMax: STARTS_PER_CORE * cores, heartbeatLimitMs },
      {
        clock: systemClock,
        log: this.#log,
        spawn: this.#spawn.bind(this),
        readHeartbeats: () => {
          this.#refresh();
          return (slot) => this.segmentReader.beatAgeMs(slot);
        },
        onStarted: this.#configure.bind(this),
        isSameBuild: ({ version, layout }) =>
          version === packageVersion && layout === addon.layoutHash,
        onReady: this.#onReady.bind(this),
        onFrame: this.#onFrame.bind(this),
        onDrained: () => comet?.broker.drained(),
        onExited: this.#onExited.bind(this),
        onChange: this.#steer.bind(this),
        onEvent: (event) => this.emit('worker', event),
        shutDown: (slot) => {
          for (const address of this.#addresses) if (!address.isShared) address.shutDown(slot);
        },
      },
    );
  }

  #spawn(slot: number, handlers: ChildHandlers<Frames>): WorkerProcess {
    const { uid, gid } = this.#options;
    const listeners = this.#addresses.map((address) => address.descriptorOf(slot));
    const stats = this.#segment.renew(slot);
    if (stats < 0) {
      const message = `a process cannot be started: no memory file (errno ${-stats})`;
      throw new MegacometError('ERR_WORKER_START', message);
    }
    try {
      return AddonProcess.start(
        WORKER_FRAMES,
        {
          system: childSystem,
          role: 'serve',
          descriptors: [stats, this.#segment.sharedFd, ...listeners],
          ...(uid === undefined ? {} : { uid }),
          ...(gid === undefined ? {} : { gid }),
        },
        handlers,
      );
    } finally {
      this.#segment.endRenewal(slot);
    }
  }

  /** Sends the first frames: Comet before Configure. */
  #configure(slot: number, worker: WorkerProcess): void {
    const { comet, protocol } = this.#options;
    if (comet !== undefined) {
      worker.send('Comet', comet.settings);
      if (comet.access !== null) worker.send('Access', comet.access);
      // Before the worker has a client, because each costs a look at all clients.
      for (const frame of comet.broker.openingFrames()) worker.write(frame);
      comet.broker.attach(this.#portOf(slot, worker));
    }
    const { tls } = this.#options;
    if (tls !== undefined) {
      worker.send('TlsTickets', tls.tickets);
      worker.send('Tls', tls.frame);
    }
    worker.send('Limits', { ...this.#options.limits, tables: this.#limitTables.current });
    this.#shareRoom();
    worker.send('Configure', {
      parent: process.pid,
      slots: this.#options.slots,
      protocol,
      listeners: this.#addresses.map(({ ownership }) => Ownership[ownership]),
      listenerFlags: this.#options.listenerFlags,
      ...limitsFrame(this.#limits, this.#rateShares),
    });
  }

  /** The broker's end of a worker's control stream. */
  #portOf(slot: number, worker: WorkerProcess): WorkerPort {
    const { registry } = this;
    return {
      slot,
      get queuedBytes() {
        return worker.queuedBytes;
      },
      get hasHeartbeat() {
        const { state } = registry.at(slot);
        return state === 'serving' || state === 'starting';
      },
      send: (frames) => {
        worker.write(frames);
      },
    };
  }

  #onReady(slot: number, { connectionsMax }: Frames['Ready']): void {
    const worker = this.#supervisor.processOf(slot);
    if (worker === undefined) return;
    const { pid } = worker;
    this.#memory.markBare(pid);
    if (connectionsMax < this.#limits.workerConnectionsMax) {
      this.#log.warn(
        { worker: slot, pid, connectionsMax },
        'worker can hold fewer connections than planned',
      );
    }
    this.#addresses.forEach((address, listener) => {
      address.listen(slot, this.#options.backlog);
      if (!address.isShared) worker.send('Watch', { listener, on: 1 });
    });
    this.#tellRoom(slot, this.#room.isFull);
  }

  #tellRoom(slot: number, isServerFull: boolean): void {
    const { state } = this.registry.at(slot);
    // A worker that starts gets it after Configure.
    if (state !== 'serving' && state !== 'late') return;
    this.#supervisor.processOf(slot)?.send('Room', { isServerFull: isServerFull ? 1 : 0 });
  }

  #onFrame(slot: number, frame: Frame): void {
    switch (frame.name) {
      case 'Log':
        logWorkerLine(this.#log, slot, this.registry.at(slot).pid, frame.fields);
        return;
      case 'CapacityChange':
        this.#room.wait(slot);
        this.#shareSoon();
        return;
      case 'UnknownKey':
        this.#options.comet?.onUnknownKey(frame.fields.tokens);
        return;
      case 'Goodbye':
        this.#log.debug({ worker: slot, closed: frame.fields.closed }, 'worker drained');
        return;
      default:
        this.#options.comet?.broker.onFrame(slot, frame);
        return;
    }
  }

  #onExited(slot: number, pid: number | null): void {
    this.#steering.workerGone(slot);
    this.#options.comet?.broker.workerGone(slot);
    this.#segment.retire(slot);
    this.#room.workerGone(slot);
    if (!this.isStopping) this.#limitTables.workerGone();
    if (pid !== null) this.#memory.forget(pid);
  }

  /** Reads the stats of the workers, and replaces each worker with impossible ones. */
  #refresh(): void {
    this.segmentReader.refresh();
    for (const { slot, field, value } of this.#segment.takeFaults()) {
      this.#supervisor.replaceFaulty(slot, `impossible value ${field} = ${value}`);
    }
  }

  #shareSoon(): void {
    if (this.#shareTimer !== undefined) return;
    this.#shareTimer = systemClock.after(SHARE_MS, () => {
      this.#shareTimer = undefined;
      this.#steer();
      if (this.#room.isWanted) this.#shareSoon();
    });
  }

  /** Shares the room of the server among the workers that accept. */
  #shareRoom(): void {
    this.#refresh();
    const { maxConnections, workerConnectionsMax } = this.#limits;
    const demands = this.registry.slots.map(({ slot, state, connectionsMax }): RoomDemand => {
      const most = state === 'serving' ? connectionsMax : workerConnectionsMax;
      const accepts = state === 'serving' || state === 'starting';
      const capacity = accepts ? Math.min(most, workerConnectionsMax) : 0;
      return { slot, open: this.#openIn(slot), capacity };
    });
    this.#room.share(demands, maxConnections);
  }

  /** Splits the accept rate among the workers that serve, when their number has changed. */
  #shareRate(): void {
    const shares = Math.max(1, this.registry.count('serving'));
    // During the start the rate stays split among all, so that the sum never exceeds it.
    if (shares === this.#rateShares || this.#supervisor.isStarting) return;
    this.#rateShares = shares;
    if (this.#limits.acceptRate > 0) this.adjust(this.#limits);
  }

  /** Steers new connections towards free capacity. */
  #steer(): void {
    if (this.isStopping) return;
    this.#shareRate();
    this.#shareRoom();
    const { workerConnectionsMax } = this.#limits;
    const free = freeCapacities(this.registry.slots, workerConnectionsMax, (slot) =>
      this.#openIn(slot),
    );
    this.#steering.steer(free, workerConnectionsMax);
  }
}
