// What connections cost, and what limits they need: every formula of doctor, plan, serve and the
// systemd unit, once. Pure arithmetic; knows neither this machine nor how to read it.

/** What a server, or a test with both ends on one machine, is to carry. */
export interface Load {
  /** Connections accepted and held at once. */
  readonly connections: number;
  /** Connections that a load generator holds on the same machine; 0 in production. */
  readonly clients: number;
  readonly workers: number;
  /** New connections per second at the worst time, when all clients reconnect; not the average. */
  readonly acceptRate: number;
  /** Share of the connections with unacknowledged data at one instant; a broadcast is 1. */
  readonly burst: number;
  /** Bytes of one broadcast message on the wire. */
  readonly messageBytes: number;
}

/** Sizes of kernel objects here: measured where /sys/kernel/slab can be read. */
export interface Costs {
  readonly pageBytes: number;
  /** Kernel memory of one accepted connection. */
  readonly connectionBytes: number;
  /** Kernel memory of a client's end. */
  readonly clientBytes: number;
}

/** Accepted: 4.02 kB of slab on Linux 6.18 with 4 KiB pages, 4.10 kB with cgroup vectors. */
export const CONNECTION_KERNEL_BYTES = 4100;
/** The client's end also has a bind bucket of 256 bytes and what hangs on it: 4.18 to 4.36 kB. */
export const CLIENT_KERNEL_BYTES = 4300;
/** Our own record of a connection, libev's, and slack: 85 to 88 measured. */
export const CONNECTION_USER_BYTES = 96;
/** Private memory of a bare worker, rounded up from 5.4 to 8.6 MB on Node 20 to 26. */
export const WORKER_BYTES = 9_000_000;
/** The manager: Node, the log, the admin server. 70 to 90 MB with a million connections. */
export const MANAGER_BYTES = 100_000_000;
/**
 * Slab that a connection takes while a message to it is unacknowledged, besides the message: skb
 * and head, 1083 bytes measured with 100 and 200 bytes of data.
 */
const SEND_BYTES = 1000;
/** What tcp_mem books of it together with the message, in whole pages. */
const BOOKED_BYTES = 900;
/** Below the largest reserve, an eighth of the machine is left to the rest of it. */
const RESERVE_BYTES_MAX = 2 ** 30;

/**
 * A tenth more: spare places, so that others can take over the share of a worker that died. It
 * suffices because new connections are steered to where there is room.
 */
export function withHeadroom(count: number): number {
  // Not 1.1 times: 1.1 is inexact in binary, and a tenth of 100,000 would be one too many.
  return (11 * count) / 10;
}

/** What systemd gives us for cleaning up after the drain, before it kills. */
const STOP_GRACE_S = 10;
/** The kernel's time to close one socket at exit: 5 to 6.4 µs measured. */
const CLOSE_US = 6;
/** A Node process has 4 to 7 threads; the manager's thread pool is counted apart. */
const TASKS_PER_WORKER = 8;
const TASKS_MANAGER = 64;

/** The listen queue that the kernel and the default of --backlog give, and what a u16 holds. */
const BACKLOG_MIN = 4096;
const BACKLOG_MAX = 65_535;
/** The longest pause of one accept loop that must not cost a client, in seconds. */
export const PAUSE_S = 1;
/** Clients reconnect within this time after an outage: the default accept rate. */
export const STORM_S = 60;
/** A connection is taken to live this long where only conntrack's old entries depend on it. */
const LIFETIME_S = 600;
/** conntrack keeps a closed connection for this long (nf_conntrack_tcp_timeout_time_wait). */
const CONNTRACK_CLOSED_S = 120;

function powerOfTwoAbove(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)));
}

/** New connections per second if every client reconnects within {@link STORM_S}. */
export function defaultAcceptRate(connections: number): number {
  return Math.max(1000, Math.ceil(connections / STORM_S));
}

/**
 * Listen queue of one worker: twice what arrives while its loop pauses for {@link PAUSE_S}. Since
 * Linux 4.4 it also bounds half-open handshakes (inet_csk_reqsk_queue_is_full).
 */
export function backlogNeeded({ acceptRate, workers }: Load): number {
  const wanted = powerOfTwoAbove((2 * acceptRate * PAUSE_S) / workers);
  return Math.min(BACKLOG_MAX, Math.max(BACKLOG_MIN, wanted));
}

