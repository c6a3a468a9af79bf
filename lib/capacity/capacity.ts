// Computes the workers and connections that this machine allows, and the limit that binds first.
// Pure functions over values of the kernel; sizing.ts has the formulas.
import {
  readCores,
  readDescriptorLimit,
  readFileNr,
  readMemInfo,
  readMemoryLimit,
  sysctl,
  type MetricValue,
  type Reader,
} from '../system/kernel.js';
import { MegacometError } from '../base/errors.js';
import { DESCRIPTOR_RESERVE, SLOTS_MAX } from '../base/native-constants.js';
import {
  CLIENT_KERNEL_BYTES,
  CONNECTION_KERNEL_BYTES,
  connectionsInCgroup,
  connectionsInMemory,
  reserveBytes,
  withHeadroom,
  WORKER_BYTES,
  type Costs,
  type TlsLoad,
} from './sizing.js';

export interface MachineLimits {
  readonly cores: number;
  /** Hard limit of open files per process. */
  readonly descriptors: number;
  readonly memoryTotalBytes: number;
  /** Memory that the host has available now. */
  readonly memoryFreeBytes: number;
  /** Limit of the memory cgroup, assumed to be unused by other programs; null without a limit. */
  readonly memoryCgroupBytes: MetricValue;
  /** Files that the host can still open; null if it has no limit. */
  readonly filesFree: MetricValue;
  readonly epollWatches: MetricValue;
}

/**
 * Descriptors of a worker besides its connections: 19 of Node 20, the control stream, the segment,
 * epoll and the spare descriptor. This is an estimate for planning; a worker counts its own.
 */
const WORKER_DESCRIPTORS = 32;

/** Costs on Linux 6.18 with 4 KiB pages. A start does not measure them, because it must not wait. */
const COSTS: Costs = {
  pageBytes: 4096,
  connectionBytes: CONNECTION_KERNEL_BYTES,
  clientBytes: CLIENT_KERNEL_BYTES,
};

export function readMachineLimits(read: Reader): MachineLimits {
  const total = readMemInfo(read, 'MemTotal') ?? 0;
  const cgroup = readMemoryLimit(read);
  const fileMax = sysctl(read, 'fs.file-max');
  return {
    cores: readCores(read),
    descriptors: readDescriptorLimit(read),
    memoryTotalBytes: Math.min(total, cgroup ?? Infinity),
    memoryFreeBytes: readMemInfo(read, 'MemAvailable') ?? total,
    memoryCgroupBytes: cgroup,
    filesFree: fileMax === null ? null : fileMax - (readFileNr(read) ?? 0),
    epollWatches: sysctl(read, 'fs.epoll.max_user_watches'),
  };
}

/** Connections that one worker can hold under the limit of open files. */
export function usableDescriptors(limits: MachineLimits, listeners: number): number {
  return limits.descriptors - WORKER_DESCRIPTORS - listeners - DESCRIPTOR_RESERVE;
}

/** The capacity of a server, which listen() returns. */
export interface Capacity {
  /** Worker processes. */
  readonly workers: number;
  /** Connections that one worker may hold. */
  readonly workerConnectionsMax: number;
  /** Connections that the server may hold: the option's value, or the limit of the machine. */
  readonly maxConnections: number;
  /** The limit that binds first, as a phrase: `RLIMIT_NOFILE (20000 per process)`. */
  readonly binding: string;
  /** A sentence if the machine cannot hold the requested connections; else null. */
  readonly warning: string | null;
}

interface Ceiling {
  readonly connections: number;
  readonly name: string;
}

