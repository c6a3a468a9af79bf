// Reads values of the kernel from /proc and /sys, through an injected reader. Never lists sockets: a
// million of them in /proc/net/tcp cost 1.4 s of kernel time.
import { readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Reads a small text file; undefined if the file does not exist or is not readable. */
export type Reader = (path: string) => string | undefined;

export const procReader: Reader = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
};

/** A value of the kernel; null, and never 0, if the kernel, namespace or user hides it. */
export type MetricValue = number | null;

function firstNumber(text: string | undefined): MetricValue {
  const match = /-?\d+/.exec(text ?? '');
  return match === null ? null : Number(match[0]);
}

/** A sysctl by its dotted name, such as `net.core.somaxconn`. */
export function sysctl(read: Reader, name: string): MetricValue {
  return firstNumber(read(`/proc/sys/${name.replaceAll('.', '/')}`));
}

/** A sysctl of several numbers, such as `net.ipv4.tcp_mem`; null if it does not exist. */
export function sysctlVector(read: Reader, name: string): readonly number[] | null {
  const numbers = (read(`/proc/sys/${name.replaceAll('.', '/')}`) ?? '').match(/-?\d+/g);
  return numbers === null ? null : numbers.map(Number);
}

export interface SocketCounts {
  /** TCP sockets of this network namespace. */
  readonly tcpInUse: MetricValue;
  /** Sockets without an owner, of the whole host. */
  readonly tcpOrphans: MetricValue;
  readonly tcpTimeWait: MetricValue;
  /** Pages of socket buffers, of the whole host. */
  readonly tcpMemPages: MetricValue;
}

export function readSockets(read: Reader): SocketCounts {
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

/**
 * One counter of /proc/net/netstat or /proc/net/snmp, of this network namespace.
 *
 * @param group - The word before the colon, such as `TcpExt` or `Tcp`.
 */
export function readNetCounter(read: Reader, group: string, name: string): MetricValue {
  const path = group.endsWith('Ext') ? '/proc/net/netstat' : '/proc/net/snmp';
  const lines = (read(path) ?? '').split('\n');
  const at = lines.findIndex((line) => line.startsWith(`${group}:`));
  const index = (lines[at] ?? '').split(' ').indexOf(name);
  return index < 0 ? null : Number((lines[at + 1] ?? '').split(' ')[index]);
}

/** TcpExt counters of this network namespace, in camel case (`listenOverflows`). */
export function readNetstat(read: Reader): Record<string, MetricValue> {
  const values: Record<string, MetricValue> = {};
  for (const name of NETSTAT_NAMES) {
    const key = name.startsWith('TCP') ? `tcp${name.slice(3)}` : `l${name.slice(1)}`;
    values[key] = readNetCounter(read, 'TcpExt', name);
  }
  return values;
}

/** Open files of the whole host: the first column of fs.file-nr. */
export function readFileNr(read: Reader): MetricValue {
  return sysctl(read, 'fs.file-nr');
}

/** A line such as `MemTotal:   123 kB`, in bytes. */
function bytesOfLine(text: string | undefined, name: string): MetricValue {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text ?? '');
  return match === null ? null : Number(match[1]) * 1024;
}

/** A line of /proc/meminfo in bytes. */
export function readMemInfo(read: Reader, name: string): MetricValue {
  return bytesOfLine(read('/proc/meminfo'), name);
}

/**
 * Anonymous memory of a process, in bytes (RssAnon of proc_pid_status(5)). The kernel keeps this
 * count, whereas it walks all page tables for {@link readPrivateBytes}.
 */
export function readAnonymousBytes(read: Reader, pid: number): MetricValue {
  return bytesOfLine(read(`/proc/${pid}/status`), 'RssAnon');
}

/**
 * Private memory of a process, in bytes: the memory that its end would free.
 *
 * Reading smaps_rollup takes about 0.3 ms for each process, so callers cache the value.
 */
export function readPrivateBytes(read: Reader, pid: number): MetricValue {
  const text = read(`/proc/${pid}/smaps_rollup`);
  if (text === undefined) return null;
  let total = 0;
  for (const match of text.matchAll(/^Private_(?:Clean|Dirty|Hugetlb):\s+(\d+) kB/gm)) {
    total += Number(match[1]) * 1024;
  }
  return total;
}

/** Whether a process waits uninterruptibly in the kernel (state D): until then no signal ends it. */
export function isHeld(read: Reader, pid: number): boolean {
  return /^State:\s+D/m.test(read(`/proc/${pid}/status`) ?? '');
}

/** Whether a process is stopped or traced (states T and t): SIGKILL alone ends it. */
export function isStopped(read: Reader, pid: number): boolean {
  return /^State:\s+[Tt]/m.test(read(`/proc/${pid}/status`) ?? '');
}