/** Open files that one process must be allowed for its share, and a tenth of it. */
export function descriptorsNeeded({ connections, clients, workers }: Load): number {
  return Math.ceil(withHeadroom(Math.max(connections, clients)) / workers) + 1024;
}

/** fs.file-max: sockets, epoll sets, pipes and every other open file of the host count. */
export function filesNeeded({ connections, clients }: Load): number {
  return Math.ceil(withHeadroom(connections + clients)) + 65_536;
}

/** fs.epoll.max_user_watches, counted per user over all processes (fs/eventpoll.c). */
export function watchesNeeded({ connections, clients }: Load): number {
  return Math.ceil(withHeadroom(connections + clients)) + 10_000;
}

/** Memory in bytes, by what it is for. */
export interface MemoryNeed {
  /** Sockets and what hangs on them: unswappable slab. */
  readonly kernelBytes: number;
  /** The processes' own: workers and manager, and as many where clients run here too. */
  readonly userBytes: number;
  /** While a message is on its way to everybody who gets it. */
  readonly burstBytes: number;
  /**
   * 40 % of the slab: without free 32 KiB blocks the allocator falls back to one socket per page
   * (mm/slub.c allocate_slab), and accepted sockets cannot wait for compaction.
   */
  readonly fragmentationBytes: number;
}

/** Processes that hold no connection yet: of the server, of the load generator, or of both. */
function processBytes({ connections, clients, workers }: Load): number {
  const ends = Math.max(1, Number(connections > 0) + Number(clients > 0));
  return ends * (workers * WORKER_BYTES + MANAGER_BYTES);
}

/** Memory of one connection while the message to it is on its way. */
function sendBytes({ messageBytes }: Load): number {
  return SEND_BYTES + messageBytes;
}

/** Pages that one connection books while the message to it is on its way. */
function bookedPages({ messageBytes }: Load, { pageBytes }: Costs): number {
  return Math.ceil((BOOKED_BYTES + messageBytes) / pageBytes);
}

export function memoryNeeded(load: Load, costs: Costs): MemoryNeed {
  const { connections, clients } = load;
  const kernelBytes = connections * costs.connectionBytes + clients * costs.clientBytes;
  return {
    kernelBytes,
    userBytes: (connections + clients) * CONNECTION_USER_BYTES + processBytes(load),
    burstBytes: Math.ceil(load.burst * connections * sendBytes(load)),
    fragmentationBytes: Math.ceil(0.4 * kernelBytes),
  };
}

/** What is left to the rest of the machine. */
export function reserveBytes(totalBytes: number): number {
  return Math.min(RESERVE_BYTES_MAX, Math.floor(totalBytes / 8));
}

/**
 * Connections of a load's kind that fit into `freeBytes`: the inverse of {@link memoryNeeded}, with
 * the message to some of them, without the room against fragmentation.
 */
export function connectionsInMemory(
  freeBytes: number,
  reserve: number,
  load: Load,
  costs: Costs,
): number {
  const server = costs.connectionBytes + CONNECTION_USER_BYTES + load.burst * sendBytes(load);
  const client = costs.clientBytes + CONNECTION_USER_BYTES;
  const each = (load.connections > 0 ? server : 0) + (load.clients > 0 ? client : 0);
  return Math.max(0, Math.floor((freeBytes - reserve - processBytes(load)) / each));
}

/** cgroup vectors: 8 bytes for each of the objects that a connection is made of. */
const CHARGE_BYTES = 100;
/** Of a cgroup's limit, since the charges move in batches and the kernel holds some back. */
const CGROUP_SLACK = 1.2;

/** What one connection of a load's kind is charged to a cgroup; data in whole pages. */
function chargeBytes(load: Load, costs: Costs): number {
  const beside = CHARGE_BYTES + CONNECTION_USER_BYTES;
  const data = bookedPages(load, costs) * costs.pageBytes;
  const server = costs.connectionBytes + beside + load.burst * data;
  const client = costs.clientBytes + beside;
  return (load.connections > 0 ? server : 0) + (load.clients > 0 ? client : 0);
}

/** The kernel rounds a limit down to whole pages, of 64 KiB at most. */
const LIMIT_STEP_BYTES = 2 ** 20;

