// A server that loses its engine for longer than 15 s: with `--engine-down close` its clients of every
// transport are closed evenly and new ones are rejected, until the engine is back; the default keeps all.
import t, { type Test } from 'tap';

import { formatStatus } from '../../lib/cli/commands/status.js';
import {
  exchange,
  REQUESTS,
  SseClient,
  StreamClient,
  subscribeAll,
  WebSocketClient,
  type Client,
  type Program,
} from '../support/comet-world.js';
import { EngineOrder, faultOf, startCluster, type ClusterNode } from '../support/cluster.js';
import { until } from '../support/helpers.js';
import { redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';

interface World {
  readonly redis: RedisProcess;
  readonly order: EngineOrder;
  /** A server with `close`, and one that keeps its clients. */
  readonly closing: ClusterNode;
  readonly keeping: ClusterNode;
}

async function start(t: Test): Promise<World> {
  const redis = await RedisProcess.start(t);
  const urlOf = (port: number): string => `redis://127.0.0.1:${port}`;
  const place = { nodes: 1, port: redis.port, urlOf };
  const [closing] = await startCluster(t, { ...place, args: ['--engine-down', 'close'] });
  const [keeping] = await startCluster(t, place);
  if (closing === undefined || keeping === undefined) throw new Error('two nodes');
  const order = await EngineOrder.follow(redisLog(t, redis.url, { prefix: 'megacomet' }));
  return { redis, order, closing, keeping };
}

/** Some clients of each transport; they are closed with the test. */
async function subscribe(t: Test, program: Program): Promise<Client[]> {
  const clients: Client[] = [];
  for (let count = 0; count < 5; count++) clients.push(...(await subscribeAll(program)));
  t.teardown(() => {
    for (const client of clients) client.close();
  });
  return clients;
}

/** The value of a metric of the manager. */
async function metricOf({ program }: ClusterNode, name: string): Promise<number> {
  const text = await (await program.server.get('/metrics')).text();
  return Number(new RegExp(`^megacomet_${name} (\\d+)`, 'm').exec(text)?.[1]);
}

/** The line of `megacomet-ts status` about the log. */
async function logLineOf({ program }: ClusterNode): Promise<string> {
  const text = formatStatus({ stats: await program.server.stats(), atMs: 0 }, undefined);
  return /^log .*$/m.exec(text)?.[0] ?? '';
}

async function assertRejects(t: Test, { program }: ClusterNode): Promise<void> {
  for (const transport of ['poll', 'stream', 'websocket'] as const) {
    const answer = await exchange(program.port, REQUESTS[transport]);
    t.match(answer, /^HTTP\/1\.1 503 /, transport);
    t.match(answer, /\r\nRetry-After: \d+\r\n/i);
    t.match(answer, /server cut off from its cluster; reconnect shortly/);
  }
  const events = await exchange(program.port, REQUESTS.sse);
  t.match(events, /^HTTP\/1\.1 200 /, 'an EventSource would not reconnect after an error');
  t.match(events, /event: megacomet\.unavailable\n/);
  t.ok((await program.server.total('rejectedCutOffTotal')) >= 4);
}

/** Publishes with retries, until a node has the message. */
async function publish({ program }: ClusterNode, data: string): Promise<void> {
  const key = { idempotencyKey: data };
  await until('the publish', async () => (await program.publish('a', data, key)) === 200);
}

/** A client that reconnects to another server with its cursor. */
async function assertMoves(t: Test, client: Client, { program }: ClusterNode): Promise<void> {
  const Kind = client.constructor as new (program: Program, channels: string[]) => Client;
  const moved = new Kind(program, ['a']);
  moved.cursor = client.cursor;
  t.teardown(() => {
    moved.close();
  });
  await moved.open();
  await until('the missed message', () => moved.data.includes('meanwhile'));
  t.same(moved.data, ['meanwhile']);
  t.equal(moved.lost, 0);
}

async function assertWhole(t: Test, clients: readonly Client[], order: EngineOrder): Promise<void> {
  const wanted = order.of('a');
  const last = wanted.at(-1)?.data ?? '';
  for (const client of clients) {
    await until('the last message', () => client.data.at(-1) === last);
    t.equal(client.lost, 0, 'recovered');
    t.equal(faultOf(client, wanted), null, client.constructor.name);
  }
}

t.test('a server without its engine', { skip: without('redis-server') }, async (t) => {
  const world = await start(t);
  const { closing, keeping, order, redis } = world;
  const clients = await subscribe(t, closing.program);
  const others = await subscribe(t, keeping.program);
  await publish(closing, 'before');
  for (const client of [...clients, ...others]) await client.has(1);

  await t.test('sends its clients away when it alone is cut off', async (t) => {
    closing.proxy.isSilent = true;
    t.equal(await closing.program.publish('a', 'nowhere'), 503);
    t.equal(await metricOf(closing, 'cut_off'), 0, 'not at once');
    t.ok(clients.every(({ isOpen }) => isOpen));
    await until('all clients to be closed', () => clients.every(({ isOpen }) => !isOpen));
    t.equal(await metricOf(closing, 'cut_off'), 1);
    t.match(await logLineOf(closing), /, (not ready|down) and clients are closed, /);
    // A poll is answered, and counted with the answered ones.
    const streaming = clients.filter(
      (client) => client instanceof SseClient || client instanceof StreamClient,
    );
    const webSockets = clients.filter((client) => client instanceof WebSocketClient);
    t.same(new Set(webSockets.map(({ closeCode }) => closeCode)), new Set([1001]));
    const closed = await closing.program.server.total('closedCutOffTotal');
    t.ok(closed >= streaming.length + webSockets.length, `${closed} closed`);
    await assertRejects(t, closing);
    t.ok(
      others.every(({ isOpen }) => isOpen),
      'the other server serves',
    );
  });

  await t.test('whose clients miss nothing at another server', async (t) => {
    await publish(keeping, 'meanwhile');
    for (const client of clients) await assertMoves(t, client, keeping);
  });

  await t.test('admits clients as soon as the engine is back', async (t) => {
    closing.proxy.isSilent = false;
    closing.proxy.cut();
    await until('the end', async () => (await metricOf(closing, 'cut_off')) === 0);
    t.notMatch(await logLineOf(closing), /closed/);
    for (const client of clients) await client.open();
    await publish(closing, 'after');
    await assertWhole(t, [...clients, ...others], order);
  });

  await t.test('keeps its clients by default, also when the engine stops', async (t) => {
    await redis.suspend();
    await until('the other server to close its clients', () =>
      clients.every(({ isOpen }) => !isOpen),
    );
    t.ok(others.every(({ isOpen }) => isOpen));
    t.equal(await metricOf(keeping, 'cut_off'), 0);
    redis.signal('SIGCONT');
    await publish(keeping, 'last');
    await until('the end', async () => (await metricOf(closing, 'cut_off')) === 0);
    for (const client of clients) await client.open();
    await assertWhole(t, [...clients, ...others], order);
  });
});
