// Two versions of the program in one cluster: records that a newer node writes, and that the present
// version does not know, in a real log.
import t, { type Test } from 'tap';

import type { AppendId } from '../../lib/log/log.js';
import { allHave, startCluster, subscribeNodes, type ClusterNode } from '../support/cluster.js';
import { run, until } from '../support/helpers.js';
import { newerBatch, newerTick } from '../support/newer-batch.js';
import { redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';

const NEWER = '99.0.0';

type Nodes = readonly ClusterNode[];

function statesOf(nodes: Nodes): Promise<(boolean | undefined)[]> {
  return Promise.all(
    nodes.map(async ({ program }) => (await program.server.stats()).logState?.isReady),
  );
}

/** A counter of the log at each node. */
function countersOf(nodes: Nodes, name: string): Promise<(number | undefined)[]> {
  return Promise.all(nodes.map(async ({ program }) => (await program.server.stats()).log?.[name]));
}

/** A node that is not ready, and says why. */
async function assertOutdated(t: Test, { program }: ClusterNode, record: number): Promise<void> {
  const line = await program.server.logged(/^a newer node writes records/);
  t.match(line, { level: 40, record });
  const response = await program.server.get('/readyz');
  t.equal(response.status, 503);
  t.match(await response.json(), { isLogReady: false });
}

t.test('records of a newer node', { skip: without('redis-server') }, async (t) => {
  const redis = await RedisProcess.start(t);
  const urlOf = (port: number): string => `redis://127.0.0.1:${port}`;
  const nodes = await startCluster(t, { nodes: 2, port: redis.port, urlOf });
  const clients = (await subscribeNodes(t, nodes, 'room')).flat();
  const log = redisLog(t, redis.url, { prefix: 'megacomet' });
  await log.open();
  let count = 0;
  const append = (batch: Buffer): Promise<number> => {
    const id: AppendId = { node: 'newer', count: ++count };
    return log.append(batch, id, 0);
  };
  const [first] = nodes;
  if (first === undefined) throw new Error('a node');
  await t.test('its version is in the status of every node', async (t) => {
    await append(newerTick(NEWER));
    for (const { program } of nodes) {
      const { stdout } = await run([
        'status',
        ...['--admin', `127.0.0.1:${program.server.adminPort}`],
      ]);
      t.match(stdout, /node +newer, version 99\.0\.0, 3 connections, seen /);
    }
  });

  await t.test(
    'are skipped if they are not needed, and those beside them are applied',
    async (t) => {
      await append(newerBatch(200, false, { channel: 'room', data: 'known', event: 'join' }));
      await allHave(clients, 'known');
      t.same(await countersOf(nodes, 'logRecordsUnknownTotal'), [1, 1]);
      t.equal(await first.program.publish('room', 'next'), 200);
      await allHave(clients, 'next');
      t.same(await statesOf(nodes), [true, true]);
    },
  );

  await t.test('make the older nodes not ready if they are needed', async (t) => {
    await append(newerBatch(201, true));
    await until('no node is ready', async () =>
      (await statesOf(nodes)).every((isReady) => !isReady),
    );
    for (const node of nodes) await assertOutdated(t, node, 201);
    t.same(await countersOf(nodes, 'logRecordsUnknownTotal'), [2, 2]);
    // Clients move when the load balancer sees it; until then they are served.
    t.equal(await first.program.publish('room', 'served'), 200);
    await allHave(clients, 'served');
  });

  await t.test('that this version cannot read are skipped as a whole, and counted', async (t) => {
    await append(Buffer.from([9, 1, 2]));
    await first.program.publish('room', 'behind it');
    await allHave(clients, 'behind it');
    t.same(await countersOf(nodes, 'logRecordsInvalidTotal'), [1, 1]);
  });
});
