// Steering: new connections avoid workers that are frozen, full or starting.
// On an address with one socket per slot the kernel distributes by weight. A socket that all slots
// share (unix, or of systemd) wakes each worker that watches it for each connection, so only as many
// workers as cores watch it, and others replace those near capacity. Opens no socket itself.
import type { Logger } from '../base/logger.js';
import type { SlotRecord } from './registry.js';

/** Where free capacities are this close to each other, the kernel's hash is even enough. */
const EVEN_SHARE = 0.75;

/** A worker with less than this share of its capacity free is near capacity. */
const NEAR_CAPACITY_SHARE = 0.05;

/** Connections that each slot can still accept; 0 for a slot that must get none. */
export function freeCapacities(
  slots: readonly SlotRecord[],
  workerConnectionsMax: number,
  openIn: (slot: number) => number,
): number[] {
  return slots.map(({ slot, state, connectionsMax }) => {
    if (state !== 'serving') return 0;
    return Math.max(0, Math.min(connectionsMax, workerConnectionsMax) - openIn(slot));
  });
}

/** Weight of each slot for the slots whose sockets listen; undefined if the hash is even enough. */
export function weightsOf(
  free: readonly number[],
  listening: readonly number[],
): readonly number[] | undefined {
  const capacities = listening.map((slot) => free[slot] ?? 0);
  const isEven = Math.min(...capacities) >= EVEN_SHARE * Math.max(...capacities);
  return isEven ? undefined : free;
}

/**
 * The slots that watch a shared socket: a few with free capacity. Slots that already watch come
 * first while they have free capacity, so that the set rarely changes.
 *
 * @param free - Connections that each slot can still accept.
 * @param nearCapacityAt - Free capacity up to which a slot counts as near capacity.
 */
export function watchersOf(
  free: readonly number[],
  watching: ReadonlySet<number>,
  nearCapacityAt: number,
  count: number,
): Set<number> {
  const order = [...free.keys()].filter((slot) => (free[slot] ?? 0) > 0);
  const rank = (slot: number): number =>
    ((free[slot] ?? 0) > nearCapacityAt ? 0 : 2) + (watching.has(slot) ? 0 : 1);
  order.sort((a, b) => rank(a) - rank(b) || (free[b] ?? 0) - (free[a] ?? 0));
  return new Set(order.slice(0, count));
}

/** What steering needs of a listening address. */
export interface SteeredAddress {
  readonly isShared: boolean;
  /** Slots whose sockets listen. */
  readonly listening: readonly number[];
  /** Sets the weights; returns the name of the kernel's error, or null. */
  steer(weights: readonly number[] | undefined): string | null;
}

/** Tells a slot's worker to start or stop watching a listener. */
export type Watch = (slot: number, listener: number, isOn: boolean) => void;

export class Steering {
  readonly #addresses: readonly SteeredAddress[];
  readonly #watchersMax: number;
  readonly #watch: Watch;
  readonly #log: Logger;
  /** Slots that watch each shared address. */
  readonly #watchers: readonly Set<number>[];
  #hasFailed = false;

  constructor(
    addresses: readonly SteeredAddress[],
    watchersMax: number,
    watch: Watch,
    log: Logger,
  ) {
    this.#addresses = addresses;
    this.#watchersMax = watchersMax;
    this.#watch = watch;
    this.#log = log;
    this.#watchers = addresses.map(() => new Set());
  }

  /** Steers by the free capacity of each slot. */
  steer(free: readonly number[], workerConnectionsMax: number): void {
    this.#addresses.forEach((address, listener) => {
      if (address.isShared) this.#setWatchers(listener, free, workerConnectionsMax);
      else this.#setWeights(address, free);
    });
  }

  /** The slot's worker has exited, so it watches nothing. */
  workerGone(slot: number): void {
    for (const watchers of this.#watchers) watchers.delete(slot);
  }

  #setWeights(address: SteeredAddress, free: readonly number[]): void {
    const error = address.steer(weightsOf(free, address.listening));
    if (error === null || this.#hasFailed) return;
    this.#hasFailed = true;
    this.#log.warn({ err: error }, 'kernel rejects steering; its hash distributes connections');
  }

  #setWatchers(listener: number, free: readonly number[], workerConnectionsMax: number): void {
    const watchers = this.#watchers[listener] ?? new Set();
    const nearCapacityAt = NEAR_CAPACITY_SHARE * workerConnectionsMax;
    const wanted = watchersOf(free, watchers, nearCapacityAt, this.#watchersMax);
    for (const slot of watchers) {
      if (wanted.has(slot)) continue;
      watchers.delete(slot);
      this.#watch(slot, listener, false);
    }
    for (const slot of wanted) {
      if (watchers.has(slot)) continue;
      watchers.add(slot);
      this.#watch(slot, listener, true);
    }
  }
}
