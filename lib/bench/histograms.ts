// Converts the histograms of the dialers to latencies of a phase and to broadcasts.
import type { Broadcast, Latency } from './bench-result.js';
import type { DeliveryTimes, PhaseEnd } from './fleet.js';
import { addon } from '../system/native.js';

/** Upper end, in microseconds, of a bucket of native/base/histogram.h. */
export function bucketUpToUs(bucket: number): number {
  const steps = addon.sizes.histogramSteps;
  if (bucket < steps) return bucket;
  const octave = Math.floor(bucket / steps) - 1;
  return (steps + (bucket % steps) + 1) * 2 ** octave - 1;
}

export function toLatency(end: Omit<PhaseEnd, 'progress'>): Latency {
  const indices = [...end.buckets.keys()].sort((a, b) => a - b);
  const count = [...end.buckets.values()].reduce((sum, value) => sum + value, 0);
  const percentile = (share: number): number => {
    let seen = 0;
    for (const index of indices) {
      seen += end.buckets.get(index) ?? 0;
      if (seen >= share * count) return Math.min(bucketUpToUs(index), end.maxUs);
    }
    return end.maxUs;
  };
  const first = indices[0] ?? 0;
  const last = indices.at(-1) ?? -1;
  const range = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return {
    count,
    minUs: count === 0 ? 0 : end.minUs,
    p50Us: percentile(0.5),
    p90Us: percentile(0.9),
    p99Us: percentile(0.99),
    p999Us: percentile(0.999),
    maxUs: end.maxUs,
    buckets: range.map((index) => ({
      upToUs: bucketUpToUs(index),
      count: end.buckets.get(index) ?? 0,
    })),
  };
}

/** Merges the delivery times of all dialers for one message: they share CLOCK_MONOTONIC. */
function toBroadcast(parts: readonly DeliveryTimes[]): Broadcast {
  const firstNs = Math.min(...parts.map((part) => Number(part.firstNs)));
  const lastNs = Math.max(...parts.map((part) => Number(part.lastNs)));
  const lastUs = (lastNs - firstNs) / 1000;
  const counts = new Map<number, number>();
  for (const { firstNs: ownFirstNs, buckets } of parts) {
    const offsetUs = (Number(ownFirstNs) - firstNs) / 1000;
    for (let index = 0; index + 1 < buckets.length; index += 2) {
      const us = Math.min(lastUs, Math.round(offsetUs + bucketUpToUs(buckets[index] ?? 0)));
      counts.set(us, (counts.get(us) ?? 0) + (buckets[index + 1] ?? 0));
    }
  }
  let reached = 0;
  const curve = [...counts]
    .sort(([a], [b]) => a - b)
    .map(([us, count]) => ({ seconds: us / 1e6, reached: (reached += count) }));
  return { reached, firstNs, lastNs, seconds: lastUs / 1e6, curve };
}

/** The messages to more than one subscriber, in the order of their first delivery. */
export function toBroadcasts(deliveries: readonly DeliveryTimes[]): Broadcast[] {
  const byKey = new Map<bigint, DeliveryTimes[]>();
  for (const part of deliveries) {
    const parts = byKey.get(part.key);
    if (parts === undefined) byKey.set(part.key, [part]);
    else parts.push(part);
  }
  return [...byKey.values()]
    .map(toBroadcast)
    .filter(({ reached }) => reached > 1)
    .sort((a, b) => a.firstNs - b.firstNs);
}
