// The clusters of the comparison: starts the nodes of each subject, and says how clients subscribe and
// publish there.
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { packageRoot } from '../lib/system/native.js';
import type { Baselines } from './build-baselines.js';
import { Engine, type EngineKind } from './cluster-engine.js';
import { LinePosts, PipelinedPosts, type Posts } from './cluster-posts.js';
import type { Greeting } from './cluster-subscriber.js';
import { ADMIN_TOKEN, CHANNEL } from './comet-subjects.js';
import { nginxCommand, startSilent } from './silent-servers.js';
import { baselinePids, freePort, startCommand, type RunningServer } from './subjects.js';

export const CLUSTER_SUBJECTS = ['single', 'redis', 'nats', 'socketio', 'nchan'] as const;
export type ClusterSubject = (typeof CLUSTER_SUBJECTS)[number];

/** Names in the table. */
export const CLUSTER_NAMES: Readonly<Record<ClusterSubject, string>> = {
  single: 'megacomet-ts, one server',
  redis: 'megacomet-ts, Redis',
  nats: 'megacomet-ts, JetStream',
  socketio: 'Socket.IO, Redis',
  nchan: 'nginx with nchan, Redis',
};

export const ENGINES: Readonly<Record<ClusterSubject, EngineKind | null>> = {
  ...{ single: null, redis: 'redis', nats: 'nats', socketio: 'redis', nchan: 'redis' },
};

export const NODES = 3;

export interface ClusterNode {
  readonly port: number;
  /** The manager of megacomet-ts; null for others. */
  readonly managerPid: number | null;
  /** All processes of the node. */
  readonly pids: readonly number[];
  readonly posts: Posts;
  /** Resolves when the node may serve. */
  whenReady(): Promise<void>;
  stop(): Promise<void>;
}

export interface Cluster {
  readonly nodes: readonly ClusterNode[];
  readonly engine: Engine | null;
  readonly greeting: Greeting;
  /** Starts a further node. */
  join(): Promise<ClusterNode>;
  stop(): Promise<void>;
}

const CONNECTIONS = 1000;
/** One subscriber of a node has all of its messages, so its queue is larger than the default. */
const SEND_QUEUE_BYTES = 16 * 1024 * 1024;
const READY_POLL_MS = 5;
const READY_DEADLINE_MS = 60_000;

async function whenAnswers(url: string): Promise<void> {
  const endsAtMs = performance.now() + READY_DEADLINE_MS;
  while (performance.now() < endsAtMs) {
    const isReady = await fetch(url).then(
      async (answer) => {
        await answer.arrayBuffer();
        return answer.ok;
      },
      () => false,
    );
    if (isReady) return;
    await sleep(READY_POLL_MS);
  }
  throw new Error(`${url} was not ready in time`);
}

function ofNode(
  server: RunningServer,
  posts: Posts,
  managerPid: number | null,
  whenReady: () => Promise<void>,
): ClusterNode {
  return {
    ...{ port: server.port, managerPid, posts, whenReady },
    pids: managerPid === null ? server.pids : [managerPid, ...server.pids],
    stop: async () => {
      await posts.close();
      await server.stop();
    },
  };
}

async function startMegacomet(engine: Engine | null): Promise<ClusterNode> {
  const [port, adminPort] = [await freePort(), await freePort()];
  process.env['MEGACOMET_ADMIN_TOKEN'] = ADMIN_TOKEN;
  const command = [
    ...[process.execPath, path.join(packageRoot, 'lib/bin.js'), 'serve', '--protocol', 'comet'],
    ...['--host', '127.0.0.1', '--port', String(port), '--admin-port', String(adminPort)],
    ...['--workers', '1', '--max-connections', String(CONNECTIONS)],
    ...['--send-queue-bytes', String(SEND_QUEUE_BYTES), '--log-format', 'json', '--drain', '0'],
    ...(engine === null ? [] : ['--engine', engine.url]),
  ];
  const server = await startCommand('megacomet', port, command, null, (output) => {
    const line = output.split('\n').find((text) => text.includes('"msg":"listening on'));
    return line === undefined ? null : (JSON.parse(line) as { workerPids: number[] }).workerPids;
  });
  return ofNode(server, new LinePosts(adminPort, ADMIN_TOKEN), server.parentPid, () =>
    whenAnswers(`http://127.0.0.1:${adminPort}/readyz`),
  );
}

async function startSocketIo(baselines: Baselines, engine: Engine): Promise<ClusterNode> {
  if (baselines.socketIo === undefined) throw new Error('Socket.IO is not installed');
  const { script, modules } = baselines.socketIo;
  const port = await freePort();
  const options = ['--port', String(port), '--redis', engine.url, '--modules', modules];
  const command = [process.execPath, script, ...options];
  const server = await startCommand('socketio', port, command, null, baselinePids);
  return ofNode(server, new LinePosts(port, ''), null, () => Promise.resolve());
}

async function startNchan({ nchan }: Baselines, engine: Engine): Promise<ClusterNode> {
  if (nchan === undefined) throw new Error('nchan is not installed');
  const nginx = {
    ...{ workers: 1, connections: CONNECTIONS },
    main: `load_module ${nchan.module};`,
    http:
      `upstream engine { nchan_redis_server ${engine.url}; }\n` +
      // A connection of a publisher has all of its messages.
      '  keepalive_requests 1000000000;',
    server: `
    location = /events { nchan_subscriber eventsource; nchan_channel_id $arg_channel; nchan_redis_pass engine; }
    location = /publish { nchan_publisher; nchan_channel_id $arg_channel; nchan_redis_pass engine; }`,
  };
  const server = await startSilent(
    (folder, port) => nginxCommand(nchan.nginx, nginx, folder, port),
    null,
  );
  return ofNode(server, new PipelinedPosts(server.port), null, () => Promise.resolve());
}

const HEAD = 'HTTP/1.1\r\nHost: localhost\r\n';

const EVENTS: Greeting = {
  hello: (lastId) => {
    const since = lastId === '' ? '' : `Last-Event-ID: ${lastId}\r\n`;
    // An error ends the connection too, so that the client tries again.
    const fixed = `${HEAD}Accept: text/event-stream\r\nConnection: close\r\n`;
    return `GET /events?channel=${CHANNEL} ${fixed}${since}\r\n`;
  },
  reply: null,
};

/** Engine.IO 4 over WebSocket: the text frame "40", with a mask of zeros, joins the main namespace. */
const SOCKET_IO: Greeting = {
  hello: () =>
    `GET /socket.io/?EIO=4&transport=websocket&channel=${CHANNEL} ${HEAD}` +
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  reply: Buffer.from([0x81, 0x82, 0, 0, 0, 0, ...Buffer.from('40')]),
};

export async function startCluster(
  subject: ClusterSubject,
  baselines: Baselines,
): Promise<Cluster> {
  const kind = ENGINES[subject];
  const engine = kind === null ? null : await Engine.start(kind);
  const join = (): Promise<ClusterNode> => {
    if (engine !== null && subject === 'socketio') return startSocketIo(baselines, engine);
    if (engine !== null && subject === 'nchan') return startNchan(baselines, engine);
    return startMegacomet(engine);
  };
  const nodes: ClusterNode[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()));
    await engine?.stop();
  };
  try {
    while (nodes.length < (engine === null ? 1 : NODES)) nodes.push(await join());
    await Promise.all(nodes.map((node) => node.whenReady()));
  } catch (error) {
    await stop();
    throw error;
  }
  const greeting = subject === 'socketio' ? SOCKET_IO : EVENTS;
  return { nodes, engine, greeting, join, stop };
}
