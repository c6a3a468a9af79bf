// Settings of established and closing connections: buffers, orphans, TIME_WAIT, probes.
import { readSockets, sysctlVector } from '../../system/kernel.js';
import { sumColumn } from '../machine.js';
import {
  hashBucketsNeeded,
  orphansNeeded,
  tcpMemNeeded,
  timeWaitNeeded,
  KEEPALIVE_TICK_S,
} from '../../capacity/sizing.js';
import {
  checkAtLeast,
  checkSwitch,
  formatCount,
  finding,
  onlyFor,
  fixFor,
  size,
  skipped,
  tcpCounter,
  unitFix,
  hiddenSetting,
  type Check,
  type Finding,
  type Situation,
} from '../finding.js';

/** Raises each element where needed; no element becomes lower, and their order stays. */
function raised(current: readonly number[], wanted: readonly number[]): number[] {
  let least = 0;
  return wanted.map((value, index) => {
    least = Math.max(least, value, current[index] ?? 0);
    return least;
  });
}

const SPREAD = 'send to fewer clients at the same instant, or use a machine with more memory';

function checkTcpMem(situation: Situation, current: readonly number[]): Finding {
  const { costs, load, machine, memory } = situation;
  const key = 'net.ipv4.tcp_mem';
  const { pages, isCut } = tcpMemNeeded(load, costs, memory.totalBytes);
  const needed = raised(current, pages);
  const isRaised = needed.some((value, index) => value !== current[index]);
  const raise = fixFor(situation, 'host', key, needed.join(' '));
  return finding({
    id: key,
    scope: 'host',
    severity: isRaised || isCut ? 'warning' : 'ok',
    current: `${current.join(' ')} pages`,
    needed: `${needed.join(' ')} pages${isCut ? ', and more than half of the memory' : ''}`,
    formula:
      `pressure ${load.burst} · ${load.connections} · ` +
      `ceil((900 + ${load.messageBytes}) / ${costs.pageBytes}); 3/4 and 3/2 of it; ` +
      `at most half of ${size(memory.totalBytes)}`,
    why:
      'A socket with one unacknowledged byte counts as a whole page, an idle socket as none: above ' +
      'the pressure value windows shrink, and above the maximum sends fail.',
    counters: [
      tcpCounter(situation, 'TCPMemoryPressures'),
      tcpCounter(situation, 'TCPRcvQDrop'),
      {
        name: 'sockstat mem (pages of the whole host now)',
        value: readSockets(machine.read).tcpMemPages,
      },
    ],
    fix: isRaised ? raise : isCut ? { kind: 'advice', text: SPREAD } : null,
  });
}

const tcpMem: Check = (situation) => {
  const key = 'net.ipv4.tcp_mem';
  const current = sysctlVector(situation.machine.read, key);
  if (current !== null) return [checkTcpMem(situation, current)];
  const { pages } = tcpMemNeeded(situation.load, situation.costs, situation.memory.totalBytes);
  return [hiddenSetting(key, 'host', `${pages.join(' ')} (pages)`)];
};

/** Share of clients that are assumed to be slow and to fill their buffers. */
const SLOW_SHARE = 0.01;

function checkBuffer(situation: Situation, key: string): Finding {
  const { load, machine, memory } = situation;
  const most = sysctlVector(machine.read, key)?.[2];
  if (most === undefined) return skipped(key, 'namespace', 'this kernel does not have it');
  const worst = most * Math.ceil(load.connections * SLOW_SHARE);
  const isTooMuch = worst > memory.totalBytes / 4;
  return finding({
    id: key,
    scope: 'namespace',
    severity: isTooMuch ? 'info' : 'ok',
    current: `${size(most)} at most per socket`,
    needed: null,
    formula:
      `${formatCount(load.connections * SLOW_SHARE)} slow clients (1 %) · ` +
      `${formatCount(most)} = ${size(worst)}`,
    why: isTooMuch
      ? 'Clients that stop reading may hold this much memory, which the send queue limit and the ' +
        'write timeout bound.'
      : 'Leave it: it is a ceiling, not a reservation, and idle connections use none of it.',
    counters: [tcpCounter(situation, 'PruneCalled')],
  });
}

const buffers: Check = (situation) => [
  checkBuffer(situation, 'net.ipv4.tcp_wmem'),
  checkBuffer(situation, 'net.ipv4.tcp_rmem'),
];

const orphans: Check = (situation) => [
  checkAtLeast(situation, {
    key: 'net.ipv4.tcp_max_orphans',
    scope: 'host',
    needed: ({ load }) => orphansNeeded(load),
    formula: ({ load }) => `ceil(${load.connections} / 4)`,
    below: () => 'info',
    why:
      'A closed socket whose peer vanished stays for about 100 s; above the limit the kernel ' +
      'resets it.',
    counters: (at) => [
      tcpCounter(at, 'TCPAbortOnMemory'),
      {
        name: 'sockstat orphan (of the whole host now)',
        value: readSockets(at.machine.read).tcpOrphans,
      },
    ],
  }),
];

const timeWait: Check = (situation) => [
  checkAtLeast(situation, {
    key: 'net.ipv4.tcp_max_tw_buckets',
    scope: 'namespace',
    needed: ({ load }) => timeWaitNeeded(load),
    formula: ({ load }) => `min(1000000, max(${load.connections}, ${load.clients}))`,
    below: () => 'info',
    why:
      'The end that closes first keeps 256 bytes for 60 s, and a restarting server closes all ' +
      'connections first; above the limit the kernel skips TIME_WAIT.',
    counters: (at) => [
      tcpCounter(at, 'TCPTimeWaitOverflow'),
      { name: 'sockstat tw (now)', value: readSockets(at.machine.read).tcpTimeWait },
    ],
  }),
];

