// The stats as Prometheus text. Names and help come from the addon's list of counters.
import { Counter, Gauge, Registry } from 'prom-client';

import type { MetricValue } from '../system/kernel.js';
import { addon, camelCase } from '../system/native.js';
import { PUSH_FIGURES } from './push-metrics.js';
import type { Stats, WorkerStats } from './stats.js';

const PREFIX = 'megacomet_';

/** What to do about each figure of the kernel; a counter that stands still is good news. */
const KERNEL_HELP: Readonly<Record<string, string>> = {
  tcpInUse: 'TCP sockets of this network namespace, clients on this machine included.',
  tcpOrphans: 'Sockets of the host without an owner: peers that vanished while they were closed.',
  tcpTimeWait: 'Sockets in TIME_WAIT, 256 bytes for 60 s each: harmless on a server.',
  tcpMemPages: 'Pages of socket buffers of the host; above net.ipv4.tcp_mem[1] windows shrink.',
  listenOverflows: 'Clients that met a full listen queue: raise --backlog and net.core.somaxconn.',
  listenDrops: 'Handshakes dropped for any reason; those of listen_overflows are among them.',
  tcpReqQFullDoCookies: 'SYN cookies sent: without an attack the backlog is too small.',
  tcpReqQFullDrop: 'Handshakes dropped since SYN cookies are off: set tcp_syncookies to 1.',
  tcpTimeWaitOverflow: 'Sockets closed without a TIME_WAIT: harmless after a restart.',
  tcpMemoryPressures: 'Times that socket memory came under pressure: raise net.ipv4.tcp_mem.',
  tcpAbortOnMemory: 'Connections that the kernel reset for lack of memory: raise tcp_mem.',
  tcpAbortOnTimeout: 'Connections given up since the peer no longer answered.',
  fileNr: 'Open files of the whole host; its limit is file_max.',
  fileMax: 'Limit of open files of the whole host (fs.file-max).',
  somaxconn: 'The cap on every listen queue (net.core.somaxconn).',
};

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Prometheus counts time in seconds; the segment holds integers, one of them microseconds. */
const IN_SECONDS: Readonly<Record<string, { readonly name: string; readonly help: string }>> = {
  loop_lag_max_us: {
    name: 'loop_lag_max_seconds',
    help:
      'Longest turn of the loop in the last 10 to 20 seconds. Above 0.1 clients notice: the ' +
      'worker is overloaded or starved of a core.',
  },
};

