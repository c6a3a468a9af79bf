// Starts, watches, replaces and drains the workers of one server.
// Knows nothing of HTTP, of command lines, or of how stats are shown.
import { EventEmitter } from 'node:events';
import { getSystemErrorName } from 'node:util';

import { MegacometError } from '../base/errors.js';
import type { Frame, Frames } from '../ipc/frames.js';
import { OWNERSHIPS, type ListeningAddress } from './listening-address.js';
import { watchersOf } from './steering.js';
import type { Logger } from '../base/logger.js';
import { addon, packageVersion, type Segment } from '../system/native.js';
import { LATE_MS, Registry, START_FAILURES_MAX, type SlotRecord } from './registry.js';
import { AddonProcess, KILL_GRACE_MS, oneLine, type ChildEnd } from '../ipc/spawn.js';
import { SegmentReader, type WorkerMemory } from '../stats/stats.js';

/** What may change while workers run. */
export interface Limits {
  readonly maxConnections: number;
  readonly workerConnectionsMax: number;
  /** Seconds; 0 for never. */
  readonly idleTimeout: number;
  /** Connections per second of the whole server; 0 for no limit. */
  readonly acceptRate: number;
}

/** A worker's control stream, for whoever shares it with the manager. */
export interface SharedStream {
  readonly slot: number;
  /** Bytes that the kernel has not taken. */
  readonly queuedBytes: number;
  /** Whether the worker's loop turns. */
  readonly beats: boolean;
  send(frames: Buffer): void;
}

/** Who shares the workers' control streams: the broker of a comet server. */
export interface StreamSharer {
  /** The first frame that a worker gets. */
  readonly rules: Frames['Comet'];
  attach(stream: SharedStream): void;
  workerGone(slot: number): void;
  /** A worker has taken all that waited for it. */
  drained(): void;
  onFrame(slot: number, frame: Frame): void;
}

export interface ManagerOptions {
  readonly slots: number;
  readonly cores: number;
  readonly protocol: string;
  readonly backlog: number;
  readonly heartbeatLimitMs: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sharer?: StreamSharer;
}

/** A fact about one worker, as the `worker` event tells it. */
export interface WorkerEvent {
  /** The worker's place, from 0; its successor has the same. */
  readonly slot: number;
  /** Its process id. */
  readonly pid: number | null;
  /**
   * `started`: its process is there; `ready`: it serves. `late`: no beat for 3 s, new connections
   * go to others; `stuck`: none for `heartbeatLimit`, it is killed. `exited`: its process is gone.
   */
  readonly state: 'exited' | 'late' | 'ready' | 'started' | 'hung';
  /** For `exited`: its exit code, null if a signal ended it. */
  readonly code?: number | null;
  /** For `exited`: the signal that ended it, null if it left by itself. */
  readonly signal?: NodeJS.Signals | null;
}

/** Time from spawn to Ready: most of a second with all cores busy, 5 s and more in an emulator. */
const START_DEADLINE_MS = 30_000;
const TICK_MS = 1000;
/** SIGABRT leaves a core; a stopped process does not see it, so SIGKILL follows. */
const ABORT_GRACE_MS = 1000;
/** Beyond the drain time, before a worker that has not left is killed. */
const DRAIN_GRACE_MS = 2000;
/** Weights this close to each other are left to the kernel's hash. */
const EVEN_SHARE = 0.75;
/** Starts in flight per core: a spawn blocks the manager for 3 to 15 ms. */
const STARTS_PER_CORE = 2;

interface Occupant {
  readonly process: AddonProcess;
  deadline?: NodeJS.Timeout;
  /** When it was found stuck, and its end began. */
  hungAtMs?: number;
}

