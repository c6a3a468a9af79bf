// Computes the numbers that the plots of a report page draw. browser/plots.js draws them.

import {
  type BenchResult,
  type Broadcast,
  type Latency,
  type ServerCost,
  slowestBroadcast,
} from './bench-result.js';

/** Columns of equal length. The first has the values of the x axis; null is a gap. */
export type Columns = (number | null)[][];

/** The numbers of every plot that the result can fill. */
export interface Plots {
  /** Seconds; opened; failed; connections per second after the previous point. */
  ramp?: Columns;
  /** Seconds; user and kernel bytes; user bytes; connections. */
  memory?: Columns;
  /** Milliseconds; then, for each of `names`, percent of the subscribers that received it. */
  fanout?: { columns: Columns; names: string[] };
  /** Start of a bin, microseconds; then, for each of `series`, percent of its requests. */
  latency?: { columns: Columns; series: { name: string; p50Us: number; p99Us: number }[] };
}

/** Bars of the latency plot per decade: each is 21 % wider than the previous one. */
const BINS_PER_DECADE = 12;

/** Microseconds. A shorter latency is drawn as this one, because a log axis has no zero. */
const DRAWN_MIN_US = 0.1;

/** Computes the numbers of every plot that the result can fill. */
export function shapePlots(result: BenchResult): Plots {
  const plots: Plots = {};
  const memory = result.server?.memoryCurve ?? [];
  if (result.ramp.curve.length > 0) plots.ramp = rampColumns(result);
  if (memory.length > 0) plots.memory = memoryColumns(memory);
  const fanout = fanoutPlot(result);
  if (fanout !== undefined) plots.fanout = fanout;
  const measured = latencies(result).filter(({ latency }) => {
    return latency.buckets.some((bucket) => bucket.count > 0);
  });
  if (measured.length > 0) {
    const series = measured.map(({ name, latency }) => {
      return { name, p50Us: latency.p50Us, p99Us: latency.p99Us };
    });
    plots.latency = { columns: latencyColumns(measured.map(({ latency }) => latency)), series };
  }
  return plots;
}

/** One point draws nothing, so the curve begins at the first connect. */
function memoryColumns(points: ServerCost['memoryCurve']): Columns {
  const start = { seconds: 0, connections: 0, userBytes: 0, kernelBytes: 0 };
  const curve = (points[0]?.seconds ?? 0) > 0 ? [start, ...points] : points;
  return [
    curve.map((point) => point.seconds),
    curve.map((point) => point.userBytes + point.kernelBytes),
    curve.map((point) => point.userBytes),
    curve.map((point) => point.connections),
  ];
}

function rampColumns({ ramp }: BenchResult): Columns {
  const [first] = ramp.curve;
  const start = { seconds: 0, opened: 0, failed: 0 };
  const curve = first !== undefined && first.seconds > 0 ? [start, ...ramp.curve] : ramp.curve;
  const rates = curve.map((point, index) => {
    const before = curve[index - 1];
    if (before === undefined || point.seconds <= before.seconds) return null;
    return (point.opened - before.opened) / (point.seconds - before.seconds);
  });
  // A step is drawn back to the previous point, which therefore needs a value.
  rates[0] = rates[1] ?? null;
  return [
    curve.map((point) => point.seconds),
    curve.map((point) => point.opened),
    curve.map((point) => point.failed),
    rates,
  ];
}

/** Points of the fan-out plot: finer than its pixels. */
const FANOUT_POINTS = 1000;

// Each broadcast has times of its own, so all are sampled at the same, evenly spaced moments. One
// line is the average of the broadcasts, the other is the slowest broadcast.
function fanoutPlot({ fanout, opened }: BenchResult): Plots['fanout'] {
  const slowest = fanout && slowestBroadcast(fanout);
  if (fanout === undefined || slowest === undefined || opened === 0) return undefined;
  const { broadcasts } = fanout;
  const step = (slowest.seconds > 0 ? slowest.seconds : 1e-3) / FANOUT_POINTS;
  const times = Array.from({ length: FANOUT_POINTS + 1 }, (_, index) => index * step);
  const shares = broadcasts.map((one) => reachedAt(one, times).map((count) => count / opened));
  const average = times.map(
    (_, index) => shares.reduce((sum, share) => sum + (share[index] ?? 0), 0) / shares.length,
  );
  const lines = [average];
  const names = [broadcasts.length > 1 ? `All ${broadcasts.length}, on average` : 'The broadcast'];
  if (broadcasts.length > 1) {
    lines.push(shares[broadcasts.indexOf(slowest)] ?? []);
    names.push('The slowest');
  }
  const percents = lines.map((line) => line.map((share) => 100 * share));
  return { columns: [times.map((seconds) => seconds * 1000), ...percents], names };
}

function reachedAt({ curve, reached, seconds: last }: Broadcast, times: number[]): number[] {
  let index = 0;
  let count = 0;
  return times.map((time) => {
    for (; (curve[index]?.seconds ?? Infinity) <= time; index += 1)
      count = curve[index]?.reached ?? 0;
    // Rounding can put the last sample slightly before the last delivery.
    return time >= last * (1 - 1e-9) ? reached : count;
  });
}

/** The measured latencies, with the names under which the page shows them. */
export function latencies({ verify, active }: BenchResult): { name: string; latency: Latency }[] {
  const found = [];
  if (verify !== undefined) found.push({ name: 'Verify', latency: verify.latency });
  if (active !== undefined) found.push({ name: 'Active', latency: active.latency });
  return found;
}

function latencyColumns(measured: Latency[]): Columns {
  const binned = measured.map(percentByBin);
  const bins = binned.flatMap((percents) => [...percents.keys()]);
  // One empty bin on each side, so that the outline reaches the axis.
  const first = Math.min(...bins) - 1;
  const last = Math.max(...bins) + 1;
  const drawn = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  const starts = drawn.map((bin) => 10 ** (bin / BINS_PER_DECADE));
  return [starts, ...binned.map((percents) => outline(percents, drawn))];
}

// Zero inside the range of the measurement and next to it; beyond it null, which draws no line.
function outline(percents: Map<number, number>, drawn: number[]): (number | null)[] {
  const first = Math.min(...percents.keys()) - 1;
  const last = Math.max(...percents.keys()) + 1;
  return drawn.map((bin) => percents.get(bin) ?? (bin >= first && bin <= last ? 0 : null));
}

// Buckets of different widths would draw steps that are not in the data, and two measurements can
// have different buckets. So each bucket's requests are spread evenly, on the log scale, over the
// bins that it covers.
function percentByBin(latency: Latency): Map<number, number> {
  const percents = new Map<number, number>();
  const total = latency.buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  const toBin = (us: number): number => BINS_PER_DECADE * Math.log10(Math.max(us, DRAWN_MIN_US));
  let lowerUs = 0;
  for (const { upToUs, count } of latency.buckets) {
    const from = toBin(Math.max(lowerUs, latency.minUs));
    const to = Math.max(from, toBin(Math.min(upToUs, latency.maxUs)));
    lowerUs = upToUs;
    if (count === 0) continue;
    for (let bin = Math.floor(from); bin <= Math.floor(to); bin += 1) {
      const covered = Math.min(bin + 1, to) - Math.max(bin, from);
      const part = to - from < 1e-9 ? 1 : covered / (to - from);
      percents.set(bin, (percents.get(bin) ?? 0) + (100 * part * count) / total);
    }
  }
  return percents;
}
