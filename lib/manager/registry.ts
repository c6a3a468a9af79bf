// Who is alive: one record per slot, its state, failures and back-off.
// Pure bookkeeping: no processes, no clocks, no I/O; times come in as arguments, in milliseconds.

/**
 * - `waiting`: no process; the next start is due at `startAtMs`.
 * - `starting`: spawned, not ready.
 * - `serving`: ready, and its loop beats.
 * - `late`: no beat for LATE_MS; it gets no new connections.
 * - `stuck`: no beat for the heartbeat limit; it is being killed.
 * - `draining`: told to close its connections and leave.
 * - `gone`: left after a drain.
 */
export type SlotState = 'draining' | 'gone' | 'late' | 'serving' | 'starting' | 'hung' | 'waiting';

export interface SlotRecord {
  readonly slot: number;
  state: SlotState;
  pid: number | null;
  /** Counts the occupants: 1 for the first. */
  generation: number;
  /** Starts in a row that failed. */
  failures: number;
  startAtMs: number;
  readyAtMs: number;
  /** Set once the slot was ready for the first time. */
  hasServed: boolean;
  /** What the worker said it can hold. */
  connectionsMax: number;
}

/** A worker beats once a second: after three it is late. */
export const LATE_MS = 3000;

/** A worker that dies this soon after it was ready counts as a failed start. */
const STABLE_MS = 5000;

const BACKOFF_FIRST_MS = 100;
const BACKOFF_LAST_MS = 30_000;

/** Failed starts of a slot that never served, after which the server gives up starting. */
export const START_FAILURES_MAX = 5;

/** Pause before the next start: none after a first failure of a stable worker, then doubling. */
export function backoffMs(failures: number): number {
  if (failures === 0) return 0;
  return Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** (failures - 1));
}

export class Registry {
  readonly slots: readonly SlotRecord[];

  constructor(count: number) {
    this.slots = Array.from({ length: count }, (_, slot) => ({
      slot,
      state: 'waiting',
      pid: null,
      generation: 0,
      failures: 0,
      startAtMs: 0,
      readyAtMs: 0,
      hasServed: false,
      connectionsMax: 0,
    }));
  }

  at(slot: number): SlotRecord {
    const record = this.slots[slot];
    if (record === undefined) throw new RangeError(`no slot ${slot}`);
    return record;
  }

  count(...states: SlotState[]): number {
    return this.slots.filter((record) => states.includes(record.state)).length;
  }

  /** Slots whose start is due, at most as many as may still be in flight. */
  due(nowMs: number, inFlightMax: number): SlotRecord[] {
    const room = inFlightMax - this.count('starting');
    const due = this.slots.filter((slot) => slot.state === 'waiting' && slot.startAtMs <= nowMs);
    return due.slice(0, Math.max(0, room));
  }

  started(slot: number, pid: number): void {
    const record = this.at(slot);
    record.state = 'starting';
    record.pid = pid;
    record.generation++;
  }

  ready(slot: number, nowMs: number, connectionsMax: number): void {
    const record = this.at(slot);
    record.state = 'serving';
    record.readyAtMs = nowMs;
    record.hasServed = true;
    record.connectionsMax = connectionsMax;
  }

  /**
   * A worker is gone, or could not be started.
   *
   * @param isWanted - Whether the slot shall have a worker again.
   */
  ended(slot: number, nowMs: number, isWanted: boolean): void {
    const record = this.at(slot);
    const wasStable =
      record.state !== 'starting' &&
      record.state !== 'waiting' &&
      nowMs - record.readyAtMs >= STABLE_MS;
    record.failures = wasStable ? 0 : record.failures + 1;
    // A worker that had served is replaced at once; only its repeated death costs a pause.
    const pauses = record.state === 'starting' ? record.failures : record.failures - 1;
    record.startAtMs = nowMs + backoffMs(Math.max(0, pauses));
    record.state = isWanted ? 'waiting' : 'gone';
    record.pid = null;
    record.connectionsMax = 0;
  }
}
