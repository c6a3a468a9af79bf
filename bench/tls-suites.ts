// The suites of TLS: each value beside the same without TLS, and handshakes beside nginx and HAProxy.
import { availableParallelism } from 'node:os';

import {
  broadcastRate,
  BROADCASTS,
  everySubject,
  fewestReached,
  MESSAGE_BYTES as BROADCAST_BYTES,
  middle,
  ONE_WORKER,
  rowsOf,
  type CometSuiteOptions,
} from './comet-rows.js';
import {
  ACTIVE,
  cpuPerMessage,
  echoRate,
  echoTrial,
  MESSAGE_BYTES,
  middleOf,
  userBytes,
} from './echo-trials.js';
import {
  HANDSHAKE_SUBJECTS,
  type HandshakeRequest,
  type HandshakeResult,
  type HandshakeSubject,
} from './handshake-trial.js';
import { formatNumber, median, ratio, type SuiteResult } from './table.js';
import { tlsLatency } from './tls-latency.js';
import { alternateRows, runTrial } from './trials.js';

export const TLS_SUITES = [
  'tls-echo',
  'tls-broadcast',
  'tls-idle',
  'tls-handshakes',
  'tls-latency',
] as const;
export type TlsSuite = (typeof TLS_SUITES)[number];

const nameOf = (hasTls: boolean): string => (hasTls ? 'TLS 1.3' : 'plain');
/** The request without and with TLS. */
const pairOf = <Request>(request: Request) =>
  [false, true].map((hasTls) => ({ ...request, hasTls }));
/** Of the rows of pairOf(), the one without TLS that belongs to a row. */
const plainOf = <Row>(rows: readonly Row[], index: number): Row | undefined =>
  rows[index - (index % 2)];

function echoRequest({ baselines, connections = ONE_WORKER }: CometSuiteOptions) {
  return {
    ...{ subject: 'megacomet' as const, baselines, connections, hold: 0, verify: false },
    ...{ active: ACTIVE, messageSize: MESSAGE_BYTES, duration: 4 },
    workers: Math.max(1, Math.floor(availableParallelism() / 2)),
    isPinned: availableParallelism() > 1,
  };
}

async function tlsEcho(options: CometSuiteOptions): Promise<SuiteResult> {
  const request = echoRequest(options);
  const rows = await alternateRows(pairOf(request), options.runs, echoTrial);
  return {
    suite: 'tls-echo',
    title:
      `${formatNumber(request.connections, 0)} connections, ${request.workers} workers on as many cores, ` +
      `${ACTIVE} of them echoing ${MESSAGE_BYTES} bytes, median of ${options.runs}`,
    header: ['', 'messages/s', 'of plain', 'CPU µs/message', 'of plain', 'user bytes/connection'],
    rows: rows.map((row, index) => {
      const plain = plainOf(rows, index) ?? row;
      const rate = middleOf(row, echoRate);
      const cpu = middleOf(row, cpuPerMessage);
      return [
        nameOf(row[0]?.hasTls === true),
        formatNumber(rate, 0),
        ratio(rate, middleOf(plain, echoRate)),
        formatNumber(cpu, 2),
        ratio(cpu, middleOf(plain, cpuPerMessage)),
        formatNumber(middleOf(row, userBytes), 0),
      ];
    }),
    trials: rows.flat(),
  };
}

async function tlsBroadcast(options: CometSuiteOptions): Promise<SuiteResult> {
  const requests = everySubject(options, { broadcasts: BROADCASTS })
    .filter(({ subject }) => subject === 'megacomet')
    .flatMap(pairOf);
  const rows = await rowsOf(requests, options.runs);
  return {
    suite: 'tls-broadcast',
    title:
      `A message of ${BROADCAST_BYTES} bytes to ${formatNumber(requests[0]?.connections ?? NaN, 0)} subscribers ` +
      `of one worker, median of ${options.runs} × ${BROADCASTS}`,
    header: ['transport', '', 'subscribers/s', 'of plain', 'fewest reached'],
    rows: rows.map((row, index) => {
      const rate = middle(row, broadcastRate);
      return [
        row[0]?.transport ?? '',
        nameOf(row[0]?.hasTls === true),
        formatNumber(rate, 0),
        ratio(rate, middle(plainOf(rows, index) ?? row, broadcastRate)),
        formatNumber(Math.min(...row.map(fewestReached)), 0),
      ];
    }),
    trials: rows.flat(),
  };
}

