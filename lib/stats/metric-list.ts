// Every metric of a server: its name, kind, labels and help, and its samples of one set of stats.
// /metrics renders this list, and docs/metrics.md shows it. Counters of workers come from the
// addon, the metrics of the manager's parts from the tables beside them; the others are declared
// here.
import type { MetricInfo } from '../base/metric.js';
import { addon, camelCase } from '../system/native.js';
import { KERNEL_METRICS } from './kernel-metrics.js';
import type { Stats, WorkerStats } from './stats.js';

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** The name of a histogram's series. */
  readonly metricName?: string;
}

export interface ServerMetric {
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
  readonly samples: (stats: Stats) => Sample[];
}

export interface MetricGroup {
  readonly title: string;
  readonly metrics: readonly ServerMetric[];
  /** Whether a server has the group; it keeps its protocol for life. */
  readonly isPresent: (stats: Stats) => boolean;
}

/** The tables of the manager's parts, by their field of the stats. */
export interface MetricTables {
  readonly messages: Readonly<Record<string, MetricInfo>>;
  readonly mailboxes: Readonly<Record<string, MetricInfo>>;
  readonly ingest: Readonly<Record<string, MetricInfo>>;
  readonly admin: Readonly<Record<string, MetricInfo>>;
  readonly hook: Readonly<Record<string, MetricInfo>>;
  readonly log: Readonly<Record<string, MetricInfo>>;
  readonly cluster: Readonly<Record<string, MetricInfo>>;
}

const PREFIX = 'megacomet_';

type Value = number | null;
type Kind = 'counter' | 'gauge';

/** A metric without labels. A value that is not known is NaN. */
function single(
  kind: Kind,
  name: string,
  help: string,
  value: (stats: Stats) => Value,
): ServerMetric {
  const samples = (stats: Stats): Sample[] => [{ labels: {}, value: value(stats) ?? NaN }];
  return { name: PREFIX + name, kind, labels: [], help, samples };
}

/** A metric of each worker. A value that is not known has no sample. */
function perWorker(
  kind: Kind,
  name: string,
  help: string,
  value: (worker: WorkerStats) => Value,
): ServerMetric {
  const samples = (stats: Stats): Sample[] =>
    stats.workers.flatMap((worker) => {
      const known = value(worker);
      return known === null ? [] : [{ labels: { worker: String(worker.slot) }, value: known }];
    });
  return { name: PREFIX + name, kind, labels: ['worker'], help, samples };
}

/** Prometheus counts time in seconds; the segment holds integers, one of them in microseconds. */
const IN_SECONDS: Readonly<Record<string, { readonly name: string; readonly help: string }>> = {
  loop_lag_max_us: {
    name: 'loop_lag_max_seconds',
    help:
      'Longest loop iteration of the last 10 to 20 seconds. Above 0.1 clients notice: the worker ' +
      'is overloaded or starved of a core.',
  },
};

function workerCounter(info: (typeof addon.counters)[number]): ServerMetric {
  const inSeconds = IN_SECONDS[info.name];
  const { name, help } = inSeconds ?? info;
  const key = camelCase(info.name);
  const divisor = inSeconds === undefined ? 1 : 1e6;
  const kind = info.kind === 'gauge' ? 'gauge' : 'counter';
  return perWorker(kind, name, help, (worker) => Number(worker[key]) / divisor);
}

const LAG_NAME = `${PREFIX}loop_iteration_seconds`;

/** The loop iterations of all workers as one histogram; its buckets are counted natively. */
function lagSamples(stats: Stats): Sample[] {
  const samples: Sample[] = [];
  let count = 0;
  for (let bucket = 0; bucket < addon.sizes.lagBuckets; bucket++) {
    for (const worker of stats.workers) count += Number(worker.loopLagHistogram[bucket] ?? 0);
    const isLast = bucket === addon.sizes.lagBuckets - 1;
    const le = isLast ? '+Inf' : String(2 ** bucket / 1e6);
    samples.push({ value: count, labels: { le }, metricName: `${LAG_NAME}_bucket` });
  }
  const sumUs = stats.workers.reduce((sum, { loopLagSumUs }) => sum + Number(loopLagSumUs), 0);
  samples.push({ value: sumUs / 1e6, labels: {}, metricName: `${LAG_NAME}_sum` });
  samples.push({ value: count, labels: {}, metricName: `${LAG_NAME}_count` });
  return samples;
}

