// Shares the room of --max-connections among the workers: each has an allowance, the connections
// that it may hold, and their sum never exceeds the limit. A worker writes only its own count, so one
// in hostile hands cannot make the others reject their clients. Knows neither sockets nor memory.

/** The connections of a slot, and its capacity. */
export interface RoomDemand {
  readonly slot: number;
  readonly open: number;
  /** Connections that it can hold; 0 for a slot that gets no new ones. */
  readonly capacity: number;
}

/** The workers' end. */
export interface RoomPorts {
  /** Sets an allowance. Returns the one that holds: a worker keeps its open connections. */
  grant(slot: number, allowance: number): number;
  /** Tells a worker to look at its allowance, and whether the whole server is full. */
  tell(slot: number, isServerFull: boolean): void;
}

/**
 * The allowances that a share aims at: what each slot has open, one more for each that waits, and
 * an even part of the remaining room.
 */
export function allowancesOf(
  demands: readonly RoomDemand[],
  waiting: ReadonlySet<number>,
  max: number,
): number[] {
  const allowances = demands.map(({ open }) => open);
  let left = max - allowances.reduce((sum, open) => sum + open, 0);
  const give = (index: number, room: number): void => {
    const capacity = demands[index]?.capacity ?? 0;
    const given = Math.max(0, Math.min(room, left, capacity - (allowances[index] ?? 0)));
    allowances[index] = (allowances[index] ?? 0) + given;
    left -= given;
  };
  demands.forEach(({ slot }, index) => {
    if (waiting.has(slot)) give(index, 1);
  });
  // The fullest first: the room that a slot cannot use is for the slots after it.
  const order = [...demands.keys()].sort((a, b) => roomIn(demands[a]) - roomIn(demands[b]));
  order.forEach((index, done) => {
    give(index, Math.ceil(left / (order.length - done)));
  });
  return allowances;
}

function roomIn(demand: RoomDemand | undefined): number {
  return demand === undefined ? 0 : demand.capacity - demand.open;
}

export class RoomShares {
  readonly #ports: RoomPorts;
  readonly #allowances: number[];
  readonly #waiting = new Set<number>();
  #isFull = false;
  #isWanted = false;

  constructor(slots: number, ports: RoomPorts) {
    this.#allowances = new Array<number>(slots).fill(0);
    this.#ports = ports;
  }

  /** Whether every connection of the limit is open. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Whether a worker still waits for room that others have and may not use. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** A worker has a client and no room for it. The next share() answers it. */
  wait(slot: number): void {
    this.#waiting.add(slot);
  }

  /** The slot's worker has exited. */
  workerGone(slot: number): void {
    this.#allowances[slot] = 0;
    this.#waiting.delete(slot);
  }

  /** Shares the room anew: first takes, then gives, so that the sum never exceeds the limit. */
  share(demands: readonly RoomDemand[], max: number): void {
    const wanted = allowancesOf(demands, this.#waiting, max);
    const current = this.#allowances;
    demands.forEach(({ slot }, index) => {
      const less = wanted[index] ?? 0;
      if (less < (current[slot] ?? 0)) current[slot] = this.#ports.grant(slot, less);
    });
    let left = max - current.reduce((sum, allowance) => sum + allowance, 0);
    demands.forEach(({ slot }, index) => {
      const had = current[slot] ?? 0;
      const more = Math.min((wanted[index] ?? 0) - had, left);
      if (more <= 0) return;
      left -= more;
      current[slot] = this.#ports.grant(slot, had + more);
    });
    this.#tell(demands, max);
  }

  #tell(demands: readonly RoomDemand[], max: number): void {
    const isFull = demands.reduce((sum, { open }) => sum + open, 0) >= max;
    const hasChanged = isFull !== this.#isFull;
    this.#isFull = isFull;
    this.#isWanted = false;
    for (const { slot, open, capacity } of demands) {
      const isAnswered = isFull || (this.#allowances[slot] ?? 0) > open;
      const wasWaiting = isAnswered && this.#waiting.delete(slot);
      if (hasChanged || wasWaiting) this.#ports.tell(slot, isFull);
      this.#isWanted ||= this.#waiting.has(slot) && capacity > open;
    }
  }
}
