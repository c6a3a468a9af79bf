// The push suites: rate of subscriptions, their cost, and rate of deliveries, each beside the
// baselines of the same run. See comet-subjects.ts for the baselines.
import {
  beside,
  broadcastRate,
  BROADCASTS,
  channelsFor,
  CLIENTS_LIMIT,
  cpuPerAccept,
  everySubject,
  failed,
  fewestReached,
  IDLE,
  largeShape,
  MESSAGE_BYTES,
  middle,
  nameOf,
  notesOf,
  ONE_WORKER,
  openRate,
  PUBLISHER_NAMES,
  ROUNDS,
  rowsOf,
  subjectsOf,
  transportsOf,
  type CometSuiteOptions,
  type Row,
} from './comet-rows.js';
import type { CometTrialRequest } from './comet-trial.js';
import { PUBLISHERS, type Publishes } from './publishing.js';
import type { Storm } from './storm.js';
import { formatNumber, ratio, type SuiteResult } from './table.js';
import { tokenExpiry, tokens, tokenStorm } from './token-suites.js';

export { TRANSPORTS, type CometSuiteOptions } from './comet-rows.js';

export const COMET_SUITES = [
  'handshakes',
  'broadcast',
  'subscribers',
  'publishes',
  'reconnect',
  'storm',
  'tokens',
  'token-storm',
  'token-expiry',
] as const;
export type CometSuite = (typeof COMET_SUITES)[number];

const PROBE_SECONDS = 5;
const PUBLISH_RATE = 100_000;
/** Shares of the rate, for the library: at saturation p99 only measures the length of a queue. */
const PUBLISH_SHARES = [1, 0.75, 0.5];
const PUBLISH_SECONDS = 10;
const MISSED = 3;

async function handshakes(options: CometSuiteOptions): Promise<SuiteResult> {
  const requests = everySubject(options, { rounds: ROUNDS, sharesCores: true });
  const rows = await rowsOf(requests, options.runs);
  return {
    suite: 'handshakes',
    title:
      `${formatNumber(requests[0]?.connections ?? NaN, 0)} clients connect and subscribe to one channel ` +
      `of one worker with a third of a core, median of ${options.runs} × ${ROUNDS}`,
    header: [
      ...['', 'transport', 'handshakes/s', 'of the floor', 'of Node http', 'of ws'],
      ...['CPU µs/handshake', 'per CPU second, of the floor', 'of Node http', 'of ws'],
    ],
    rows: rows.map((row) => {
      const rate = middle(row, openRate);
      const cpu = middle(row, cpuPerAccept);
      return [
        nameOf(row),
        row[0]?.transport ?? '',
        formatNumber(rate, 0),
        ratio(rate, beside(rows, row, 'floor', openRate)),
        ratio(rate, beside(rows, row, 'node', openRate)),
        ratio(rate, beside(rows, row, 'ws', openRate)),
        formatNumber(cpu, 1),
        ratio(beside(rows, row, 'floor', cpuPerAccept), cpu),
        ratio(beside(rows, row, 'node', cpuPerAccept), cpu),
        ratio(beside(rows, row, 'ws', cpuPerAccept), cpu),
      ];
    }),
    trials: rows.flat(),
    notes: [CLIENTS_LIMIT, ...notesOf(options.baselines)],
  };
}

/** Requests for more subscribers than one worker holds. The other subjects do not scale so far. */
function largeRequests(options: CometSuiteOptions): CometTrialRequest[] {
  const shape = largeShape(options);
  return transportsOf(options).flatMap((transport) =>
    (['megacomet', 'floor'] as const).map((subject) => ({ ...shape, subject, transport })),
  );
}