/** When a process started, in clock ticks after boot; undefined if it has ended. */
export function processStart(read: Reader, pid: number): string | undefined {
  // proc(5): the second field is the name, which may contain blanks; the 22nd is the start.
  return read(`/proc/${pid}/stat`)?.split(') ').at(-1)?.split(' ')[19];
}

/** CPU time of a process and all its threads, in microseconds. */
export function readCpuUs(read: Reader, pid: number): MetricValue {
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
  const ceiling = sysctl(read, 'fs.nr_open');
  if (hard === undefined || hard === 'unlimited') return ceiling ?? 1024;
  // The kernel rejects descriptors from fs.nr_open on, at any limit (fs/file.c expand_files).
  return Math.min(Number(hard), ceiling ?? Infinity);
}

/** Whether this process has a capability, by its bit number (see capabilities(7)). */
export function hasCapability(read: Reader, bit: number): boolean {
  const match = /^CapEff:\s+([0-9a-f]+)/m.exec(read('/proc/self/status') ?? '');
  return match !== null && ((BigInt(`0x${match[1] ?? '0'}`) >> BigInt(bit)) & 1n) === 1n;
}

/** Folders of this process's cgroup and of each of its parents, nearest first. */
function cgroupFolders(read: Reader, controller: string, mount: string): readonly string[] {
  const lines = (read('/proc/self/cgroup') ?? '').split('\n');
  const line = lines.find((text) => {
    const [, names = ''] = text.split(':');
    return controller === '' ? text.startsWith('0::') : names.split(',').includes(controller);
  });
  if (line === undefined) return [];
  let path = line.slice(line.indexOf(':', line.indexOf(':') + 1) + 1);
  const folders = [];
  for (;;) {
    folders.push(`${mount}${path === '/' ? '' : path}`);
    if (path === '/' || path === '') return folders;
    path = path.slice(0, path.lastIndexOf('/')) || '/';
  }
}

/** A cgroup that limits the memory of this process. */
export interface MemoryGroup {
  readonly folder: string;
  readonly isV2: boolean;
  readonly limitBytes: number;
}

/** Every memory limit from this process's cgroup up to the root, v1 or v2, nearest first. */
export function readMemoryGroups(read: Reader): readonly MemoryGroup[] {
  const v2 = cgroupFolders(read, '', '/sys/fs/cgroup').map((folder) => ({
    folder,
    isV2: true,
    limitBytes: firstNumber(read(`${folder}/memory.max`)),
  }));
  const v1 = cgroupFolders(read, 'memory', '/sys/fs/cgroup/memory').map((folder) => ({
    folder,
    isV2: false,
    limitBytes: firstNumber(read(`${folder}/memory.limit_in_bytes`)),
  }));
  // v1 writes "no limit" as the largest multiple of a page in 63 bits.
  return [...v2, ...v1].filter(
    (group): group is MemoryGroup => group.limitBytes !== null && group.limitBytes < 2 ** 60,
  );
}

/** The lowest limit of {@link readMemoryGroups}, in bytes; null without a limit. */
export function readMemoryLimit(read: Reader): MetricValue {
  const limits = readMemoryGroups(read).map((group) => group.limitBytes);
  return limits.length === 0 ? null : Math.min(...limits);
}

/** Cores in a list such as `0-3,8`. */
function coresOf(list: string | undefined): number {
  if (list === undefined) return availableParallelism();
  let cores = 0;
  for (const range of list.split(',')) {
    const [first = 0, last = first] = range.split('-').map(Number);
    cores += last - first + 1;
  }
  return cores;
}

/** Cores that this process may use: its affinity, and the quota of its cgroups, rounded up. */
export function readCores(read: Reader): number {
  const affinity = /^Cpus_allowed_list:\s+(\S+)/m.exec(read('/proc/self/status') ?? '');
  let cores = coresOf(affinity?.[1]);
  for (const at of cgroupFolders(read, '', '/sys/fs/cgroup')) {
    const [quota, period] = (read(`${at}/cpu.max`) ?? '').split(' ').map(Number);
    if (quota && period) cores = Math.min(cores, Math.ceil(quota / period));
  }
  for (const at of cgroupFolders(read, 'cpu', '/sys/fs/cgroup/cpu')) {
    const quota = firstNumber(read(`${at}/cpu.cfs_quota_us`));
    const period = firstNumber(read(`${at}/cpu.cfs_period_us`));
    if (quota !== null && quota > 0 && period) cores = Math.min(cores, Math.ceil(quota / period));
  }
  return Math.max(1, cores);
}

/** Whether this kernel supports IPv6. */
export function hasIpv6(read: Reader): boolean {
  return read('/proc/net/if_inet6') !== undefined;
}
