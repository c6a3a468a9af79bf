// Plans a machine for a target, and the settings that a stock Debian on it needs. sizing.ts has the
// formulas; the doctor diagnoses the planned machine, which exists only as a recording.
import { DRAIN_S } from '../base/stop-times.js';
import { clusterNeeded, type ClusterNeed } from '../capacity/cluster-sizing.js';
import { diagnose, type Aim, type Diagnosis } from './doctor.js';
import { recordedMachine, type Recording } from './machine.js';
import {
  CLIENT_KERNEL_BYTES,
  CONNECTION_KERNEL_BYTES,
  defaultAcceptRate,
  descriptorsNeeded,
  filesNeeded,
  memoryNeeded,
  reserveBytes,
  tcpMemNeeded,
  watchesNeeded,
  handshakeSeconds,
  TLS_FULL_US,
  TLS_RESUMED_US,
  tlsNeeded,
  type Costs,
  type Load,
  type TlsLoad,
  type TlsNeed,
} from '../capacity/sizing.js';

export interface PlanAim {
  readonly target: number;
  readonly workers: number | 'auto';
  /** New connections per second; 0: all clients reconnect within a minute. */
  readonly acceptRate: number;
  /** Bytes of one message to all clients; 0 for none. */
  readonly broadcastBytes: number;
  /** Seconds between heartbeats of one connection; 0 for none. */
  readonly pingS: number;
  /** Absent for connections without TLS. */
  readonly tls?: TlsLoad;
  /** Servers that hold the target together, with one log; default: one, without a log. */
  readonly nodes?: number;
  /** Messages per second of all nodes, of `broadcastBytes` each. */
  readonly messageRate?: number;
}

/** Memory and time of TLS. */
export interface TlsPlan extends TlsNeed {
  /** Seconds in which all clients reconnect by tickets, if all cores do nothing else. */
  readonly resumedSeconds: number;
  /** The same with full handshakes. */
  readonly fullSeconds: number;
}

export interface MachinePlan {
  /** Connections of this machine. */
  readonly target: number;
  readonly workers: number;
  readonly memory: {
    readonly kernelBytes: number;
    readonly userBytes: number;
    readonly burstBytes: number;
    readonly fragmentationBytes: number;
    readonly reserveBytes: number;
    /** The smallest power of two, in GiB, that holds the sum. */
    readonly machineBytes: number;
  };
  readonly cpu: {
    /** Cores while all clients reconnect. */
    readonly storm: number;
    /** Cores for the heartbeats. */
    readonly ping: number;
    /** Cores that apply the messages of a cluster. */
    readonly apply: number;
    /** Seconds of one core for one message to all clients. */
    readonly broadcastSeconds: number;
    readonly cores: number;
  };
  readonly network: {
    /** Packets per second for heartbeats, each way. */
    readonly pingPackets: number;
    readonly pingBitsPerSecond: number;
    /** Bits of one message to all clients, with headers and acknowledgements. */
    readonly broadcastBits: number;
  };
  readonly files: {
    readonly perWorker: number;
    readonly host: number;
    readonly epollWatches: number;
  };
  /** Null without TLS; its memory is in `memory` too. */
  readonly tls: TlsPlan | null;
  /** Null for a single server. The machine is one of the cluster's. */
  readonly cluster: ClusterNeed | null;
  /** The findings for a stock Debian on that machine. */
  readonly diagnosis: Diagnosis;
}

const GIB = 2 ** 30;
/** Costs with 4 KiB pages. On a machine that exists, the doctor measures them instead. */
const COSTS: Costs = {
  pageBytes: 4096,
  connectionBytes: CONNECTION_KERNEL_BYTES,
  clientBytes: CLIENT_KERNEL_BYTES,
};

/** One accept on a virtual core of 2026: `npm run bench -- opening`, 2 cores, Linux 6.18. */
const ACCEPT_US = 5.5;
/** One message in and one out with a million idle: `npm run bench -- growth`, the same machine. */
const MESSAGE_US = 11;
/** Share of a core that may be busy: above it, queues grow faster than the core empties them. */
const BUSY_SHARE_MAX = 0.5;

/** Headers of one packet: Ethernet, IPv4 and TCP with timestamps. */
const HEADER_BYTES = 14 + 20 + 32;
/** Payload of a full segment at an MTU of 1500. */
const SEGMENT_BYTES = 1448;
/** A WebSocket or SSE heartbeat. */
const PING_BYTES = 6;

/** Bits on the wire for one message, both ways: its segments, and one acknowledgement for each. */
function wireBits(payloadBytes: number): number {
  const segments = Math.max(1, Math.ceil(payloadBytes / SEGMENT_BYTES));
  return 8 * (payloadBytes + segments * 2 * HEADER_BYTES);
}

/**
 * A recording of a stock Debian 12, with the defaults that the kernel computes from its memory:
 * eventpoll_init (fs/eventpoll.c), tcp_init and tcp_init_mem (net/ipv4/tcp.c).
 */
