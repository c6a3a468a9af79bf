// Random faults of the engine and of the ways to it, while messages are published at three servers:
// the messages of each client are those of the engine, each once, in its order, and without a gap that
// was not announced. FAULTS is the number of faults; TEST_SEED repeats a run.
import { setTimeout as sleep } from 'node:timers/promises';

import t from 'tap';

import {
  allHave,
  EngineOrder,
  faultOf,
  startCluster,
  subscribeNodes,
  type ClusterNode,
} from '../support/cluster.js';
import { until } from '../support/helpers.js';
import { seededRandom } from '../support/random.js';
import { redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';

const FAULTS = Number(process.env['FAULTS'] ?? 40);
const CHANNELS = ['one', 'two', 'three'];

/** The outcome of a publish that a client of the admin server sees. */
interface Outcome {
  readonly data: string;
  readonly status: number;
}

/** Publishes at random nodes until it is stopped. */
class Publisher {
  readonly outcomes: Outcome[] = [];
  #isStopped = false;
  #count = 0;
  readonly #loops: Promise<void>[];

  constructor(nodes: readonly ClusterNode[], random: () => number) {
    this.#loops = nodes.map(({ program }) => this.#run(program, random));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
  }

  async #run(program: ClusterNode['program'], random: () => number): Promise<void> {
    while (!this.#isStopped) {
      const channel = CHANNELS[Math.floor(random() * CHANNELS.length)] ?? 'one';
      const data = `${channel} ${++this.#count}`;
      const key = { idempotencyKey: data };
      this.outcomes.push({ data, status: await program.publish(channel, data, key) });
      await sleep(5 * random());
    }
  }
}

type Fault = (
  nodes: readonly ClusterNode[],
  redis: RedisProcess,
  random: () => number,
) => Promise<void>;

function oneOf(nodes: readonly ClusterNode[], random: () => number): ClusterNode {
  const node = nodes[Math.floor(random() * nodes.length)];
  if (node === undefined) throw new Error('a node');
  return node;
}

const KINDS: Readonly<Record<string, Fault>> = {
  'the engine is killed and restarted': async (_nodes, redis, random) => {
    await redis.kill();
    await sleep(500 * random());
    await redis.run();
  },
  'the engine is stopped': async (_nodes, redis, random) => {
    await redis.suspend();
    await sleep(2500 * random());
    redis.signal('SIGCONT');
  },
  'the connections of a node end': (nodes, _redis, random) => {
    oneOf(nodes, random).proxy.cut();
    return Promise.resolve();
  },
  'a node is cut off': async (nodes, _redis, random) => {
    const { proxy } = oneOf(nodes, random);
    proxy.isSilent = true;
    await sleep(2500 * random());
    proxy.isSilent = false;
    proxy.cut();
  },
  'an answer is lost': async (nodes, _redis, random) => {
    const { proxy } = oneOf(nodes, random);
    let isLost = false;
    proxy.losesAnswer = () => {
      const isFirst = !isLost;
      isLost = true;
      return isFirst;
    };
    await sleep(100);
    proxy.losesAnswer = () => false;
  },
};

t.test(
  `${FAULTS} random faults lose, repeat and reorder nothing`,
  { skip: without('redis-server') },
  async (t) => {
    const random = seededRandom(t);
    const redis = await RedisProcess.start(t, {
      args: ['--appendonly', 'yes', '--appendfsync', 'always'],
    });
    const urlOf = (port: number): string => `redis://127.0.0.1:${port}`;
    const nodes = await startCluster(t, { nodes: 3, port: redis.port, urlOf });
    const order = await EngineOrder.follow(redisLog(t, redis.url, { prefix: 'megacomet' }));
    const clients = new Map<string, Awaited<ReturnType<typeof subscribeNodes>>>();
    for (const channel of CHANNELS)
      clients.set(channel, await subscribeNodes(t, nodes, channel, 2));

    const publisher = new Publisher(nodes, random);
    const names = Object.keys(KINDS);
    for (let count = 0; count < FAULTS; count++) {
      const name = names[Math.floor(random() * names.length)] ?? '';
      await KINDS[name]?.(nodes, redis, random);
      await sleep(200 * random());
    }
    await publisher.stop();
    for (const channel of CHANNELS) {
      const last = `the last of ${channel}`;
      await until('the publish of the last', async () => {
        const key = { idempotencyKey: last };
        return (await oneOf(nodes, random).program.publish(channel, last, key)) === 200;
      });
      await allHave((clients.get(channel) ?? []).flat(), last);
      for (const client of (clients.get(channel) ?? []).flat()) {
        t.equal(faultOf(client, order.of(channel)), null);
        t.ok(client.isOpen, 'the client stayed connected');
      }
    }

    const { outcomes } = publisher;
    const kept = new Set(order.messages.map(({ data }) => data));
    const lost = outcomes.filter(({ data, status }) => status === 200 && !kept.has(data));
    t.same(lost, [], 'every message with an answer is in the log');
    t.equal(kept.size, order.messages.length, 'none is in it twice');
    t.same(
      [...new Set(outcomes.map(({ status }) => status))].filter(
        (status) => ![200, 429, 503].includes(status),
      ),
      [],
    );
    const published = outcomes.filter(({ status }) => status === 200).length;
    t.comment(`${published} of ${outcomes.length} publishes had an answer`);
  },
);
