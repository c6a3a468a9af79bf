// The stats as Prometheus text. Level 3. Names and help come from the addon's list of counters.
import { Counter, Gauge, Registry } from 'prom-client';

import { addon, camelCase } from './native.js';
import type { Stats } from './stats.js';

const PREFIX = 'megacomet_';

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function addWorkerCounters(registry: Registry, stats: () => Stats): void {
  for (const info of addon.counters) {
    const options = {
      name: PREFIX + info.name,
      help: info.help,
      labelNames: ['worker'],
      registers: [registry],
    };
    const key = camelCase(info.name);
    const values = (): [string, number][] =>
      stats().workers.map((worker) => [String(worker.slot), Number(worker[key])]);
    if (info.kind === 'gauge') {
      new Gauge({
        ...options,
        collect() {
          for (const [worker, value] of values()) this.set({ worker }, value);
        },
      });
    } else {
      new Counter({
        ...options,
        collect() {
          // The library has no way to set a counter to a total that is kept elsewhere.
          this.reset();
          for (const [worker, value] of values()) this.inc({ worker }, value);
        },
      });
    }
  }
}

function addGauge(
  registry: Registry,
  name: string,
  help: string,
  value: () => number | null,
): void {
  new Gauge({
    name: PREFIX + name,
    help,
    registers: [registry],
    collect() {
      this.set(value() ?? NaN);
    },
  });
}

const LAG_NAME = `${PREFIX}loop_turn_seconds`;

/** The loop turns of all workers as one histogram; the buckets are counted natively. */
function lagHistogram(stats: Stats): object {
  const values: object[] = [];
  let count = 0;
  for (let bucket = 0; bucket < addon.bounds.lagBuckets; bucket++) {
    for (const worker of stats.workers) count += Number(worker.loopLagHistogram[bucket] ?? 0);
    const isLast = bucket === addon.bounds.lagBuckets - 1;
    const le = isLast ? '+Inf' : String(2 ** bucket / 1e6);
    values.push({ value: count, labels: { le }, metricName: `${LAG_NAME}_bucket` });
  }
  values.push({ value: count, labels: {}, metricName: `${LAG_NAME}_count` });
  return {
    name: LAG_NAME,
    help: 'Turns of the serving loops by length: while one lasts, its other clients wait.',
    type: 'histogram',
    aggregator: 'sum',
    values,
  };
}

function addServerMetrics(registry: Registry, stats: () => Stats): void {
  addGauge(
    registry,
    'uptime_seconds',
    'Seconds since the server began to listen.',
    () => stats().uptimeSeconds,
  );
  addGauge(
    registry,
    'server_connections_max',
    'Connections that the server may hold.',
    () => stats().maxConnections,
  );
  addGauge(
    registry,
    'workers_serving',
    'Slots whose worker serves. Below the number of slots for long, look at the log.',
    () => stats().workers.filter((worker) => worker.state === 'serving').length,
  );
  new Counter({
    name: `${PREFIX}worker_restarts_total`,
    help: 'Workers that were replaced. Each had a reason, which the log names.',
    labelNames: ['worker'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { slot, restarts } of stats().workers)
        this.inc({ worker: String(slot) }, restarts);
    },
  });
  addGauge(
    registry,
    'private_bytes',
    'Memory that only the workers have; the kernel has about 4 kB per connection besides.',
    () => stats().memory.privateBytes,
  );
  for (const name of Object.keys(stats().kernel)) {
    addGauge(
      registry,
      `kernel_${snake(name)}`,
      `The kernel's ${name}: see docs of /proc/net/sockstat, netstat and fs.file-nr.`,
      () => stats().kernel[name] ?? null,
    );
  }
}

/** Renders one set of stats after the other. */
export class Metrics {
  readonly #registry = new Registry();
  #stats: Stats;

  constructor(stats: Stats) {
    this.#stats = stats;
    const current = (): Stats => this.#stats;
    addWorkerCounters(this.#registry, current);
    addServerMetrics(this.#registry, current);
    // The library's own histogram cannot take buckets that were counted elsewhere; what it does
    // take is anything with a name and get(), which its types do not say.
    this.#registry.registerMetric({
      name: LAG_NAME,
      get: () => Promise.resolve(lagHistogram(this.#stats)),
      reset: () => undefined,
    } as never);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async render(stats: Stats): Promise<string> {
    this.#stats = stats;
    return this.#registry.metrics();
  }
}