async function broadcast(options: CometSuiteOptions): Promise<SuiteResult> {
  const shape = { broadcasts: BROADCASTS, probeSeconds: PROBE_SECONDS };
  const isLarge = (options.connections ?? 0) > ONE_WORKER;
  const requests = isLarge
    ? largeRequests(options).map((request) => ({ ...request, ...shape }))
    : everySubject(options, shape);
  const rows = await rowsOf(requests, options.runs);
  const [{ connections, workers } = { connections: NaN, workers: NaN }] = requests;
  return {
    suite: 'broadcast',
    title:
      `A message of ${MESSAGE_BYTES} bytes to ${formatNumber(connections, 0)} subscribers of ` +
      `${isLarge ? `${workers} workers` : 'one worker'}, and new clients meanwhile, ` +
      `median of ${options.runs}`,
    header: [
      ...['', 'transport', 'subscribers/s', 'of the floor', 'of nchan', 'fewest reached'],
      ...['new client p50, ms', 'p99, ms', 'not served'],
    ],
    rows: rows.map((row) => {
      const rate = middle(row, broadcastRate);
      return [
        nameOf(row),
        row[0]?.transport ?? '',
        formatNumber(rate, 0),
        ratio(rate, beside(rows, row, 'floor', broadcastRate)),
        ratio(rate, beside(rows, row, 'nchan', broadcastRate)),
        formatNumber(Math.min(...row.map(fewestReached)), 0),
        formatNumber(middle(row, ({ probes }) => probes?.p50Us) / 1000, 2),
        formatNumber(middle(row, ({ probes }) => probes?.p99Us) / 1000, 2),
        formatNumber(
          middle(row, ({ probes }) => probes?.failed),
          0,
        ),
      ];
    }),
    trials: rows.flat(),
    notes: notesOf(options.baselines),
  };
}

async function subscribers(options: CometSuiteOptions): Promise<SuiteResult> {
  const { baselines } = options;
  const whole = largeShape(options);
  // The other servers do not scale so far; fewer connections show their cost per connection too.
  const fewer = Math.min(whole.connections, ONE_WORKER);
  const few = { ...IDLE, baselines, connections: fewer, broadcasts: 1 };
  const requests = transportsOf(options).flatMap((transport) => [
    { ...whole, subject: 'megacomet' as const, transport, broadcasts: 1 },
    { ...whole, subject: 'megacomet' as const, transport, private: true },
    { ...whole, subject: 'floor' as const, transport, broadcasts: 1 },
    ...subjectsOf(transport, baselines)
      .filter((subject) => subject !== 'megacomet' && subject !== 'floor')
      .map((subject) => ({ ...few, subject, transport })),
  ]);
  const rows = await rowsOf(requests, options.runs);
  return {
    suite: 'subscribers',
    title: `Idle subscribers, median of ${options.runs}`,
    header: [
      ...['', 'transport', 'channels', 'subscribers', 'failed', 'worker bytes/subscriber'],
      ...['manager bytes/subscriber', 'subscribed/s', 'reached by a broadcast', 'in s'],
    ],
    rows: rows.map((row) => [
      nameOf(row),
      row[0]?.transport ?? '',
      row[0]?.private === true ? 'one each' : 'one',
      formatNumber(row[0]?.connections ?? NaN, 0),
      formatNumber(middle(row, failed), 0),
      formatNumber(
        middle(row, ({ workerBytes }) => workerBytes),
        0,
      ),
      row[0]?.subject === 'megacomet'
        ? formatNumber(
            middle(row, ({ managerBytes }) => managerBytes),
            0,
          )
        : '–',
      formatNumber(middle(row, openRate), 0),
      formatNumber(
        middle(row, ({ broadcasts }) => broadcasts[0]?.reached),
        0,
      ),
      formatNumber(
        middle(row, ({ broadcasts }) => broadcasts[0]?.seconds),
        2,
      ),
    ]),
    trials: rows.flat(),
    notes: notesOf(baselines),
  };
}

const PUBLISHES_NOTES = [
  'The library publishes in the process of the manager, so that column is the sum of both. A ' +
    'publisher over HTTP is a separate process, and “client” is its CPU time. One by one it has 64 ' +
    'requests in flight. Each publisher sends at the given rate for 10 s, or at the highest rate that ' +
    'the server accepts. The library also runs at three quarters and at half of the rate.',
  'The latency is the time from publish to delivery to a sample of at most 500 subscribers in a ' +
    'separate process.',
  'The floor has no channels: it sends one message to all subscribers.',
];