const WORKERS: readonly ServerMetric[] = [
  single(
    'gauge',
    'workers_serving',
    'Slots whose worker serves. Below the number of slots for long: read the log.',
    ({ workers }) => workers.filter(({ state }) => state === 'serving').length,
  ),
  perWorker(
    'gauge',
    'worker_up',
    'Whether the worker of a slot serves: 1 or 0. 0 for more than a minute: see the runbook, "A ' +
      'worker does not serve".',
    ({ state }) => (state === 'serving' ? 1 : 0),
  ),
  perWorker(
    'counter',
    'worker_restarts_total',
    'Workers that were replaced. The log has the cause of each.',
    ({ restarts }) => restarts,
  ),
  perWorker(
    'gauge',
    'worker_heartbeat_age_seconds',
    "Seconds since a worker's last heartbeat: at most 1 when healthy. From 3 the worker gets no " +
      'new clients; at --heartbeat-limit it is replaced.',
    ({ heartbeatAgeMs }) => (heartbeatAgeMs === null ? null : heartbeatAgeMs / 1000),
  ),
  {
    name: LAG_NAME,
    kind: 'histogram',
    labels: ['le'],
    help: 'Loop iterations of all workers by length. During one, the other clients of the worker wait.',
    samples: lagSamples,
  },
];

const SERVER: readonly ServerMetric[] = [
  {
    name: `${PREFIX}info`,
    kind: 'gauge',
    labels: ['version', 'protocol'],
    help:
      'Always 1; the labels are the version and the protocol. Two versions for long: an ' +
      'unfinished deploy.',
    samples: ({ version, protocol }) => [{ labels: { version, protocol }, value: 1 }],
  },
  single(
    'gauge',
    'uptime_seconds',
    'Seconds since the server began to listen. A fall that you did not cause: read the log ' +
      'before it.',
    ({ uptimeSeconds }) => uptimeSeconds,
  ),
  single(
    'gauge',
    'draining',
    '1 while the server closes its connections in order to stop, else 0. Send it no new clients.',
    ({ isDraining }) => Number(isDraining),
  ),
  single(
    'counter',
    'log_lines_dropped_total',
    'Log lines that were dropped, because the reader of the log stood still. Look at the log ' +
      'shipper.',
    ({ logLinesDroppedTotal }) => logLinesDroppedTotal,
  ),
  single(
    'counter',
    'worker_faults_total',
    'Workers that were replaced because they wrote or sent invalid data. Look for the ' +
      'fault in the log: a damaged machine, or a worker that is not in your hands.',
    ({ workerFaultsTotal }) => workerFaultsTotal,
  ),
  single(
    'gauge',
    'server_connections_max',
    'Connections that the server may hold: --max-connections, or the number that the machine ' +
      'allows.',
    ({ maxConnections }) => maxConnections,
  ),
];

const TLS: readonly ServerMetric[] = [
  {
    name: `${PREFIX}tls_certificate_days_left`,
    kind: 'gauge',
    labels: ['certificate'],
    help:
      'Whole days until a certificate expires, by its file. Below 14: see the runbook, "A ' +
      'certificate expires".',
    samples: ({ tlsCertificateDaysLeft }) =>
      Object.entries(tlsCertificateDaysLeft ?? {}).map(([certificate, value]) => ({
        labels: { certificate },
        value,
      })),
  },
];

const MEMORY: readonly ServerMetric[] = [
  single(
    'gauge',
    'user_bytes_per_connection',
    'Memory of the workers above that of idle workers without connections, per open connection. ' +
      'Below 96 when idle; above 256 for long: see the runbook, "Memory grows". NaN without ' +
      'connections.',
    ({ memory }) => memory.userBytesPerConnection,
  ),
  single(
    'gauge',
    'private_bytes',
    'Private memory of all workers. The kernel needs about 4 kB per connection on top.',
    ({ memory }) => memory.privateBytes,
  ),
  perWorker(
    'gauge',
    'worker_private_bytes',
    'Private memory of one worker. One that grows apart from the others has slow peers.',
    ({ privateBytes }) => privateBytes,
  ),
  single(
    'gauge',
    'manager_private_bytes',
    'Private memory of the manager, 30 to 100 MB plus history and mailboxes. Steady growth under ' +
      'steady load is a leak: report it.',
    ({ memory }) => memory.managerPrivateBytes,
  ),
];

