// Faults of a Redis server, each on a real one: appends fail with the reason, nothing is lost without
// a break, and the log goes on by itself.
import { createServer } from 'node:http';
import { once } from 'node:events';

import t, { type Test } from 'tap';

import type { LogRecord, Node } from '../support/log-record.js';
import { until } from '../support/helpers.js';
import { openRedisLog, redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const skip = without('redis-server');

/** An append is rejected, and its error matches. */
async function fails(t: Test, append: Promise<number>, reason: RegExp): Promise<void> {
  await t.rejects(append, { name: 'MegacometError', code: 'ERR_LOG', message: reason });
}

/** Appends until it succeeds, each time as another append. */
async function goesOn(node: Node, text: string): Promise<number> {
  return until('the log to go on', () => node.try(text).catch(() => 0));
}

function epochs(record: LogRecord): readonly { lastSeq: number }[] {
  return record.breaks.filter((broken) => broken.kind === 'epoch');
}

t.test('a server that is killed and keeps its data goes on in a new epoch', { skip }, async (t) => {
  const server = await RedisProcess.start(t, {
    args: ['--appendonly', 'yes', '--appendfsync', 'always'],
  });
  const { node, record } = await openRedisLog(t, server.url);
  const kept = [await node.append('a'), await node.append('b')];
  await record.reached(kept[1]);
  await server.kill();
  await until('the break', () => record.kinds.includes('down'));
  await server.run();
  const seq = await goesOn(node, 'c');
  await record.reached(seq);
  t.ok(seq > (kept[1] ?? 0) + 1000, 'numbers are far above those of the old epoch');
  t.match(epochs(record), [{ lastSeq: kept[1] }], 'all of the old epoch is there');
  t.equal(record.kinds.filter((kind) => kind === 'gap').length, 0);
  const second = await openRedisLog(t, server.url);
  await second.record.reached(seq);
  t.same(second.record.texts, record.texts, 'a later reader gets the same');
});

t.test('a hung server fails appends, then has each once', { skip }, async (t) => {
  const server = await RedisProcess.start(t);
  const { log, node, record } = await openRedisLog(t, server.url);
  await node.append('a');
  await server.suspend();
  const id = node.nextId();
  await fails(t, node.try('b', id), /does not answer within 900 ms$/);
  await until('the break', () => record.kinds.includes('down'));
  server.signal('SIGCONT');
  await until('the end of the break', () => record.kinds.at(-1) === 'up');
  await node.appendAs(id, 'b');
  await record.reached(await node.append('c'));
  t.same(record.texts, ['a', 'b', 'c']);
  t.same(record.kinds, ['down', 'up'], 'the epoch is the same');
  t.equal(log.counters.appendErrors, 1);
});

t.test(
  'a server that lost everything begins above, and all readers hear of it',
  { skip },
  async (t) => {
    const server = await RedisProcess.start(t);
    const one = await openRedisLog(t, server.url);
    const two = await openRedisLog(t, server.url);
    for (let count = 0; count < 10; count++) await one.node.append(`old ${count}`);
    const last = one.node.ids.length;
    await Promise.all([one.record.reached(last), two.record.reached(last)]);
    await server.kill();
    await server.run();
    for (const { record } of [one, two]) {
      await until('the epoch', () => epochs(record).length > 0);
      t.match(epochs(record), [{ lastSeq: 0 }]);
    }
    const seq = await goesOn(two.node, 'new');
    t.ok(seq > last);
    await Promise.all([one.record.reached(seq), two.record.reached(seq)]);
    t.same(one.record.entries, two.record.entries);
  },
);

t.test('a server that has an old copy never gives a number again', { skip }, async (t) => {
  const server = await RedisProcess.start(t);
  const { node, record } = await openRedisLog(t, server.url);
  for (let count = 0; count < 5; count++) await node.append(`kept ${count}`);
  await server.command('SAVE');
  for (let count = 0; count < 3; count++) await node.append(`lost ${count}`);
  await record.reached(8);
  await server.kill();
  await server.run();
  const seq = await goesOn(node, 'new');
  await record.reached(seq);
  t.ok(seq > 8);
  t.match(epochs(record), [{ lastSeq: 5 }]);
  const late = await openRedisLog(t, server.url);
  await late.record.reached(seq);
  t.match(late.record.breaks, [
    { kind: 'gap', after: 5, to: 8 },
    { kind: 'epoch', lastSeq: 5 },
  ]);
  t.same(late.record.texts, ['kept 0', 'kept 1', 'kept 2', 'kept 3', 'kept 4', 'new']);
});

t.test('a flush is noticed without an append', { skip }, async (t) => {
  const server = await RedisProcess.start(t);
  const { node, record } = await openRedisLog(t, server.url);
  await record.reached(await node.append('a'));
  await server.command('FLUSHALL');
  await until('the epoch', () => epochs(record).length > 0);
  await record.reached(await node.append('b'));
  t.same(record.texts, ['a', 'b']);
});

t.test('errors of the server are those of the append', { skip }, async (t) => {
  const server = await RedisProcess.start(t);
  const { log, node, record } = await openRedisLog(t, server.url);
  const busy = 'while true do end';
  const config = (name: string, value: string): Promise<unknown> =>
    server.command('CONFIG', 'SET', name, value);
  await config('busy-reply-threshold', '1');
  const faults: [reason: RegExp, begin: () => Promise<unknown>, end: () => Promise<unknown>][] = [
    [/ OOM: it has no memory left/, () => config('maxmemory', '1'), () => config('maxmemory', '0')],
    [
      / READONLY: it is a replica/,
      () => server.command('REPLICAOF', '127.0.0.1', '1'),
      () => server.command('REPLICAOF', 'NO', 'ONE'),
    ],
    [
      / NOREPLICAS: it has too few replicas/,
      () => config('min-replicas-to-write', '1'),
      () => config('min-replicas-to-write', '0'),
    ],
  ];
  for (const [reason, begin, end] of faults) {
    await begin();
    await fails(t, node.try('fails'), reason);
    await end();
    await record.reached(await goesOn(node, String(reason)));
  }
  const other = await RedisProcess.attach(t, server);
  void other('EVAL', busy, 0).catch(() => undefined);
  await fails(
    t,
    until('BUSY', () => node.try('fails').then(() => 0)),
    / BUSY: /,
  );
  await server.command('SCRIPT', 'KILL');
  await record.reached(await goesOn(node, 'after BUSY'));
  await server.command('SCRIPT', 'FLUSH');
  await record.reached(await node.append('after NOSCRIPT'));
  t.equal(epochs(record).length, 0);
  // An append after a fault may come too early, and is repeated.
  t.ok(log.counters.appendErrors >= 4, `${log.counters.appendErrors} appends failed`);
  t.same(
    record.texts.filter((text) => text === 'fails'),
    [],
  );
});

t.test('a server that sleeps delays appends, and repeats none', { skip }, async (t) => {
  const server = await RedisProcess.start(t);
  const { node, record } = await openRedisLog(t, server.url);
  await node.append('a');
  const sleep = await RedisProcess.attach(t, server);
  void sleep('DEBUG', 'SLEEP', '0.4');
  await record.reached(await node.append('b'));
  const slept = sleep('DEBUG', 'SLEEP', '1.5');
  await fails(t, node.try('late'), /does not answer/);
  await slept.catch(() => undefined);
  await record.reached(await goesOn(node, 'c'));
  t.same(
    record.texts.filter((text) => text !== 'late'),
    ['a', 'b', 'c'],
  );
  t.ok(record.texts.filter((text) => text === 'late').length <= 1);
});

t.test('a lost answer is one entry', { skip }, async (t) => {
  const server = await RedisProcess.start(t);
  const proxy = await TcpProxy.start(t, server.port);
  const { log, node, record } = await openRedisLog(t, `redis://127.0.0.1:${proxy.port}`);
  await node.append('a');
  let left = 1;
  proxy.losesAnswer = (chunk) => chunk.includes('lose me') && left-- > 0;
  const seqs = await Promise.all([node.append('lose me'), node.append('b'), node.append('c')]);
  t.same(seqs, [2, 3, 4], 'in their order');
  await record.reached(4);
  t.same(record.texts, ['a', 'lose me', 'b', 'c']);
  t.ok(log.counters.appendRetries >= 1);
  t.equal(log.counters.appendErrors, 0);
});

t.test('a silent connection is replaced, and a trimmed stream is a gap', { skip }, async (t) => {
  const server = await RedisProcess.start(t);
  const proxy = await TcpProxy.start(t, server.port);
  const cut = await openRedisLog(t, `redis://127.0.0.1:${proxy.port}`);
  const other = await openRedisLog(t, server.url);
  await cut.record.reached(await other.node.append('before'));
  proxy.isSilent = true;
  await until('the break', () => cut.record.kinds.includes('down'));
  for (let count = 2; count <= 10; count++) await other.node.append(String(count));
  await server.command('XTRIM', '{test}:log', 'MINID', '8-0');
  proxy.isSilent = false;
  proxy.cut();
  await cut.record.reached(10);
  t.same(
    cut.record.breaks.filter(({ kind }) => kind === 'gap'),
    [{ kind: 'gap', after: 1, to: 7 }],
  );
  t.same(cut.record.texts, ['before', '8', '9', '10']);
  t.same(other.record.breaks, [], 'the other node saw nothing of it');
});

t.test('an entry of another program is a gap, and the log goes on above', { skip }, async (t) => {
  const server = await RedisProcess.start(t);
  const { node, record } = await openRedisLog(t, server.url);
  await node.append('a');
  const id = String(await server.command('XADD', '{test}:log', '*', 'field', 'value'));
  const seq = await node.append('b');
  t.ok(seq > Number.parseInt(id, 10));
  await record.reached(seq);
  t.same(record.texts, ['a', 'b']);
  t.ok(record.kinds.includes('gap'));
});

t.test(
  'another server on the same port ends the epoch; a web server is only an error',
  { skip },
  async (t) => {
    const server = await RedisProcess.start(t);
    const { log, node, record } = await openRedisLog(t, server.url);
    await record.reached(await node.append('a'));
    await server.kill();
    const web = createServer((_, response) => response.end('hello'));
    await once(web.listen(server.port, '127.0.0.1'), 'listening');
    await until('the break', () => record.kinds.includes('down'));
    await fails(t, node.try('fails'), /^engine: redis:/);
    await t.rejects(redisLog(t, server.url).open(), {
      code: 'ERR_LOG',
      message: /^engine: redis:/,
    });
    web.closeAllConnections();
    web.close();
    await once(web, 'close');
    const second = await RedisProcess.start(t, { port: server.port });
    const foreign = await openRedisLog(t, second.url, { prefix: 'other' });
    await foreign.node.append('of another log');
    await record.reached(await goesOn(node, 'b'));
    t.equal(epochs(record).length, 1);
    t.same(record.texts, ['a', 'b']);
    t.ok(log.counters.reconnects >= 1);
  },
);
