// The stats as Prometheus text, rendered by prom-client.
import {
  Counter,
  Gauge,
  Histogram,
  Registry,
  type GaugeConfiguration,
  type MetricObjectWithValues,
  type MetricValueWithName,
} from 'prom-client';

import { metricGroups, type MetricTables, type Sample } from './metric-list.js';
import type { Stats } from './stats.js';

type Values = Promise<MetricObjectWithValues<MetricValueWithName<string>>>;

// Every value is kept elsewhere: in the shared segment, in a part of the manager, or in the kernel.
// prom-client's own metrics can be incremented or set, but cannot take a total or a bucket. So
// these classes keep no value of their own: get(), which a registry calls at each scrape, returns
// samples.

class TotalElsewhere extends Counter {
  samples: () => Sample[] = () => [];
  override async get(): Values {
    return { ...(await super.get()), values: this.samples() };
  }
}

class GaugeElsewhere extends Gauge {
  samples: () => Sample[] = () => [];
  override async get(): Values {
    return { ...(await super.get()), values: this.samples() };
  }
}

/**
 * A gauge that describes itself as a histogram: the registry reads a Histogram through a method
 * that is not public.
 */
class HistogramElsewhere extends Gauge {
  samples: () => Sample[] = () => [];
  readonly #described: Histogram;

  constructor(configuration: GaugeConfiguration<string>) {
    super(configuration);
    const { name, help } = configuration;
    this.#described = new Histogram({ name, help, registers: [] });
  }

  override async get(): Values {
    return { ...(await this.#described.get()), values: this.samples() };
  }
}

const CLASSES = {
  counter: TotalElsewhere,
  gauge: GaugeElsewhere,
  histogram: HistogramElsewhere,
} as const;

/** Renders one set of stats after the other, all of the same server. */
export class Metrics {
  readonly #registry = new Registry();
  #stats: Stats;

  /** @param stats - The first set: it shows which groups of metrics the server has. */
  constructor(stats: Stats, tables: MetricTables) {
    this.#stats = stats;
    for (const { metrics, isPresent } of metricGroups(tables)) {
      if (!isPresent(stats)) continue;
      for (const { name, kind, help, samples } of metrics) {
        const metric = new CLASSES[kind]({ name, help, registers: [this.#registry] });
        metric.samples = () => samples(this.#stats);
      }
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async render(stats: Stats): Promise<string> {
    this.#stats = stats;
    return this.#registry.metrics();
  }
}
