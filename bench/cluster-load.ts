// The measurements of the cluster suite: latency at an even rate, the highest rate of all nodes, and the
// messages that are lost while the engine restarts. Publisher and subscribers share this process and
// its clock.
import { setTimeout as sleep } from 'node:timers/promises';

import { procReader, readCpuUs } from '../lib/system/kernel.js';
import type { Engine } from './cluster-engine.js';
import type { Cluster, ClusterNode } from './cluster-subjects.js';
import { numbered, type Arrival, type ClusterSubscriber } from './cluster-subscriber.js';
import { CHANNEL } from './comet-subjects.js';
import { pace } from './pace.js';

export interface ClusterLoad {
  readonly cluster: Cluster;
  /** One of each node. */
  readonly subscribers: readonly ClusterSubscriber[];
  readonly messageBytes: number;
  /** Messages per second while latency and restarts are measured. */
  readonly rate: number;
  readonly latencySeconds: number;
  readonly peakSeconds: number;
  readonly restartSeconds: number;
}

export interface Latency {
  readonly received: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

export interface Peak {
  /** Messages per second that every node delivered. */
  readonly perSecond: number;
  readonly published: number;
  readonly rejected: number;
  /** Accepted, but not delivered at each node. */
  readonly lost: number;
  /** Microseconds per message: of one manager, one node, and the engine. */
  readonly managerCpuUs: number | null;
  readonly nodeCpuUs: number;
  readonly engineCpuUs: number | null;
}

export interface Restart {
  readonly accepted: number;
  readonly rejected: number;
  readonly lost: number;
  /**
   * From the moment when the engine is back to the delivery of a newer message at all nodes; null if
   * that did not happen.
   */
  readonly resumedMs: number | null;
}

/** An even rate of single messages: each waits at most a millisecond for its turn. */
const TICK_MS = 1;
/** Lines of a request at the highest rate, and requests under way in the whole cluster. */
const LINES = 500;
const LANES = 12;
/** Messages that are not delivered yet: a slower server slows the publisher down. */
const WINDOW = 10_000;
/** Without a delivery in this time, the rest of the window no longer limits the publisher. */
const STALL_MS = 2000;
const REJECTED_PAUSE_MS = 5;
const QUIET_MS = 500;
/** After a restart, accepted messages may be so late, in units of QUIET_MS. */
const LATE_WAITS = 4;
const DEADLINE_MS = 20_000;
/** Times of the restart, as shares of its load. */
const DOWN_AT = 0.125;
const UP_AT = 0.25;

const fewest = (counts: readonly number[]): number => Math.min(...counts);

function percentile(ages: number[], share: number): number {
  return ages.sort((a, b) => a - b)[Math.ceil(share * ages.length) - 1] ?? NaN;
}

function sendOne({ messageBytes }: ClusterLoad, node: ClusterNode, number: number) {
  return node.posts.send([CHANNEL], [numbered(number, messageBytes)]);
}

/** Publishes until a message reaches every subscriber. */
export async function whenAllReceive(load: ClusterLoad): Promise<void> {
  const [node] = load.cluster.nodes;
  const endsAtMs = performance.now() + DEADLINE_MS;
  while (node !== undefined && fewest(load.subscribers.map(({ received }) => received)) === 0) {
    if (performance.now() > endsAtMs) throw new Error('a subscriber receives no messages');
    await sendOne(load, node, 0);
    await sleep(100);
  }
}

/** Waits until no messages arrive. */
async function whenQuiet(subscribers: readonly ClusterSubscriber[]): Promise<void> {
  const lastAt = (): number => Math.max(...subscribers.map(({ lastAtMs }) => lastAtMs));
  const startedAtMs = performance.now();
  while (performance.now() - Math.max(startedAtMs, lastAt()) < QUIET_MS) await sleep(20);
}

export async function measureLatency(load: ClusterLoad): Promise<Latency> {
  const { cluster, subscribers, rate, latencySeconds } = load;
  const [first] = cluster.nodes;
  if (first === undefined) throw new Error('a cluster has nodes');
  // Those of the publisher's own node would be faster.
  const others = subscribers.length > 1 ? subscribers.slice(1) : subscribers;
  const arrivals = others.map((subscriber) => subscriber.record());
  let number = 0;
  await pace(
    { rate, seconds: latencySeconds },
    () => Infinity,
    (count) => {
      for (let index = 0; index < count; index++) void sendOne(load, first, number++);
    },
    TICK_MS,
  );
  await whenQuiet(others);
  const ages = arrivals.flat().map(({ ageUs }) => ageUs);
  for (const subscriber of others) subscriber.arrivals = null;
  return { received: ages.length, p50Us: percentile(ages, 0.5), p99Us: percentile(ages, 0.99) };
}

interface CpuSample {
  readonly managers: number | null;
  readonly nodes: number;
  readonly engine: number | null;
}

function cpuSample({ nodes, engine }: Cluster): CpuSample {
  const sum = (pids: readonly number[]): number =>
    pids.reduce((total, pid) => total + (readCpuUs(procReader, pid) ?? 0), 0);
  const managers = nodes.flatMap(({ managerPid }) => (managerPid === null ? [] : [managerPid]));
  return {
    managers: managers.length === 0 ? null : sum(managers),
    nodes: sum(nodes.flatMap(({ pids }) => pids)),
    engine: engine === null ? null : sum([engine.pid]),
  };
}

/** Messages that were sent, and those that arrived everywhere. */
class Window {
  readonly startedAtMs = performance.now();
  readonly #subscribers: readonly ClusterSubscriber[];
  readonly #before: readonly number[];
  #given = 0;
  sent = 0;
  rejected = 0;

