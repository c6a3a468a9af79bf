// The costs of connections, and the limits that they need: every formula of doctor, plan, serve and
// the systemd unit. Pure arithmetic, which does not read this machine.
import { TLS_HANDSHAKES_MAX } from '../base/native-constants.js';

/** The TLS of a load. */
export interface TlsLoad {
  /** The most clients with TLS 1.2 at once. */
  readonly tls12Connections: number;
}

/** The load of a server, or of a test with both ends on one machine. */
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
  /** Absent for connections without TLS. */
  readonly tls?: TlsLoad;
}

/** Sizes of kernel objects: measured if /sys/kernel/slab is readable, else the constants below. */
export interface Costs {
  readonly pageBytes: number;
  /** Kernel memory of one accepted connection. */
  readonly connectionBytes: number;
  /** Kernel memory of the client's end of a connection. */
  readonly clientBytes: number;
}

/** An accepted connection: 4.02 kB of slab on Linux 6.18, 4 KiB pages; 4.10 kB with cgroups. */
export const CONNECTION_KERNEL_BYTES = 4100;
/** The client's end: it also has a bind bucket of 256 bytes with its parts; 4.18 to 4.36 kB. */
export const CLIENT_KERNEL_BYTES = 4300;
/** The worker's record of a connection, libev's record, and slack: 85 to 88 bytes measured. */
export const CONNECTION_USER_BYTES = 96;
/** Secrets and numbers of a connection with TLS 1.3, beside its record. */
export const TLS_STATE_BYTES = 192;
/** OpenSSL's object of a connection with TLS 1.2: 28,700 with OpenSSL 3.5, 15,100 with 3.0. */
const TLS12_STATE_BYTES = 29_000;
/** OpenSSL's objects of a handshake that is under way: 62,000 with OpenSSL 3.5, 48,000 with 3.0. */
const TLS_HANDSHAKE_BYTES = 62_000;
/** Processor time of a full handshake with a P-256 certificate; 199 µs with OpenSSL 3.0. */
export const TLS_FULL_US = 332;
/** The same for a client that resumes by a ticket; 170 µs with OpenSSL 3.0. */
export const TLS_RESUMED_US = 216;
/** Private memory of a bare worker, rounded up from 5.4 to 8.6 MB on Node 20 to 26. */
export const WORKER_BYTES = 9_000_000;
/** The manager with Node, log and admin server: 70 to 90 MB with a million connections. */
export const MANAGER_BYTES = 100_000_000;
/**
 * Slab of a connection for an unacknowledged message, besides its data: skb and head, 1083 bytes
 * measured with 100 and 200 bytes of data.
 */
const SEND_BYTES = 1000;
/** The part of it that tcp_mem counts, together with the data, in whole pages. */
const BOOKED_BYTES = 900;
/** The reserve for other programs is an eighth of the memory, but at most this. */
const RESERVE_BYTES_MAX = 2 ** 30;

/**
 * Adds a tenth as headroom, so that the other workers can take over the clients of a dead one. It
 * suffices because new connections are steered to workers with headroom.
 */
export function withHeadroom(count: number): number {
  // Not 1.1 · count: 1.1 is inexact in binary, so ceil() of the product could be one too many.
  return (11 * count) / 10;
}

/** Time after the drain before systemd kills the service. */
const STOP_GRACE_S = 10;
/** The kernel's time to close one socket at exit: 5 to 6.4 µs measured. */
const CLOSE_US = 6;
/** A Node process has 4 to 7 threads; TASKS_MANAGER includes the manager's thread pool. */
const TASKS_PER_WORKER = 8;
const TASKS_MANAGER = 64;

/** Bounds of the listen queue: the defaults of Linux and --backlog, and the largest u16. */
const BACKLOG_MIN = 4096;
const BACKLOG_MAX = 65_535;
/** The longest pause of a worker's loop that must not lose a client, in seconds. */
export const PAUSE_S = 1;
/** Clients reconnect within this time after an outage: the default accept rate. */
export const STORM_S = 60;
/** Assumed lifetime of a connection, used only for closed entries of conntrack. */
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
 * Listen queue of one worker: twice the clients that arrive while its loop pauses for
 * {@link PAUSE_S}. From Linux 4.4 it also bounds half-open handshakes
 * (inet_csk_reqsk_queue_is_full).
 */
export function backlogNeeded({ acceptRate, workers }: Load): number {
  const wanted = powerOfTwoAbove((2 * acceptRate * PAUSE_S) / workers);
  return Math.min(BACKLOG_MAX, Math.max(BACKLOG_MIN, wanted));
}

