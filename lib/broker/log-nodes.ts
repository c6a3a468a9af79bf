// The nodes of a cluster, as their ticks in the log show them. Each node writes one a second, and
// reads it back with everything else: its own tick proves that both directions work.
import { counter, gauge } from '../base/metric.js';

/** The period of ticks. */
export const TICK_MS = 1000;
/**
 * Without an own tick for this long a node is not ready, even if its sockets are open. Another node
 * without ticks for this long is silent: questions do not wait for it.
 */
export const TICK_AGE_MS_MAX = 3000;
/** A node without a tick for this long, by the log's clock, has left. */
export const NODE_AGE_MS_MAX = 10_000;
/** Nodes that are remembered: more are an error of the operator, or an attack on the log. */
const NODES_MAX = 1024;

/** A node of the cluster. */
export interface NodeInfo {
  /** The name of this life of the node. */
  readonly node: string;
  /** The version of its program. */
  readonly version: string;
  /** Milliseconds since its last tick, by the log's clock. */
  readonly ageMs: number;
  /** Its open connections at that tick. */
  readonly connections: number;
  /** Whether it is the node that answers. */
  readonly isSelf: boolean;
}

/** The text of a tick. */
export interface Tick {
  readonly version: string;
  readonly connections: number;
}

interface Row extends Tick {
  readonly atMs: number;
}

export class LogNodes {
  static readonly METRICS = {
    clusterNodes: gauge(
      'cluster_nodes',
      'Nodes whose ticks this node has read in the last 10 s, itself included.',
      (nodes: LogNodes) => nodes.#rows.size,
    ),
    clusterTickAgeSeconds: gauge(
      'cluster_tick_age_seconds',
      'Seconds since this node read its own last tick. Above 3 it is not ready: the log is down, ' +
        'slow, or another one.',
      (nodes: LogNodes) => Math.round(nodes.ownTickAgeMs) / 1000,
    ),
    clusterLagSeconds: gauge(
      'cluster_lag_seconds',
      'Seconds that an entry of this node needs through the log and back. A growing value: the ' +
        'engine or this node is too slow.',
      (nodes: LogNodes) => nodes.lagMs / 1000,
    ),
    clusterNodesLeftTotal: counter(
      'cluster_nodes_left_total',
      'Nodes whose ticks stopped for 10 s.',
      (nodes: LogNodes) => nodes.#left,
    ),
  };

  readonly #node: string;
  readonly #now: () => number;
  readonly #rows = new Map<string, Row>();
  #ownTickAtMs: number;
  /** The time of the last tick of any node, by the log's clock. */
  #lastTickAtMs = 0;
  /** When the oldest tick was written that was not read back. */
  #writtenAtMs: number | null = null;
  #lagMs = 0;
  #left = 0;

  /** @param now - Milliseconds of a monotonic clock. */
  constructor(node: string, now: () => number) {
    this.#node = node;
    this.#now = now;
    this.#ownTickAtMs = now();
  }

  /** Milliseconds since this node read its own last tick, or since its start. */
  get ownTickAgeMs(): number {
    return this.#now() - this.#ownTickAtMs;
  }

  /** Whether the log returns the entries of this node. */
  get isAlive(): boolean {
    return this.ownTickAgeMs <= TICK_AGE_MS_MAX;
  }

  /** Milliseconds that a tick needs through the log and back. */
  get lagMs(): number {
    const waitingMs = this.#writtenAtMs === null ? 0 : this.#now() - this.#writtenAtMs;
    return Math.round(Math.max(this.#lagMs, waitingMs));
  }

  /** This node writes a tick. */
  ticked(): void {
    this.#writtenAtMs ??= this.#now();
  }

  /** The names of all nodes that live. */
  get names(): readonly string[] {
    return [...this.#rows.keys()];
  }

  /**
   * The names of those that live, but have not ticked for TICK_AGE_MS_MAX while others did. Where this
   * node reads the log late, or the log is down, none is silent.
   */
  get silent(): ReadonlySet<string> {
    const before = this.#lastTickAtMs - TICK_AGE_MS_MAX;
    return new Set(this.names.filter((name) => (this.#rows.get(name)?.atMs ?? before) < before));
  }

  /** The number of the others that tick and whose names are before that of this node. */
  get rank(): number {
    const { silent } = this;
    return this.names.filter((name) => name < this.#node && !silent.has(name)).length;
  }

  onTick(node: string, tick: Tick, atMs: number): void {
    this.#lastTickAtMs = atMs;
    if (node === this.#node) {
      this.#ownTickAtMs = this.#now();
      this.#lagMs = this.#ownTickAtMs - (this.#writtenAtMs ?? this.#ownTickAtMs);
      this.#writtenAtMs = null;
    }
    if (this.#rows.size < NODES_MAX || this.#rows.has(node))
      this.#rows.set(node, { ...tick, atMs });
  }

  /**
   * Forgets the nodes that do not tick any more.
   *
   * @param nowMs - The time of an entry of the log, so that every node forgets at the same entry.
   */
  sweep(nowMs: number): void {
    for (const [node, { atMs }] of this.#rows) {
      if (nowMs - atMs <= NODE_AGE_MS_MAX) continue;
      this.#rows.delete(node);
      this.#left++;
    }
  }

  /** All nodes that live. */
  list(nowMs: number): readonly NodeInfo[] {
    return [...this.#rows].map(([node, { atMs, version, connections }]) => ({
      ...{ node, version, connections },
      ageMs: Math.max(0, Math.round(nowMs - atMs)),
      isSelf: node === this.#node,
    }));
  }
}
