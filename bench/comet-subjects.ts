// The push servers of the comparison: starts each one, makes it broadcast, and ends it.
import { execFileSync } from 'node:child_process';

import type { Transport } from '../lib/bench/bench.js';
import { createServer, type Server } from '../lib/index.js';
import type { Baselines } from './build-baselines.js';
import type { ServerCertificate } from './certificates.js';
import { nginxCommand, startSilent } from './silent-servers.js';
import { baselinePids, freePort, startCommand } from './subjects.js';

export const COMET_SUBJECTS = ['megacomet', 'floor', 'node', 'ws', 'nchan'] as const;
export type CometSubject = (typeof COMET_SUBJECTS)[number];

/** Names in the table. */
export const COMET_SUBJECT_NAMES: Readonly<Record<CometSubject, string>> = {
  megacomet: 'megacomet-ts',
  floor: 'bare loop in C (the floor)',
  node: 'Node http',
  ws: 'ws',
  nchan: 'nginx with nchan',
};

/** The transports of each subject that the dialers support. */
export const SPOKEN: Readonly<Record<CometSubject, readonly Transport[]>> = {
  megacomet: ['sse', 'websocket', 'poll', 'stream'],
  floor: ['sse', 'websocket', 'poll', 'stream'],
  node: ['sse'],
  ws: ['websocket'],
  nchan: ['sse', 'websocket'],
};

/** The shared channel; for private channels the name before the slash. */
export const CHANNEL = 'bench';

/** Token to publish over HTTP. */
export const ADMIN_TOKEN = 'the-token-of-the-bench';

export interface CometShape {
  readonly subject: CometSubject;
  readonly baselines: Baselines;
  readonly transport: Transport;
  readonly workers: number;
  readonly connections: number;
  /** Bytes of data in each message. */
  readonly messageBytes: number;
  /** Cores of the serving processes, in the format of taskset; null for all. */
  readonly cores: string | null;
  /** Whether it accepts messages over HTTP; megacomet-ts only. */
  readonly hasAdmin: boolean;
  /** The key of its clients' tokens; megacomet-ts only. Channels of probes need none. */
  readonly tokenKey?: string | undefined;
  /** Its clients begin with TLS if there is one; megacomet-ts only. */
  readonly certificate?: ServerCertificate | null;
}

export interface CometServer {
  readonly port: number;
  /** The serving processes; for megacomet-ts the workers, because this process is the manager. */
  readonly pids: readonly number[];
  /** megacomet-ts only. */
  readonly library: Server | null;
  /** Sends one message to all subscribers of the shared channel. */
  broadcast(): Promise<void>;
  stop(): Promise<void>;
}

/** Descriptors for connections of a trial in addition to those of the bench. */
const SPARE_CONNECTIONS = 500;
/** The missed messages of a million channels exceed the default. */
const HISTORY_BYTES = 1024 ** 3;
/**
 * Seconds. The other servers send no heartbeats by default. At our default of 25 s, a million
 * connections receive 40,000 heartbeats a second and send as many pongs.
 */
const HEARTBEAT_SECONDS = 300;
const POLL_TIMEOUT_SECONDS = 600;

export function startComet(shape: CometShape): Promise<CometServer> {
  switch (shape.subject) {
    case 'megacomet':
      return startLibrary(shape);
    case 'nchan':
      return startNchan(shape);
    default:
      return startBaseline(shape);
  }
}

async function startLibrary(shape: CometShape): Promise<CometServer> {
  const server = createServer({
    protocol: 'comet',
    host: '127.0.0.1',
    port: await freePort(),
    workers: shape.workers,
    maxConnections: shape.connections + SPARE_CONNECTIONS,
    historyBytes: HISTORY_BYTES,
    heartbeat: HEARTBEAT_SECONDS,
    pollTimeout: POLL_TIMEOUT_SECONDS,
    ...(shape.tokenKey !== undefined && {
      tokenKey: [shape.tokenKey],
      public: [`${CHANNEL}/probe/*`],
    }),
    ...(shape.certificate && {
      tlsCert: [shape.certificate.cert],
      tlsKey: [shape.certificate.key],
    }),
    ...(shape.hasAdmin && { adminPort: 0, adminToken: ADMIN_TOKEN }),
  });
  await server.listen();
  const pids = server.stats().workers.map(({ pid }) => pid ?? 0);
  if (shape.cores !== null) {
    for (const pid of pids) execFileSync('taskset', ['-acp', shape.cores, String(pid)]);
  }
  const data = 'x'.repeat(shape.messageBytes);
  return {
    port: Number(server.addresses[0]?.split(':').at(-1)),
    pids,
    library: server,
    broadcast: async () => {
      await server.publish(CHANNEL, data);
    },
    stop: async () => {
      await server.close();
    },
  };
}

async function startBaseline(shape: CometShape): Promise<CometServer> {
  const { subject, baselines, transport, workers, messageBytes, cores } = shape;
  const port = await freePort();
  const options = ['--port', String(port), '--workers', String(workers)];
  options.push('--message-bytes', String(messageBytes));
  const script = subject === 'node' ? baselines.nodeSse : baselines.ws;
  const command =
    subject === 'floor'
      ? [baselines.cometFloor, ...options, '--transport', transport]
      : [process.execPath, script, ...options];
  const server = await startCommand(subject, port, command, cores, baselinePids);
  return {
    ...server,
    library: null,
    broadcast: () => {
      for (const pid of server.pids) process.kill(pid, 'SIGUSR2');
      return Promise.resolve();
    },
  };
}

async function startNchan(shape: CometShape): Promise<CometServer> {
  const { nchan } = shape.baselines;
  if (nchan === undefined) throw new Error('nchan is not installed');
  const nginx = {
    ...{ workers: shape.workers, connections: shape.connections },
    main: `load_module ${nchan.module};`,
    http: 'nchan_shared_memory_size 512M;',
    server: `
    location = /events { nchan_subscriber eventsource; nchan_channel_id $arg_channel; }
    location = /ws { nchan_subscriber websocket; nchan_channel_id $arg_channel; }
    location = /publish { nchan_publisher; nchan_channel_id $arg_channel; }
    location / { return 404; }`,
  };
  const server = await startSilent(
    (folder, port) => nginxCommand(nchan.nginx, nginx, folder, port),
    shape.cores,
  );
  return { ...server, library: null, broadcast: publisherOf(shape, server.port) };
}

/**
 * Publishes over HTTP. nchan adds the id of an event; the trial writes that of a WebSocket text.
 */
function publisherOf(shape: CometShape, port: number): () => Promise<void> {
  const data = 'x'.repeat(shape.messageBytes);
  let number = 0;
  return async () => {
    const cursor = `0000000000000000.${++number}`;
    const text = JSON.stringify({ type: 'message', channel: CHANNEL, cursor, data });
    const answer = await fetch(`http://127.0.0.1:${port}/publish?channel=${CHANNEL}`, {
      method: 'POST',
      body: shape.transport === 'websocket' ? text : data,
    });
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`nchan answered ${answer.status}`);
  };
}
