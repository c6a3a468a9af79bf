// Three servers that share a log in Redis: order, recovery and commands over all of them, and the
// faults of the engine as clients and publishers see them.
import t, { type Test } from 'tap';

import { SseClient } from '../support/comet-world.js';
import {
  allHave,
  EngineOrder,
  faultOf,
  isLost,
  startCluster,
  subscribeNodes,
  type ClusterNode,
} from '../support/cluster.js';
import { until } from '../support/helpers.js';
import { redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';

const skip = without('redis-server');

interface World {
  readonly redis: RedisProcess;
  readonly nodes: readonly [ClusterNode, ClusterNode, ClusterNode];
  readonly order: EngineOrder;
}

async function start(t: Test): Promise<World> {
  const redis = await RedisProcess.start(t);
  const urlOf = (port: number): string => `redis://127.0.0.1:${port}`;
  const nodes = await startCluster(t, { nodes: 3, port: redis.port, urlOf });
  const order = await EngineOrder.follow(redisLog(t, redis.url, { prefix: 'megacomet' }));
  const [a, b, c] = nodes;
  if (a === undefined || b === undefined || c === undefined) throw new Error('three nodes');
  return { redis, nodes: [a, b, c], order };
}

t.test('a cluster of three servers', { skip }, async (t) => {
  const { redis, nodes, order } = await start(t);
  const [a, b, c] = nodes;

  await t.test('a message of any node reaches the clients of each, in one order', async (t) => {
    const clients = (await subscribeNodes(t, nodes, 'room', 2)).flat();
    const statuses = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        (nodes[n % 3] ?? a).program.publish('room', `message ${n}`),
      ),
    );
    t.same(new Set(statuses), new Set([200]));
    await a.program.publish('room', 'last');
    await allHave(clients, 'last');
    for (const client of clients) t.equal(faultOf(client.seen, order.of('room')), null);
    t.equal(order.of('room').length, 61);
  });

  await t.test('a client resumes at another node with its cursor', async (t) => {
    const client = new SseClient(a.program, ['resume']);
    await client.open();
    await b.program.publish('resume', 'one');
    await client.has(1);
    client.close();
    await c.program.publish('resume', 'two');
    const other = new SseClient(b.program, ['resume']);
    other.cursor = client.cursor;
    await other.open();
    t.teardown(() => {
      other.close();
    });
    await other.has(1);
    t.same(other.data, ['two']);
    t.equal(other.lost, 0);
  });

  await t.test('a command at one node closes clients of another', async (t) => {
    const [[client]] = (await subscribeNodes(t, [c], 'kicked')) as [[SseClient]];
    t.equal(await a.program.kick('kicked', 'bye'), 200);
    await until('the client is closed', () => !client.isOpen);
  });

  await t.test('a stopped engine: publishers know, clients stay, nothing is lost', async (t) => {
    const clients = (await subscribeNodes(t, nodes, 'stop')).flat();
    redis.signal('SIGSTOP');
    t.equal(await a.program.publish('stop', 'while it is stopped'), 503);
    await until('no node is ready', async () => {
      const states = await Promise.all(nodes.map(({ program }) => ready(program)));
      return states.every((isReady) => !isReady);
    });
    redis.signal('SIGCONT');
    await until('all nodes are ready', async () => {
      const states = await Promise.all(nodes.map(({ program }) => ready(program)));
      return states.every((isReady) => isReady);
    });
    t.equal(await b.program.publish('stop', 'afterwards'), 200);
    await allHave(clients, 'afterwards');
    for (const client of clients) {
      t.equal(faultOf(client.seen, order.of('stop')), null);
      t.equal(client.seen.filter(isLost).length, 0);
      t.ok(client.isOpen);
    }
  });

  await t.test('a node that was cut off receives everything afterwards', async (t) => {
    const clients = (await subscribeNodes(t, nodes, 'cut')).flat();
    b.proxy.isSilent = true;
    t.equal(await a.program.publish('cut', 'one'), 200);
    t.equal(await b.program.publish('cut', 'from the node that is cut off'), 503);
    await until('it is not ready', async () => !(await ready(b.program)));
    t.equal(await ready(a.program), true);
    b.proxy.isSilent = false;
    b.proxy.cut();
    await until('it is ready', () => ready(b.program));
    t.equal(await c.program.publish('cut', 'last'), 200);
    await allHave(clients, 'last');
    for (const client of clients) {
      t.equal(faultOf(client.seen, order.of('cut')), null);
      t.equal(client.seen.filter(isLost).length, 0);
    }
  });

  await t.test('messages that the engine lost are reported to those who missed them', async (t) => {
    const [[atA], [atB], [atC]] = (await subscribeNodes(t, nodes, 'lost')) as [
      [SseClient],
      [SseClient],
      [SseClient],
    ];
    b.proxy.isSilent = true;
    t.equal(await a.program.publish('lost', 'only at two nodes'), 200);
    await allHave([atA, atC], 'only at two nodes');
    await redis.kill();
    await redis.run();
    b.proxy.isSilent = false;
    b.proxy.cut();
    await until('all nodes are ready', async () => {
      const states = await Promise.all(nodes.map(({ program }) => ready(program)));
      return states.every((isReady) => isReady);
    });
    t.equal(await c.program.publish('lost', 'in the new epoch'), 200);
    await allHave([atA, atB, atC], 'in the new epoch');
    t.equal(atB.seen.filter(isLost).length, 1, 'once for the gap');
    t.equal(atA.seen.filter(isLost).length + atC.seen.filter(isLost).length, 0);
    const epochs = new Set([atA, atB, atC].map(({ cursor }) => cursor.slice(0, 16)));
    t.equal(epochs.size, 1, 'cursors of all nodes have the new epoch');
  });
});

async function ready({ server }: ClusterNode['program']): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${server.adminPort}/readyz`);
  await response.arrayBuffer();
  return response.status === 200;
}
