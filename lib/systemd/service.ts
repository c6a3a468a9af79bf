// A server as a service of systemd: notifies systemd of readiness, status, reload and stop, and
// sends watchdog notifications while the server is healthy. Does nothing without NOTIFY_SOCKET.
import { systemClock, type Clock, type Timer } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import { stopTimeoutS } from '../capacity/sizing.js';
import { notify, type Systemd } from './systemd.js';

/** The health of a server, for a supervisor of its process. */
export interface Health {
  /** Open connections. */
  readonly connections: number;
  /** Limit of connections; 0 before listen(). */
  readonly maxConnections: number;
  /** Worker slots; 0 before listen(). */
  readonly slots: number;
  /** Slots that are not serving. */
  readonly notServing: readonly {
    /** Number of the slot, from 0. */
    readonly slot: number;
    /** State of its worker, such as `starting` or `late`. */
    readonly state: string;
  }[];
  /** Whether it accepts no new connections: it is closing, or not running. */
  readonly isDraining: boolean;
  /** Supervision periods since the last check of the workers; below 1 if healthy. */
  readonly periodsUnsupervised: number;
  /** Heartbeat limits for which the oldest hung worker has resisted its replacement; 0 without. */
  readonly limitsHung: number;
}

const PERIODS_UNSUPERVISED_MAX = 2;
const LIMITS_HUNG_MAX = 3;
/** Longest period of the health checks. */
const CHECK_INTERVAL_MS = 1000;
/** The number of connections changes all the time: the one in the status line may be this old. */
const STATUS_INTERVAL_MS = 10_000;
/** Slots that the status line names: 512 would be unreadable. */
const SLOTS_NAMED_MAX = 8;

/**
 * The reason to withhold the watchdog notification, or null.
 *
 * A hung worker alone is not a reason: the manager replaces it, whereas systemd would kill the
 * manager with all healthy workers. systemd must replace only a manager that fails at its task.
 */
export function reasonToWithhold(health: Health): string | null {
  // A drain has its own deadline, and its workers exit one by one.
  if (health.isDraining) return null;
  if (health.periodsUnsupervised > PERIODS_UNSUPERVISED_MAX) return 'supervision is not running';
  if (health.notServing.length >= health.slots) return 'no worker is serving';
  if (health.limitsHung > LIMITS_HUNG_MAX) return 'a hung worker was not replaced';
  return null;
}

