// Values of /proc and /sys from recorded files and from missing files, through an injected reader.
import t from 'tap';

import {
  hasCapability,
  hasIpv6,
  procReader,
  readCores,
  readCpuUs,
  readDescriptorLimit,
  readFileNr,
  readMemInfo,
  readMemoryLimit,
  readNetstat,
  readPrivateBytes,
  readSockets,
  sysctl,
  type Reader,
} from '../../lib/system/kernel.js';

function reader(files: Record<string, string>): Reader {
  return (path) => files[path];
}
const nothing = reader({});
const CAP_SYS_RESOURCE = 24;

t.test('sockstat gives sockets, orphans, time-waits and pages', (t) => {
  const read = reader({
    '/proc/net/sockstat':
      'sockets: used 1000123\nTCP: inuse 7 orphan 2 tw 31 alloc 1000009 mem 4\n' +
      'UDP: inuse 1 mem 0\n',
    '/proc/net/sockstat6': 'TCP6: inuse 1000000\nUDP6: inuse 0\n',
  });
  t.same(readSockets(read), {
    tcpInUse: 1_000_007,
    tcpOrphans: 2,
    tcpTimeWait: 31,
    tcpMemPages: 4,
  });
  t.same(
    Object.values(readSockets(nothing)),
    [null, null, null, null],
    'a hidden value is null, never 0',
  );
  t.end();
});

t.test('netstat finds its columns by name', (t) => {
  const read = reader({
    '/proc/net/netstat':
      'TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPMemoryPressures TCPAbortOnTimeout\n' +
      'TcpExt: 1 22 333 4444 55555\nIpExt: InNoRoutes\nIpExt: 9\n',
  });
  const found = readNetstat(read);
  t.equal(found['listenOverflows'], 22);
  t.equal(found['listenDrops'], 333);
  t.equal(found['tcpMemoryPressures'], 4444);
  t.equal(found['tcpAbortOnTimeout'], 55_555);
  t.equal(found['tcpReqQFullDrop'], null, 'a column that this kernel lacks is null');
  t.ok(Object.values(readNetstat(nothing)).every((value) => value === null));
  t.end();
});

t.test('sysctl, meminfo, file-nr and smaps_rollup give numbers', (t) => {
  const read = reader({
    '/proc/sys/net/core/somaxconn': '4096\n',
    '/proc/sys/fs/file-nr': '1056\t0\t9223372036854775807\n',
    '/proc/meminfo': 'MemTotal:       24685152 kB\nMemFree: 1 kB\nMemAvailable:   23123 kB\n',
    '/proc/5/smaps_rollup':
      '00400000-7ffc Rss\nRss: 9999 kB\nPrivate_Clean:  10 kB\nPrivate_Dirty:  20 kB\n' +
      'Private_Hugetlb: 4 kB\n',
  });
  t.equal(sysctl(read, 'net.core.somaxconn'), 4096);
  t.equal(sysctl(read, 'net.core.nowhere'), null);
  t.equal(readFileNr(read), 1056);
  t.equal(readMemInfo(read, 'MemAvailable'), 23_123 * 1024);
  t.equal(readMemInfo(read, 'MemNowhere'), null);
  t.equal(readPrivateBytes(read, 5), 34 * 1024);
  t.equal(readPrivateBytes(read, 6), null);
  t.end();
});

t.test('the hard limit of open files counts, unlimited means fs.nr_open', (t) => {
  const line = (soft: string, hard: string): Record<string, string> => ({
    '/proc/self/limits':
      'Limit                     Soft Limit           Hard Limit           Units\n' +
      `Max open files            ${soft.padEnd(20)} ${hard.padEnd(20)} files\n`,
  });
  t.equal(readDescriptorLimit(reader(line('1024', '20000'))), 20_000);
  const unlimited = { ...line('1024', 'unlimited'), '/proc/sys/fs/nr_open': '1048576\n' };
  t.equal(readDescriptorLimit(reader(unlimited)), 1_048_576);
  t.equal(readDescriptorLimit(nothing), 1024, 'the lowest default if nothing is readable');
  t.end();
});

t.test('capabilities are read by bit', (t) => {
  const status = (mask: string): Reader =>
    reader({ '/proc/self/status': `Uid:\t0\nCapEff:\t${mask}\n` });
  t.equal(hasCapability(status('000001ffffffffff'), CAP_SYS_RESOURCE), true);
  t.equal(
    hasCapability(status('00000000a80425fb'), CAP_SYS_RESOURCE),
    false,
    'a container lacks capabilities',
  );
  t.equal(hasCapability(status('0000000001000000'), CAP_SYS_RESOURCE), true);
  t.equal(hasCapability(nothing, CAP_SYS_RESOURCE), false);
  t.end();
});

t.test('the tightest memory limit of all cgroups above counts', (t) => {
  const v2 = {
    '/proc/self/cgroup': '0::/a/b\n',
    '/sys/fs/cgroup/a/b/memory.max': 'max\n',
    '/sys/fs/cgroup/a/memory.max': '2000\n',
    '/sys/fs/cgroup/memory.max': '3000\n',
  };
  t.equal(readMemoryLimit(reader(v2)), 2000, 'version 2, from a parent');
  const v1 = {
    '/proc/self/cgroup': '4:cpu,cpuacct:/x\n3:memory:/c\n',
    '/sys/fs/cgroup/memory/c/memory.limit_in_bytes': '5000\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
  };
  t.equal(readMemoryLimit(reader(v1)), 5000, 'version 1');
  t.equal(readMemoryLimit(reader({ '/proc/self/cgroup': '0::/\n' })), null, 'no limit');
  t.equal(readMemoryLimit(nothing), null);
  t.end();
});

t.test('the quota of a cgroup lowers the cores, but not below one', (t) => {
  const v2 = (text: string): Reader =>
    reader({ '/proc/self/cgroup': '0::/a\n', '/sys/fs/cgroup/a/cpu.max': text });
  const all = readCores(nothing);
  t.equal(readCores(v2('max 100000\n')), all, 'no quota');
  t.equal(readCores(v2('50000 100000\n')), 1, 'half a core');
  t.equal(readCores(v2('100000 100000\n')), 1);
  t.equal(readCores(v2('99900000 100000\n')), all, 'a quota above the number of cores');
  const v1 = reader({
    '/proc/self/cgroup': '4:cpu,cpuacct:/x\n',
    '/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us': '100000\n',
    '/sys/fs/cgroup/cpu/x/cpu.cfs_period_us': '100000\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
  });
  t.equal(readCores(v1), 1, 'version 1');
  t.end();
});

t.test('the files of this machine are readable', (t) => {
  t.ok(Number(readSockets(procReader).tcpOrphans) >= 0);
  t.ok(Number(readFileNr(procReader)) > 0);
  t.ok(Number(readMemInfo(procReader, 'MemTotal')) > 0);
  t.ok(Number(readPrivateBytes(procReader, process.pid)) > 0);
  t.ok(Number(readCpuUs(procReader, process.pid)) > 0);
  t.equal(readCpuUs(procReader, 2 ** 22 + 1), null, 'no such process');
  t.ok(readDescriptorLimit(procReader) > 3);
  t.equal(typeof hasIpv6(procReader), 'boolean');
  t.equal(procReader('/proc/nowhere'), undefined);
  t.end();
});
