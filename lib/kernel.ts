// What the kernel tells in /proc and /sys, read through an injected reader. Level 1.
// Never lists sockets: a million of them in /proc/net/tcp cost 1.4 s of kernel time.
import { readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Reads a small text file; undefined where it does not exist or may not be read. */
export type Reader = (path: string) => string | undefined;

export const procReader: Reader = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
};

/** A figure that some kernels, namespaces or users cannot see is null, never 0. */
export type Figure = number | null;

function firstNumber(text: string | undefined): Figure {
  const match = /-?\d+/.exec(text ?? '');
  return match === null ? null : Number(match[0]);
}

/** A sysctl by its dotted name, such as `net.core.somaxconn`. */
export function sysctl(read: Reader, name: string): Figure {
  return firstNumber(read(`/proc/sys/${name.replaceAll('.', '/')}`));
}

export interface SocketFigures {
  /** TCP sockets of this network namespace. */
  readonly tcpInUse: Figure;
  /** Sockets without an owner, of the whole host. */
  readonly tcpOrphans: Figure;
  readonly tcpTimeWait: Figure;
  /** Pages of socket buffers, of the whole host. */
  readonly tcpMemPages: Figure;
}

export function readSockets(read: Reader): SocketFigures {
  const v4 = /TCP: inuse (\d+) orphan (\d+) tw (\d+) alloc \d+ mem (\d+)/.exec(
    read('/proc/net/sockstat') ?? '',
  );
  const v6 = /TCP6: inuse (\d+)/.exec(read('/proc/net/sockstat6') ?? '');
  if (v4 === null) {
    return { tcpInUse: null, tcpOrphans: null, tcpTimeWait: null, tcpMemPages: null };
  }
  return {
    tcpInUse: Number(v4[1]) + Number(v6?.[1] ?? 0),
    tcpOrphans: Number(v4[2]),
    tcpTimeWait: Number(v4[3]),
    tcpMemPages: Number(v4[4]),
  };
}

/** The TcpExt counters that show that a limit was hit, by their kernel names. */
const NETSTAT_NAMES = [
  'ListenOverflows',
  'ListenDrops',
  'TCPReqQFullDoCookies',
  'TCPReqQFullDrop',
  'TCPTimeWaitOverflow',
  'TCPMemoryPressures',
  'TCPAbortOnMemory',
  'TCPAbortOnTimeout',
] as const;

/** TcpExt counters of this network namespace, in camel case (`listenOverflows`). */
export function readNetstat(read: Reader): Record<string, Figure> {
  const lines = (read('/proc/net/netstat') ?? '').split('\n');
  const at = lines.findIndex((line) => line.startsWith('TcpExt:'));
  const names = (lines[at] ?? '').split(' ');
  const values = (lines[at + 1] ?? '').split(' ');
  const figures: Record<string, Figure> = {};
  for (const name of NETSTAT_NAMES) {
    const index = names.indexOf(name);
    const key = name.startsWith('TCP') ? `tcp${name.slice(3)}` : `l${name.slice(1)}`;
    figures[key] = index < 0 ? null : Number(values[index]);
  }
  return figures;
}

/** Open files of the whole host: the first column of fs.file-nr. */
export function readFileNr(read: Reader): Figure {
  return sysctl(read, 'fs.file-nr');
}

/** A line of /proc/meminfo in bytes. */
export function readMemInfo(read: Reader, name: string): Figure {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(read('/proc/meminfo') ?? '');
  return match === null ? null : Number(match[1]) * 1024;
}

/**
 * Memory that only this process has, in bytes: what ending it would free.
 *
 * smaps_rollup costs about 0.3 ms a process, so callers keep the answer for a while.
 */
export function readPrivateBytes(read: Reader, pid: number): Figure {
  const text = read(`/proc/${pid}/smaps_rollup`);
  if (text === undefined) return null;
  let total = 0;
  for (const match of text.matchAll(/^Private_(?:Clean|Dirty|Hugetlb):\s+(\d+) kB/gm)) {
    total += Number(match[1]) * 1024;
  }
  return total;
}

