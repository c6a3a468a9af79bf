// One trial of the cluster suite: starts the nodes of one subject, measures them, and ends them. A
// separate process, like trial.ts. Its request is argv[2], its result stdout.
import { setTimeout as sleep } from 'node:timers/promises';

import { procReader, readCpuUs } from '../lib/system/kernel.js';
import type { Baselines } from './build-baselines.js';
import {
  measureLatency,
  measurePeak,
  measureRestart,
  whenAllReceive,
  type Latency,
  type Peak,
  type Restart,
} from './cluster-load.js';
import { startCluster, type Cluster, type ClusterSubject } from './cluster-subjects.js';
import { ClusterSubscriber } from './cluster-subscriber.js';

export interface ClusterTrialRequest {
  readonly subject: ClusterSubject;
  readonly baselines: Baselines;
  readonly messageBytes: number;
  readonly idleSeconds: number;
  readonly rate: number;
  readonly latencySeconds: number;
  readonly peakSeconds: number;
  readonly restartSeconds: number;
  /** Channels with a message in the log of a node that joins. */
  readonly channels: number;
}

export interface ClusterTrialResult {
  readonly subject: ClusterSubject;
  /** Share of one core that each node takes without work. */
  readonly idleShares: readonly number[];
  readonly latency: Latency;
  /** From the start of the process to a ready node; null for a subject without a log. */
  readonly joinSeconds: number | null;
  readonly peak: Peak;
  readonly restart: Restart | null;
}

/** Before each load, so that the code of all subjects is compiled. */
const WARM_UP_SECONDS = 1;
/** A server that has just started compiles its code, and V8 compacts its heap for half a minute. */
const SETTLE_MS = 30_000;
/** Lines of a request that fills the log. */
const FILL_LINES = 500;
const FILL_LANES = 4;

function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readCpuUs(procReader, pid) ?? 0), 0);
}

async function idleShares({ nodes }: Cluster, seconds: number): Promise<number[]> {
  const before = nodes.map(({ pids }) => cpuOf(pids));
  const startedAtMs = performance.now();
  await sleep(seconds * 1000);
  const us = (performance.now() - startedAtMs) * 1000;
  return nodes.map(({ pids }, index) => (cpuOf(pids) - (before[index] ?? 0)) / us);
}

/** Publishes one message to each of many channels. */
async function fill(cluster: Cluster, channels: number, bytes: number): Promise<void> {
  let next = 0;
  const data = 'x'.repeat(bytes);
  const lane = async (index: number): Promise<void> => {
    const posts = cluster.nodes[index % cluster.nodes.length]?.posts;
    while (posts !== undefined && next < channels) {
      const first = next;
      next = Math.min(channels, first + FILL_LINES);
      const names = Array.from({ length: next - first }, (_, at) => `private/${first + at}`);
      const accepted = await posts.send(
        names,
        names.map(() => data),
      );
      if (accepted < names.length) throw new Error(`${accepted} of ${names.length} were accepted`);
    }
  };
  await Promise.all(Array.from({ length: FILL_LANES }, (_, index) => lane(index)));
}

/** Seconds from the start of a node to the moment when it is ready. */
async function measureJoin(cluster: Cluster): Promise<number> {
  const startedAtMs = performance.now();
  const node = await cluster.join();
  try {
    await node.whenReady();
    return (performance.now() - startedAtMs) / 1000;
  } finally {
    await node.stop();
  }
}

export async function runClusterTrial(request: ClusterTrialRequest): Promise<ClusterTrialResult> {
  const { subject, channels, messageBytes } = request;
  const cluster = await startCluster(subject, request.baselines);
  const subscribers = cluster.nodes.map(
    ({ port }) => new ClusterSubscriber(port, cluster.greeting),
  );
  const isOurs = cluster.nodes[0]?.managerPid !== null;
  const load = { ...request, cluster, subscribers };
  try {
    await whenAllReceive(load);
    await sleep(SETTLE_MS);
    const idle = await idleShares(cluster, request.idleSeconds);
    await measureLatency({ ...load, latencySeconds: WARM_UP_SECONDS });
    const latency = await measureLatency(load);
    if (isOurs) await fill(cluster, channels, messageBytes);
    const joinSeconds = isOurs && cluster.engine !== null ? await measureJoin(cluster) : null;
    await measurePeak({ ...load, peakSeconds: WARM_UP_SECONDS });
    const peak = await measurePeak(load);
    const restart = cluster.engine === null ? null : await measureRestart(load, cluster.engine);
    return { subject, idleShares: idle, latency, joinSeconds, peak, restart };
  } finally {
    for (const subscriber of subscribers) subscriber.end();
    await cluster.stop();
  }
}

if (process.argv[2] !== undefined) {
  const result = await runClusterTrial(JSON.parse(process.argv[2]) as ClusterTrialRequest);
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
}
