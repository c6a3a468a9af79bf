// Supervises the worker processes: starts them, replaces those that die or hang, and stops them.
// Processes, clock and heartbeats are injected: it knows neither sockets nor frames' contents.
import type { Clock, Timer } from '../base/clock.js';
import { MegacometError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import { DRAIN_GRACE_MS, KILL_GRACE_MS } from '../base/stop-times.js';
import type { Frame, Frames } from '../ipc/frames.js';
import { oneLine, type AddonProcess, type ChildEnd, type ChildHandlers } from '../ipc/spawn.js';
import { HealthCheck, LATE_MS, SUPERVISION_MS } from './health.js';
import { Registry, START_FAILURES_MAX, type SlotRecord } from './registry.js';

/** What changed for one worker: the argument of the `worker` event. */
export interface WorkerEvent {
  /** Index of the worker, from 0. A replacement has the same index. */
  readonly slot: number;
  /** Its process id. */
  readonly pid: number | null;
  /**
   * `started`: its process exists. `ready`: it serves. `late`: no heartbeat for 3 s, so new
   * connections go to other workers. `hung`: no heartbeat for `heartbeatLimit`, so it is killed.
   * `exited`: its process has ended.
   */
  readonly state: 'exited' | 'hung' | 'late' | 'ready' | 'started';
  /** For `exited`: its exit code, null if a signal ended it. */
  readonly code?: number | null;
  /** For `exited`: the signal that ended it, null if it exited by itself. */
  readonly signal?: NodeJS.Signals | null;
}

/** A worker's process. */
export type WorkerProcess = Pick<
  AddonProcess<Frames>,
  | 'abandon'
  | 'end'
  | 'hangUp'
  | 'isHeld'
  | 'isStopped'
  | 'kill'
  | 'pid'
  | 'queuedBytes'
  | 'send'
  | 'write'
>;

export interface SupervisorOptions {
  readonly slots: number;
  readonly startsInFlightMax: number;
  readonly heartbeatLimitMs: number;
}

/** The parts that a supervisor uses, and its reports. */
export interface SupervisorPorts {
  readonly clock: Clock;
  readonly log: Logger;
  /** Starts the process of a slot. @throws MegacometError `ERR_WORKER_START`. */
  spawn(slot: number, handlers: ChildHandlers<Frames>): WorkerProcess;
  /**
   * Reads the heartbeats of all workers. The answer gives a slot's age in milliseconds, or null
   * before its first heartbeat.
   */
  readHeartbeats(): (slot: number) => number | null;
  /** A process exists, and can be sent its first frames. */
  onStarted(slot: number, process: WorkerProcess): void;
  /** Whether a worker runs the same build as this process. */
  isSameBuild(ready: Frames['Ready']): boolean;
  /** A worker serves from now on. An error thrown during the start of the server ends the start. */
  onReady(slot: number, ready: Frames['Ready']): void;
  /** A frame other than Ready. */
  onFrame(slot: number, frame: Frame): void;
  /** A worker has read everything that was queued for it. */
  onDrained(): void;
  onExited(slot: number, pid: number | null): void;
  /** Once per supervision period, and when a worker became ready or exited. */
  onChange(): void;
  onEvent(event: WorkerEvent): void;
  /** A slot must get no new peers any more. */
  shutDown(slot: number): void;
}

/** Time from spawn to Ready: nearly 1 s with all cores busy, 5 s and more in an emulator. */
const START_DEADLINE_MS = 30_000;
/** SIGABRT leaves a core dump, which takes a while. */
const ABORT_GRACE_MS = 1000;

interface Worker {
  readonly process: WorkerProcess;
  startDeadline: Timer;
  /**
   * For a hung worker: since when a signal could have ended it. Time in which the kernel holds it
   * does not count, because another manager could not end it either.
   */
  hungSinceMs?: number;
  /** It has closed all connections of a drain; until it exits it only rejects new ones. */
  hasDrained?: boolean;
}

export class Supervisor {
  readonly registry: Registry;
  readonly #options: SupervisorOptions;
  readonly #ports: SupervisorPorts;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #health: HealthCheck;
  readonly #workers = new Map<number, Worker>();
  #timer: Timer | undefined;
  #startTimer: Timer | undefined;
  #isStopping = false;
  #workerFaults = 0;
  /** Set while start() waits for all workers. */
  #starting: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #onStopped: (() => void) | undefined;
  #drained: Promise<readonly number[]> | undefined;

  constructor(options: SupervisorOptions, ports: SupervisorPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#clock = ports.clock;
    this.#log = ports.log;
    this.registry = new Registry(options.slots);
    this.#health = new HealthCheck(options.heartbeatLimitMs, ports.clock.nowMs());
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Whether start() waits for workers that have never been ready. */
  get isStarting(): boolean {
    return this.#starting !== undefined;
  }

  /** Supervision periods since the last check; below 1 while this process's loop runs. */
  get periodsUnsupervised(): number {
    return this.#health.periodsUnsupervised(this.#clock.nowMs());
  }

  /** Heartbeat limits for which the oldest hung worker has resisted its replacement; 0 without. */
  get limitsHung(): number {
    const sinceMs = [...this.#workers.values()].flatMap(({ hungSinceMs }) => hungSinceMs ?? []);
    return this.#health.limitsHung(sinceMs, this.#clock.nowMs());
  }

  /** The process of a slot; undefined while it has none. */
  processOf(slot: number): WorkerProcess | undefined {
    return this.#workers.get(slot)?.process;
  }

  /** The processes that exist. */
  get processes(): readonly WorkerProcess[] {
    return [...this.#workers.values()].map(({ process }) => process);
  }

  /**
   * Starts all workers; resolves when each has been ready once.
   *
   * @throws MegacometError `ERR_WORKER_START` when a slot fails START_FAILURES_MAX times in a row.
   */
  start(): Promise<void> {
    this.#health.begin(this.#clock.nowMs());
    this.#timer = this.#clock.every(SUPERVISION_MS, () => {
      this.#check();
    });
    return new Promise((resolve, reject) => {
      this.#starting = { resolve, reject };
      this.#startDue();
    });
  }

  /** Workers that wrote or sent invalid data. */
  get workerFaults(): number {
    return this.#workerFaults;
  }

  /** Kills a worker whose program is not ours any more, or is broken; a successor starts. */
  replaceFaulty(slot: number, fault: string): void {
    this.#workerFaults++;
    const worker = this.#workers.get(slot);
    if (worker === undefined) return;
    const fields = { worker: slot, pid: worker.process.pid };
    this.#log.error(fields, `worker is not trustworthy; replaced: ${fault}`);
    this.#kill(slot, worker);
  }

  /** Kills a worker that cannot follow; a successor starts as after a crash. */
  replace(slot: number, reason: string): void {
    const worker = this.#workers.get(slot);
    if (worker === undefined) return;
    this.#log.error({ worker: slot, pid: worker.process.pid }, reason);
    this.#kill(slot, worker);
  }

  /**
   * Closes all connections evenly over a time, then lets the workers exit. A second call joins the
   * first.
   *
   * @returns Pids of the workers that had to be killed: empty after a clean stop. Workers that the
   *   kernel holds are left running, and end when the kernel releases them.
   */
  drain(drainMs: number): Promise<readonly number[]> {
    this.#drained ??= this.#drain(drainMs);
    return this.#drained;
  }

  async #drain(drainMs: number): Promise<readonly number[]> {
    this.#beginStop();
    for (const [slot, { process }] of this.#workers) {
      const record = this.registry.at(slot);
      if (record.state === 'starting') process.hangUp();
      else process.send('Drain', { drainMs });
      record.state = 'draining';
    }
    for (const { slot, pid } of this.registry.slots) if (pid === null) this.#ports.shutDown(slot);
    const killed: number[] = [];
    const watch = this.#clock.every(SUPERVISION_MS, () => {
      this.#shutDownLate();
    });
    const deadline = this.#clock.after(drainMs + DRAIN_GRACE_MS, () => {
      this.#closeDoor();
      const late = [...this.#workers.values()].filter((worker) => worker.hasDrained !== true);
      killed.push(...late.map(({ process }) => process.pid));
      this.killAll();
    });
    await this.#whenEmpty();
    watch.cancel();
    deadline.cancel();
    return killed;
  }

  /** During a drain: the peers of a worker that does not run get no answer. */
  #shutDownLate(): void {
    const ageOf = this.#ports.readHeartbeats();
    for (const slot of this.#workers.keys()) {
      if ((ageOf(slot) ?? 0) >= LATE_MS) this.#ports.shutDown(slot);
    }
  }

  /**
   * Ends a drain: rejects new peers in the kernel, and lets the drained workers exit. The door closes
   * last, because a client that the kernel rejects may never return.
   */
  #closeDoor(): void {
    for (const { slot } of this.registry.slots) this.#ports.shutDown(slot);
    for (const { process, hasDrained } of this.#workers.values()) {
      if (hasDrained === true) process.hangUp();
    }
  }

  #onDrained(slot: number): void {
    const worker = this.#workers.get(slot);
    if (worker === undefined) return;
    worker.hasDrained = true;
    this.#closeDoorAfterLast();
  }

  #closeDoorAfterLast(): void {
    const workers = [...this.#workers.values()];
    if (workers.every(({ hasDrained }) => hasDrained === true)) this.#closeDoor();
  }

  /** Kills every worker now. */
  killAll(): void {
    this.#beginStop();
    for (const { process } of this.#workers.values()) process.kill('SIGKILL');
    this.#timer = this.#clock.every(KILL_GRACE_MS, () => {
      this.#abandonHeld();
    });
    // A worker whose process exists keeps this process alive by itself.
    this.#timer.unref();
  }

  /** Stops waiting for killed workers that the kernel holds. */
  #abandonHeld(): void {
    for (const [slot, { process }] of this.#workers) {
      if (!process.isHeld) continue;
      const fields = { worker: slot, pid: process.pid };
      this.#log.error(fields, 'worker cannot be killed; the server exits without it');
      process.abandon();
      this.#workers.delete(slot);
    }
    if (this.#workers.size === 0) this.#stopped();
  }

  /** Sends SIGKILL. A worker that the kernel holds keeps its slot until the kernel releases it. */
  #kill(slot: number, { process }: Worker): void {
    process.end(() => {
      this.#log.error(
        { worker: slot, pid: process.pid },
        'worker cannot be killed; its slot is unavailable until the kernel releases it',
      );
    });
  }

  #beginStop(): void {
    this.#isStopping = true;
    this.#timer?.cancel();
    this.#startTimer?.cancel();
    this.#failStart(
      new MegacometError('ERR_NOT_RUNNING', 'the server was closed while it was starting'),
    );
  }

  #failStart(error: Error): void {
    this.#starting?.reject(error);
    this.#starting = undefined;
  }

  #whenEmpty(): Promise<void> {
    if (this.#workers.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onStopped = resolve));
  }

  #stopped(): void {
    this.#timer?.cancel();
    this.#onStopped?.();
  }

  #startDue(): void {
    if (this.#isStopping) return;
    const nowMs = this.#clock.nowMs();
    for (const record of this.registry.due(nowMs, this.#options.startsInFlightMax)) {
      this.#startSlot(record);
    }
    // A slot that is due but over the limit of starts in flight is started when one of them ends.
    const waiting = this.registry.slots.filter(({ state }) => state === 'waiting');
    const pauses = waiting.map(({ startAtMs }) => startAtMs - nowMs).filter((ms) => ms > 0);
    this.#startTimer?.cancel();
    if (pauses.length === 0) return;
    this.#startTimer = this.#clock.after(Math.min(...pauses) + 1, () => {
      this.#startDue();
    });
  }

  #startSlot(record: SlotRecord): void {
    const { slot } = record;
    let process: WorkerProcess;
    try {
      process = this.#ports.spawn(slot, this.#handlersOf(slot));
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      this.#log.error({ worker: slot }, error.message);
      this.#bookFailure(record, error.message);
      return;
    }
    // The deadline is set before the first frame, so that a hung start ends too.
    const startDeadline = this.#clock.after(START_DEADLINE_MS, () => {
      this.#log.error({ worker: slot, pid: process.pid }, 'worker not ready in time; killed');
      this.#kill(slot, worker);
    });
    const worker: Worker = { process, startDeadline };
    this.#workers.set(slot, worker);
    this.registry.started(slot, process.pid);
    this.#ports.onEvent({ slot, pid: process.pid, state: 'started' });
    this.#ports.onStarted(slot, process);
  }

  #handlersOf(slot: number): ChildHandlers<Frames> {
    return {
      onFrame: (frame) => {
        if (!this.#isExpected(slot, frame)) return;
        if (frame.name === 'Ready') this.#onReady(slot, frame.fields);
        else this.#ports.onFrame(slot, frame);
        if (frame.name === 'Goodbye') this.#onDrained(slot);
      },
      onBroken: () => {
        this.#workerFaults++;
      },
      onDrain: () => {
        this.#ports.onDrained();
      },
      onEnd: (end) => {
        this.#onEnd(slot, end);
      },
    };
  }

  /** Whether the frame fits the state of its worker, which is replaced otherwise. */
  #isExpected(slot: number, { name }: Frame): boolean {
    const { state } = this.registry.at(slot);
    const isExpected =
      (name !== 'Ready' || state === 'starting' || this.#isStopping) &&
      (name !== 'Goodbye' || state === 'draining');
    if (!isExpected) this.replaceFaulty(slot, `unexpected frame ${name}`);
    return isExpected;
  }

  #onReady(slot: number, ready: Frames['Ready']): void {
    const worker = this.#workers.get(slot);
    if (worker === undefined || this.#isStopping) return;
    worker.startDeadline.cancel();
    const { pid } = worker.process;
    if (!this.#ports.isSameBuild(ready)) {
      this.#log.error({ worker: slot, pid, version: ready.version }, 'files changed on disk');
      worker.process.kill('SIGKILL');
      return;
    }
    this.registry.ready(slot, this.#clock.nowMs(), ready.connectionsMax);
    try {
      this.#ports.onReady(slot, ready);
    } catch (error) {
      if (this.#starting === undefined) throw error;
      this.#failStart(error as Error);
      return;
    }
    this.#ports.onEvent({ slot, pid, state: 'ready' });
    const { generation } = this.registry.at(slot);
    // The first line of a healthy start is the line that sums it up.
    const level = generation === 1 ? 'debug' : 'info';
    this.#log[level]({ worker: slot, pid, gen: generation }, 'worker ready');
    this.#ports.onChange();
    this.#startDue();
    if (!this.registry.slots.every((record) => record.hasServed)) return;
    this.#starting?.resolve();
    this.#starting = undefined;
  }

  #onEnd(slot: number, end: ChildEnd): void {
    const record = this.registry.at(slot);
    const { pid } = record;
    const { code, signal } = end;
    this.#workers.get(slot)?.startDeadline.cancel();
    this.#workers.delete(slot);
    this.#ports.onExited(slot, pid);
    this.#ports.onEvent({ slot, pid, state: 'exited', code, signal });
    if (this.#isStopping) {
      this.registry.ended(slot, this.#clock.nowMs(), false);
      this.#ports.shutDown(slot);
      if (this.#workers.size === 0) this.#stopped();
      else this.#closeDoorAfterLast();
      return;
    }
    this.#log.error(
      { worker: slot, pid, gen: record.generation, code, signal },
      end.cause === '' ? 'worker died' : `worker died: ${end.cause}`,
    );
    this.#bookFailure(record, end.cause || (signal ?? `exit code ${code ?? 'unknown'}`));
  }

  /** Books a dead worker, or a start that failed, and plans the next start. */
  #bookFailure(record: SlotRecord, cause: string): void {
    const { slot } = record;
    this.registry.ended(slot, this.#clock.nowMs(), true);
    const isHopeless = !record.hasServed && record.failures >= START_FAILURES_MAX;
    if (this.#starting !== undefined && isHopeless) {
      const text = `worker ${slot} failed to start ${record.failures} times: ${oneLine(cause)}`;
      this.#failStart(new MegacometError('ERR_WORKER_START', text));
      return;
    }
    this.#ports.onChange();
    this.#startDue();
  }

  #check(): void {
    const nowMs = this.#clock.nowMs();
    this.#health.begin(nowMs);
    const ageOf = this.#ports.readHeartbeats();
    for (const [slot, worker] of this.#workers) {
      if (worker.hungSinceMs !== undefined && worker.process.isHeld) worker.hungSinceMs = nowMs;
      const record = this.registry.at(slot);
      if (record.state !== 'serving' && record.state !== 'late') continue;
      this.#checkWorker(record, worker, ageOf(slot) ?? nowMs - record.readyAtMs);
    }
    this.#ports.onChange();
    this.#startDue();
  }

  #checkWorker(record: SlotRecord, worker: Worker, ageMs: number): void {
    const nowMs = this.#clock.nowMs();
    const state = this.#health.stateOf(ageMs, nowMs);
    const { slot, pid } = record;
    const isNew = state !== record.state;
    record.state = state;
    if (isNew && state !== 'serving') this.#ports.onEvent({ slot, pid, state });
    if (state !== 'hung') return;
    worker.hungSinceMs = nowMs;
    this.#log.error({ worker: slot, pid, ageMs: Math.round(ageMs) }, 'worker hung; killed');
    if (worker.process.isStopped) {
      // It sees no SIGABRT, and its clients wait for its end.
      this.#kill(slot, worker);
      return;
    }
    worker.process.kill('SIGABRT');
    this.#clock.after(ABORT_GRACE_MS, () => {
      if (this.#workers.get(slot) === worker) this.#kill(slot, worker);
    });
  }
}