  constructor(subscribers: readonly ClusterSubscriber[]) {
    this.#subscribers = subscribers;
    this.#before = subscribers.map(({ received }) => received);
  }

  get delivered(): number {
    return fewest(
      this.#subscribers.map(({ received }, index) => received - (this.#before[index] ?? 0)),
    );
  }

  get lastAtMs(): number {
    return Math.max(this.startedAtMs, ...this.#subscribers.map(({ lastAtMs }) => lastAtMs));
  }

  get missing(): number {
    return this.sent - this.rejected - this.delivered;
  }

  /** Messages under way, without those for which a stalled server had its time. */
  get open(): number {
    if (performance.now() - this.lastAtMs > STALL_MS) this.#given = this.missing;
    return this.missing - this.#given;
  }
}

async function fillWindow(load: ClusterLoad, window: Window, endsAtMs: number): Promise<void> {
  const { nodes } = load.cluster;
  const channels = Array.from({ length: LINES }, () => CHANNEL);
  const lane = async (node: ClusterNode): Promise<void> => {
    while (performance.now() < endsAtMs) {
      if (window.open + LINES > WINDOW) {
        await sleep(1);
        continue;
      }
      const data = numbered(0, load.messageBytes);
      window.sent += LINES;
      const accepted = await node.posts.send(
        channels,
        channels.map(() => data),
      );
      window.rejected += LINES - accepted;
      if (accepted < LINES) await sleep(REJECTED_PAUSE_MS);
    }
  };
  const each = Array.from({ length: LANES / nodes.length });
  await Promise.all(nodes.flatMap((node) => each.map(() => lane(node))));
}

export async function measurePeak(load: ClusterLoad): Promise<Peak> {
  const { cluster, subscribers, peakSeconds } = load;
  const window = new Window(subscribers);
  const before = cpuSample(cluster);
  await fillWindow(load, window, window.startedAtMs + peakSeconds * 1000);
  while (window.open > 0) await sleep(5);
  const { delivered, lastAtMs, sent, rejected, missing, startedAtMs } = window;
  const after = cpuSample(cluster);
  const each = (end: number | null, begin: number | null, by: number): number | null =>
    end === null || begin === null ? null : (end - begin) / by / Math.max(1, delivered);
  return {
    ...{ published: sent - rejected, rejected, lost: missing },
    perSecond: (delivered * 1000) / (lastAtMs - startedAtMs),
    managerCpuUs: each(after.managers, before.managers, cluster.nodes.length),
    nodeCpuUs: each(after.nodes, before.nodes, cluster.nodes.length) ?? NaN,
    engineCpuUs: each(after.engine, before.engine, 1),
  };
}

interface Publishing {
  readonly accepted: Set<number>;
  /** All messages until now. */
  sent: number;
}

async function publishEvenly(load: ClusterLoad, publishing: Publishing): Promise<void> {
  const { nodes } = load.cluster;
  const underWay = new Set<Promise<void>>();
  const send = async (number: number): Promise<void> => {
    const node = nodes[number % nodes.length];
    if (node !== undefined && (await sendOne(load, node, number)) > 0)
      publishing.accepted.add(number);
  };
  await pace(
    { rate: load.rate, seconds: load.restartSeconds },
    () => Infinity,
    (count) => {
      for (let index = 0; index < count; index++) {
        const one = send(publishing.sent++).finally(() => underWay.delete(one));
        underWay.add(one);
      }
    },
    TICK_MS,
  );
  await Promise.all(underWay);
}

/** When each subscriber had a message with this number or a higher one; null if one never had. */
function resumedAt(arrivals: readonly (readonly Arrival[])[], from: number): number | null {
  const first = arrivals.map((each) => each.find(({ number }) => number >= from)?.atMs);
  return first.includes(undefined) ? null : Math.max(...first.map((atMs) => atMs ?? NaN));
}

/** The number of accepted messages that a subscriber does not have. */
function lostOf(accepted: ReadonlySet<number>, arrivals: readonly (readonly Arrival[])[]): number {
  const seen = arrivals.map((each) => new Set(each.map(({ number }) => number)));
  return [...accepted].filter((number) => !seen.every((each) => each.has(number))).length;
}

export async function measureRestart(load: ClusterLoad, engine: Engine): Promise<Restart> {
  const { subscribers, restartSeconds } = load;
  const arrivals = subscribers.map((subscriber) => subscriber.record());
  const publishing: Publishing = { accepted: new Set(), sent: 0 };
  const done = publishEvenly(load, publishing);
  await sleep(restartSeconds * DOWN_AT * 1000);
  await engine.end();
  await sleep(restartSeconds * (UP_AT - DOWN_AT) * 1000);
  await engine.run();
  const up = { atMs: performance.now(), from: publishing.sent };
  await done;
  const { accepted, sent } = publishing;
  await whenQuiet(subscribers);
  let lost = lostOf(accepted, arrivals);
  for (let waits = 0; lost > 0 && waits < LATE_WAITS; waits++) {
    await sleep(QUIET_MS);
    lost = lostOf(accepted, arrivals);
  }
  const atMs = resumedAt(arrivals, up.from);
  return {
    ...{ accepted: accepted.size, rejected: sent - accepted.size, lost },
    resumedMs: atMs === null ? null : atMs - up.atMs,
  };
}