export class Manager extends EventEmitter<{ worker: [WorkerEvent] }> {
  readonly registry: Registry;
  readonly segmentReader: SegmentReader;
  readonly #options: ManagerOptions;
  readonly #addresses: readonly ListeningAddress[];
  readonly #segment: Segment;
  readonly #memory: WorkerMemory;
  readonly #log: Logger;
  readonly #occupants = new Map<number, Occupant>();
  /** Slots that watch each shared address. */
  readonly #watchers = new Map<ListeningAddress, Set<number>>();
  #limits: Limits;
  #timer: NodeJS.Timeout | undefined;
  #startTimer: NodeJS.Timeout | undefined;
  #tickedAtMs = 0;
  #judgeAfterMs = 0;
  #isStopping = false;
  #hasSteeringFailed = false;
  /** Workers among which the accept rate is split: those that serve. */
  #sharers: number;
  #onStarted: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #onStopped: (() => void) | undefined;

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
    this.registry = new Registry(options.slots);
    this.#sharers = options.slots;
    this.segmentReader = new SegmentReader(segment, options.slots);
    for (const address of addresses) if (address.isShared) this.#watchers.set(address, new Set());
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Periods since supervision last ran; below 1 while this process's loop turns. */
  get periodsUnsupervised(): number {
    return (performance.now() - this.#tickedAtMs) / TICK_MS;
  }

  /**
   * Heartbeat limits since the worker was found stuck that resists the longest; 0 without. Those
   * that the kernel holds do not count: another manager could not end them either.
   */
  get limitsStuck(): number {
    const nowMs = performance.now();
    const ages = [...this.#occupants.values()].map(({ process, hungAtMs = nowMs }) =>
      hungAtMs < nowMs && process.isHeld ? 0 : nowMs - hungAtMs,
    );
    return Math.max(0, ...ages) / this.#options.heartbeatLimitMs;
  }

  /**
   * Starts all workers; resolves when each has been ready once.
   *
   * @throws MegacometError `ERR_WORKER_START` when a slot fails START_FAILURES_MAX times in a row.
   */
  start(): Promise<void> {
    this.#tickedAtMs = performance.now();
    this.#timer = setInterval(() => {
      this.#tick();
    }, TICK_MS);
    return new Promise((resolve, reject) => {
      this.#onStarted = { resolve, reject };
      this.#startDue();
    });
  }

  /** Gives new limits to the workers that run and to those that will. */
  adjust(limits: Limits): void {
    this.#limits = limits;
    // Also to those that start: Configure comes before it on the same stream.
    for (const { process } of this.#occupants.values())
      process.send('Adjust', this.#shareOfLimits());
  }

  /**
   * Closes all connections evenly over a time, then lets the workers leave.
   *
   * @returns Pids of the workers that had to be killed: empty after a clean stop. Those that the
   *   kernel holds are left behind, and end when it lets them go.
   */
  async drain(drainMs: number): Promise<readonly number[]> {
    this.#beginStop();
    for (const [slot, occupant] of this.#occupants) {
      const record = this.registry.at(slot);
      if (record.state === 'starting') {
        occupant.process.hangUp();
      } else {
        occupant.process.send('Drain', { drainMs });
      }
      record.state = 'draining';
    }
    for (const record of this.registry.slots) {
      if (record.pid === null) this.#shutDownSlot(record.slot);
    }
    const killed: number[] = [];
    const shut = setTimeout(() => {
      // A worker shuts its own listeners once their queues are empty; a stuck one does not.
      for (const { slot } of this.registry.slots) this.#shutDownSlot(slot);
    }, ABORT_GRACE_MS);
    const deadline = setTimeout(() => {
      for (const { process } of this.#occupants.values()) killed.push(process.pid);
      this.killAll();
    }, drainMs + DRAIN_GRACE_MS);
    await this.#whenEmpty();
    clearTimeout(shut);
    clearTimeout(deadline);
    return killed;
  }

  /** Ends every worker now. */
  killAll(): void {
    this.#beginStop();
    for (const { process } of this.#occupants.values()) process.kill('SIGKILL');
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      this.#leaveHeld();
    }, KILL_GRACE_MS);
    // A worker that is left keeps the process alive itself.
    this.#timer.unref();
  }

  /** Gives up the killed workers that the kernel holds: nobody waits for them for ever. */
  #leaveHeld(): void {
    for (const [slot, { process }] of this.#occupants) {
      if (!process.isHeld) continue;
      this.#log.error({ worker: slot, pid: process.pid }, 'worker does not die; left behind');
      process.abandon();
      this.#occupants.delete(slot);
    }
    if (this.#occupants.size === 0) this.#ended();
  }

  /** Sends SIGKILL. A worker that the kernel holds keeps its slot until it is let go. */
  #kill(slot: number, { process }: Occupant): void {
    process.end(() => {
      const fields = { worker: slot, pid: process.pid };
      this.#log.error(fields, 'worker does not die; its slot waits for it');
    });
  }

  #beginStop(): void {
    this.#isStopping = true;
    clearInterval(this.#timer);
    clearTimeout(this.#startTimer);
    this.#onStarted?.reject(
      new MegacometError('ERR_NOT_RUNNING', 'the server was stopped while it started'),
    );
    this.#onStarted = undefined;
  }

  #whenEmpty(): Promise<void> {
    if (this.#occupants.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onStopped = resolve));
  }

  #ended(): void {
    clearInterval(this.#timer);
    this.#onStopped?.();
  }

  #shutDownSlot(slot: number): void {
    for (const address of this.#addresses) if (!address.isShared) address.shutDown(slot);
  }

  #shareOfLimits(): Frames['Adjust'] {
    return {
      connectionsMax: this.#limits.workerConnectionsMax,
      serverConnectionsMax: this.#limits.maxConnections,
      idleTimeoutS: this.#limits.idleTimeout,
      acceptRateMilli: Math.ceil((this.#limits.acceptRate * 1000) / this.#sharers),
    };
  }

  #startDue(): void {
    if (this.#isStopping) return;
    const nowMs = performance.now();
    const inFlightMax = STARTS_PER_CORE * this.#options.cores;
    for (const record of this.registry.due(nowMs, inFlightMax)) this.#startSlot(record);
    // What waits only for a start in flight is looked at again when that one is ready or gone.
    const waiting = this.registry.slots.filter((slot) => slot.state === 'waiting');
    const later = waiting.map((slot) => slot.startAtMs - nowMs).filter((ms) => ms > 0);
    clearTimeout(this.#startTimer);
    if (later.length === 0) return;
    this.#startTimer = setTimeout(
      () => {
        this.#startDue();
      },
      Math.min(...later) + 1,
    );
  }

  #startSlot(record: SlotRecord): void {
    const { slot } = record;
    let process: AddonProcess;
    try {
      process = AddonProcess.start(
        {
          role: 'serve',
          descriptors: [
            this.#segment.fd,
            ...this.#addresses.map((address) => address.descriptorOf(slot)),
          ],
          ...(this.#options.uid === undefined ? {} : { uid: this.#options.uid }),
          ...(this.#options.gid === undefined ? {} : { gid: this.#options.gid }),
        },
        {
          onFrame: (frame) => {
            this.#onFrame(slot, frame);
          },
          onDrain: () => this.#options.sharer?.drained(),
          onEnd: (end) => {
            this.#onEnd(slot, end);
          },
        },
      );
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      this.#log.error({ worker: slot }, error.message);
      this.#settle(record, error.message);
      return;
    }
    const occupant: Occupant = { process };
    // Set before anything else is asked of it, so that a start that hangs has an end.
    occupant.deadline = setTimeout(() => {
      this.#log.error({ worker: slot, pid: process.pid }, 'worker not ready in time; killed');
      this.#kill(slot, occupant);
    }, START_DEADLINE_MS);
    this.#occupants.set(slot, occupant);
    this.registry.started(slot, process.pid);
    this.emit('worker', { slot, pid: process.pid, state: 'started' });
    this.#share(slot, process);
    process.send('Configure', {
      parent: globalThis.process.pid,
      slot,
      protocol: this.#options.protocol,
      listeners: this.#addresses.map(({ ownership }) => OWNERSHIPS.indexOf(ownership)),
      ...this.#shareOfLimits(),
    });
  }

  /** Lets the broker write on the worker's stream, behind its rules. */
  #share(slot: number, process: AddonProcess): void {
    const { sharer } = this.#options;
    if (sharer === undefined) return;
    process.send('Comet', sharer.rules);
    const { registry } = this;
    sharer.attach({
      slot,
      get queuedBytes() {
        return process.queuedBytes;
      },
      get beats() {
        const { state } = registry.at(slot);
        return state === 'serving' || state === 'starting';
      },
      send: (frames) => {
        process.write(frames);
      },
    });
  }

  /** Ends a worker that cannot follow; the next one of its slot comes as after a crash. */
  replace(slot: number, reason: string): void {
    const occupant = this.#occupants.get(slot);
    if (occupant === undefined) return;
    this.#log.error({ worker: slot, pid: occupant.process.pid }, reason);
    this.#kill(slot, occupant);
  }

  #onFrame(slot: number, frame: Frame): void {
    switch (frame.name) {
      case 'Ready':
        this.#onReady(slot, frame.fields);
        return;
      case 'Log':
        this.#onLog(slot, frame.fields);
        return;
      case 'NearCapacity':
        this.#balance();
        return;
      case 'Goodbye':
        this.#log.debug({ worker: slot, closed: frame.fields.closed }, 'worker drained');
        return;
      default:
        this.#options.sharer?.onFrame(slot, frame);
        return;
    }
  }

  #onLog(slot: number, line: Frames['Log']): void {
    const fields = {
      worker: slot,
      pid: this.registry.at(slot).pid,
      ...(line.error === 0 ? {} : { err: getSystemErrorName(-line.error) }),
      ...(line.suppressed === 0 ? {} : { suppressed: line.suppressed }),
    };
    if (line.level === 2) this.#log.error(fields, line.message);
    else if (line.level === 1) this.#log.warn(fields, line.message);
    else this.#log.info(fields, line.message);
  }

  #onReady(slot: number, ready: Frames['Ready']): void {
    const occupant = this.#occupants.get(slot);
    if (occupant === undefined || this.#isStopping) return;
    clearTimeout(occupant.deadline);
    const { pid } = occupant.process;
    if (ready.version !== packageVersion || ready.layout !== addon.layoutHash) {
      this.#log.error({ worker: slot, pid, version: ready.version }, 'files changed on disk');
      occupant.process.kill('SIGKILL');
      return;
    }
    this.#memory.markBare(pid);
    this.registry.ready(slot, performance.now(), ready.connectionsMax);
    if (ready.connectionsMax < this.#limits.workerConnectionsMax) {
      this.#log.warn(
        { worker: slot, pid, connectionsMax: ready.connectionsMax },
        'worker can hold fewer connections than planned',
      );
    }
    try {
      this.#addresses.forEach((address, listener) => {
        address.listen(slot, this.#options.backlog);
        if (!address.isShared) occupant.process.send('Watch', { listener, on: 1 });
      });
    } catch (error) {
      if (this.#onStarted === undefined) throw error;
      this.#onStarted.reject(error as Error);
      this.#onStarted = undefined;
      return;
    }
    this.emit('worker', { slot, pid, state: 'ready' });
    const { generation } = this.registry.at(slot);
    // The first line of a healthy start is the one that sums it up.
    const level = generation === 1 ? 'debug' : 'info';
    this.#log[level]({ worker: slot, pid, gen: generation }, 'worker ready');
    this.#balance();
    this.#startDue();
    if (this.registry.slots.every((record) => record.hasServed)) {
      this.#onStarted?.resolve();
      this.#onStarted = undefined;
    }
  }

  #onEnd(slot: number, end: ChildEnd): void {
    const occupant = this.#occupants.get(slot);
    const record = this.registry.at(slot);
    const pid = record.pid;
    clearTimeout(occupant?.deadline);
    this.#occupants.delete(slot);
    for (const watchers of this.#watchers.values()) watchers.delete(slot);
    this.#options.sharer?.workerGone(slot);
    this.#segment.retire(slot);
    if (pid !== null) this.#memory.forget(pid);
    this.emit('worker', { slot, pid, state: 'exited', code: end.code, signal: end.signal });
    if (this.#isStopping) {
      this.registry.ended(slot, performance.now(), false);
      if (this.#occupants.size === 0) this.#ended();
      return;
    }
    this.#log.error(
      { worker: slot, pid, gen: record.generation, code: end.code, signal: end.signal },
      end.cause === '' ? 'worker died' : `worker died: ${end.cause}`,
    );
    this.#settle(record, end.cause || (end.signal ?? `exit code ${end.code ?? 'unknown'}`));
  }

  /** Books a dead worker, or a start that failed, and plans the next start. */
  #settle(record: SlotRecord, cause: string): void {
    this.registry.ended(record.slot, performance.now(), true);
    if (
      this.#onStarted !== undefined &&
      !record.hasServed &&
      record.failures >= START_FAILURES_MAX
    ) {
      this.#onStarted.reject(
        new MegacometError(
          'ERR_WORKER_START',
          `worker ${record.slot} failed to start ${record.failures} times: ${oneLine(cause)}`,
        ),
      );
      this.#onStarted = undefined;
      return;
    }
    this.#balance();
    this.#startDue();
  }

  #tick(): void {
    const nowMs = performance.now();
    // After the manager itself was stopped (SIGSTOP, a suspended machine, a blocked loop) nobody is
    // judged until everybody had one full period to beat again.
    if (nowMs - this.#tickedAtMs > LATE_MS) {
      this.#judgeAfterMs = nowMs + this.#options.heartbeatLimitMs;
    }
    this.#tickedAtMs = nowMs;
    this.segmentReader.refresh();
    for (const [slot, occupant] of this.#occupants) this.#judge(slot, occupant, nowMs);
    this.#balance();
    this.#startDue();
  }

  #judge(slot: number, occupant: Occupant, nowMs: number): void {
    const record = this.registry.at(slot);
    if (record.state !== 'serving' && record.state !== 'late') return;
    const ageMs = this.segmentReader.beatAgeMs(slot) ?? nowMs - record.readyAtMs;
    const { pid } = occupant.process;
    if (ageMs < LATE_MS) {
      record.state = 'serving';
    } else if (ageMs < this.#options.heartbeatLimitMs || nowMs < this.#judgeAfterMs) {
      if (record.state === 'serving') this.emit('worker', { slot, pid, state: 'late' });
      record.state = 'late';
    } else {
      record.state = 'hung';
      occupant.hungAtMs = nowMs;
      this.emit('worker', { slot, pid, state: 'hung' });
      this.#log.error({ worker: slot, pid, ageMs: Math.round(ageMs) }, 'worker stuck; killed');
      occupant.process.kill('SIGABRT');
      setTimeout(() => {
        if (this.#occupants.get(slot) === occupant) this.#kill(slot, occupant);
      }, ABORT_GRACE_MS);
    }
  }

  /** Connections open in all workers now. */
  openConnections(): number {
    this.segmentReader.refresh();
    let sum = 0;
    for (const { slot } of this.registry.slots) {
      sum += Number(this.segmentReader.counter(slot, 'connections'));
    }
    return sum;
  }

  /** Connections that each slot can still take; 0 for slots that must get none. */
  #freePlaces(): number[] {
    this.segmentReader.refresh();
    return this.registry.slots.map((record) => {
      if (record.state !== 'serving') return 0;
      const open = Number(this.segmentReader.counter(record.slot, 'connections'));
      return Math.max(0, Math.min(record.connectionsMax, this.#limits.workerConnectionsMax) - open);
    });
  }

  /** Splits the accept rate anew when the number of workers that serve has changed. */
  #shareRate(): void {
    const sharers = Math.max(1, this.registry.count('serving'));
    // While the server starts, the full number stands: the rate must not be passed.
    if (sharers === this.#sharers || this.#onStarted !== undefined) return;
    this.#sharers = sharers;
    if (this.#limits.acceptRate > 0) this.adjust(this.#limits);
  }

  /** Steers new connections to where there is room, and away from workers that cannot take any. */
  #balance(): void {
    if (this.#isStopping) return;
    this.#shareRate();
    const free = this.#freePlaces();
    for (const address of this.#addresses) {
      if (address.isShared) {
        this.#spreadWatch(address, free);
        continue;
      }
      const places = address.listening.map((slot) => free[slot] ?? 0);
      const isEven = Math.min(...places) >= EVEN_SHARE * Math.max(...places);
      const refusal = address.steer(isEven ? undefined : free);
      if (refusal === null || this.#hasSteeringFailed) continue;
      this.#hasSteeringFailed = true;
      this.#log.warn({ err: refusal }, 'kernel refuses steering; connections follow its hash');
    }
  }

  /** Lets a few workers with room watch a socket that all share, and no others. */
  #spreadWatch(address: ListeningAddress, free: readonly number[]): void {
    const watchers = this.#watchers.get(address) ?? new Set();
    const listener = this.#addresses.indexOf(address);
    const crowdedAt = 0.05 * this.#limits.workerConnectionsMax;
    const count = Math.min(this.#options.cores, this.#options.slots);
    const wanted = watchersOf(free, watchers, crowdedAt, count);
    for (const slot of watchers) {
      if (wanted.has(slot)) continue;
      watchers.delete(slot);
      this.#occupants.get(slot)?.process.send('Watch', { listener, on: 0 });
    }
    for (const slot of wanted) {
      if (watchers.has(slot)) continue;
      watchers.add(slot);
      this.#occupants.get(slot)?.process.send('Watch', { listener, on: 1 });
    }
    this.#watchers.set(address, watchers);
  }
}