function perLimit(name: string, help: string, part: 'used' | 'max' | 'headroom'): ServerMetric {
  const samples = (stats: Stats): Sample[] =>
    stats.limits.map((limit) => ({ labels: { limit: limit.limit }, value: limit[part] }));
  return { name: `${PREFIX}limit_${name}`, kind: 'gauge', labels: ['limit'], help, samples };
}

const LIMITS: readonly ServerMetric[] = [
  perLimit(
    'headroom_ratio',
    'Unused share of a limit, 1 to 0. Below 0.2 raise the limit: see the runbook, "A limit of ' +
      'the kernel is near".',
    'headroom',
  ),
  perLimit(
    'used',
    'Used part of a limit. Of fs.epoll.max_user_watches this server’s part; other processes of ' +
      'the same user add to it.',
    'used',
  ),
  perLimit(
    'max',
    'The present value of a limit. If it changed, an operator ran sysctl: put it into sysctl.d too.',
    'max',
  ),
];

const ADMIN_RESPONSES: ServerMetric = {
  name: `${PREFIX}admin_responses_total`,
  kind: 'counter',
  labels: ['endpoint', 'status'],
  help:
    'Responses of the admin server by endpoint and class of status: 2xx, 4xx or 5xx. Other paths ' +
    'are the endpoint "other".',
  samples: ({ adminResponses }) =>
    Object.entries(adminResponses ?? {}).flatMap(([endpoint, counts]) =>
      Object.entries(counts).map(([status, value]) => ({ labels: { endpoint, status }, value })),
    ),
};

function ofKernel(field: string, help: string): ServerMetric {
  const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return single('gauge', `kernel_${name}`, help, ({ kernel }) => kernel[field] ?? null);
}

/** The metrics of a table. A part that the server does not have counts as 0. */
function ofTable(
  table: Readonly<Record<string, MetricInfo>>,
  values: (stats: Stats) => Readonly<Record<string, number>> | null,
): ServerMetric[] {
  return Object.entries(table).map(([field, { name, kind, help }]) =>
    single(kind, name, help, (stats) => values(stats)?.[field] ?? 0),
  );
}

/** All metrics, in the order of docs/metrics.md. */
export function metricGroups(tables: MetricTables): readonly MetricGroup[] {
  const always = (): boolean => true;
  const kernel = Object.entries(KERNEL_METRICS).map(([field, help]) => ofKernel(field, help));
  return [
    { title: 'Server', metrics: SERVER, isPresent: always },
    {
      title: 'TLS',
      metrics: TLS,
      isPresent: ({ tlsCertificateDaysLeft }) => tlsCertificateDaysLeft !== null,
    },
    { title: 'Workers', metrics: WORKERS, isPresent: always },
    {
      title: 'Counters of a worker',
      metrics: addon.counters.map(workerCounter),
      isPresent: always,
    },
    { title: 'Memory', metrics: MEMORY, isPresent: always },
    {
      title: 'Messages',
      metrics: ofTable(tables.messages, ({ messages }) => messages),
      isPresent: ({ messages }) => messages !== null,
    },
    {
      title: 'Mailboxes',
      metrics: ofTable(tables.mailboxes, ({ mailboxes }) => mailboxes),
      isPresent: always,
    },
    {
      title: 'Ingest',
      metrics: ofTable(tables.ingest, ({ ingest }) => ingest),
      isPresent: always,
    },
    {
      title: 'Admin server',
      metrics: [...ofTable(tables.admin, ({ admin }) => admin), ADMIN_RESPONSES],
      isPresent: always,
    },
    {
      title: 'Hook',
      metrics: ofTable(tables.hook, ({ hook }) => hook),
      isPresent: always,
    },
    {
      title: 'Log',
      metrics: ofTable(tables.log, ({ log }) => log),
      isPresent: always,
    },
    {
      title: 'Cluster',
      metrics: ofTable(tables.cluster, ({ cluster }) => cluster),
      isPresent: always,
    },
    { title: 'Limits', metrics: LIMITS, isPresent: always },
    { title: 'Kernel', metrics: kernel, isPresent: always },
  ];
}
