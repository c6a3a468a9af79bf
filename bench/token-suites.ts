// The suites with tokens: cost of a handshake, a reconnect storm, and the expiry of tokens that were
// issued together.
import {
  channelsFor,
  CLIENTS_LIMIT,
  cpuPerAccept,
  everySubject,
  largeShape,
  middle,
  openRate,
  ROUNDS,
  rowsOf,
  transportsOf,
  type CometSuiteOptions,
  type Row,
} from './comet-rows.js';
import type { Expiry } from './expiry.js';
import type { Storm } from './storm.js';
import { formatNumber, ratio, type SuiteResult } from './table.js';

const FIRST_ROUND =
  'In the first round a worker verifies each token; from the second on it knows them.';

/** As many tokens as fit into one frame of a dialer. A worker verifies them in its first round. */
const TOKEN_USERS = 2000;
const TOKEN_ALGORITHMS = [null, 'HS256', 'RS256', 'ES256', 'EdDSA'] as const;

/** Handshakes with tokens beside those without, of one server each. */
export async function tokens(options: CometSuiteOptions): Promise<SuiteResult> {
  const requests = everySubject(options, { rounds: ROUNDS, sharesCores: true })
    .filter(({ subject, transport }) => subject === 'megacomet' && transport !== 'poll')
    .flatMap((request) =>
      TOKEN_ALGORITHMS.map((algorithm) => ({
        ...request,
        tokens: algorithm === null ? null : { algorithm, users: TOKEN_USERS },
      })),
    );
  const rows = await rowsOf(requests, options.runs);
  return {
    suite: 'tokens',
    title:
      `${formatNumber(requests[0]?.connections ?? NaN, 0)} clients with the tokens of ${formatNumber(TOKEN_USERS, 0)} users ` +
      `subscribe to one channel of one worker with a third of a core, median of ${options.runs} × ${ROUNDS}`,
    header: [
      ...['token', 'transport', 'handshakes/s', 'of no token', 'CPU µs/handshake'],
      ...['per CPU second, of no token', 'bytes/connection'],
    ],
    rows: rows.map((row, index) => {
      const base = rows[index - (index % TOKEN_ALGORITHMS.length)] ?? row;
      const rate = middle(row, openRate);
      const cpu = middle(row, cpuPerAccept);
      return [
        row[0]?.tokens?.algorithm ?? 'none',
        row[0]?.transport ?? '',
        formatNumber(rate, 0),
        ratio(rate, middle(base, openRate)),
        formatNumber(cpu, 1),
        ratio(middle(base, cpuPerAccept), cpu),
        formatNumber(
          middle(row, ({ workerBytes }) => workerBytes),
          0,
        ),
      ];
    }),
    trials: rows.flat(),
    notes: [CLIENTS_LIMIT, FIRST_ROUND],
  };
}

/** A reconnect storm with tokens beside one without. */
export async function tokenStorm(options: CometSuiteOptions): Promise<SuiteResult> {
  const shape = largeShape(options);
  const { connections } = shape;
  const channels = channelsFor(connections);
  const requests = transportsOf(options)
    .filter((transport) => transport !== 'poll')
    .flatMap((transport) =>
      [null, { algorithm: 'HS256' as const, users: TOKEN_USERS }].map((request) => ({
        ...shape,
        ...{ subject: 'megacomet' as const, transport, channels, tokens: request },
      })),
    );
  const rows = await rowsOf(requests, options.runs);
  const found = (row: Row, pick: (all: Storm) => number): number =>
    middle(row, (result) => result.storm && pick(result.storm));
  return {
    suite: 'token-storm',
    title:
      `All ${formatNumber(connections, 0)} subscribers are disconnected and reconnect at once, with the tokens of ` +
      `${formatNumber(TOKEN_USERS, 0)} users and without, median of ${options.runs}`,
    header: [
      ...['token', 'transport', 'all reconnected, s', 'of no token', 'CPU of the manager, s'],
      ...['of no token', 'missing messages'],
    ],
    rows: rows.map((row, index) => {
      const base = rows[index - (index % 2)] ?? row;
      const seconds = (one: Row): number => found(one, (all) => all.reconnectedSeconds);
      const cpu = (one: Row): number => found(one, (all) => all.managerCpuSeconds);
      return [
        row[0]?.tokens?.algorithm ?? 'none',
        row[0]?.transport ?? '',
        formatNumber(seconds(row), 1),
        ratio(seconds(row), seconds(base)),
        formatNumber(cpu(row), 2),
        ratio(cpu(row), cpu(base)),
        formatNumber(
          found(row, (all) => all.expected - all.received),
          0,
        ),
      ];
    }),
    trials: rows.flat(),
    notes: [
      'The CPU of the manager has that of the publisher and of the load generator’s coordinator.',
    ],
  };
}

/** Long enough for a hundred thousand clients to connect on two cores. */
const TOKEN_LIFE_SECONDS = 120;

/** The end of tokens that were issued together. */
export async function tokenExpiry(options: CometSuiteOptions): Promise<SuiteResult> {
  const shape = largeShape(options);
  const requests = transportsOf(options)
    .filter((transport) => transport !== 'poll')
    .map((transport) => ({
      ...shape,
      ...{ subject: 'megacomet' as const, transport },
      tokens: { algorithm: 'HS256' as const, users: 1, lifeSeconds: TOKEN_LIFE_SECONDS },
    }));
  const rows = await rowsOf(requests, options.runs);
  return {
    suite: 'token-expiry',
    title:
      `${formatNumber(shape.connections, 0)} connections whose tokens of ${TOKEN_LIFE_SECONDS} s expire together, ` +
      `median of ${options.runs}`,
    header: [
      ...['transport', 'first end, s after exp', 'last end', 'open 1 s after exp'],
      ...['message p99 before, ms', 'meanwhile, ms', 'ratio'],
    ],
    rows: rows.map((row) => {
      const found = (pick: (all: Expiry) => number): number =>
        middle(row, ({ expiry }) => expiry && pick(expiry));
      const before = found((all) => all.before.p99Us);
      const meanwhile = found((all) => all.meanwhile.p99Us);
      return [
        row[0]?.transport ?? '',
        formatNumber(
          found((all) => all.firstSeconds),
          1,
        ),
        formatNumber(
          found((all) => all.lastSeconds),
          1,
        ),
        formatNumber(
          found((all) => all.late),
          0,
        ),
        formatNumber(before / 1000, 2),
        formatNumber(meanwhile / 1000, 2),
        ratio(meanwhile, before),
      ];
    }),
    trials: rows.flat(),
  };
}
