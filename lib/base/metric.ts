// Metrics of the manager. The owner of a value declares the metric once: field, name, kind, help and
// value. /stats reads fields and values; /metrics and docs/metrics.md read the rest.

/** One metric without labels; `Owner` has its value. */
export interface Metric<Owner> {
  /** The name for Prometheus, without `megacomet_`. */
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  /** The thing that the metric counts, and the advice. */
  readonly help: string;
  readonly value: (owner: Owner) => number;
}

/** Metrics of one owner, by their field in /stats. */
export type MetricTable<Owner> = Readonly<Record<string, Metric<Owner>>>;

/** A metric for code that does not know its owner. */
export type MetricInfo = Omit<Metric<never>, 'value'>;

/** The fields that a table adds to /stats. */
export type ValuesOf<Table> = { readonly [Field in keyof Table]: number };

/** A total, which only grows; its name ends in `_total`. */
export function counter<Owner>(
  name: `${string}_total`,
  help: string,
  value: (owner: Owner) => number,
): Metric<Owner> {
  return { name, kind: 'counter', help, value };
}

/** A value that rises and falls. */
export function gauge<Owner>(
  name: string,
  help: string,
  value: (owner: Owner) => number,
): Metric<Owner> {
  return { name, kind: 'gauge', help, value };
}

/** The current values of an owner's metrics, by field. */
export function valuesOf<Owner, Table extends MetricTable<Owner>>(
  table: Table,
  owner: Owner,
): ValuesOf<Table> {
  const values = Object.entries(table).map(([field, metric]) => [field, metric.value(owner)]);
  return Object.fromEntries(values) as ValuesOf<Table>;
}