function addWorkerCounters(registry: Registry, stats: () => Stats): void {
  for (const info of addon.counters) {
    const inSeconds = IN_SECONDS[info.name];
    const { name, help } = inSeconds ?? info;
    const options = { name: PREFIX + name, help, labelNames: ['worker'], registers: [registry] };
    const key = camelCase(info.name);
    const divisor = inSeconds === undefined ? 1 : 1e6;
    const values = (): [string, number][] =>
      stats().workers.map((worker) => [String(worker.slot), Number(worker[key]) / divisor]);
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

const LAG_NAME = `${PREFIX}loop_iteration_seconds`;

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

/** Each limit of the kernel with its use: three gauges with the limit's name as a label. */
function addLimits(registry: Registry, stats: () => Stats): void {
  const parts = [
    ['used', 'How much of a limit is used. What is left is in limit_headroom_ratio.'],
    ['max', 'A limit of this machine or of the server, as it is now.'],
    ['headroom', 'What is left of a limit, 1 to 0. Below 0.2 raise it: see docs/operations.md.'],
  ] as const;
  for (const [key, help] of parts) {
    new Gauge({
      name: `${PREFIX}limit_${key}${key === 'headroom' ? '_ratio' : ''}`,
      help,
      labelNames: ['limit'],
      registers: [registry],
      collect() {
        this.reset();
        for (const room of stats().limits) this.set({ limit: room.limit }, room[key]);
      },
    });
  }
}

/** What only the manager knows of each worker; where a figure is not known there is no sample. */
const WORKER_GAUGES: readonly (readonly [string, string, (worker: WorkerStats) => MetricValue])[] =
  [
    [
      'worker_up',
      'Whether the worker of a slot serves: 1, or 0 while it starts, is late, stuck or gone.',
      ({ state }) => (state === 'serving' ? 1 : 0),
    ],
    [
      'worker_heartbeat_age_seconds',
      "Seconds since a worker's loop last beat: at most 1 when healthy, late from 3, replaced at " +
        '--heartbeat-limit.',
      ({ heartbeatAgeMs }) => (heartbeatAgeMs === null ? null : heartbeatAgeMs / 1000),
    ],
    [
      'worker_private_bytes',
      'Memory that only this worker has. One that grows apart from the others has slow peers.',
      ({ privateBytes }) => privateBytes,
    ],
  ];

function addWorkerGauges(registry: Registry, stats: () => Stats): void {
  for (const [name, help, value] of WORKER_GAUGES) {
    new Gauge({
      name: PREFIX + name,
      help,
      labelNames: ['worker'],
      registers: [registry],
      collect() {
        this.reset();
        for (const worker of stats().workers) {
          const found = value(worker);
          if (found !== null) this.set({ worker: String(worker.slot) }, found);
        }
      },
    });
  }
}

function addInfo(registry: Registry, stats: () => Stats): void {
  new Gauge({
    name: `${PREFIX}info`,
    help: 'Always 1; the labels say which version runs, and what it speaks.',
    labelNames: ['version', 'protocol'],
    registers: [registry],
    collect() {
      const { version, protocol } = stats();
      this.set({ version, protocol }, 1);
    },
  });
}

function addMemory(registry: Registry, stats: () => Stats): void {
  addGauge(
    registry,
    'private_bytes',
    'Memory that only the workers have; the kernel has about 4 kB per connection besides.',
    () => stats().memory.privateBytes,
  );
  addGauge(
    registry,
    'manager_private_bytes',
    "The manager's own memory. Steady growth under steady load is a leak: report it.",
    () => stats().memory.managerPrivateBytes,
  );
  addGauge(
    registry,
    'user_bytes_per_connection',
    'Memory of the workers above that of bare ones, per open connection: below 96 when idle, ' +
      'more while slow peers owe bytes. Of a few connections it says nothing.',
    () => stats().memory.userBytesPerConnection,
  );
}

function addServerMetrics(registry: Registry, stats: () => Stats): void {
  addInfo(registry, stats);
  addGauge(
    registry,
    'draining',
    '1 while the server closes its connections to stop: send it no new clients.',
    () => (stats().isDraining ? 1 : 0),
  );
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
  addWorkerGauges(registry, stats);
  addMemory(registry, stats);
  addLimits(registry, stats);
  for (const name of Object.keys(stats().kernel)) {
    addGauge(
      registry,
      `kernel_${snake(name)}`,
      KERNEL_HELP[name] ?? `The kernel's ${name}, of /proc/net or /proc/sys.`,
      () => stats().kernel[name] ?? null,
    );
  }
}

/** Figures of the manager's part of comet; 0 where the server speaks none. */
const COMET_FIGURES: readonly (readonly [string, string, (stats: Stats) => number | undefined])[] =
  [
    ['mailboxes', 'Clients of /ID.js that poll or have messages.', (s) => s.mailboxes?.mailboxes],
    ['mailbox_polls', 'Polls of /ID.js that wait for a message.', (s) => s.mailboxes?.polls],
    ['mailbox_messages', 'Messages that wait for their client.', (s) => s.mailboxes?.messages],
    ['mailbox_bytes', 'Memory of those messages.', (s) => s.mailboxes?.bytes],
    [
      'mailbox_delivered_total',
      'Messages that applications delivered to mailboxes.',
      (s) => s.mailboxes?.deliveredTotal,
    ],
    ['mailbox_acked_total', 'Messages written whole to a client.', (s) => s.mailboxes?.ackedTotal],
    [
      'mailbox_nacked_total',
      'Messages that went back, since their poll ended before they were written whole.',
      (s) => s.mailboxes?.nackedTotal,
    ],
    [
      'mailbox_expired_total',
      'Messages that no client fetched within --mailbox-time.',
      (s) => s.mailboxes?.expiredTotal,
    ],
    [
      'mailbox_dropped_total',
      'Messages dropped since a mailbox, or all of them together, were full.',
      (s) => s.mailboxes?.droppedTotal,
    ],
    ['ingest_connections', 'Applications connected to --ingest.', (s) => s.ingest?.connections],
    [
      'ingest_announced_total',
      'Applications that announced themselves.',
      (s) => s.ingest?.announcedTotal,
    ],
    ['ingest_messages_total', 'Messages taken from applications.', (s) => s.ingest?.messagesTotal],
    [
      'ingest_rejected_total',
      'Messages of applications that no mailbox took: look at their ids.',
      (s) => s.ingest?.rejectedTotal,
    ],
    [
      'ingest_faults_total',
      'Applications cut off for what they sent: it was not their protocol.',
      (s) => s.ingest?.faultsTotal,
    ],
  ];

/** A figure without labels: a counter if its name ends in `_total`, else a gauge. */
function addFigure(
  registry: Registry,
  name: string,
  help: string,
  value: () => number | undefined,
): void {
  if (!name.endsWith('_total')) {
    addGauge(registry, name, help, () => value() ?? 0);
    return;
  }
  new Counter({
    name: PREFIX + name,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(value() ?? 0);
    },
  });
}

function addCometFigures(registry: Registry, stats: () => Stats): void {
  // A server keeps its protocol: only a comet server has those of pushing.
  const pushed = stats().push === null ? [] : Object.entries(PUSH_FIGURES);
  for (const [key, [name, help]] of pushed) {
    addFigure(registry, `push_${name}`, help, () => stats().push?.[key]);
  }
  for (const [name, help, value] of COMET_FIGURES) {
    addFigure(registry, name, help, () => value(stats()));
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
    addCometFigures(this.#registry, current);
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