/** Open files that one process needs for its share of the connections and a tenth of headroom. */
export function descriptorsNeeded({ connections, clients, workers }: Load): number {
  return Math.ceil(withHeadroom(Math.max(connections, clients)) / workers) + 1024;
}

/** fs.file-max counts sockets, epoll sets, pipes and all other open files of the host. */
export function filesNeeded({ connections, clients }: Load): number {
  return Math.ceil(withHeadroom(connections + clients)) + 65_536;
}

/** fs.epoll.max_user_watches, counted per user over all processes (fs/eventpoll.c). */
export function watchesNeeded({ connections, clients }: Load): number {
  return Math.ceil(withHeadroom(connections + clients)) + 10_000;
}

/** Memory in bytes, by purpose. */
export interface MemoryNeed {
  /** Sockets and their attachments: slab, which cannot be swapped. */
  readonly kernelBytes: number;
  /** Workers and manager; twice that if the load generator runs here too. */
  readonly userBytes: number;
  /** For a pending message to its share of the connections. */
  readonly burstBytes: number;
  /**
   * 40 % of the slab: without free 32 KiB blocks the allocator falls back to one socket per page
   * (mm/slub.c allocate_slab), and accepted sockets cannot wait for compaction.
   */
  readonly fragmentationBytes: number;
}

/** Memory of the TLS of a server, in bytes. */
export interface TlsNeed {
  /** Of all connections, as if all had TLS 1.3. */
  readonly stateBytes: number;
  /** Of the clients with TLS 1.2. */
  readonly tls12Bytes: number;
  /** Of the most handshakes that can be under way. */
  readonly handshakeBytes: number;
}

/** Null without TLS. */
export function tlsNeeded({ connections, workers, tls }: Load): TlsNeed | null {
  if (tls === undefined) return null;
  return {
    stateBytes: connections * TLS_STATE_BYTES,
    tls12Bytes: Math.min(connections, tls.tls12Connections) * TLS12_STATE_BYTES,
    handshakeBytes: workers * TLS_HANDSHAKES_MAX * TLS_HANDSHAKE_BYTES,
  };
}

/** Seconds in which all clients handshake, if some cores do nothing else. */
export function handshakeSeconds(connections: number, us: number, cores: number): number {
  return (connections * us) / 1e6 / cores;
}

/** User memory of one connection. */
function userBytes({ tls }: Load): number {
  return CONNECTION_USER_BYTES + (tls === undefined ? 0 : TLS_STATE_BYTES);
}

/** Memory of the processes without connections: of the server, the load generator, or both. */
function processBytes(load: Load): number {
  const { connections, clients, workers } = load;
  const ends = Math.max(1, Number(connections > 0) + Number(clients > 0));
  const { tls12Bytes = 0, handshakeBytes = 0 } = tlsNeeded(load) ?? {};
  return ends * (workers * WORKER_BYTES + MANAGER_BYTES) + tls12Bytes + handshakeBytes;
}

/** Memory for a pending message to one connection. */
function sendBytes({ messageBytes }: Load): number {
  return SEND_BYTES + messageBytes;
}

/** Pages that tcp_mem counts for a pending message to one connection. */
function bookedPages({ messageBytes }: Load, { pageBytes }: Costs): number {
  return Math.ceil((BOOKED_BYTES + messageBytes) / pageBytes);
}

export function memoryNeeded(load: Load, costs: Costs): MemoryNeed {
  const { connections, clients } = load;
  const kernelBytes = connections * costs.connectionBytes + clients * costs.clientBytes;
  return {
    kernelBytes,
    userBytes: (connections + clients) * userBytes(load) + processBytes(load),
    burstBytes: Math.ceil(load.burst * connections * sendBytes(load)),
    fragmentationBytes: Math.ceil(0.4 * kernelBytes),
  };
}

/** Memory that is reserved for other programs of the machine. */
export function reserveBytes(totalBytes: number): number {
  return Math.min(RESERVE_BYTES_MAX, Math.floor(totalBytes / 8));
}

/**
 * Connections of a load that fit into `freeBytes`: the inverse of {@link memoryNeeded}, with the
 * pending message but without the memory for fragmentation.
 */
