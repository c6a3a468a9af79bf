// The slots of a server: the state, failures and back-off of each. Pure: times are arguments, in
// milliseconds.

/**
 * - `waiting`: no process; the next start is due at `startAtMs`.
 * - `starting`: spawned, not ready.
 * - `serving`: ready, with a recent heartbeat.
 * - `late`: no heartbeat for LATE_MS; it gets no new connections.
 * - `hung`: no heartbeat for the heartbeat limit; it is being killed.
 * - `draining`: closes its connections and exits.
 * - `gone`: exited after a drain.
 */
export type SlotState = 'draining' | 'gone' | 'late' | 'serving' | 'starting' | 'hung' | 'waiting';

export interface SlotRecord {
  readonly slot: number;
  state: SlotState;
  pid: number | null;
  /** Number of the slot's present process: 1 for the first. */
  generation: number;
  /** Consecutive failed starts. */
  failures: number;
  startAtMs: number;
  readyAtMs: number;
  /** Set once the slot was ready for the first time. */
  hasServed: boolean;
  /** Connections that the worker can hold, as its Ready frame says. */
  connectionsMax: number;
}

/** A worker that dies within this time of being ready counts as a failed start. */
const STABLE_MS = 5000;

const BACKOFF_FIRST_MS = 100;
const BACKOFF_LAST_MS = 30_000;

/** Failed starts of a slot that never served, after which the start of the server fails. */
export const START_FAILURES_MAX = 5;

/** Pause before the next start: doubles with each failure; none without a failure. */
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

  /** Slots whose start is due, limited so that at most `inFlightMax` starts are in flight. */
  due(nowMs: number, inFlightMax: number): SlotRecord[] {
    const free = inFlightMax - this.count('starting');
    const due = this.slots.filter((slot) => slot.state === 'waiting' && slot.startAtMs <= nowMs);
    return due.slice(0, Math.max(0, free));
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
   * A worker exited, or could not be started.
   *
   * @param isWanted - Whether the slot gets a successor.
   */
  ended(slot: number, nowMs: number, isWanted: boolean): void {
    const record = this.at(slot);
    const wasStable =
      record.state !== 'starting' &&
      record.state !== 'waiting' &&
      nowMs - record.readyAtMs >= STABLE_MS;
    record.failures = wasStable ? 0 : record.failures + 1;
    // A worker that had served is replaced at once; only repeated deaths add a pause.
    const pauses = record.state === 'starting' ? record.failures : record.failures - 1;
    record.startAtMs = nowMs + backoffMs(Math.max(0, pauses));
    record.state = isWanted ? 'waiting' : 'gone';
    record.pid = null;
    record.connectionsMax = 0;
  }
}