function publishesRow(row: Row, floorRate: number): string[] {
  const found = (pick: (all: Publishes) => number | null): number =>
    middle(row, ({ publishes }) => publishes && pick(publishes));
  const delivered = found((all) => all.deliveredPerSecond);
  const name = PUBLISHER_NAMES[row[0]?.publisher ?? 'library'];
  const ms = (pick: (all: Publishes) => number): string => formatNumber(found(pick) / 1000, 1);
  const us = (pick: (all: Publishes) => number | null): string => formatNumber(found(pick), 2);
  const count = (pick: (all: Publishes) => number): string => formatNumber(found(pick), 0);
  return [
    `${nameOf(row)}, ${name}`,
    count((all) => all.publishedPerSecond),
    count((all) => all.rejected),
    count((all) => all.published - all.delivered),
    formatNumber(delivered, 0),
    ratio(delivered, floorRate),
    ms((all) => all.p50Us),
    ms((all) => all.p99Us),
    us((all) => all.managerCpuUs),
    us((all) => all.workerCpuUs),
    us((all) => all.clientCpuUs),
  ];
}

async function publishes(options: CometSuiteOptions): Promise<SuiteResult> {
  const shape = { ...largeShape(options), transport: 'sse' as const };
  const load = { publishRate: PUBLISH_RATE, publishSeconds: PUBLISH_SECONDS, private: true };
  const rows = await rowsOf(
    [
      ...PUBLISH_SHARES.map((share) => {
        const publishRate = PUBLISH_RATE * share;
        return { ...shape, ...load, publishRate, subject: 'megacomet' as const };
      }),
      ...PUBLISHERS.filter((publisher) => publisher !== 'library').map((publisher) => {
        return { ...shape, ...load, subject: 'megacomet' as const, publisher };
      }),
      { ...shape, subject: 'floor', broadcasts: 3 },
    ],
    options.runs,
  );
  const floor = rows.at(-1) ?? [];
  const floorRate = middle(floor, broadcastRate);
  const dash = '–';
  return {
    suite: 'publishes',
    title:
      `${formatNumber(PUBLISH_RATE, 0)} messages a second for ${PUBLISH_SECONDS} s, to ` +
      `${formatNumber(shape.connections, 0)} channels with one subscriber each, median of ${options.runs}`,
    header: [
      ...['', 'published/s', 'rejected', 'missing', 'delivered/s', 'of the floor', 'p50, ms'],
      ...['p99, ms', 'manager CPU µs/message', 'workers', 'client'],
    ],
    rows: [
      ...rows.slice(0, -1).map((row) => publishesRow(row, floorRate)),
      [nameOf(floor), dash, dash, dash, formatNumber(floorRate, 0), ...Array<string>(6).fill(dash)],
    ],
    trials: rows.flat(),
    notes: PUBLISHES_NOTES,
  };
}

async function reconnect(options: CometSuiteOptions): Promise<SuiteResult> {
  const shape = largeShape(options);
  const { connections } = shape;
  const requests = transportsOf(options).flatMap((transport) => [
    { ...shape, transport, subject: 'megacomet' as const, missed: MISSED },
    { ...shape, transport, subject: 'megacomet' as const, missed: 1, private: true },
    { ...shape, transport, subject: 'floor' as const, missed: 1 },
  ]);
  const rows = await rowsOf(requests, options.runs);
  return {
    suite: 'reconnect',
    title:
      `${formatNumber(connections, 0)} subscribers are disconnected, miss messages (${MISSED} in one ` +
      `channel, or 1 in each), and reconnect with their cursors, median of ${options.runs}`,
    header: [
      ...[
        '',
        'transport',
        'channels',
        'reconnected/s',
        'of the floor',
        'failed',
        'missed messages received',
      ],
      ...['missing', 'gaps reported'],
    ],
    rows: rows.map((row) => {
      const back = middle(row, ({ again }) => again?.ramp.connectionsPerSecond);
      const floor = beside(rows, row, 'floor', ({ again }) => again?.ramp.connectionsPerSecond);
      const isOurs = row[0]?.subject === 'megacomet';
      const isPrivate = row[0]?.private === true;
      const awaited = connections * (isPrivate ? 1 : MISSED);
      const received = middle(row, ({ again }) => again?.fanout?.received);
      return [
        nameOf(row),
        row[0]?.transport ?? '',
        isPrivate ? 'one each' : 'one',
        formatNumber(back, 0),
        ratio(back, floor),
        formatNumber(
          middle(row, ({ again }) => again?.failed),
          0,
        ),
        isOurs ? formatNumber(received, 0) : '–',
        isOurs ? formatNumber(awaited - received, 0) : '–',
        isOurs
          ? formatNumber(
              middle(row, ({ again }) => again?.fanout?.gaps),
              0,
            )
          : '–',
      ];
    }),
    trials: rows.flat(),
    notes: ['The floor responds with a fixed head and has no missed messages to send.'],
  };
}

