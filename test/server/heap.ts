// No connection costs a heap allocation: counted in a real worker.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { Clients, compile, TestServer, until } from '../support/helpers.js';

const CONNECTIONS = 4000;
const REPORTED = 3500;
/**
 * Allocations that may grow with the number of connections: libev's arrays, which double (descriptors,
 * changes, pending events, epoll's events), and the CapacityChange frame.
 */
const GROWTHS_MAX = 64;

t.test('accepting thousands of connections allocates nothing per connection', async (t) => {
  const folder = t.testdir();
  const server = await TestServer.start(t, {
    args: ['--workers', '1'],
    env: { LD_PRELOAD: compile(t, 'heap.c', '-shared', '-fPIC'), TMPDIR: folder },
  });
  const clients = await Clients.open(t, server.port, CONNECTIONS);
  const [accepts, allocations] = await until('the count of a few thousand accepts', () => {
    for (const name of readdirSync(folder).filter((file) => file.startsWith('heap-'))) {
      const counts = readFileSync(join(folder, name), 'utf8').trim().split(' ').map(Number);
      if ((counts[0] ?? 0) >= REPORTED) return counts;
    }
    return undefined;
  });
  t.ok((accepts ?? 0) >= REPORTED, `${accepts} accepts were counted`);
  t.ok((allocations ?? Infinity) <= GROWTHS_MAX, `${allocations} allocations between them`);
  clients.destroy();
  await server.stop();
});
