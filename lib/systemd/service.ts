// A server as a service of systemd: says that it is ready, how it is, that it reloads and stops,
// and feeds the watchdog while that is deserved. Does nothing where nobody listens.
import type { Logger } from '../base/logger.js';
import { stopTimeoutS } from '../capacity/sizing.js';
import { notify, type Systemd } from './systemd.js';

/** What is told of a server, and what the watchdog is fed by. */
export interface Health {
  /** Open now. */
  readonly connections: number;
  /** Held at most; 0 before listen(). */
  readonly maxConnections: number;
  /** Places for workers; 0 before listen(). */
  readonly slots: number;
  /** Slots that do not serve. */
  readonly notServing: readonly {
    /** Number of the slot, from 0. */
    readonly slot: number;
    /** State of its worker, such as `starting` or `late`. */
    readonly state: string;
  }[];
  /** Whether it takes no new connections: it closes, or does not run. */
  readonly isDraining: boolean;
  /** Periods of the supervision since it last ran; below 1 while all is well. */
  readonly periodsUnsupervised: number;
  /** Heartbeat limits since a worker was found stuck that could be replaced by now; 0 without. */
  readonly limitsHung: number;
}

const PERIODS_UNSUPERVISED_MAX = 2;
const LIMITS_STUCK_MAX = 3;
/** The state is looked at this often: a watchdog that was not fed is fed soon after all is well. */
const LOOK_INTERVAL_MS = 1000;
/** Connections come and go all the time; what `systemctl status` shows may be this old. */
const STATUS_INTERVAL_MS = 10_000;
/** Slots that are named in the status line; 512 would not be read. */
const SLOTS_TOLD_MAX = 8;

/**
 * Why the watchdog must not be fed, or null.
 *
 * A worker that is stuck is the manager's to replace, and no reason: systemd would end the manager,
 * and with it all the workers that are well. Only a manager that fails at it shall be replaced.
 */
export function reasonToStarve(health: Health): string | null {
  // A drain has a deadline of its own, and its workers leave one by one.
  if (health.isDraining) return null;
  if (health.periodsUnsupervised > PERIODS_UNSUPERVISED_MAX) return 'supervision does not run';
  if (health.notServing.length >= health.slots) return 'no worker serves';
  if (health.limitsHung > LIMITS_STUCK_MAX) return 'a stuck worker is not replaced';
  return null;
}

/** The slots that do not serve, as text: part of the status line. */
function formatSlots({ notServing }: Health): string {
  const told = notServing.slice(0, SLOTS_TOLD_MAX).map(({ slot, state }) => `${slot} (${state})`);
  const more = notServing.length - told.length;
  return told.join(', ') + (more > 0 ? ` and ${more} more` : '');
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

/** CLOCK_MONOTONIC, by which systemd tells this reload from an earlier one. */
function monotonicUs(): string {
  return String(process.hrtime.bigint() / 1000n);
}

export class ServiceNotifier {
  readonly #socket: string | null;
  readonly #watchdogMs: number | null;
  readonly #log: Logger;
  #look: (() => Health) | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** What systemd must have heard; sent again while its queue is full. */
  #owed: readonly string[] = [];
  #fedAtMs = -Infinity;
  #starvedFor: string | null = null;
  #status = '';
  #slots = '';
  #toldAtMs = -Infinity;
  #hasFailed = false;

  constructor({ notifySocket, watchdogMs }: Systemd, log: Logger) {
    this.#socket = notifySocket;
    this.#watchdogMs = watchdogMs;
    this.#log = log;
  }

  /** Every worker has been ready once: from now on systemd is told how the server is. */
  ready(look: () => Health): void {
    if (this.#socket === null) return;
    this.#look = look;
    this.#owed = ['READY=1'];
    const third = this.#watchdogMs === null ? LOOK_INTERVAL_MS : this.#watchdogMs / 3;
    this.#timer = setInterval(
      () => {
        this.#turn();
      },
      Math.min(LOOK_INTERVAL_MS, third),
    );
    this.#timer.unref();
    this.#turn();
  }

  /** Runs a reload between the two messages that belong around it. */
  reload(action: () => void): void {
    // READY=1 afterwards would end a start that still goes on.
    const isReady = this.#look !== undefined && !this.#look().isDraining;
    if (isReady) this.#send(['RELOADING=1', `MONOTONIC_USEC=${monotonicUs()}`]);
    action();
    if (isReady) {
      this.#owed = ['READY=1'];
      this.#turn();
    }
  }

  /**
   * A drain begins. It may take longer than TimeoutStopSec= says, if the configuration was changed
   * after the unit was written: systemd is asked for the time.
   */
  stopping(connections: number, drainS: number): void {
    const timeoutUs = stopTimeoutS(connections, drainS) * 1_000_000;
    this.#owed = ['STOPPING=1', `EXTEND_TIMEOUT_USEC=${timeoutUs}`];
    if (this.#look === undefined) this.#settle();
    else this.#turn();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #turn(): void {
    if (this.#look === undefined) return;
    this.#settle();
    const health = this.#look();
    const nowMs = performance.now();
    this.#feed(health, nowMs);
    this.#tell(health, nowMs);
  }

  #settle(): void {
    if (this.#owed.length > 0 && this.#send(this.#owed)) this.#owed = [];
  }

  #feed(health: Health, nowMs: number): void {
    if (this.#watchdogMs === null) return;
    const third = this.#watchdogMs / 3;
    // Timers come a little late, never early: half an interval of play keeps the rhythm.
    if (nowMs - this.#fedAtMs < third - Math.min(LOOK_INTERVAL_MS, third) / 2) return;
    const reason = reasonToStarve(health);
    if (reason !== null && reason !== this.#starvedFor) {
      this.#log.error({ reason }, 'watchdog not fed');
    }
    this.#starvedFor = reason;
    if (reason === null && this.#send(['WATCHDOG=1'])) this.#fedAtMs = nowMs;
  }

  #tell(health: Health, nowMs: number): void {
    const slots = `${formatSlots(health)}${health.isDraining ? ' draining' : ''}`;
    const isDue = nowMs - this.#toldAtMs >= STATUS_INTERVAL_MS || slots !== this.#slots;
    const status = formatHealth(health);
    if (!isDue || status === this.#status || !this.#send([`STATUS=${status}`])) return;
    this.#status = status;
    this.#slots = slots;
    this.#toldAtMs = nowMs;
  }

  /** False when it did not arrive; a service that cannot tell goes on serving. */
  #send(lines: readonly string[]): boolean {
    if (this.#socket === null) return false;
    const error = notify(this.#socket, lines);
    if (error !== null && !this.#hasFailed) {
      this.#log.debug({ err: error, socket: this.#socket }, 'systemd cannot be told');
    }
    this.#hasFailed = error !== null;
    return error === null;
  }
}