/** The slots that are not serving, as a part of the status line. */
function formatSlots({ notServing }: Health): string {
  const named = notServing.slice(0, SLOTS_NAMED_MAX).map(({ slot, state }) => `${slot} (${state})`);
  const more = notServing.length - named.length;
  return named.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** One line for `systemctl status`. */
export function formatHealth(health: Health): string {
  if (health.isDraining) return `draining, ${health.connections} connections left`;
  const load = `${health.connections} of ${health.maxConnections} connections`;
  const out = health.notServing.length;
  if (out === 0) return `${load}, ${health.slots} workers serve`;
  const serving = `${health.slots - out} of ${health.slots} workers serve`;
  return `${load}, ${serving}, not serving: slot ${formatSlots(health)}`;
}

/** CLOCK_MONOTONIC, by which systemd distinguishes this reload from an earlier one. */
function monotonicUs(): string {
  return String(process.hrtime.bigint() / 1000n);
}

/** Sends one message to systemd; returns the name of the error, or null. */
export type Notify = (socket: string, lines: readonly string[]) => string | null;

export class ServiceNotifier {
  readonly #socket: string | null;
  readonly #watchdogMs: number | null;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #notify: Notify;
  #readHealth: (() => Health) | undefined;
  #timer: Timer | undefined;
  /** Lines that must reach systemd; sent again while its queue is full. */
  #pending: readonly string[] = [];
  #watchdogAtMs = -Infinity;
  #withheldFor: string | null = null;
  #status = '';
  #slots = '';
  #statusAtMs = -Infinity;
  #hasFailed = false;

  constructor(
    { notifySocket, watchdogMs }: Systemd,
    log: Logger,
    clock: Clock = systemClock,
    send: Notify = notify,
  ) {
    this.#socket = notifySocket;
    this.#watchdogMs = watchdogMs;
    this.#log = log;
    this.#clock = clock;
    this.#notify = send;
  }

  /** Notifies systemd that every worker has been ready, and of the health from now on. */
  ready(readHealth: () => Health): void {
    if (this.#socket === null) return;
    this.#readHealth = readHealth;
    this.#pending = ['READY=1'];
    const third = this.#watchdogMs === null ? CHECK_INTERVAL_MS : this.#watchdogMs / 3;
    this.#timer = this.#clock.every(Math.min(CHECK_INTERVAL_MS, third), () => {
      this.#check();
    });
    this.#timer.unref();
    this.#check();
  }

  /** Runs a reload between the two messages that enclose it. */
  reload(action: () => void): void {
    // During the start READY=1 would end the start too early.
    const isReady = this.#readHealth !== undefined && !this.#readHealth().isDraining;
    if (isReady) this.#send(['RELOADING=1', `MONOTONIC_USEC=${monotonicUs()}`]);
    action();
    if (isReady) {
      this.#pending = ['READY=1'];
      this.#check();
    }
  }

  /**
   * Notifies systemd that a drain begins, and asks for the time that it needs: TimeoutStopSec= in
   * the unit may be shorter, if the configuration has changed after the unit was written.
   */
  stopping(connections: number, drainS: number): void {
    const timeoutUs = stopTimeoutS(connections, drainS) * 1_000_000;
    this.#pending = ['STOPPING=1', `EXTEND_TIMEOUT_USEC=${timeoutUs}`];
    if (this.#readHealth === undefined) this.#sendPending();
    else this.#check();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #check(): void {
    if (this.#readHealth === undefined) return;
    this.#sendPending();
    const health = this.#readHealth();
    const nowMs = this.#clock.nowMs();
    this.#sendWatchdog(health, nowMs);
    this.#sendStatus(health, nowMs);
  }

  #sendPending(): void {
    if (this.#pending.length > 0 && this.#send(this.#pending)) this.#pending = [];
  }

  #sendWatchdog(health: Health, nowMs: number): void {
    if (this.#watchdogMs === null) return;
    const third = this.#watchdogMs / 3;
    // Timers fire a little late, never early: a tolerance of half an interval keeps the period.
    const tolerance = Math.min(CHECK_INTERVAL_MS, third) / 2;
    if (nowMs - this.#watchdogAtMs < third - tolerance) return;
    const reason = reasonToWithhold(health);
    if (reason !== null && reason !== this.#withheldFor) {
      this.#log.error({ reason }, 'systemd watchdog notification withheld');
    }
    this.#withheldFor = reason;
    if (reason === null && this.#send(['WATCHDOG=1'])) this.#watchdogAtMs = nowMs;
  }

  #sendStatus(health: Health, nowMs: number): void {
    const slots = `${formatSlots(health)}${health.isDraining ? ' draining' : ''}`;
    const isDue = nowMs - this.#statusAtMs >= STATUS_INTERVAL_MS || slots !== this.#slots;
    const status = formatHealth(health);
    if (!isDue || status === this.#status || !this.#send([`STATUS=${status}`])) return;
    this.#status = status;
    this.#slots = slots;
    this.#statusAtMs = nowMs;
  }

  /** False if the message did not arrive. The server serves without systemd too. */
  #send(lines: readonly string[]): boolean {
    if (this.#socket === null) return false;
    const error = this.#notify(this.#socket, lines);
    if (error !== null && !this.#hasFailed) {
      this.#log.debug({ err: error, socket: this.#socket }, 'cannot notify systemd');
    }
    this.#hasFailed = error !== null;
    return error === null;
  }
}
