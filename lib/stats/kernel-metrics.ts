// The values of the kernel that a server reports, by their field in /stats, with help and advice.
import {
  readFileNr,
  readNetstat,
  readSockets,
  sysctl,
  type MetricValue,
  type Reader,
} from '../system/kernel.js';

export const KERNEL_METRICS: Readonly<Record<string, string>> = {
  listenOverflows:
    'Clients that met a full listen queue. Must not grow: raise --backlog and net.core.somaxconn.',
  listenDrops:
    'Handshakes dropped for any reason, listen_overflows included. More than those: memory, or a ' +
    'SYN flood.',
  tcpReqQFullDoCookies: 'SYN cookies sent: an attack, or a backlog too small for slow handshakes.',
  tcpReqQFullDrop:
    'Handshakes dropped because SYN cookies are off: set net.ipv4.tcp_syncookies to 1.',
  tcpMemoryPressures: 'Times that socket memory came under pressure: raise net.ipv4.tcp_mem.',
  tcpAbortOnMemory:
    'Connections reset for lack of memory, or for too many orphans: raise net.ipv4.tcp_mem or ' +
    'net.ipv4.tcp_max_orphans.',
  tcpAbortOnTimeout:
    'Connections closed because the peer no longer answered. Normal for mobile clients; a jump ' +
    'is a network that broke.',
  tcpMemPages:
    'Pages of socket buffers of the host. Above net.ipv4.tcp_mem[1] the kernel shrinks windows.',
  tcpInUse:
    'TCP sockets of this network namespace. Far above the connections: clients, or another ' +
    'server, run here too.',
  tcpOrphans:
    'Sockets of the host without an owner. Thousands for long: peers vanish during the close; ' +
    'lower net.ipv4.tcp_orphan_retries.',
  tcpTimeWait: 'Sockets in TIME_WAIT, 256 bytes for 60 s each: harmless on a server.',
  tcpTimeWaitOverflow:
    'Sockets closed without TIME_WAIT. Harmless after a restart; for long, raise ' +
    'net.ipv4.tcp_max_tw_buckets.',
  fileNr: 'Open files of the whole host; the limit is file_max.',
  fileMax: 'Limit of open files of the whole host (fs.file-max). Do not lower it.',
  somaxconn:
    'Upper limit of every listen queue (net.core.somaxconn). Below --backlog: raise it, and ' +
    'restart.',
};

/** Values of the kernel; null where it does not show one here. */
export function kernelStats(read: Reader): Record<string, MetricValue> {
  return {
    ...readSockets(read),
    ...readNetstat(read),
    fileNr: readFileNr(read),
    fileMax: sysctl(read, 'fs.file-max'),
    somaxconn: sysctl(read, 'net.core.somaxconn'),
  };
}