/** Memory that a cgroup must allow: sockets are charged to it. Also what MemoryMax= must be. */
export function cgroupBytesNeeded(load: Load, costs: Costs): number {
  const target = Math.max(load.connections, load.clients);
  const bytes = CGROUP_SLACK * target * chargeBytes(load, costs) + processBytes(load);
  // One step more where it is even, so that no rounding of the inverse is one connection short.
  return (Math.floor(bytes / LIMIT_STEP_BYTES) + 1) * LIMIT_STEP_BYTES;
}

/** Connections that a cgroup's limit allows: the inverse of {@link cgroupBytesNeeded}. */
export function connectionsInCgroup(limitBytes: number, load: Load, costs: Costs): number {
  const each = CGROUP_SLACK * chargeBytes(load, costs);
  return Math.max(0, Math.floor((limitBytes - processBytes(load)) / each));
}

export interface TcpMemNeed {
  /** Minimum, pressure and maximum of net.ipv4.tcp_mem, in PAGES. */
  readonly pages: readonly [min: number, pressure: number, max: number];
  /** Half of the memory is less than the message needs. */
  readonly isCut: boolean;
}

/**
 * net.ipv4.tcp_mem in PAGES: one byte outstanding books a whole page, so a broadcast to a million
 * idle clients books a million pages. The maximum stays within half of the memory.
 */
export function tcpMemNeeded(load: Load, costs: Costs, memoryBytes: number): TcpMemNeed {
  const wanted = Math.ceil(load.burst * load.connections * bookedPages(load, costs));
  const most = Math.floor(memoryBytes / 2 / costs.pageBytes);
  const pressure = Math.min(wanted, Math.floor(most / 1.5));
  return {
    pages: [Math.floor(0.75 * pressure), pressure, Math.ceil(1.5 * pressure)],
    isCut: pressure < wanted,
  };
}

/** net.ipv4.tcp_max_orphans: a mass close towards vanished peers leaves each for some 100 s. */
export function orphansNeeded({ connections }: Load): number {
  return Math.ceil(connections / 4);
}

/**
 * net.ipv4.tcp_max_tw_buckets, 256 bytes each: what a clean restart leaves for 60 s. Only the end
 * that closes first has one, so a connection counts once also where both ends are here.
 */
export function timeWaitNeeded({ connections, clients }: Load): number {
  return Math.min(1_000_000, Math.max(connections, clients));
}

/** Source ports that the clients need, over all source addresses and destinations. */
export function portsNeeded({ clients }: Load): number {
  return Math.ceil((102 * clients) / 100);
}

/** net.netfilter.nf_conntrack_max, where connection tracking is active. */
export function conntrackNeeded({ connections, clients }: Load): number {
  const closing = ((connections + clients) * CONNTRACK_CLOSED_S) / LIFETIME_S;
  return Math.ceil(1.25 * (connections + clients) + closing);
}

/** Buckets of the established hash for at most four sockets each; a boot parameter. */
export function hashBucketsNeeded({ connections, clients }: Load): number {
  return powerOfTwoAbove((connections + clients) / 4);
}

/** net.core.netdev_max_backlog: loopback, veth and RPS queue there; a network card does not. */
export const NETDEV_BACKLOG_ONE_BOX = 16_384;

/** vm.min_free_kbytes where sockets are made faster than memory is reclaimed. */
export function minFreeKilobytes(memoryBytes: number): number {
  return Math.floor(Math.min(memoryBytes / 100, 256 * 2 ** 20) / 1024);
}

/** LimitNOFILE= of the unit: enough for one worker to hold everything, never above fs.nr_open. */
export function limitNofile(connections: number, nrOpen: number): number {
  return Math.min(nrOpen, Math.max(connections + 1024, 65_536));
}

/** TimeoutStopSec= of the unit: the drain, the time to clean up, and the kernel's to close. */
export function stopTimeoutS(connections: number, drainS: number): number {
  return Math.ceil(drainS + STOP_GRACE_S + (CLOSE_US * connections) / 1e6);
}

/** TasksMax= of the unit: threads of the manager and of the workers, and of their successors. */
export function tasksMax(workers: number): number {
  return TASKS_MANAGER + TASKS_PER_WORKER * workers;
}
