// Headroom of limits: the use and unused share of each limit, and limits that do not apply.
import t from 'tap';

import { readHeadrooms, type Headroom } from '../../lib/stats/headroom.js';
import type { Reader } from '../../lib/system/kernel.js';

type Files = Readonly<Record<string, string>>;

const FILES: Files = {
  '/proc/sys/fs/file-max': '2000000\n',
  '/proc/sys/fs/file-nr': '500000\t0\t2000000\n',
  '/proc/sys/fs/epoll/max_user_watches': '1000000\n',
  '/proc/sys/net/ipv4/tcp_mem': '100\t200\t300\n',
  '/proc/net/sockstat': 'TCP: inuse 5 orphan 0 tw 1 alloc 6 mem 50\n',
  '/proc/sys/net/netfilter/nf_conntrack_count': '90\n',
  '/proc/sys/net/netfilter/nf_conntrack_max': '100\n',
};

function rooms(changes: Readonly<Record<string, string | undefined>> = {}): readonly Headroom[] {
  const files: Readonly<Record<string, string | undefined>> = { ...FILES, ...changes };
  const read: Reader = (path) => files[path];
  return readHeadrooms(read, 200_000, 800_000);
}

/** The headroom of limits by name. */
function left(found: readonly Headroom[]): Record<string, number> {
  return Object.fromEntries(
    found.map(({ limit, headroom }) => [limit, Number(headroom.toFixed(3))]),
  );
}

const ALL = {
  'max-connections': 0.75,
  'fs.file-max': 0.75,
  'fs.epoll.max_user_watches': 0.8,
  'net.ipv4.tcp_mem': 0.75,
  'net.netfilter.nf_conntrack_max': 0.1,
};

/** All limits without the given ones. */
function without(...names: string[]): Record<string, number> {
  return Object.fromEntries(Object.entries(ALL).filter(([name]) => !names.includes(name)));
}

t.test('each limit has its used part, its maximum and its headroom', (t) => {
  const found = rooms();
  t.same(left(found), ALL);
  t.match(found, [
    { limit: 'max-connections', used: 200_000, max: 800_000 },
    { limit: 'fs.file-max', used: 500_000, max: 2_000_000 },
    { limit: 'fs.epoll.max_user_watches', used: 200_000, max: 1_000_000 },
    { limit: 'net.ipv4.tcp_mem', used: 50, max: 200 },
    { limit: 'net.netfilter.nf_conntrack_max', used: 90, max: 100 },
  ]);
  for (const { limit, fix } of found) {
    t.ok(fix.includes(limit), `the fix of ${limit} names it: ${fix}`);
  }
  t.end();
});

t.test('the limit of socket memory is its pressure, not its maximum', (t) => {
  const sockstat = 'TCP: inuse 5 orphan 0 tw 1 alloc 6 mem 250\n';
  const memory = rooms({ '/proc/net/sockstat': sockstat }).find(({ limit }) =>
    limit.endsWith('tcp_mem'),
  );
  t.match(
    memory,
    { used: 250, max: 200, headroom: 0 },
    'above it the headroom is 0, never negative',
  );
  t.end();
});

t.test('a limit that the kernel or namespace hides is left out', (t) => {
  const rows: [string, string][] = [
    ['/proc/sys/fs/file-max', 'fs.file-max'],
    ['/proc/sys/fs/file-nr', 'fs.file-max'],
    ['/proc/sys/fs/epoll/max_user_watches', 'fs.epoll.max_user_watches'],
    ['/proc/sys/net/ipv4/tcp_mem', 'net.ipv4.tcp_mem'],
    ['/proc/net/sockstat', 'net.ipv4.tcp_mem'],
    ['/proc/sys/net/netfilter/nf_conntrack_count', 'net.netfilter.nf_conntrack_max'],
    ['/proc/sys/net/netfilter/nf_conntrack_max', 'net.netfilter.nf_conntrack_max'],
  ];
  for (const [path, limit] of rows) {
    t.same(left(rooms({ [path]: undefined })), without(limit), `without ${path}`);
  }
  const none = readHeadrooms(() => undefined, 1, 2);
  t.same(left(none), { 'max-connections': 0.5 }, '--max-connections is always listed');
  t.end();
});

t.test('connection tracking that is loaded and tracks nothing is left out', (t) => {
  const idle = rooms({ '/proc/sys/net/netfilter/nf_conntrack_count': '0\n' });
  t.same(left(idle), without('net.netfilter.nf_conntrack_max'));
  const endless = rooms({ '/proc/sys/net/netfilter/nf_conntrack_max': '0\n' });
  t.same(
    left(endless),
    without('net.netfilter.nf_conntrack_max'),
    'connection tracking without a limit is left out',
  );
  t.end();
});

t.test('a limit of 2^63 - 1 has a headroom of 1', (t) => {
  const most = '9223372036854775807\n';
  t.equal(left(rooms({ '/proc/sys/fs/file-max': most }))['fs.file-max'], 1);
  t.end();
});
