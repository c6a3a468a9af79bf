// Machines that differ from a recorded one in one value, at the limit of a check, and the finding
// that the doctor must report for each.
import type { Aim } from '../../../lib/doctor/doctor.js';
import type { Finding } from '../../../lib/doctor/finding.js';
import type { recordingOf } from './recorded.js';

export interface Border {
  readonly about: string;
  readonly on?: Parameters<typeof recordingOf>[0];
  readonly sysctls?: Readonly<Record<string, number | string | null>>;
  readonly files?: Readonly<Record<string, string | undefined>>;
  readonly outputs?: Readonly<Record<string, string>>;
  readonly aim?: Partial<Aim>;
  readonly id: string;
  readonly severity: Finding['severity'];
  readonly connections?: number;
  /** The fix as `key = value`, `directive=value` or its advice; null for none. */
  readonly fix?: RegExp | null;
  readonly text?: RegExp;
}

const FILES_LIMIT = (hard: number): Record<string, string> => ({
  '/proc/self/limits': `Max open files            1024                 ${hard}       files\n`,
});
const GROUP = '/sys/fs/cgroup/system.slice/ssh.service';
const TWO: Partial<Aim> = { target: 100_000, workers: 2 };

const TLS = { tls12Connections: 0 };

export const BORDERS: readonly Border[] = [
  {
    about: 'without TLS the check does not apply',
    id: 'TLS handshakes',
    severity: 'skipped',
  },
  {
    about: 'a core does 3,012 handshakes a second',
    aim: { tls: TLS, acceptRate: 3012 },
    files: { '/proc/self/status': 'Cpus_allowed_list:\t0-0\n' },
    id: 'TLS handshakes',
    severity: 'ok',
    text: /^3,012\/s on 1 cores .* at least 216 s\./,
    fix: null,
  },
  {
    about: 'one more needs a second core',
    aim: { tls: TLS, acceptRate: 3013 },
    files: { '/proc/self/status': 'Cpus_allowed_list:\t0-0\n' },
    id: 'TLS handshakes',
    severity: 'warning',
    fix: /^use 2 cores, or a longer --drain/,
  },
  {
    about: '2 workers hold 2 · (50,097 − 97) connections, without headroom',
    files: FILES_LIMIT(50_097),
    aim: TWO,
    id: 'RLIMIT_NOFILE',
    severity: 'warning',
    connections: 100_000,
    fix: /^LimitNOFILE=101024$/,
  },
  {
    about: 'one file less is too few',
    files: FILES_LIMIT(50_096),
    aim: TWO,
    id: 'RLIMIT_NOFILE',
    severity: 'critical',
    connections: 99_998,
  },
  {
    about: 'a tenth of headroom is enough to run',
    files: FILES_LIMIT(55_097),
    aim: TWO,
    id: 'RLIMIT_NOFILE',
    severity: 'info',
    connections: 110_000,
  },
  {
    about: 'the recommended limit',
    files: FILES_LIMIT(56_024),
    aim: TWO,
    id: 'RLIMIT_NOFILE',
    severity: 'ok',
    fix: null,
  },
  {
    about: 'one worker alone needs more files than the default fs.nr_open',
    files: FILES_LIMIT(1_048_576),
    aim: { workers: 1 },
    id: 'RLIMIT_NOFILE',
    severity: 'warning',
    fix: /^LimitNOFILE=1101024$/,
  },
  {
    about: 'and needs a higher fs.nr_open',
    files: FILES_LIMIT(1_048_576),
    aim: { workers: 1 },
    id: 'fs.nr_open',
    severity: 'warning',
    fix: /^fs\.nr_open = 1101024$/,
  },
  {
    about: 'an fs.nr_open below a higher limit',
    sysctls: { 'fs.nr_open': 10_000 },
    aim: TWO,
    id: 'fs.nr_open',
    severity: 'critical',
    connections: 2 * 9903,
    fix: /^fs\.nr_open = 56024$/,
  },
  {
    about: 'which is then the limit of each process',
    sysctls: { 'fs.nr_open': 10_000 },
    aim: TWO,
    id: 'RLIMIT_NOFILE',
    severity: 'critical',
    connections: 2 * 9903,
  },
  {
    about: 'too few files for a million: as many workers as fit into a tenth of the memory',
    files: FILES_LIMIT(1024),
    id: 'RLIMIT_NOFILE',
    severity: 'critical',
    // floor(25,276,514,304 / 10 / 9 MB) = 280 workers of 1024 − 97.
    connections: 280 * 927,
  },
  {
    about: 'files that other programs have open reduce the limit',
    on: 'laptop',
    sysctls: { 'fs.file-max': 1_200_000, 'fs.file-nr': '300000\t0\t1200000' },
    id: 'fs.file-max',
    severity: 'critical',
    connections: 900_000,
    fix: /^fs\.file-max = 1300000$/,
  },
  {
    about: 'the workers of root are not exempt from fs.file-max',
    sysctls: { 'fs.file-max': 1000 },
    id: 'fs.file-max',
    severity: 'critical',
    fix: /^fs\.file-max = 1165536$/,
  },
  {
    about: 'root is not exempt from epoll watches',
    sysctls: { 'fs.epoll.max_user_watches': 500_000 },
    id: 'fs.epoll.max_user_watches',
    severity: 'critical',
    connections: 500_000,
    fix: /^fs\.epoll\.max_user_watches = 1110000$/,
  },
  {
    about: 'both ends of a test on one machine need watches',
    sysctls: { 'fs.epoll.max_user_watches': 2_050_000 },
    aim: { role: 'both' },
    id: 'fs.epoll.max_user_watches',
    severity: 'warning',
    connections: 1_025_000,
  },
  {
    about: 'the limit of a service is raised in its unit',
    on: 'debian-13',
    files: { [`${GROUP}/memory.max`]: '2147483648\n', [`${GROUP}/memory.events`]: 'oom_kill 4\n' },
    id: `memory cgroup ${GROUP}`,
    severity: 'critical',
    fix: /^MemoryMax=\d{11}$/,
    text: /oom_kill 4/,
  },
  {
    about: 'the limit of a parent group is raised in that group',
    on: 'debian-13',
    files: { '/sys/fs/cgroup/system.slice/memory.max': '2147483648\n' },
    id: 'memory cgroup /sys/fs/cgroup/system.slice',
    severity: 'critical',
    fix: /^raise the memory limit of \/sys\/fs\/cgroup\/system\.slice to \d+ bytes$/,
  },
  {
    about: 'the limit of a control group of version 1',
    files: {
      '/sys/fs/cgroup/memory/group/memory.limit_in_bytes': '1073741824\n',
      '/sys/fs/cgroup/memory/group/memory.failcnt': '17\n',
    },
    aim: { target: 10_000, workers: 2 },
    id: 'memory cgroup /sys/fs/cgroup/memory/group',
    severity: 'ok',
    // (2^30 − 2 · 9 MB − 100 MB) / 1.2 / (4098 + 196 + 4096).
    connections: 94_928,
    text: /memory\.failcnt 17/,
  },
  {
    about: 'with pages of 64 KiB the sizes that only root can measure are estimated',
    on: 'arm64-64k',
    files: { '/sys/kernel/slab/TCPv6/order': undefined },
    id: 'memory',
    severity: 'info',
    text: /run as root to measure/,
  },
  {
    about: 'a storm of 40,000 sockets a second needs free pages',
    aim: { acceptRate: 40_000 },
    id: 'vm.min_free_kbytes',
    severity: 'info',
    fix: /^vm\.min_free_kbytes = 246840$/,
  },
  {
    about: 'a short queue loses every burst',
    sysctls: { 'net.core.somaxconn': 1023 },
    id: 'net.core.somaxconn',
    severity: 'critical',
    fix: /^net\.core\.somaxconn = 4096$/,
  },
  {
    about: 'without SYN cookies half-open handshakes have a limit of their own',
    sysctls: { 'net.ipv4.tcp_syncookies': 0, 'net.ipv4.tcp_max_syn_backlog': 128 },
    id: 'net.ipv4.tcp_max_syn_backlog',
    severity: 'warning',
    fix: /^net\.ipv4\.tcp_max_syn_backlog = 397$/,
  },
  {
    about: 'SYN cookies for every handshake',
    sysctls: { 'net.ipv4.tcp_syncookies': 2 },
    id: 'net.ipv4.tcp_syncookies',
    severity: 'warning',
    fix: /^net\.ipv4\.tcp_syncookies = 1$/,
  },
  {
    about: 'a high number of retries is kept',
    sysctls: { 'net.ipv4.tcp_synack_retries': 9 },
    id: 'net.ipv4.tcp_synack_retries',
    severity: 'ok',
    fix: null,
  },
  {
    about: 'RPS queues packets',
    files: { '/sys/class/net/eth0/queues/rx-0/rps_cpus': '3\n' },
    id: 'net.core.netdev_max_backlog',
    severity: 'info',
    fix: /^net\.core\.netdev_max_backlog = 25001$/,
  },
  {
    about: 'RPS makes one queue enough',
    files: { '/sys/class/net/eth0/queues/rx-0/rps_cpus': '3\n' },
    id: 'eth0 receive queues',
    severity: 'ok',
  },
  {
    about: 'in a container the fix names the values of the host',
    on: 'container',
    id: 'net.ipv4.tcp_mem',
    severity: 'skipped',
    text: /750000 1000000 1500000 \(pages\) or more on the host/,
  },
  {
    about: 'and the options of docker run',
    on: 'container',
    id: 'net.core.somaxconn',
    severity: 'warning',
    fix: /^docker run --sysctl "net\.core\.somaxconn=16384", or sysctls in the pod's/,
  },
  {
    about: 'a container cannot raise its limit of files',
    on: 'container',
    files: FILES_LIMIT(1024),
    id: 'RLIMIT_NOFILE',
    severity: 'critical',
    fix: /^docker run --ulimit nofile=1001024:1001024; at most fs\.nr_open/,
  },
  {
    about: 'a container cannot raise a limit of the host',
    on: 'container',
    sysctls: { 'fs.epoll.max_user_watches': 1000 },
    id: 'fs.epoll.max_user_watches',
    severity: 'critical',
    fix: /^set fs\.epoll\.max_user_watches = 1110000 on the host; a container cannot set it$/,
  },
  {
    about: 'keep-alive is off',
    aim: { keepaliveS: 0 },
    id: '--keepalive',
    severity: 'warning',
    fix: /^Environment=MEGACOMET_KEEPALIVE=240$/,
  },
  { about: 'a slow keep-alive', aim: { keepaliveS: 281 }, id: '--keepalive', severity: 'warning' },
  {
    about: 'a keep-alive that is fast enough',
    aim: { keepaliveS: 280 },
    id: '--keepalive',
    severity: 'ok',
  },
  {
    about: 'more neighbours than the table holds',
    sysctls: { 'net.ipv4.neigh.default.gc_thresh3': 5 },
    files: { '/proc/net/arp': `IP\n${'192.0.2.1 0x1\n'.repeat(3)}` },
    id: 'net.ipv4.neigh.default.gc_thresh3',
    severity: 'warning',
    fix: /^net\.ipv4\.neigh\.default\.gc_thresh3 = 6$/,
  },
  {
    about: 'the listening port lies in the ephemeral port range',
    sysctls: { 'net.ipv4.ip_local_reserved_ports': '9000' },
    aim: { ports: [8000, 40_000] },
    id: 'net.ipv4.ip_local_reserved_ports',
    severity: 'warning',
    fix: /^net\.ipv4\.ip_local_reserved_ports = 9000,40000$/,
  },
  {
    about: 'the listening port lies in the range but is reserved',
    sysctls: { 'net.ipv4.ip_local_reserved_ports': '39000-41000' },
    aim: { ports: [40_000] },
    id: 'net.ipv4.ip_local_reserved_ports',
    severity: 'ok',
  },
  {
    about: 'reserved ports reduce the ports of clients',
    sysctls: {
      'net.ipv4.ip_local_port_range': '40000 40199',
      'net.ipv4.ip_local_reserved_ports': '40000-40009,50000',
    },
    aim: { role: 'client', target: 1000 },
    id: 'net.ipv4.ip_local_port_range',
    severity: 'critical',
    connections: 190,
    fix: /^net\.ipv4\.ip_local_port_range = 1024 65535$/,
  },
  {
    about: 'the widest range is not enough for a million',
    sysctls: { 'net.ipv4.ip_local_port_range': '1024 65535' },
    aim: { role: 'client' },
    id: 'net.ipv4.ip_local_port_range',
    severity: 'critical',
    connections: 64_512,
    fix: /^use 16 source addresses or destinations$/,
  },
  {
    about: 'connection tracking is loaded but not active',
    on: 'laptop',
    sysctls: { 'net.netfilter.nf_conntrack_count': 0 },
    id: 'net.netfilter.nf_conntrack_max',
    severity: 'ok',
    text: /not active/,
  },
  {
    about: 'connection tracking has no limit',
    on: 'laptop',
    sysctls: { 'net.netfilter.nf_conntrack_max': 0 },
    id: 'net.netfilter.nf_conntrack_max',
    severity: 'ok',
  },
  {
    about: 'connection tracking drops silent connections',
    on: 'laptop',
    sysctls: { 'net.netfilter.nf_conntrack_tcp_timeout_established': 300 },
    id: 'net.netfilter.nf_conntrack_tcp_timeout_established',
    severity: 'warning',
    fix: /^net\.netfilter\.nf_conntrack_tcp_timeout_established = 360$/,
  },
  {
    about: 'a cloud allowance that was exceeded earlier',
    on: 'ec2',
    outputs: {
      'ethtool -S ens5':
        '     conntrack_allowance_exceeded: 12\n     conntrack_allowance_available: 9000000\n',
    },
    id: 'ens5 conntrack_allowance',
    severity: 'warning',
    text: /conntrack_allowance_exceeded 12/,
  },
  {
    about: 'a card that only counts dropped packets',
    on: 'ec2',
    outputs: { 'ethtool -S ens5': '     conntrack_allowance_exceeded: 0\n' },
    id: 'ens5 conntrack_allowance',
    severity: 'ok',
  },
  {
    about: 'an old kernel searches for ports slowly',
    sysctls: { 'kernel.osrelease': '5.15.0-91-generic' },
    aim: { role: 'client' },
    id: 'IP_LOCAL_PORT_RANGE',
    severity: 'warning',
  },
  {
    about: 'a vector is raised element by element',
    sysctls: { 'net.ipv4.tcp_mem': '800000\t900000\t1600000' },
    id: 'net.ipv4.tcp_mem',
    severity: 'warning',
    fix: /^net\.ipv4\.tcp_mem = 800000 1000000 1600000$/,
  },
];
