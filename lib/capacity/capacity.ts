// How many workers and connections this machine allows, and which limit binds first.
// Pure functions over the kernel's figures; the formulas stand here only.
import {
  CAP_SYS_ADMIN,
  hasCapability,
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
} from './sizing.js';

export interface MachineLimits {
  readonly cores: number;
  /** Hard limit of open files per process. */
  readonly descriptors: number;
  readonly memoryTotalBytes: number;
  /** What the host has free now. */
  readonly memoryFreeBytes: number;
  /** Limit of the memory cgroup, of which nobody else takes a part; null without one. */
  readonly memoryCgroupBytes: MetricValue;
  /** Files that the host still has; null where root is exempt. */
  readonly filesFree: MetricValue;
  readonly epollWatches: MetricValue;
}

/**
 * Descriptors of a worker besides its connections: what Node opens (19 on Node 20), the control
 * stream, the segment, epoll and the spare. An estimate for planning; a worker counts its own.
 */
const WORKER_DESCRIPTORS = 32;

/** Of Linux 6.18 with 4 KiB pages: a start must not wait for root's view of the slab. */
const COSTS: Costs = {
  pageBytes: 4096,
  connectionBytes: CONNECTION_KERNEL_BYTES,
  clientBytes: CLIENT_KERNEL_BYTES,
};

export function readMachineLimits(read: Reader): MachineLimits {
  const total = readMemInfo(read, 'MemTotal') ?? 0;
  const cgroup = readMemoryLimit(read);
  const fileMax = sysctl(read, 'fs.file-max');
  const isExempt = hasCapability(read, CAP_SYS_ADMIN);
  return {
    cores: readCores(read),
    descriptors: readDescriptorLimit(read),
    memoryTotalBytes: Math.min(total, cgroup ?? Infinity),
    memoryFreeBytes: readMemInfo(read, 'MemAvailable') ?? total,
    memoryCgroupBytes: cgroup,
    filesFree: fileMax === null || isExempt ? null : fileMax - (readFileNr(read) ?? 0),
    epollWatches: sysctl(read, 'fs.epoll.max_user_watches'),
  };
}

/** Connections that one worker can hold under the limit of open files. */
export function usableDescriptors(limits: MachineLimits, listeners: number): number {
  return limits.descriptors - WORKER_DESCRIPTORS - listeners - DESCRIPTOR_RESERVE;
}

/** What a server can hold, as listen() answers it. */
export interface Capacity {
  /** Worker processes. */
  readonly workers: number;
  /** What one worker may hold at most. */
  readonly workerConnectionsMax: number;
  /** What the whole server holds: as many as were asked for, or as the machine allows. */
  readonly maxConnections: number;
  /** The limit that binds first, as a phrase: `RLIMIT_NOFILE (20000 per process)`. */
  readonly binding: string;
  /** Set when the machine cannot hold what was asked for, as a sentence. */
  readonly warning: string | null;
}

interface Ceiling {
  readonly connections: number;
  readonly name: string;
}

function machineCeilings(limits: MachineLimits, workers: number): Ceiling[] {
  // Idle: what a message to everybody takes is the doctor's question.
  const idle = { connections: 1, clients: 0, workers, acceptRate: 0, burst: 0, messageBytes: 0 };
  const reserve = reserveBytes(limits.memoryTotalBytes);
  const inMemory = connectionsInMemory(limits.memoryFreeBytes, reserve, idle, COSTS);
  const ceilings: Ceiling[] = [
    {
      connections: Math.max(1, inMemory),
      name: `memory (${Math.round(limits.memoryFreeBytes / 2 ** 20)} MiB available)`,
    },
  ];
  if (limits.memoryCgroupBytes !== null) {
    // The doctor's formula: what is charged to a group is another matter than what is free.
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

/** As many workers as a tenth of the memory affords, and as there are slots. */
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
        `files each, and this machine affords ${most}: raise the limit of open files`,
    );
  }
  return Math.min(chosen, SLOTS_MAX);
}

/**
 * Plans the workers of one server.
 *
 * @param listeners - Listening sockets that each worker inherits.
 * @throws MegacometError `ERR_CAPACITY`, naming the limit to raise.
 */
export function planCapacity(
  limits: MachineLimits,
  workersWanted: number | 'auto',
  connectionsWanted: number | undefined,
  listeners: number,
): Capacity {
  const usable = usableDescriptors(limits, listeners);
  if (usable < 1) {
    throw new MegacometError(
      'ERR_CAPACITY',
      `a limit of ${limits.descriptors} open files leaves a worker none for connections: raise it`,
    );
  }
  const workers = chooseWorkers(limits, usable, workersWanted, connectionsWanted);
  const nofile = {
    connections: workers * usable,
    name: `RLIMIT_NOFILE (${limits.descriptors} open files per process)`,
  };
  const machine = lowest([nofile, ...machineCeilings(limits, workers)]);
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
        `files each, not ${connectionsWanted}: raise the limit of open files, or --workers`,
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
