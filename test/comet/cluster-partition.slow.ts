// A node in a network of its own whose packets to the engine are dropped: its publishers know within a
// second, its clients stay, and everything is delivered after the cure, in order and without a restart.
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import type { Log } from '../../lib/log/log.js';
import { ClusterNetwork, ENGINE_HOST, type NetworkNode } from '../support/cluster-network.js';
import { allHave, EngineOrder, faultOf, subscribeNodes } from '../support/cluster.js';
import { until } from '../support/helpers.js';
import { natsLog, NatsServer } from '../support/nats.js';
import { isInNamespace, runInNamespace } from '../support/own-namespace.js';
import { redisLog, RedisProcess } from '../support/redis.js';

interface Engine {
  readonly url: string;
  readonly port: number;
  /** A log of the test on the same server. */
  readonly log: Log;
}

const ENGINES: Readonly<Record<string, (t: Test) => Promise<Engine>>> = {
  Redis: async (t) => {
    const { port, url } = await RedisProcess.start(t, {
      args: ['--bind', '0.0.0.0', '--protected-mode', 'no'],
    });
    const log = redisLog(t, url, { prefix: 'megacomet' });
    return { url: `redis://${ENGINE_HOST}:${port}`, port, log };
  },
  NATS: async (t) => {
    const { port, url } = await NatsServer.start(t, { host: '0.0.0.0' });
    const log = natsLog(url);
    t.teardown(() => log.close());
    return { url: `nats://${ENGINE_HOST}:${port}`, port, log };
  },
};

const ROWS: readonly (readonly [engine: string, seconds: number])[] = [
  ['Redis', 5],
  ['NATS', 5],
  ['Redis', 60],
  ['NATS', 60],
];

/** Publishes at nodes in turn until it is stopped; errors are counted. */
class Publisher {
  errors = 0;
  taken = 0;
  #isStopped = false;
  readonly #done: Promise<void>;

  constructor(nodes: readonly NetworkNode[], name: string) {
    this.#done = this.#run(nodes, name);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  async #run(nodes: readonly NetworkNode[], name: string): Promise<void> {
    for (let count = 0; !this.#isStopped; count++) {
      const status = await nodes[count % nodes.length]?.program.publish('room', `${name} ${count}`);
      if (status === 200) this.taken++;
      else this.errors++;
      await sleep(20);
    }
  }
}

async function isReady({ program }: NetworkNode): Promise<boolean> {
  return (await program.server.get('/readyz')).status === 200;
}

async function partition(t: Test, name: string, seconds: number): Promise<void> {
  const engine = await ENGINES[name]?.(t);
  if (engine === undefined) throw new Error(name);
  const network = new ClusterNetwork(engine.port);
  const args = ['--engine', engine.url, '--workers', '2'];
  const alone = await network.start(t, args);
  const others = [await network.start(t, args), await network.start(t, args)];
  const order = await EngineOrder.follow(engine.log);
  const clients = (await subscribeNodes(t, [alone, ...others], 'room', 5)).flat();
  const publishers = [new Publisher(others, 'other'), new Publisher([alone], 'alone')];
  await until('messages of all', () => publishers.every(({ taken }) => taken > 10));

  const cutAtMs = performance.now();
  network.cutOff(alone);
  await until('the first error', () => (publishers[1]?.errors ?? 0) > 0);
  t.comment(`${name}: first error after ${Math.round(performance.now() - cutAtMs)} ms`);
  await until('the node not to be ready', async () => !(await isReady(alone)));
  const atMs = performance.now();
  t.equal(await alone.program.publish('room', 'nowhere'), 503);
  t.comment(`${name}: 503 within ${Math.round(performance.now() - atMs)} ms`);
  await sleep(Math.max(0, cutAtMs + seconds * 1000 - performance.now()));
  t.ok(await isReady(others[0] ?? alone), 'the others serve');
  t.ok(
    clients.every(({ isOpen }) => isOpen),
    'all clients are connected',
  );

  network.heal();
  const healedAtMs = performance.now();
  const missed = order.of('room').at(-1)?.data ?? '';
  await allHave(clients, missed);
  t.comment(`${name}: delivery ${Math.round(performance.now() - healedAtMs)} ms after the cure`);
  await until('the node to be ready', () => isReady(alone));
  for (const publisher of publishers) await publisher.stop();
  t.equal(await alone.program.publish('room', 'the last'), 200, 'publishers succeed again');
  await allHave(clients, 'the last');
  for (const client of clients) {
    t.equal(faultOf(client, order.of('room')), null);
    t.same(client.notices, [], 'nothing was lost');
    t.ok(client.isOpen, 'the client stayed connected');
  }
}

if (isInNamespace()) {
  ClusterNetwork.prepare();
  for (const [engine, seconds] of ROWS) {
    t.test(`${engine}: a node that is cut off for ${seconds} s delivers everything late`, (t) =>
      partition(t, engine, seconds),
    );
  }
} else {
  runInNamespace(t, import.meta.url, 'nft', 'redis-server', 'nats-server');
}
