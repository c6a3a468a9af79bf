// A worker in hostile hands: any values in the memory that it shares, or bytes on its control
// stream, end that worker alone.
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';

import t, { type Test } from 'tap';

import { AddressPeer } from '../support/address-peer.js';
import { Clients, TestServer, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const skip = without('root');

interface Mapping {
  readonly start: number;
  readonly bytes: number;
  readonly inode: string;
  readonly name: string;
}

/** The memory of a process that it shares with others and can write. */
function sharedOf(pid: number): Mapping[] {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  const row = /^([0-9a-f]+)-([0-9a-f]+) rw-s \S+ \S+ (\d+) +\/memfd:(\S+)/gm;
  return [...maps.matchAll(row)].map(([, start, end, inode = '', name = '']) => {
    const first = parseInt(start ?? '', 16);
    return { start: first, bytes: parseInt(end ?? '', 16) - first, inode, name };
  });
}

/** Writes over memory of a worker, as code inside it would; returns the number of mappings. */
function overwrite(
  pid: number,
  contentOf: (bytes: number) => Buffer,
  mappings = sharedOf(pid),
): number {
  const memory = openSync(`/proc/${pid}/mem`, 'r+');
  try {
    for (const { start, bytes } of mappings) writeSync(memory, contentOf(bytes), 0, bytes, start);
  } finally {
    closeSync(memory);
  }
  return mappings.length;
}

const filledWith = (byte: number) => (bytes: number) => Buffer.alloc(bytes, byte);

t.test('a worker can write its own stats only', { skip }, async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '3'] });
  const blocks = server.workerPids.flatMap((pid) =>
    sharedOf(pid).filter(({ name }) => name === 'megacomet-worker'),
  );
  t.equal(blocks.length, 3, 'each has one block');
  t.equal(new Set(blocks.map(({ inode }) => inode)).size, 3, 'and no two the same');
  await server.stop();
});

t.test('no thread of a worker can signal another process', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2'] });
  for (const pid of server.workerPids) {
    const threads = readdirSync(`/proc/${pid}/task`);
    const modes = threads.map((thread) => {
      const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
      return /^Seccomp:\s+(\d+)$/m.exec(status)?.[1];
    });
    // 2 is SECCOMP_MODE_FILTER (proc_pid_status(5)); native/os/sandbox.cc tests the filter itself.
    t.same(new Set(modes), new Set(['2']), `${threads.length} threads have the filter`);
  }
  await server.stop();
});

for (const [name, byte] of [
  ['ones', 0xff],
  ['zeros', 0],
  ['large numbers', 0x11],
] as const) {
  t.test(
    `a worker that fills all it can write with ${name} ends itself alone`,
    { skip },
    async (t) => {
      const server = await TestServer.start(t, {
        args: ['--workers', '3', '--max-connections', '300'],
        expectLog: [/^worker is not trustworthy; replaced: impossible value /, /^worker died/],
      });
      const clients = await Clients.open(t, server.port, 60);
      const before = await until('all to be counted', async () => {
        const stats = await server.stats();
        return stats.totals['connections'] === 60 ? stats : undefined;
      });
      const [hostile = -1, ...others] = before.workers.map(({ pid }) => pid ?? -1);
      t.ok(overwrite(hostile, filledWith(byte)) >= 2, 'it can write its stats and the leases');
      const after = await until('the worker to be replaced', async () => {
        const stats = await server.stats();
        const isServing = stats.workers.every(({ state }) => state === 'serving');
        return isServing && stats.workers[0]?.pid !== hostile ? stats : undefined;
      });
      t.same(
        after.workers.slice(1).map(({ pid }) => pid),
        others,
        'the others stay',
      );
      t.equal(after.workerFaultsTotal, 1, 'the fault is counted');
      t.equal(await clients.answering(), 60 - clients.lost, 'clients of the others are answered');
      const { totals } = after;
      const open = Number(totals['acceptedTotal']) - Number(totals['closedTotal']);
      t.equal(open, totals['connections'], 'the totals are still right');
      t.equal(totals['closedByCrashTotal'], clients.lost, 'its clients are counted as lost');
      const more = await Clients.open(t, server.port, 60);
      t.equal(await more.answering(), 60, 'new clients are served');
      await server.stop();
    },
  );
}

const LIMIT = 20;

/** How many of some clients of one address are served. */
async function servedOf(t: Test, port: number, from: string, count: number): Promise<number> {
  const peers = Array.from({ length: count }, () => new AddressPeer(t, port, 'x', from));
  await until('an echo or an end', () => peers.every((peer) => peer.text === 'x' || peer.isClosed));
  const served = peers.filter(({ isClosed }) => !isClosed).length;
  for (const peer of peers) await peer.close();
  return served;
}

t.test('a worker that overwrites the limit tables stops no other client', { skip }, async (t) => {
  const server = await TestServer.start(t, {
    args: ['--workers', '2', '--connections-per-address', String(LIMIT)],
    expectLog: [/^worker died/, / connections; if it is a proxy, set --trusted-proxies$/],
  });
  t.equal(await servedOf(t, server.port, '127.0.0.2', LIMIT + 5), LIMIT, 'the limit holds');
  const [hostile = -1] = server.workerPids;
  const tables = sharedOf(hostile).filter(({ name }) => name !== 'megacomet-worker');
  t.ok(tables.length > 0, 'it can write them');
  const stays = await Clients.open(t, server.port, 5);
  const contents: [name: string, contentOf: (bytes: number) => Buffer][] = [
    ['ones', filledWith(0xff)],
    ['large numbers', filledWith(0x11)],
    ['random bytes', randomBytes],
    ['zeros', filledWith(0)],
  ];
  for (const [index, [name, contentOf]] of contents.entries()) {
    overwrite(hostile, contentOf, tables);
    const served = await servedOf(t, server.port, `127.0.0.${index + 10}`, 10);
    t.equal(served, 10, `${name}: clients of other addresses are served`);
    t.equal((await server.get('/readyz')).status, 200, `${name}: the manager is ready`);
  }
  t.equal(await stays.answering(), 5, 'open connections stay');
  process.kill(hostile, 'SIGKILL');
  await until('the limit to hold again', async () => {
    return (await servedOf(t, server.port, '127.0.0.3', LIMIT + 5)) === LIMIT;
  });
  t.equal((await server.stats()).workerFaultsTotal, 0);
  await server.stop();
});
