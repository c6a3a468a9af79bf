// Ten small servers that share a log: each client of each server has every message once and in order,
// also when Redis restarts, and every server knows the others.
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
import { run, until } from '../support/helpers.js';
import { redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';

const NODES = 10;

/** Publishes at all nodes in turn until it is stopped; returns the errors. */
async function publishUntil(nodes: readonly ClusterNode[], isOver: () => boolean): Promise<number> {
  let errors = 0;
  for (let count = 0; !isOver(); count++) {
    const data = `message ${count}`;
    const key = { idempotencyKey: data };
    const status = await nodes[count % nodes.length]?.program.publish('room', data, key);
    if (status !== 200) errors++;
    await sleep(5);
  }
  return errors;
}

t.test('ten servers', { skip: without('redis-server') }, async (t) => {
  const redis = await RedisProcess.start(t, {
    args: ['--appendonly', 'yes', '--appendfsync', 'always'],
  });
  const urlOf = (port: number): string => `redis://127.0.0.1:${port}`;
  const nodes = await startCluster(t, { nodes: NODES, port: redis.port, urlOf, workers: 1 });
  const order = await EngineOrder.follow(redisLog(t, redis.url, { prefix: 'megacomet' }));
  const clients = (await subscribeNodes(t, nodes, 'room', 3)).flat();
  let isOver = false;
  const publishing = publishUntil(nodes, () => isOver);
  await until('messages', () => order.of('room').length > 50);
  await redis.kill();
  await redis.run();
  const before = order.of('room').length;
  await until('messages after the restart', () => order.of('room').length > before + 50);
  isOver = true;
  t.comment(`${await publishing} publishes failed`);

  const key = { idempotencyKey: 'the last' };
  for (const { program } of nodes) {
    await until('the last', async () => (await program.publish('room', 'the last', key)) === 200);
  }
  await allHave(clients, 'the last');
  for (const client of clients) {
    t.equal(faultOf(client, order.of('room')), null);
    t.ok(client.isOpen, 'the client stayed connected');
  }
  for (const { program } of nodes) {
    await until('all nodes in the stats', async () => {
      const { logState } = await program.server.stats();
      return logState?.isReady === true && logState.nodes.length === NODES;
    });
    const { stdout } = await run(['status', '--admin', `127.0.0.1:${program.server.adminPort}`]);
    t.equal(stdout.match(/^node +\w+/gm)?.length, NODES, 'status lists all nodes');
  }
});
