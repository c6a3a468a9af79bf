// The machine as the checks see it: files, folders and the output of small programs. It is real or
// recorded; a recording makes the checks pure: the same input gives the same findings everywhere.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

import {
  hasCapability,
  procReader,
  readMemInfo,
  type MetricValue,
  type Reader,
} from '../system/kernel.js';
import { CLIENT_KERNEL_BYTES, CONNECTION_KERNEL_BYTES, type Costs } from '../capacity/sizing.js';

export interface Machine {
  readonly read: Reader;
  /** Names in a folder, sorted; empty if the folder does not exist. */
  readonly list: (folder: string) => readonly string[];
  /** The output of a program; undefined if the program is missing or fails. */
  readonly run: (program: string, ...args: string[]) => string | undefined;
}

/** Time limit of a program, so that a program that hangs does not stop the checks. */
const RUN_MS_MAX = 3000;

export const thisMachine: Machine = {
  read: procReader,
  list: (folder) => {
    try {
      return readdirSync(folder).sort();
    } catch {
      return [];
    }
  },
  run: (program, ...args) => {
    // ethtool is in a folder for administrators, which the PATH of other users lacks.
    const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
    try {
      return execFileSync(program, args, {
        encoding: 'utf8',
        env: { ...process.env, PATH },
        timeout: RUN_MS_MAX,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    } catch {
      return undefined;
    }
  },
};

/** A recorded machine: the contents of its files, and the output of programs on it. */
export interface Recording {
  readonly about: string;
  readonly files: Readonly<Record<string, string>>;
  /** Output by command line, such as `ethtool -g ens5`. */
  readonly outputs: Readonly<Record<string, string>>;
}

export function recordedMachine(recording: Recording): Machine {
  const paths = Object.keys(recording.files);
  return {
    read: (path) => recording.files[path],
    list: (folder) => {
      const inside = paths.filter((path) => path.startsWith(`${folder}/`));
      const names = inside.map((path) => path.slice(folder.length + 1).split('/')[0] ?? '');
      return [...new Set(names)].sort();
    },
    run: (program, ...args) => recording.outputs[[program, ...args].join(' ')],
  };
}

/** Page size in bytes: 4096, or 65536 on some arm64 kernels. */
export function readPageBytes(machine: Machine): number {
  // /proc/self/smaps names the page size of each mapping; the first one is the program itself.
  const match = /^KernelPageSize:\s+(\d+) kB/m.exec(machine.read('/proc/self/smaps') ?? '');
  return match === null ? 4096 : Number(match[1]) * 1024;
}

/** Bytes of slab pages per object of a cache; null without root, because only root may read it. */
function slabBytes(machine: Machine, cache: string, pageBytes: number): MetricValue {
  const folder = `/sys/kernel/slab/${cache}`;
  const order = Number.parseInt(machine.read(`${folder}/order`) ?? '', 10);
  const objects = Number.parseInt(machine.read(`${folder}/objs_per_slab`) ?? '', 10);
  return Number.isNaN(order) || Number.isNaN(objects) ? null : (2 ** order * pageBytes) / objects;
}

/**
 * The slab caches of one connection: the socket, its inode, file and name, and its entry in epoll.
 * A listener on `::`, the default, makes TCPv6 sockets for IPv4 peers too.
 */
const SOCKET_CACHES = [
  ...['TCPv6', 'sock_inode_cache', 'filp', 'dentry'],
  ...['eventpoll_epi', 'eventpoll_pwq', 'ep_head'],
];
/** The cache to read instead of one that a kernel lacks, such as a kernel without IPv6. */
const FALLBACK_CACHES: Readonly<Record<string, string>> = { TCPv6: 'TCP' };
/** Memory of the LSM and of memory cgroups for one socket, which no cache shows. */
const SOCKET_EXTRA_BYTES = 116;

/** Kernel memory per connection, measured in the slab where the slab can be read. */
export function readCosts(machine: Machine): Costs & { readonly isMeasured: boolean } {
  const pageBytes = readPageBytes(machine);
  let total = SOCKET_EXTRA_BYTES;
  for (const cache of SOCKET_CACHES) {
    const fallback = FALLBACK_CACHES[cache] ?? cache;
    const bytes = slabBytes(machine, cache, pageBytes) ?? slabBytes(machine, fallback, pageBytes);
    // Some kernels merge ep_head with another cache, but never the cache of sockets.
    if (bytes === null && cache !== 'ep_head') {
      return {
        pageBytes,
        connectionBytes: CONNECTION_KERNEL_BYTES,
        clientBytes: CLIENT_KERNEL_BYTES,
        isMeasured: false,
      };
    }
    total += bytes ?? 16;
  }
  const connectionBytes = Math.ceil(total);
  return {
    pageBytes,
    connectionBytes,
    clientBytes: connectionBytes + (CLIENT_KERNEL_BYTES - CONNECTION_KERNEL_BYTES),
    isMeasured: true,
  };
}

const NAMESPACE_SIGN = 'it has a process namespace of its own';

/**
 * The reason to believe that this is a container, or null. A file of the image, such as /.dockerenv,
 * only names the reason: the disk of a virtual machine may be made from such an image. In the process
 * namespace of the kernel PID 2 is kthreadd; PID 1 is read too, because /proc may hide both (hidepid).
 */
export function containerSign(machine: Machine): string | null {
  const mounts = machine.read('/proc/self/mountinfo') ?? '';
  if (/ \/proc\/sys ro[, ]/.test(mounts)) return '/proc/sys is mounted read-only';
  const ids = /^NSpid:\s+(.+)$/m.exec(machine.read('/proc/self/status') ?? '')?.[1] ?? '';
  if (ids.trim().split(/\s+/).length > 1) return NAMESPACE_SIGN;
  const isHidden = machine.read('/proc/1/comm') === undefined;
  if (isHidden || machine.read('/proc/2/comm') === 'kthreadd\n') return null;
  const files = ['/.dockerenv', '/run/.containerenv'];
  const file = files.find((path) => machine.read(path) !== undefined);
  return file === undefined ? NAMESPACE_SIGN : `${file} exists`;
}

/** Whether root can write sysctls here. */
export function canWriteSysctls(machine: Machine): boolean {
  const CAP_NET_ADMIN = 12;
  if (/ \/proc\/sys ro[, ]/.test(machine.read('/proc/self/mountinfo') ?? '')) return false;
  // The capabilities of another user do not tell which capabilities root would have.
  const isRoot = /^Uid:\s+0\s/m.test(machine.read('/proc/self/status') ?? '');
  return !isRoot || hasCapability(machine.read, CAP_NET_ADMIN);
}

export interface Memory {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

export function readMemory(machine: Machine): Memory {
  const totalBytes = readMemInfo(machine.read, 'MemTotal') ?? 0;
  return {
    totalBytes,
    availableBytes: readMemInfo(machine.read, 'MemAvailable') ?? totalBytes,
  };
}

/** Interfaces of hardware, or of a virtual card in a guest; not lo, veth or bridges. */
export function networkCards(machine: Machine): readonly string[] {
  return machine
    .list('/sys/class/net')
    .filter((name) => machine.list(`/sys/class/net/${name}/device`).length > 0);
}

/** Whether the kernel spreads a card's packets over CPUs by itself (RPS). */
export function isSteered(machine: Machine, card: string): boolean {
  const folder = `/sys/class/net/${card}/queues`;
  return machine
    .list(folder)
    .some((name) => /[1-9a-f]/.test(machine.read(`${folder}/${name}/rps_cpus`) ?? ''));
}

/** Sum of the lines of `ethtool -S` whose names match; null if no line matches. */
export function sumStatistics(machine: Machine, card: string, names: RegExp): MetricValue {
  const text = machine.run('ethtool', '-S', card) ?? '';
  const lines = [...text.matchAll(/^\s*([\w.[\]-]+):\s+(\d+)\s*$/gm)];
  const found = lines.filter(([, name = '']) => names.test(name));
  return found.length === 0 ? null : found.reduce((sum, [, , value]) => sum + Number(value), 0);
}

/**
 * Sum over the CPUs of one column of a hexadecimal table, such as /proc/net/stat/nf_conntrack. The
 * first line names the columns.
 */
export function sumColumn(machine: Machine, path: string, name: string): MetricValue {
  const [head = '', ...lines] = (machine.read(path) ?? '').trim().split('\n');
  const column = head.trim().split(/\s+/).indexOf(name);
  if (column < 0) return null;
  return lines.reduce(
    (sum, line) => sum + Number.parseInt(line.trim().split(/\s+/)[column] ?? '0', 16),
    0,
  );
}

/** Sum over the CPUs of a column of /proc/net/softnet_stat: hexadecimal, and for the whole host. */
export function readSoftnet(machine: Machine, column: number): MetricValue {
  const text = machine.read('/proc/net/softnet_stat');
  if (text === undefined) return null;
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.reduce(
    (sum, line) => sum + Number.parseInt(line.split(/\s+/)[column] ?? '0', 16),
    0,
  );
}
