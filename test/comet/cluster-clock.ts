// Steps of the wall clock of one node by an hour, while messages are published at all nodes: order,
// recovery, idempotency keys, revocations and the members of the cluster follow the engine's clock.
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import { nowS, Secret } from '../support/client-tokens.js';
import {
  allHave,
  EngineOrder,
  faultOf,
  startCluster,
  subscribeNodes,
  type ClusterNode,
} from '../support/cluster.js';
import { SseClient } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';
import { SteppedClock } from '../support/stepped-clock.js';
import { pollStatus } from '../support/transport-requests.js';

const HOUR_S = 3600;
const GRANTS = { subscribe: ['a'] };

/** Publishes at all nodes in turn, until it is stopped. */
async function publishUntil(nodes: readonly ClusterNode[], isOver: () => boolean): Promise<number> {
  let count = 0;
  for (; !isOver(); count++) {
    const status = await nodes[count % nodes.length]?.program.publish('open', `message ${count}`);
    if (status !== 200) throw new Error(`message ${count}: ${status ?? 'no node'}`);
    await sleep(5);
  }
  return count;
}

/** Compares a node whose clock was stepped with another one. */
async function assertUnchanged(
  t: Test,
  secret: Secret,
  [stepped, other]: readonly [ClusterNode, ClusterNode],
): Promise<void> {
  const user = t.name;
  const message = { channel: 'open', data: 'once', idempotencyKey: user };
  t.equal(await stepped.program.post('/publish', message), 200);
  const again = await other.program.request('/publish', message);
  t.match(await again.json(), { duplicate: true }, 'the key counts at another node');

  const revoked = secret.token({ sub: user, grants: GRANTS, iat: nowS() - 2 });
  t.equal(await pollStatus(other.program, revoked), 204);
  t.equal(await stepped.program.post('/revoke', { user }), 200);
  await until(
    'the other node to revoke',
    async () => (await pollStatus(other.program, revoked)) === 401,
  );
  const at = nowS();
  await until('a later second', () => nowS() > at + 2);
  const later = secret.token({ sub: user, grants: GRANTS, iat: nowS() });
  t.equal(await pollStatus(other.program, later), 204, 'a token that was issued later counts');

  const { logState } = await stepped.program.server.stats();
  t.match(logState, { isReady: true, isDown: false });
  t.equal(logState?.nodes.length, 3);
  t.ok(logState?.nodes.every(({ ageMs }) => ageMs < 10_000));
}

t.test('steps of one clock change nothing', { skip: without('redis-server') }, async (t) => {
  const clock = new SteppedClock(t);
  const secret = new Secret(t);
  const redis = await RedisProcess.start(t);
  const nodes = await startCluster(t, {
    ...{ nodes: 3, port: redis.port },
    urlOf: (port) => `redis://127.0.0.1:${port}`,
    args: [
      ...['--token-key', secret.option, '--token-leeway', '0', '--public', 'open'],
      ...['--history-count', '10000', '--history-age', '600'],
    ],
    env: clock.env,
  });
  const [stepped, other] = nodes;
  if (stepped === undefined || other === undefined) throw new Error('two nodes');
  const order = await EngineOrder.follow(redisLog(t, redis.url, { prefix: 'megacomet' }));
  const clients = (await subscribeNodes(t, nodes, 'open', 2)).flat();
  const eve = secret.token({ sub: 'eve', grants: GRANTS });
  let isOver = false;
  const publishing = publishUntil(nodes, () => isOver);

  for (const seconds of [HOUR_S, -HOUR_S, 0]) {
    clock.step(seconds);
    await until('the step', () => clock.isSeen);
    await t.test(`a clock that is ${seconds} s ahead`, (t) =>
      assertUnchanged(t, secret, [stepped, other]),
    );
  }
  t.equal(await pollStatus(stepped.program, eve), 204, 'another user has nothing to do with it');
  isOver = true;
  t.ok((await publishing) > 20);
  t.equal(await stepped.program.publish('open', 'the last'), 200);
  await allHave(clients, 'the last');
  for (const client of clients) {
    t.equal(faultOf(client, order.of('open')), null);
    t.ok(client.isOpen);
  }
  const late = new SseClient(stepped.program, ['open']);
  t.teardown(() => {
    late.close();
  });
  late.cursor = clients[0]?.seen[0]?.cursor ?? '';
  await late.open();
  await allHave([late], 'the last');
  t.equal(faultOf(late, order.of('open').slice(1)), null, 'the history has not aged');
});