const options: Check = (situation) =>
  [
    {
      key: 'net.ipv4.tcp_timestamps',
      why: 'Without timestamps SYN cookies lose TCP options, and ports are reused later.',
    },
    { key: 'net.ipv4.tcp_sack', why: 'Without it one lost packet makes TCP resend a window.' },
    { key: 'net.ipv4.tcp_window_scaling', why: 'Without it no window is larger than 64 KiB.' },
  ].map(({ key, why }) =>
    // tcp_timestamps has a second good value: 2, without the random offset.
    checkSwitch(situation, { key, good: [1, 2], bad: 'warning', why }),
  );

/** The shortest idle timeout of the common load balancers and NAT devices. */
const PATH_IDLE_S = 350;
/** Share of the smallest timeout on the path, so that a probe or two may be lost. */
const KEEPALIVE_SHARE = 0.8;

const FORGOTTEN = 'Load balancers and NAT forget a silent connection and notify neither end';
/** With both ends on one machine: probes to all connections of KEEPALIVE_TICK_S are due together. */
const LOST_ON_LOOPBACK =
  `; a longer test on one machine needs --keepalive 0, because loopback drops probes to ` +
  `the connections of ${KEEPALIVE_TICK_S} s, which are due together`;

const keepalive: Check = (situation) => {
  const { keepaliveS, load, role } = situation;
  const most = Math.floor(PATH_IDLE_S * KEEPALIVE_SHARE);
  const isGood = keepaliveS > 0 && keepaliveS <= most;
  return [
    finding({
      id: '--keepalive',
      scope: 'process',
      severity: isGood ? 'ok' : 'warning',
      current: keepaliveS === 0 ? 'off' : `${keepaliveS} s`,
      needed: `1 to ${most} s`,
      formula:
        `0.8 · ${PATH_IDLE_S} s, the shortest common timeout on a path (AWS NLB, Nitro v6); ` +
        `costs ${formatCount(load.connections / Math.max(1, keepaliveS))} packets/s each way`,
      why: `${FORGOTTEN}${role === 'both' ? LOST_ON_LOOPBACK : ''}.`,
      counters: [tcpCounter(situation, 'TCPKeepAlive'), tcpCounter(situation, 'TCPAbortOnTimeout')],
      fix: isGood
        ? null
        : unitFix(
            situation,
            'Environment',
            'MEGACOMET_KEEPALIVE=240',
            'docker run --env MEGACOMET_KEEPALIVE=240',
          ),
    }),
  ];
};

/** Sockets in one bucket of the hash: above the first each packet costs more, above the second much more. */
const CHAIN_INFO = 4;
const CHAIN_WARNING = 8;

const hashTable: Check = (situation) => {
  const { load, machine } = situation;
  const key = 'net.ipv4.tcp_ehash_entries';
  const entries = sysctlVector(machine.read, key)?.[0];
  if (entries === undefined) return [skipped(key, 'boot', 'this kernel does not show its size')];
  // Negative: this namespace shares the host's table.
  const buckets = Math.abs(entries);
  const chain = (load.connections + load.clients) / buckets;
  const needed = hashBucketsNeeded(load);
  return [
    finding({
      id: key,
      scope: 'boot',
      severity: chain > CHAIN_WARNING ? 'warning' : chain > CHAIN_INFO ? 'info' : 'ok',
      current: `${formatCount(buckets)} buckets of ${chain.toFixed(1)} sockets`,
      needed: formatCount(needed),
      formula: `2^ceil(log2((${load.connections} + ${load.clients}) / 4))`,
      why:
        'The kernel searches one bucket for every packet: with 4 sockets in it a message costs a ' +
        'quarter more CPU time, and an idle connection costs nothing.',
      counters: [{ name: 'none; it shows as CPU time per message', value: null }],
      fix:
        chain > CHAIN_INFO
          ? { kind: 'advice', text: `thash_entries=${needed} on the boot line` }
          : null,
    }),
  ];
};

const neighbours: Check = (situation) => {
  const { machine } = situation;
  const key = 'net.ipv4.neigh.default.gc_thresh3';
  const current = sysctlVector(machine.read, key)?.[0];
  const known = (machine.read('/proc/net/arp') ?? '').trim().split('\n').length - 1;
  const needed = 2 * Math.max(0, known);
  if (current === undefined) return [hiddenSetting(key, 'host', formatCount(needed))];
  const isShort = current < needed;
  return [
    finding({
      id: key,
      scope: 'host',
      severity: isShort ? 'warning' : 'ok',
      current: formatCount(current),
      needed: formatCount(needed),
      formula: `2 · ${needed / 2} neighbours in /proc/net/arp`,
      why:
        'It bounds the machines on the same link, not the connections; above it some of them ' +
        'cannot be reached.',
      counters: [
        {
          name: 'arp_cache table_fulls',
          value: sumColumn(machine, '/proc/net/stat/arp_cache', 'table_fulls'),
        },
      ],
      fix: isShort ? fixFor(situation, 'host', key, String(needed)) : null,
    }),
  ];
};

const BUFFER_KEYS = ['net.ipv4.tcp_wmem', 'net.ipv4.tcp_rmem'];

export const closingChecks: readonly Check[] = [
  onlyFor('server', ['net.ipv4.tcp_mem'], 'host', tcpMem),
  onlyFor('server', BUFFER_KEYS, 'namespace', buffers),
  onlyFor('server', ['net.ipv4.tcp_max_orphans'], 'host', orphans),
  timeWait,
  options,
  onlyFor('server', ['--keepalive'], 'process', keepalive),
  hashTable,
  onlyFor('server', ['net.ipv4.neigh.default.gc_thresh3'], 'host', neighbours),
];
