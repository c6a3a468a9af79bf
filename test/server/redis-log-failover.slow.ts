// Failovers of a Redis server by a real Sentinel: to a replica that lacks the last entries, and to one
// that has all.
import t, { type Test } from 'tap';

import { until } from '../support/helpers.js';
import { openRedisLog, redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const skip = without('redis-server', 'redis-sentinel');

interface Servers {
  readonly master: RedisProcess;
  readonly replica: RedisProcess;
  /** Between the replica and its master. */
  readonly link: TcpProxy;
  readonly url: string;
}

/** A master, a replica, and a Sentinel that knows both. */
async function start(t: Test): Promise<Servers> {
  // An address that is set during the handshake of a replica makes it wait for an answer in vain.
  const announce = ['--replica-announce-ip', '127.0.0.1'];
  const master = await RedisProcess.start(t, {
    args: ['--repl-diskless-sync-delay', '0', ...announce],
  });
  const link = await TcpProxy.start(t, master.port);
  const replica = await RedisProcess.start(t, {
    args: ['--replicaof', '127.0.0.1', String(link.port), ...announce],
  });
  const sentinel = await RedisProcess.start(t, {
    sentinel: [
      `sentinel monitor main 127.0.0.1 ${master.port} 1`,
      'sentinel down-after-milliseconds main 2000',
      // Also the time after which a Sentinel gives a replica another master than the proxy.
      'sentinel failover-timeout main 60000',
    ],
  });
  await until('the Sentinel to know the replica', async () => {
    const replicas = (await sentinel.command('SENTINEL', 'replicas', 'main')) as string[][];
    return replicas.some((fields) => fields.includes('ok'));
  });
  return { master, replica, link, url: `redis+sentinel://127.0.0.1:${sentinel.port}/main` };
}

async function untilReplicated({ master, replica }: Servers): Promise<void> {
  const length = (server: RedisProcess): Promise<unknown> => server.command('XLEN', '{test}:log');
  await until('the replica to have all', async () => {
    return (await length(master)) === (await length(replica));
  });
}

t.test('a replica that lacks the last entries begins above them', { skip }, async (t) => {
  const servers = await start(t);
  const one = await openRedisLog(t, servers.url);
  const two = await openRedisLog(t, servers.url);
  await one.node.append('a');
  await two.node.append('b');
  await untilReplicated(servers);
  servers.link.isSilent = true;
  await one.node.append('lost 3');
  await two.node.append('lost 4');
  await Promise.all([one.record.reached(4), two.record.reached(4)]);
  await servers.master.kill();
  const seq = await until('the failover', () => one.node.try('c').catch(() => 0));
  t.ok(seq > 4, 'no number is given again');
  await Promise.all([one.record.reached(seq), two.record.reached(seq)]);
  for (const { record } of [one, two]) {
    t.match(
      record.breaks.filter(({ kind }) => kind === 'epoch'),
      [{ lastSeq: 2 }],
      'the log tells where it went on',
    );
  }
  t.equal(one.log.name, `${servers.url}/0`);
  const late = await openRedisLog(t, servers.url);
  await late.record.reached(seq);
  t.match(late.record.breaks, [
    { kind: 'gap', after: 2, to: 4 },
    { kind: 'epoch', lastSeq: 2 },
  ]);
});

t.test('with confirmed appends a failover keeps the epoch', { skip }, async (t) => {
  const servers = await start(t);
  const { node, record } = await openRedisLog(t, servers.url, { waitReplicas: 1 });
  await record.reached(await node.append('a'));
  servers.link.isSilent = true;
  await t.rejects(node.try('b'), { code: 'ERR_LOG', message: /: 0 of 1 replicas confirmed/ });
  servers.link.isSilent = false;
  servers.link.cut();
  await record.reached(await until('the replica', () => node.try('c').catch(() => 0)));
  await servers.master.kill();
  await until('the break', () => record.kinds.includes('down'));
  await until('the failover', () => record.kinds.at(-1) === 'up');
  await servers.master.run(['--replicaof', '127.0.0.1', String(servers.replica.port)]);
  const last = await until('the new replica', () => node.try('d').catch(() => 0));
  await record.reached(last);
  t.same([...new Set(record.texts)], ['a', 'b', 'c', 'd'], 'each of them is there');
  t.same(
    record.kinds.filter((kind) => kind !== 'down' && kind !== 'up'),
    [],
    'no other break',
  );
});

t.test('Sentinels that do not answer or know another name', { skip }, async (t) => {
  const { url } = await start(t);
  await t.rejects(redisLog(t, url.replace('/main', '/other')).open(), {
    code: 'ERR_LOG',
    message: /: no Sentinel answers \(127\.0\.0\.1:\d+: it does not know the master other\)$/,
  });
  await t.rejects(redisLog(t, 'redis+sentinel://127.0.0.1:1/main').open(), {
    message: /: no Sentinel answers \(127\.0\.0\.1:1: connection refused/,
  });
});