function machineCeilings(
  limits: MachineLimits,
  workers: number,
  tls: TlsLoad | undefined,
): Ceiling[] {
  // Idle connections only: the doctor also checks the memory of a message to all clients.
  const idle = {
    ...{ connections: 1, clients: 0, workers, acceptRate: 0, burst: 0, messageBytes: 0 },
    ...(tls === undefined ? {} : { tls }),
  };
  const reserve = reserveBytes(limits.memoryTotalBytes);
  const inMemory = connectionsInMemory(limits.memoryFreeBytes, reserve, idle, COSTS);
  const ceilings: Ceiling[] = [
    {
      connections: Math.max(1, inMemory),
      name: `memory (${Math.round(limits.memoryFreeBytes / 2 ** 20)} MiB available)`,
    },
  ];
  if (limits.memoryCgroupBytes !== null) {
    // The formula of the doctor: the kernel charges a group more than it takes from free memory.
    const inGroup = connectionsInCgroup(limits.memoryCgroupBytes, idle, COSTS);
    ceilings.push({
      connections: Math.max(1, inGroup),
      name: `memory cgroup (${Math.round(limits.memoryCgroupBytes / 2 ** 20)} MiB)`,
    });
  }
  if (limits.filesFree !== null) {
    ceilings.push({
      connections: limits.filesFree,
      name: `fs.file-max (${limits.filesFree} left)`,
    });
  }
  if (limits.epollWatches !== null) {
    ceilings.push({
      connections: limits.epollWatches,
      name: `fs.epoll.max_user_watches (${limits.epollWatches})`,
    });
  }
  return ceilings;
}

function lowest(ceilings: readonly Ceiling[]): Ceiling {
  return ceilings.reduce((least, next) => (next.connections < least.connections ? next : least));
}

/** The most workers: they may take a tenth of the memory, and each needs a slot. */
export function workersMax(limits: MachineLimits): number {
  const affordable = Math.floor(limits.memoryTotalBytes / 10 / WORKER_BYTES);
  return Math.min(SLOTS_MAX, Math.max(limits.cores, affordable));
}

function chooseWorkers(
  limits: MachineLimits,
  usable: number,
  workers: number | 'auto',
  maxConnections: number | undefined,
): number {
  if (workers !== 'auto') return workers;
  const needed = Math.ceil(withHeadroom(maxConnections ?? 0) / usable);
  const chosen = Math.max(limits.cores, needed);
  const most = workersMax(limits);
  if (chosen > most) {
    throw new MegacometError(
      'ERR_CAPACITY',
      `${maxConnections ?? 0} connections need ${chosen} workers at ${limits.descriptors} open ` +
        `files each, but this machine affords ${most}: raise the limit of open files`,
    );
  }
  return Math.min(chosen, SLOTS_MAX);
}

/**
 * Plans the workers of one server.
 *
 * @param listeners - Listening sockets that each worker inherits.
 * @param tls - Absent for connections without TLS.
 * @throws MegacometError `ERR_CAPACITY`; the message names the limit to raise.
 */
export function planCapacity(
  limits: MachineLimits,
  workersWanted: number | 'auto',
  connectionsWanted: number | undefined,
  listeners: number,
  tls?: TlsLoad,
): Capacity {
  const usable = usableDescriptors(limits, listeners);
  if (usable < 1) {
    throw new MegacometError(
      'ERR_CAPACITY',
      `a limit of ${limits.descriptors} open files leaves none for connections: raise the limit`,
    );
  }
  const workers = chooseWorkers(limits, usable, workersWanted, connectionsWanted);
  const nofile = {
    connections: workers * usable,
    name: `RLIMIT_NOFILE (${limits.descriptors} open files per process)`,
  };
  const machine = lowest([nofile, ...machineCeilings(limits, workers, tls)]);
  if (connectionsWanted === undefined) {
    return {
      workers,
      workerConnectionsMax: Math.min(usable, machine.connections),
      maxConnections: machine.connections,
      binding: machine.name,
      warning: null,
    };
  }
  if (connectionsWanted > nofile.connections) {
    throw new MegacometError(
      'ERR_CAPACITY',
      `${workers} workers hold ${nofile.connections} connections at ${limits.descriptors} open ` +
        `files each, fewer than ${connectionsWanted}: raise the limit of open files, or --workers`,
    );
  }
  const fits = connectionsWanted <= machine.connections;
  return {
    workers,
    workerConnectionsMax: Math.min(usable, connectionsWanted),
    maxConnections: connectionsWanted,
    binding: fits ? '--max-connections' : machine.name,
    warning: fits
      ? null
      : `${connectionsWanted} connections are more than ${machine.name} allows: ` +
        `about ${machine.connections}`,
  };
}