export function stockMachine(memoryBytes: number, cores: number): Recording {
  const pages = Math.floor(memoryBytes / 4096);
  const kilobytes = Math.floor(memoryBytes / 1024);
  const buckets = Math.min(524_288, 2 ** Math.ceil(Math.log2(memoryBytes / 131_072)));
  const sysctls: Record<string, string> = {
    'fs/nr_open': '1048576',
    // systemd raises it to 2^63 − 1.
    'fs/file-max': '9223372036854775807',
    'fs/file-nr': '1000 0 0',
    'fs/epoll/max_user_watches': String(Math.floor(memoryBytes / 25 / 184)),
    'net/core/somaxconn': '4096',
    'net/core/netdev_budget': '300',
    'net/ipv4/tcp_syncookies': '1',
    'net/ipv4/tcp_abort_on_overflow': '0',
    'net/ipv4/tcp_timestamps': '1',
    'net/ipv4/tcp_sack': '1',
    'net/ipv4/tcp_window_scaling': '1',
    'net/ipv4/tcp_mem': [3 / 64, 1 / 16, 3 / 32].map((part) => Math.floor(pages * part)).join(' '),
    'net/ipv4/tcp_max_orphans': String(buckets / 2),
    'net/ipv4/tcp_max_tw_buckets': String(buckets / 2),
    'net/ipv4/tcp_ehash_entries': String(buckets),
    'net/ipv4/ip_local_port_range': '32768 60999',
    'net/ipv4/ip_local_reserved_ports': '',
  };
  const files = Object.entries(sysctls).map(([key, value]) => [`/proc/sys/${key}`, `${value}\n`]);
  return {
    about: 'Composed: a stock Debian 12',
    files: {
      ...(Object.fromEntries(files) as Record<string, string>),
      '/proc/meminfo': `MemTotal: ${kilobytes} kB\nMemAvailable: ${kilobytes} kB\n`,
      '/proc/self/limits':
        'Max open files            1024                 524288               files\n',
      '/proc/self/status': `CapEff:\t0000000000000000\nCpus_allowed_list:\t0-${cores - 1}\n`,
    },
    outputs: {},
  };
}

function loadOf(aim: PlanAim, workers: number): Load {
  return {
    connections: aim.target,
    clients: 0,
    workers,
    acceptRate: aim.acceptRate > 0 ? aim.acceptRate : defaultAcceptRate(aim.target),
    burst: aim.broadcastBytes > 0 ? 1 : 0,
    messageBytes: aim.broadcastBytes,
    ...(aim.tls === undefined ? {} : { tls: aim.tls }),
  };
}

function doctorAim(aim: PlanAim, load: Load): Aim {
  return {
    target: aim.target,
    role: 'server',
    workers: load.workers,
    acceptRate: load.acceptRate,
    messageBurst: load.burst,
    messageBytes: load.messageBytes,
    ports: [8000],
    backlog: 4096,
    keepaliveS: 240,
    drainS: DRAIN_S,
    ...(aim.tls === undefined ? {} : { tls: aim.tls }),
  };
}

function tlsPlan(load: Load, cores: number): TlsPlan | null {
  const need = tlsNeeded(load);
  if (need === null) return null;
  return {
    ...need,
    resumedSeconds: handshakeSeconds(load.connections, TLS_RESUMED_US, cores),
    fullSeconds: handshakeSeconds(load.connections, TLS_FULL_US, cores),
  };
}

/**
 * The smallest power of two, in GiB, that holds all parts and the reserve. Half of it must be
 * enough for the data of one message to all clients.
 */
function machineMemory(load: Load): number {
  const need = memoryNeeded(load, COSTS);
  const sum = need.kernelBytes + need.userBytes + need.burstBytes + need.fragmentationBytes;
  let bytes = GIB;
  while (bytes - reserveBytes(bytes) < sum || tcpMemNeeded(load, COSTS, bytes).isCut) bytes *= 2;
  return bytes;
}

function clusterOf({ target, nodes = 1, messageRate = 0, broadcastBytes }: PlanAim) {
  if (nodes === 1) return null;
  const messageBytes = broadcastBytes;
  return clusterNeeded({ connections: target, nodes, messageRate, messageBytes });
}

/** Plans a machine for a target, or each machine of a cluster. */
export function planMachine(whole: PlanAim): MachinePlan {
  const cluster = clusterOf(whole);
  const aim = { ...whole, target: cluster?.nodeConnections ?? whole.target };
  const apply = cluster?.applyCores ?? 0;
  const rate = loadOf(aim, 1).acceptRate;
  const storm = (rate * (ACCEPT_US + (aim.tls === undefined ? 0 : TLS_FULL_US))) / 1e6;
  const pings = aim.pingS > 0 ? aim.target / aim.pingS : 0;
  const ping = (pings * MESSAGE_US) / 1e6;
  const cores = Math.max(2, Math.ceil((storm + ping + apply) / BUSY_SHARE_MAX));
  const load = loadOf(aim, aim.workers === 'auto' ? cores : aim.workers);
  const machineBytes = machineMemory(load);
  return {
    target: aim.target,
    workers: load.workers,
    memory: {
      ...memoryNeeded(load, COSTS),
      reserveBytes: reserveBytes(machineBytes),
      machineBytes,
    },
    cpu: {
      storm,
      ping,
      apply,
      broadcastSeconds: aim.broadcastBytes > 0 ? (aim.target * MESSAGE_US) / 1e6 : 0,
      cores,
    },
    network: {
      pingPackets: pings,
      pingBitsPerSecond: pings * wireBits(PING_BYTES),
      broadcastBits: aim.broadcastBytes > 0 ? aim.target * wireBits(aim.broadcastBytes) : 0,
    },
    files: {
      perWorker: descriptorsNeeded(load),
      host: filesNeeded(load),
      epollWatches: watchesNeeded(load),
    },
    tls: tlsPlan(load, cores),
    cluster,
    diagnosis: diagnose(recordedMachine(stockMachine(machineBytes, cores)), doctorAim(aim, load)),
  };
}