/** CPU time of a process and all its threads, in microseconds. */
export function readCpuUs(read: Reader, pid: number): Figure {
  let total = 0;
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      // The first field is nanoseconds on a core; utime and stime tick in hundredths of a second.
      total += Number((read(`/proc/${pid}/task/${task}/schedstat`) ?? '0').split(' ')[0]);
    }
  } catch {
    return null;
  }
  return total / 1000;
}

/** The hard limit of open files of this process; workers raise their soft limit to it. */
export function readDescriptorLimit(read: Reader): number {
  const match = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(
    read('/proc/self/limits') ?? '',
  );
  const hard = match?.[2];
  return hard === undefined || hard === 'unlimited'
    ? (sysctl(read, 'fs.nr_open') ?? 1024)
    : Number(hard);
}

/** Whether this process has a capability, by its bit number (see capabilities(7)). */
export function hasCapability(read: Reader, bit: number): boolean {
  const match = /^CapEff:\s+([0-9a-f]+)/m.exec(read('/proc/self/status') ?? '');
  return match !== null && ((BigInt(`0x${match[1] ?? '0'}`) >> BigInt(bit)) & 1n) === 1n;
}

/** CAP_SYS_ADMIN exempts from fs.file-max (fs/file_table.c). */
export const CAP_SYS_ADMIN = 21;

interface Cgroup {
  /** Folder of this process's cgroup, and of each of its parents, nearest first. */
  readonly folders: readonly string[];
}

function cgroupOf(read: Reader, controller: string, mount: string): Cgroup {
  const lines = (read('/proc/self/cgroup') ?? '').split('\n');
  const line = lines.find((text) => {
    const [, names = ''] = text.split(':');
    return controller === '' ? text.startsWith('0::') : names.split(',').includes(controller);
  });
  if (line === undefined) return { folders: [] };
  let path = line.slice(line.indexOf(':', line.indexOf(':') + 1) + 1);
  const folders = [];
  for (;;) {
    folders.push(`${mount}${path === '/' ? '' : path}`);
    if (path === '/' || path === '') return { folders };
    path = path.slice(0, path.lastIndexOf('/')) || '/';
  }
}

/** The tightest memory limit of this process's cgroups, v1 or v2, in bytes; null without one. */
export function readMemoryLimit(read: Reader): Figure {
  const v2 = cgroupOf(read, '', '/sys/fs/cgroup').folders.map((at) => `${at}/memory.max`);
  const v1 = cgroupOf(read, 'memory', '/sys/fs/cgroup/memory').folders.map(
    (at) => `${at}/memory.limit_in_bytes`,
  );
  const limits = [...v2, ...v1].map((path) => firstNumber(read(path)));
  const real = limits.filter((value): value is number => value !== null && value < 2 ** 60);
  return real.length === 0 ? null : Math.min(...real);
}

/** Cores that this process may use: its affinity, and the quota of its cgroups, rounded up. */
export function readCores(read: Reader): number {
  let cores = availableParallelism();
  for (const at of cgroupOf(read, '', '/sys/fs/cgroup').folders) {
    const [quota, period] = (read(`${at}/cpu.max`) ?? '').split(' ').map(Number);
    if (quota && period) cores = Math.min(cores, Math.ceil(quota / period));
  }
  for (const at of cgroupOf(read, 'cpu', '/sys/fs/cgroup/cpu').folders) {
    const quota = firstNumber(read(`${at}/cpu.cfs_quota_us`));
    const period = firstNumber(read(`${at}/cpu.cfs_period_us`));
    if (quota !== null && quota > 0 && period) cores = Math.min(cores, Math.ceil(quota / period));
  }
  return Math.max(1, cores);
}

/** Whether this kernel has IPv6 at all. */
export function hasIpv6(read: Reader): boolean {
  return read('/proc/net/if_inet6') !== undefined;
}