const STORM_NOTES = [
  'Each channel receives a message every 10 s, a tenth of the channels each second, until all clients ' +
    'have reconnected. All connections are reset, and the clients reconnect at once, each after its ' +
    'last message. A rejected client retries after 0.2 s. A poll counts as reconnected when it is sent.',
  'The server runs with a heartbeat of 300 s and a poll timeout of 600 s. The manager, which also ' +
    'publishes, has priority over the clients on the same machine.',
  'Memory is the anonymous memory (RssAnon) of workers and manager: the median of 10 s before the ' +
    'reset, and the highest value of every 0.5 s until all clients had every message.',
];

async function storm(options: CometSuiteOptions): Promise<SuiteResult> {
  const shape = largeShape(options);
  const { connections } = shape;
  const channels = channelsFor(connections);
  const requests = transportsOf(options).map((transport) => ({
    ...shape,
    ...{ subject: 'megacomet' as const, transport, channels },
  }));
  const rows = await rowsOf(requests, options.runs);
  return {
    suite: 'storm',
    title:
      `All ${formatNumber(connections, 0)} subscribers of ${formatNumber(channels, 0)} channels are disconnected ` +
      `and reconnect at once, while messages go on, median of ${options.runs}`,
    header: [
      ...['', 'transport', 'all reconnected, s', 'all have every message, s', 'rejected at first'],
      ...['messages to subscribers', 'missing', 'gaps reported'],
      ...['steady, MB', 'peak, MB', 'peak of steady'],
    ],
    rows: rows.map((row) => {
      const found = (pick: (all: Storm) => number): number =>
        middle(row, (result) => result.storm && pick(result.storm));
      const failures = row.flatMap(({ bench }) => Object.values(bench.failures));
      return [
        nameOf(row),
        row[0]?.transport ?? '',
        formatNumber(
          found((all) => all.reconnectedSeconds),
          1,
        ),
        formatNumber(
          found((all) => all.caughtUpSeconds),
          1,
        ),
        formatNumber(failures.reduce((sum, count) => sum + count, 0) / row.length, 0),
        formatNumber(
          found((all) => all.expected),
          0,
        ),
        formatNumber(
          found((all) => all.expected - all.received),
          0,
        ),
        formatNumber(
          middle(row, ({ bench }) => bench.fanout?.gaps),
          0,
        ),
        formatNumber(found((all) => all.steadyBytes) / 1e6, 0),
        formatNumber(found((all) => all.peakBytes) / 1e6, 0),
        formatNumber(
          found((all) => all.peakBytes / all.steadyBytes),
          2,
        ),
      ];
    }),
    trials: rows.flat(),
    notes: STORM_NOTES,
  };
}

export function runCometSuite(suite: CometSuite, options: CometSuiteOptions): Promise<SuiteResult> {
  switch (suite) {
    case 'handshakes':
      return handshakes(options);
    case 'broadcast':
      return broadcast(options);
    case 'subscribers':
      return subscribers(options);
    case 'publishes':
      return publishes(options);
    case 'reconnect':
      return reconnect(options);
    case 'storm':
      return storm(options);
    case 'tokens':
      return tokens(options);
    case 'token-storm':
      return tokenStorm(options);
    case 'token-expiry':
      return tokenExpiry(options);
  }
}
