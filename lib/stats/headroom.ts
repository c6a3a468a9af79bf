// The use of the kernel's limits while a server runs. Reads only files whose cost does not grow
// with the connections, because it runs every few seconds.
import {
  readFileNr,
  readSockets,
  sysctl,
  sysctlVector,
  type MetricValue,
  type Reader,
} from '../system/kernel.js';

/** One limit and its use now. */
export interface Headroom {
  /** Name of the limit, such as `fs.file-max`. */
  readonly limit: string;
  /** Used part, in the limit's own unit. */
  readonly used: number;
  /** Value of the limit. */
  readonly max: number;
  /** Unused share, from 1 (unused) to 0 (reached). */
  readonly headroom: number;
  /** How to raise the limit, for the log. */
  readonly fix: string;
}

function headroom(limit: string, used: MetricValue, max: MetricValue, fix: string): Headroom[] {
  // Leaves out a limit that this kernel or namespace does not show, or that means "none".
  if (used === null || max === null || max <= 0) return [];
  return [{ limit, used, max, headroom: Math.max(0, Math.min(1, 1 - used / max)), fix }];
}

/** The limit is the second number, the pressure: above it the kernel shrinks windows. */
function tcpMemory(read: Reader): Headroom[] {
  const pressure = sysctlVector(read, 'net.ipv4.tcp_mem')?.[1] ?? null;
  const fix = 'raise net.ipv4.tcp_mem (pages), or spread broadcasts';
  return headroom('net.ipv4.tcp_mem', readSockets(read).tcpMemPages, pressure, fix);
}

function conntrack(read: Reader): Headroom[] {
  const used = sysctl(read, 'net.netfilter.nf_conntrack_count');
  // A loaded module without a rule that tracks counts nothing, so its limit does not apply.
  if (used === null || used === 0) return [];
  const max = sysctl(read, 'net.netfilter.nf_conntrack_max');
  const fix = 'raise net.netfilter.nf_conntrack_max, or leave the port untracked (notrack)';
  return headroom('net.netfilter.nf_conntrack_max', used, max, fix);
}

/**
 * The limits that new connections can reach while a server runs.
 *
 * @param connections - Open connections of this server: the kernel shows no use of epoll watches.
 */
export function readHeadrooms(
  read: Reader,
  connections: number,
  maxConnections: number,
): readonly Headroom[] {
  return [
    ...headroom(
      'max-connections',
      connections,
      maxConnections,
      'raise --max-connections, or add a machine',
    ),
    ...headroom(
      'fs.file-max',
      readFileNr(read),
      sysctl(read, 'fs.file-max'),
      'raise fs.file-max (sysctl.d)',
    ),
    ...headroom(
      'fs.epoll.max_user_watches',
      connections,
      sysctl(read, 'fs.epoll.max_user_watches'),
      'raise fs.epoll.max_user_watches (sysctl.d)',
    ),
    ...tcpMemory(read),
    ...conntrack(read),
  ];
}
