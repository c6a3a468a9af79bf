// docs/benchmarks.md from bench/results/*.json: one table for each run of a suite, with its method.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { PackagingError, ROOT } from '../tools.mjs';

const RESULTS = join(ROOT, 'bench/results');

export const page = 'docs/benchmarks.md';

const HEAD = `<!-- Written by packaging/docs/benchmarks.mjs from bench/results/*.json: npm run docs. -->

# Benchmarks

Server and load generator run on the same machine and use its loopback interface. Compare the rows of one
table with each other: absolute values depend on the machine. "The floor" is the smallest loop on bare
epoll in C that does the same work. Each file of [bench/results](../bench/results) has every trial of
its table. \`npm run bench -- --help\` lists the suites.
`;

/** The order of the page, and how each suite measures. */
const SUITES = {
  bare: {
    title: 'A bare worker',
    method:
      'Private memory of a worker process without connections, beside a Node process that only loads an empty addon.',
  },
  opening: {
    title: 'Opening connections',
    method:
      'All sources connect as fast as they can. The subjects alternate, so that a slow minute of the machine affects all.',
  },
  echo: {
    title: 'Echo',
    method:
      'Idle connections are open while 64 others send a message, wait for its echo and send the next. Server and load have a core each.',
  },
  growth: {
    title: 'Cost of a message beside idle connections',
    method: 'The echo load runs once beside 2,000 and once beside 1,000,000 idle connections.',
  },
  million: {
    title: 'A million connections',
    method:
      'Connections open, stay idle for 60 s, and each echoes one byte; then 64 of them run the echo load.',
  },
  'two-million': {
    title: 'Two million connections',
    method: 'As above, held for 10 s, with server and load generator on the same 2 cores.',
  },
  handshakes: {
    title: 'Handshakes of subscribers',
    method:
      'Clients connect and subscribe. Two busy loops share the core of the server, so that the server and not the clients limits the rate: a worker has a third of a core.',
  },
  tokens: {
    title: 'Handshakes with tokens',
    method:
      'As above, with a token in each request. The server without tokens is open; the others need a grant for the channel.',
  },
  'token-storm': {
    title: 'Reconnect storm with tokens',
    method:
      'As the reconnect storm below. The server without tokens is open; the others need a grant for the channel.',
  },
  'token-expiry': {
    title: 'Expiry of tokens',
    method:
      'All tokens have the same exp. Twenty other subscribers, each of its own channel, measure the age of 400 messages a second.',
  },
  subscribers: {
    title: 'A million subscribers',
    method:
      'Server: `serve --protocol comet --max-connections 1000000 --heartbeat 300 --poll-timeout 600`, 56 workers. User memory is that of the workers above bare workers.',
  },
  broadcast: {
    title: 'Broadcast',
    method:
      'One message to every subscriber of a channel, while new clients connect. The new-client columns are the time from connect to the first byte of the response.',
  },
  publishes: {
    title: 'Private messages',
    method:
      'Each message has one subscriber. A sample of up to 500 subscribers measures the time from publish to arrival. The floor sends one message to all and has no channels.',
  },
  'tls-echo': {
    title: 'Echo over TLS',
    method:
      'The echo load with TLS 1.3 beside the same load without TLS. Server and load have a core each.',
  },
  'tls-broadcast': {
    title: 'Broadcast over TLS',
    method: 'One message to every subscriber of a channel, with TLS 1.3 and without.',
  },
  'tls-idle': {
    title: 'Idle connections with TLS',
    method: 'User memory of the workers above bare workers, for each idle connection.',
  },
  'tls-handshakes': {
    title: 'TLS handshakes',
    method:
      'Clients connect, complete a handshake and stay idle until all are open. Each server has the same certificate, one worker or thread, and a core of its own. A resumed handshake has the session of an earlier one.',
  },
  'tls-latency': {
    title: 'Latency of TLS handshakes',
    method:
      'First as many handshakes as the server sustains, then half of that rate by a schedule that does not wait for the server; a latency begins at the scheduled time. Established TLS clients echo 32 bytes at a low rate all the time. Rounds without handshakes and with them alternate. Server and load have a core each.',
  },
  cluster: {
    title: 'Clusters',
    method:
      'The nodes, their engine, the publisher and the subscribers share the cores; the row of one server has one node. Latency: single messages at 1,000/s to the first node, delivered at the others. Rate: batches at all nodes, as many as every node delivers; nchan takes pipelined requests of one message each. CPU of a node is that of its manager and worker. Restart: the engine ends for a second and starts without its messages (JetStream: with them) while all nodes publish 1,000/s. Lost messages were accepted, and a subscriber that stays connected or reconnects did not receive them, such as one that Redis acknowledged and another node had not read when it ended (megacomet-ts then reports a gap to its subscribers); rejected ones the publisher knows of. The largest of all runs is shown for both; “–” means not resumed within 6 s.',
  },
  storm: {
    title: 'Reconnect storm',
    method:
      'All connections are reset at once; every client reconnects with its last cursor while each channel gets a message every 10 s. “–” means not finished within 120 s. Run in a network namespace with `net.ipv4.tcp_child_ehash_entries=4194304`; memory is that of workers and manager.',
  },
};

function readRuns() {
  const names = readdirSync(RESULTS).filter((name) => name.endsWith('.json'));
  return names.sort().flatMap((name) => {
    const run = JSON.parse(readFileSync(join(RESULTS, name), 'utf8'));
    return run.suites.map((suite) => ({ ...suite, run }));
  });
}

function tableOf({ title, header, rows, run }) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const isText = (column) => rows.every((row) => !/\d/.test(row[column] ?? ''));
  const rule = header.map((_, column) => (isText(column) ? '---' : '---:'));
  return [
    `**${title}**`,
    '',
    ...[line(header), line(rule), ...rows.map(line)],
    '',
    `\`${run.command}\`, ${run.date}; ${run.machine}; ${run.kernel}; Node ${run.node}; ` +
      `megacomet-ts ${run.version}.`,
    '',
  ];
}

export function content() {
  const runs = readRuns();
  const unknown = runs.find(({ suite }) => !Object.hasOwn(SUITES, suite));
  if (unknown) {
    throw new PackagingError(
      `${unknown.suite}: describe this suite in packaging/docs/benchmarks.mjs`,
    );
  }
  const sections = Object.entries(SUITES).flatMap(([name, { title, method }]) => {
    const own = runs.filter(({ suite }) => suite === name);
    if (own.length === 0) return [];
    return [`## ${title}`, '', method, '', ...own.flatMap(tableOf)];
  });
  return [HEAD, ...sections].join('\n');
}
