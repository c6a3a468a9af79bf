// The workers and connections that a machine allows: values of the formula, the limit that binds, and
// errors.
import t from 'tap';

import {
  type MachineLimits,
  planCapacity,
  readMachineLimits,
} from '../../lib/capacity/capacity.js';
import { MegacometError } from '../../lib/base/errors.js';

const GIB = 2 ** 30;
const machine: MachineLimits = {
  cores: 2,
  descriptors: 20_000,
  memoryTotalBytes: 24 * GIB,
  memoryFreeBytes: 22 * GIB,
  memoryCgroupBytes: null,
  filesFree: null,
  epollWatches: null,
};

function complaint(
  limits: Partial<MachineLimits>,
  workers: number | 'auto',
  wanted?: number,
): string {
  try {
    planCapacity({ ...machine, ...limits }, workers, wanted, 1);
    return '';
  } catch (error) {
    if (!(error instanceof MegacometError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

t.test('workers follow from connections, files and cores', (t) => {
  const rows: [Partial<MachineLimits>, number | undefined, number][] = [
    // A worker holds 20,000 - 32 - 1 - 64 = 19,903; a tenth is headroom.
    [{}, 1_000_000, 56],
    [{}, 100_000, 6],
    [{}, 18_093, 2],
    [{}, 1, 2],
    [{}, undefined, 2],
    [{ cores: 64 }, 1_000_000, 64],
    [{ descriptors: 1_048_576 }, 1_000_000, 2],
    [{ descriptors: 1_048_576, cores: 8 }, 1_000_000, 8],
    [{ descriptors: 1024 }, 100_000, 119],
  ];
  for (const [limits, wanted, workers] of rows) {
    const plan = planCapacity({ ...machine, ...limits }, 'auto', wanted, 1);
    t.equal(plan.workers, workers, `${wanted ?? 'any'} with ${JSON.stringify(limits)}`);
    t.ok(
      plan.workers * plan.workerConnectionsMax >= plan.maxConnections,
      'the workers hold all connections',
    );
    if (wanted !== undefined) t.equal(plan.maxConnections, wanted);
    t.equal(plan.warning, null);
  }
  t.end();
});

t.test('each listener takes a descriptor', (t) => {
  const one = planCapacity(machine, 1, undefined, 1);
  const ten = planCapacity(machine, 1, undefined, 10);
  t.equal(one.maxConnections - ten.maxConnections, 9);
  t.end();
});

t.test('the capacity names the limit that binds', (t) => {
  const rows: [Partial<MachineLimits>, number, RegExp][] = [
    [{}, 39_806, /^RLIMIT_NOFILE \(20000 open files per process\)$/],
    [{ filesFree: 5000 }, 5000, /^fs\.file-max \(5000 left\)$/],
    [{ epollWatches: 7000 }, 7000, /^fs\.epoll\.max_user_watches \(7000\)$/],
    // 1.2 GiB − 1 GiB − 2 · 9 MB − 100 MB, by 4196 bytes.
    [{ memoryFreeBytes: 1.2 * GIB }, 23_057, /^memory \(1229 MiB available\)$/],
    // 0.25 GiB − 2 · 9 MB − 100 MB, by 1.2 · 4296 bytes, like the doctor.
    [{ memoryCgroupBytes: GIB / 4 }, 29_181, /^memory cgroup \(256 MiB\)$/],
    [{ memoryFreeBytes: 0 }, 1, /^memory \(0 MiB available\)$/],
  ];
  for (const [limits, most, binding] of rows) {
    const plan = planCapacity({ ...machine, ...limits }, 'auto', undefined, 1);
    t.match(plan.binding, binding);
    t.equal(plan.maxConnections, most, plan.binding);
    t.ok(
      plan.workerConnectionsMax <= most,
      'the limit of one worker is at most that of the server',
    );
  }
  t.equal(planCapacity(machine, 'auto', 1000, 1).binding, '--max-connections');
  t.end();
});

t.test('more than memory, files or watches allow is a warning that names the limit', (t) => {
  const limits = { ...machine, epollWatches: 500 };
  const plan = planCapacity(limits, 'auto', 1000, 1);
  t.equal(plan.maxConnections, 1000, 'the requested number is kept');
  t.match(plan.warning, /1000 connections are more than fs\.epoll.* \(500\) allows: about 500/);
  t.end();
});

t.test('an impossible number is an error that names the limit to raise', (t) => {
  t.match(
    complaint({}, 2, 50_000),
    /^ERR_CAPACITY: 2 workers hold 39806 connections at 20000 open files each, fewer than 50000: raise/,
  );
  t.match(
    complaint({ descriptors: 97 }, 'auto'),
    /^ERR_CAPACITY: a limit of 97 open files leaves none/,
  );
  t.equal(complaint({ descriptors: 98 }, 'auto'), '', 'one connection is possible');
  t.match(
    complaint({ descriptors: 1024 }, 'auto', 1_000_000),
    /^ERR_CAPACITY: 1000000 connections need 1187 workers .* affords 286: raise the limit of open/,
  );
  t.match(complaint({ memoryTotalBytes: GIB }, 'auto', 1_000_000), /affords 11: raise/);
  t.end();
});

t.test('a cgroup counts as the memory of the machine', (t) => {
  const files: Record<string, string> = {
    '/proc/meminfo': 'MemTotal:       24000000 kB\nMemAvailable:   23000000 kB\n',
    '/proc/self/cgroup': '0::/box\n',
    '/sys/fs/cgroup/box/memory.max': '1073741824\n',
    '/proc/self/limits': 'Max open files            1024                 20000     files\n',
    '/proc/sys/fs/file-max': '1000\n',
    '/proc/sys/fs/file-nr': '400\t0\t1000\n',
    '/proc/self/status': 'CapEff:\t0000000000000000\n',
  };
  const limits = readMachineLimits((path) => files[path]);
  t.equal(limits.memoryTotalBytes, GIB);
  t.equal(limits.memoryFreeBytes, 23_000_000 * 1024, 'the available memory is that of the host');
  t.equal(limits.memoryCgroupBytes, GIB);
  t.equal(limits.descriptors, 20_000, 'the hard limit counts');
  t.equal(limits.filesFree, 600);
  files['/proc/self/status'] = 'CapEff:\t000001ffffffffff\n';
  const { filesFree } = readMachineLimits((path) => files[path]);
  t.equal(filesFree, 600, 'the workers of root have no capability');
  t.end();
});
