// Settings of established and closing connections: buffers, orphans, TIME_WAIT, probes.
import { readSockets, sysctlVector } from '../../system/kernel.js';
import { sumColumn } from '../machine.js';
import {
  hashBucketsNeeded,
  orphansNeeded,
  tcpMemNeeded,
  timeWaitNeeded,
} from '../../capacity/sizing.js';
import {
  checkAtLeast,
  checkSwitch,
  figure,
  finding,
  onlyFor,
  fixFor,
  size,
  skipped,
  tcpCounter,
  unitFix,
  unseen,
  type Check,
  type Finding,
  type Situation,
} from '../finding.js';

/** No element may fall, and the order of all three must stay. */
function raised(current: readonly number[], wanted: readonly number[]): number[] {
  let least = 0;
  return wanted.map((value, index) => {
    least = Math.max(least, value, current[index] ?? 0);
    return least;
  });
}

const SPREAD = 'send to fewer at the same instant, or take a machine with more memory';

function judgeTcpMem(situation: Situation, current: readonly number[]): Finding {
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
      'Each socket with any unacknowledged byte books a whole page: above the pressure windows ' +
      'shrink, above the maximum sends fail; idle sockets book none.',
    counters: [
      tcpCounter(situation, 'TCPMemoryPressures'),
      tcpCounter(situation, 'TCPRcvQDrop'),
      {
        name: 'sockstat mem (pages of the host now)',
        value: readSockets(machine.read).tcpMemPages,
      },
    ],
    fix: isRaised ? raise : isCut ? { kind: 'advice', text: SPREAD } : null,
  });
}

const tcpMem: Check = (situation) => {
  const key = 'net.ipv4.tcp_mem';
  const current = sysctlVector(situation.machine.read, key);
  if (current !== null) return [judgeTcpMem(situation, current)];
  const { pages } = tcpMemNeeded(situation.load, situation.costs, situation.memory.totalBytes);
  return [unseen(key, 'host', `${pages.join(' ')} (pages)`)];
};

/** Share of slow clients for which the largest buffers are summed up. */
const SLOW_SHARE = 0.01;

function judgeBuffer(situation: Situation, key: string): Finding {
  const { load, machine, memory } = situation;
  const most = sysctlVector(machine.read, key)?.[2];
  if (most === undefined) return skipped(key, 'namespace', 'this kernel has none');
  const worst = most * Math.ceil(load.connections * SLOW_SHARE);
  const isTooMuch = worst > memory.totalBytes / 4;
  return finding({
    id: key,
    scope: 'namespace',
    severity: isTooMuch ? 'info' : 'ok',
    current: `${size(most)} at most per socket`,
    needed: null,
    formula:
      `${figure(load.connections * SLOW_SHARE)} slow clients (1 %) · ` +
      `${figure(most)} = ${size(worst)}`,
    why: isTooMuch
      ? 'A client that stops reading may hold as much: the send queue limit and the write ' +
        'deadline bound it.'
      : 'It is a ceiling, not a reservation, and idle connections use none of it: leave it.',
    counters: [tcpCounter(situation, 'PruneCalled')],
  });
}

const buffers: Check = (situation) => [
  judgeBuffer(situation, 'net.ipv4.tcp_wmem'),
  judgeBuffer(situation, 'net.ipv4.tcp_rmem'),
];

const orphans: Check = (situation) => [
  checkAtLeast(situation, {
    key: 'net.ipv4.tcp_max_orphans',
    scope: 'host',
    needed: ({ load }) => orphansNeeded(load),
    formula: ({ load }) => `ceil(${load.connections} / 4)`,
    below: () => 'info',
    why: 'Closing towards peers that vanished leaves each for about 100 s; more are reset.',
    counters: (at) => [
      tcpCounter(at, 'TCPAbortOnMemory'),
      { name: 'sockstat orphan (of the host now)', value: readSockets(at.machine.read).tcpOrphans },
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
      'Only who closes first has a TIME_WAIT, 256 bytes for 60 s, as a restart for ' +
      'everybody; beyond ' +
      'the limit the socket is just gone.',
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
      why: 'Without them SYN cookies lose options, and ports become free later.',
    },
    { key: 'net.ipv4.tcp_sack', why: 'Without it one lost packet costs a whole window.' },
    { key: 'net.ipv4.tcp_window_scaling', why: 'Without it no window is larger than 64 KiB.' },
  ].map(({ key, why }) =>
    // tcp_timestamps has a second good value: 2, with a random offset left out.
    checkSwitch(situation, { key, good: [1, 2], bad: 'warning', why }),
  );

/** Middle boxes forget an idle connection after 350 s at the earliest of the common ones. */
const PATH_IDLE_S = 350;
/** Of the smallest timeout on the path, so that a probe or two may be lost. */
const KEEPALIVE_SHARE = 0.8;

const keepalive: Check = (situation) => {
  const { keepaliveS, load } = situation;
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
        `0.8 · ${PATH_IDLE_S} s, the shortest common timeout on a path (AWS NLB, Nitro ` +
        `v6); costs ` +
        `${figure(load.connections / Math.max(1, keepaliveS))} packets/s each way`,
      why: 'Load balancers and NAT forget a silent connection, and neither end notices.',
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

/** Sockets in one bucket of the hash from which each packet costs more, and much more. */
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
      current: `${figure(buckets)}, ${chain.toFixed(1)} sockets each`,
      needed: figure(needed),
      formula: `2^ceil(log2((${load.connections} + ${load.clients}) / 4))`,
      why:
        'Every packet walks one bucket: 4 sockets in it cost a quarter more CPU per ' +
        'message, idle ones nothing.',
      counters: [{ name: 'CPU time per message; nothing counts it', value: null }],
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
  if (current === undefined) return [unseen(key, 'host', figure(needed))];
  const isShort = current < needed;
  return [
    finding({
      id: key,
      scope: 'host',
      severity: isShort ? 'warning' : 'ok',
      current: figure(current),
      needed: figure(needed),
      formula: `2 · ${needed / 2} neighbours known now`,
      why:
        'It counts machines on the same wire, not connections; beyond it some cannot ' +
        'be reached.',
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