async function tlsIdle(options: CometSuiteOptions): Promise<SuiteResult> {
  const echo = { ...echoRequest(options), active: 0, duration: 1 };
  const echoes = await alternateRows(pairOf(echo), options.runs, echoTrial);
  const requests = everySubject(options, {})
    .filter(({ subject, transport }) => subject === 'megacomet' && transport !== 'poll')
    .flatMap(pairOf);
  const subscribers = await rowsOf(requests, options.runs);
  const rows = [
    ...echoes.map((row) => ({ first: row[0], name: 'echo', bytes: middleOf(row, userBytes) })),
    ...subscribers.map((row) => ({
      first: row[0],
      name: row[0]?.transport ?? '',
      bytes: middle(row, ({ workerBytes }) => workerBytes),
    })),
  ];
  return {
    suite: 'tls-idle',
    title: `${formatNumber(echo.connections, 0)} idle connections, median of ${options.runs}`,
    header: ['', '', 'user bytes/connection', 'more than plain'],
    rows: rows.map(({ first, name, bytes }, index) => [
      name,
      nameOf(first?.hasTls === true),
      formatNumber(bytes, 0),
      formatNumber(bytes - (plainOf(rows, index)?.bytes ?? NaN), 0),
    ]),
    trials: [...echoes.flat(), ...subscribers.flat()],
  };
}

const HANDSHAKE_NAMES: Readonly<Record<HandshakeSubject, string>> = {
  megacomet: 'megacomet-ts',
  nginx: 'nginx',
  haproxy: 'HAProxy',
};

const HANDSHAKES = 5000;
const HANDSHAKE_ROUNDS = 5;

async function handshakeTrial(request: HandshakeRequest): Promise<HandshakeResult> {
  const label = `${request.subject}, ${request.resumes ? 'resumed' : 'full'} handshakes`;
  const result = await runTrial<HandshakeResult>('./handshake-trial.js', label, request);
  if (result.failed === 0) return result;
  throw new Error(`${label}: ${result.failed} failed: ${JSON.stringify(result.failures)}`);
}

async function tlsHandshakes(options: CometSuiteOptions): Promise<SuiteResult> {
  const { baselines, runs, connections = HANDSHAKES } = options;
  const subjects = HANDSHAKE_SUBJECTS.filter(
    (subject) => subject === 'megacomet' || baselines[subject] !== undefined,
  );
  const requests = [false, true].flatMap((resumes) =>
    subjects.map((subject) => ({
      ...{ subject, baselines, connections, rounds: HANDSHAKE_ROUNDS, resumes },
      isPinned: availableParallelism() > 1,
    })),
  );
  const rows = await alternateRows(requests, runs, handshakeTrial);
  const cpuOf = (row: readonly HandshakeResult[]): number =>
    middleOf(row, ({ cpuUs }) => median(cpuUs));
  return {
    suite: 'tls-handshakes',
    title:
      `${formatNumber(connections, 0)} handshakes of TLS 1.3 with a certificate of P-256, one core for the server, ` +
      `median of ${runs} × ${HANDSHAKE_ROUNDS}`,
    header: [
      ...['', 'handshake', 'CPU µs/handshake', 'handshakes per CPU second', 'of nginx'],
      ...['of HAProxy', 'handshakes/s'],
    ],
    rows: rows.map((row, index) => {
      const of = (subject: HandshakeSubject): string => {
        const at = requests.findIndex(
          (one) => one.subject === subject && one.resumes === requests[index]?.resumes,
        );
        return ratio(cpuOf(rows[at] ?? []), cpuOf(row));
      };
      return [
        HANDSHAKE_NAMES[requests[index]?.subject ?? 'megacomet'],
        requests[index]?.resumes === true ? 'resumed' : 'full',
        formatNumber(cpuOf(row), 0),
        formatNumber(1e6 / cpuOf(row), 0),
        of('nginx'),
        of('haproxy'),
        formatNumber(
          middleOf(row, ({ perSecond }) => median(perSecond)),
          0,
        ),
      ];
    }),
    trials: rows.flat(),
    notes: ['The clients send no request: a handshake ends with their last message.'],
  };
}

export function runTlsSuite(suite: TlsSuite, options: CometSuiteOptions): Promise<SuiteResult> {
  switch (suite) {
    case 'tls-echo':
      return tlsEcho(options);
    case 'tls-broadcast':
      return tlsBroadcast(options);
    case 'tls-idle':
      return tlsIdle(options);
    case 'tls-handshakes':
      return tlsHandshakes(options);
    case 'tls-latency':
      return tlsLatency(options);
  }
}