export function connectionsInMemory(
  freeBytes: number,
  reserve: number,
  load: Load,
  costs: Costs,
): number {
  const server = costs.connectionBytes + userBytes(load) + load.burst * sendBytes(load);
  const client = costs.clientBytes + userBytes(load);
  const each = (load.connections > 0 ? server : 0) + (load.clients > 0 ? client : 0);
  return Math.max(0, Math.floor((freeBytes - reserve - processBytes(load)) / each));
}

/** cgroup vectors of a connection: 8 bytes for each of its kernel objects. */
const CHARGE_BYTES = 100;
/** Slack of a cgroup's limit, because the kernel charges in batches and keeps some charges. */
const CGROUP_SLACK = 1.2;

/** Bytes that the kernel charges to a cgroup for one connection; data in whole pages. */
function chargeBytes(load: Load, costs: Costs): number {
  const beside = CHARGE_BYTES + userBytes(load);
  const data = bookedPages(load, costs) * costs.pageBytes;
  const server = costs.connectionBytes + beside + load.burst * data;
  const client = costs.clientBytes + beside;
  return (load.connections > 0 ? server : 0) + (load.clients > 0 ? client : 0);
}

/** Limits are whole MiB, because the kernel rounds a limit down to pages of at most 64 KiB. */
const LIMIT_STEP_BYTES = 2 ** 20;

/** Memory that a cgroup must allow, with its sockets; also the value of MemoryMax=. */
export function cgroupBytesNeeded(load: Load, costs: Costs): number {
  const target = Math.max(load.connections, load.clients);
  const bytes = CGROUP_SLACK * target * chargeBytes(load, costs) + processBytes(load);
  // Always a step above, so that rounding in the inverse never loses a connection.
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
  /** Whether the message needs more than half of the memory. */
  readonly isCut: boolean;
}

/**
 * net.ipv4.tcp_mem in PAGES. One unacknowledged byte counts as a whole page, so a broadcast to a
 * million idle clients counts a million pages. The maximum is at most half of the memory.
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

/** net.ipv4.tcp_max_orphans: a closed socket whose peer vanished stays for about 100 s. */
export function orphansNeeded({ connections }: Load): number {
  return Math.ceil(connections / 4);
}

/**
 * net.ipv4.tcp_max_tw_buckets, 256 bytes each: a clean restart leaves one for each connection for
 * 60 s. Only the end that closes first has one, so a connection with both ends here counts once.
 */
export function timeWaitNeeded({ connections, clients }: Load): number {
  return Math.min(1_000_000, Math.max(connections, clients));
}

/** Source ports that the clients need, over all source addresses and destinations. */
export function portsNeeded({ clients }: Load): number {
  return Math.ceil((102 * clients) / 100);
}

/** net.netfilter.nf_conntrack_max, if connection tracking is active. */
export function conntrackNeeded({ connections, clients }: Load): number {
  const closing = ((connections + clients) * CONNTRACK_CLOSED_S) / LIFETIME_S;
  return Math.ceil(1.25 * (connections + clients) + closing);
}

/** Buckets of the established hash for at most four sockets each; a boot parameter. */
export function hashBucketsNeeded({ connections, clients }: Load): number {
  return powerOfTwoAbove((connections + clients) / 4);
}

/**
 * Timers of the kernel that are 131 to 1048 s ahead fire together for all of these seconds
 * (kernel/time/timer.c: a level of the wheel, 250 ticks a second; shorter with 1000).
 */
export const KEEPALIVE_TICK_S = 16.4;

/** net.core.netdev_max_backlog: loopback, veth and RPS use this queue; a network card does not. */
export const NETDEV_BACKLOG_ONE_BOX = 16_384;

/** vm.min_free_kbytes, if new sockets come faster than the kernel reclaims memory. */
export function minFreeKilobytes(memoryBytes: number): number {
  return Math.floor(Math.min(memoryBytes / 100, 256 * 2 ** 20) / 1024);
}

/** LimitNOFILE= of the unit: enough for one worker to hold all connections; at most fs.nr_open. */
export function limitNofile(connections: number, nrOpen: number): number {
  return Math.min(nrOpen, Math.max(connections + 1024, 65_536));
}

/** TimeoutStopSec= of the unit: the drain, the time to clean up, and the kernel's time to close. */
export function stopTimeoutS(connections: number, drainS: number): number {
  return Math.ceil(drainS + STOP_GRACE_S + (CLOSE_US * connections) / 1e6);
}

/** TasksMax= of the unit: threads of the manager, the workers and their successors. */
export function tasksMax(workers: number): number {
  return TASKS_MANAGER + TASKS_PER_WORKER * workers;
}
