// Settings that decide whether the kernel and the server accept a burst of new connections.
import { sysctl } from '../../system/kernel.js';
import {
  backlogNeeded,
  handshakeSeconds,
  NETDEV_BACKLOG_ONE_BOX,
  TLS_FULL_US,
  TLS_RESUMED_US,
} from '../../capacity/sizing.js';
import { isSteered, networkCards, readSoftnet, sumStatistics } from '../machine.js';
import {
  checkAtLeast,
  checkSwitch,
  formatCount,
  finding,
  onlyFor,
  skipped,
  tcpCounter,
  unitFix,
  type Check,
  type Finding,
  type Situation,
} from '../finding.js';

/** A shorter queue loses even a small burst, at any rate. */
const SOMAXCONN_CRITICAL = 1024;

const backlogFormula = ({ load }: Situation): string =>
  `min(65535, max(4096, 2^ceil(log2(2 · ${load.acceptRate}/s · 1 s / ${load.workers} workers))))`;

const somaxconn: Check = (situation) => [
  checkAtLeast(situation, {
    key: 'net.core.somaxconn',
    scope: 'namespace',
    needed: ({ load }) => backlogNeeded(load),
    formula: backlogFormula,
    below: (current) => (current < SOMAXCONN_CRITICAL ? 'critical' : 'warning'),
    why:
      'It silently caps every listen queue: when the queue is full the kernel drops the ' +
      'handshake, and the client retries after a second (restart the server after a change).',
    counters: (at) => [tcpCounter(at, 'ListenOverflows'), tcpCounter(at, 'ListenDrops')],
  }),
];

const backlog: Check = (situation) => {
  const needed = backlogNeeded(situation.load);
  const isEnough = situation.backlog >= needed;
  return [
    finding({
      id: '--backlog',
      scope: 'process',
      severity: isEnough ? 'ok' : 'warning',
      current: formatCount(situation.backlog),
      needed: formatCount(needed),
      formula: backlogFormula(situation),
      why: 'Each worker has its own listen queue, and the kernel reserves no memory for it.',
      counters: [tcpCounter(situation, 'ListenOverflows')],
      fix: isEnough
        ? null
        : unitFix(
            situation,
            'Environment',
            `MEGACOMET_BACKLOG=${needed}`,
            `docker run --env MEGACOMET_BACKLOG=${needed}`,
          ),
    }),
  ];
};

const handshakes: Check = (situation) => {
  const { limits, load } = situation;
  const id = 'TLS handshakes';
  if (load.tls === undefined) {
    return [skipped(id, 'process', 'the connections have no TLS; --tls says that they have it')];
  }
  const { cores } = limits;
  const rate = Math.floor((cores * 1e6) / TLS_FULL_US);
  const isEnough = rate >= load.acceptRate;
  const all = handshakeSeconds(load.connections, TLS_RESUMED_US, cores);
  const needed = Math.ceil((load.acceptRate * TLS_FULL_US) / 1e6);
  return [
    finding({
      id,
      scope: 'process',
      severity: isEnough ? 'ok' : 'warning',
      current: `${formatCount(rate)}/s on ${cores} cores`,
      needed: `${formatCount(load.acceptRate)}/s`,
      formula: `${cores} cores / ${TLS_FULL_US} µs for a full handshake`,
      why:
        'Clients that wait for a handshake wait in the listen queues; one that resumes by a ' +
        `ticket takes ${TLS_RESUMED_US} µs, so all of them need at least ${Math.ceil(all)} s.`,
      counters: [tcpCounter(situation, 'ListenOverflows')],
      fix: isEnough
        ? null
        : { kind: 'advice', text: `use ${needed} cores, or a longer --drain and an --accept-rate` },
    }),
  ];
};

const synBacklog: Check = (situation) => {
  const key = 'net.ipv4.tcp_max_syn_backlog';
  const cookies = sysctl(situation.machine.read, 'net.ipv4.tcp_syncookies');
  if (cookies !== 0) {
    return [
      skipped(key, 'namespace', 'it has no effect while tcp_syncookies is on (since Linux 4.4)'),
    ];
  }
  return [
    checkAtLeast(situation, {
      key,
      scope: 'namespace',
      needed: ({ load }) => Math.ceil(((4 / 3) * load.acceptRate) / load.workers),
      formula: ({ load }) => `4/3 · ${load.acceptRate}/s · 1 s / ${load.workers} workers`,
      below: () => 'warning',
      why:
        'Without SYN cookies it bounds half-open handshakes, and reserves the last quarter for ' +
        'known peers.',
      counters: (at) => [tcpCounter(at, 'TCPReqQFullDrop'), tcpCounter(at, 'ListenDrops')],
    }),
  ];
};

const switches: Check = (situation) => [
  checkSwitch(situation, {
    key: 'net.ipv4.tcp_syncookies',
    good: [1],
    bad: 'warning',
    why:
      'At 1 the kernel answers handshakes even when the queue is full; at 0 it drops them, and ' +
      'at 2 every client loses its TCP options.',
    counters: (at) => [tcpCounter(at, 'SyncookiesSent'), tcpCounter(at, 'TCPReqQFullDoCookies')],
  }),
  checkSwitch(situation, {
    key: 'net.ipv4.tcp_abort_on_overflow',
    good: [0],
    bad: 'warning',
    why: 'At 1 the kernel resets connections of a burst that it would have served a second later.',
    counters: (at) => [tcpCounter(at, 'ListenOverflows')],
  }),
];

/** On bad links the SYN-ACK can be lost more than once, so fewer retries lose clients. */
const SYNACK_RETRIES_MIN = 3;

const synackRetries: Check = (situation) => [
  checkAtLeast(situation, {
    key: 'net.ipv4.tcp_synack_retries',
    scope: 'namespace',
    needed: () => SYNACK_RETRIES_MIN,
    formula: () => `${SYNACK_RETRIES_MIN}; the kernel's default is 5`,
    below: () => 'info',
    why: 'Fewer retries lose clients on bad links; more keep half-open handshakes for minutes.',
    counters: (at) => [tcpCounter(at, 'TCPSynRetrans')],
  }),
];

/** Packets that may wait for one CPU: three for each new connection of one second. */
function netdevBacklogNeeded({ load, limits, role }: Situation): number {
  if (role === 'both') return NETDEV_BACKLOG_ONE_BOX;
  return Math.max(1000, Math.min(30_000, Math.ceil((3 * load.acceptRate) / limits.cores)));
}

const netdevBacklog: Check = (situation) => {
  const { machine, role } = situation;
  const key = 'net.core.netdev_max_backlog';
  if (role !== 'both' && !networkCards(machine).some((card) => isSteered(machine, card))) {
    const why = 'a network card uses it only with RPS; tests on one machine do use it';
    return [skipped(key, 'host', why)];
  }
  return [
    checkAtLeast(situation, {
      key,
      scope: 'host',
      needed: netdevBacklogNeeded,
      formula: ({ load, limits }) =>
        role === 'both'
          ? '16384 for a test with both ends on one machine'
          : `3 · ${load.acceptRate}/s / ${limits.cores} cores, 1000 to 30000`,
      below: () => (role === 'both' ? 'warning' : 'info'),
      why:
        'Loopback and RPS queue every packet there, for each CPU; when the queue is full the ' +
        'packet is dropped and sent again.',
      counters: () => [
        { name: 'softnet_stat dropped (of the host)', value: readSoftnet(machine, 1) },
      ],
    }),
  ];
};

/** The needed budget of one CPU if it ran out of its budget: packets, and microseconds. */
const BUDGET_WHEN_SQUEEZED = 600;
const BUDGET_US_WHEN_SQUEEZED = 8000;

const netdevBudget: Check = (situation) => {
  const squeezed = readSoftnet(situation.machine, 2) ?? 0;
  const counters = [{ name: 'softnet_stat squeezed (of the host)', value: squeezed }];
  const why = 'A CPU that runs out of its budget leaves packets in the queue for its next run.';
  const rows = [
    ['net.core.netdev_budget', 300, BUDGET_WHEN_SQUEEZED],
    ['net.core.netdev_budget_usecs', 2000, BUDGET_US_WHEN_SQUEEZED],
  ] as const;
  return rows.map(([key, usual, more]) =>
    checkAtLeast(situation, {
      key,
      scope: 'host',
      needed: () => (squeezed > 0 ? more : usual),
      formula: () => `${usual}; ${more} if softnet_stat counts squeezes`,
      below: () => 'info',
      why,
      counters: () => counters,
    }),
  );
};

/** Receive descriptors that hold a few milliseconds of a storm. */
const RING_NEEDED = 4096;
/** Drivers have different names for the same loss. */
const RING_LOSSES = /^rx_(drops|missed|no_buffer|out_of_buffer)/;

function checkRing(situation: Situation, card: string): Finding {
  const id = `${card} RX ring`;
  const text = situation.machine.run('ethtool', '-g', card) ?? '';
  const [most, current] = [...text.matchAll(/^RX:\s+(\d+)/gm)].map((match) => Number(match[1]));
  if (most === undefined || current === undefined) {
    return skipped(id, 'host', 'ethtool is missing, or the driver shows no rings');
  }
  const needed = Math.min(most, RING_NEEDED);
  return finding({
    id,
    scope: 'host',
    severity: current < needed ? 'info' : 'ok',
    current: formatCount(current),
    needed: formatCount(needed),
    formula: `min(${most}, the driver's maximum, ${RING_NEEDED})`,
    why: 'A short ring loses packets if its CPU does other work for a millisecond.',
    counters: [
      {
        name: `ethtool -S ${card} rx_drops, rx_missed, rx_no_buffer`,
        value: sumStatistics(situation.machine, card, RING_LOSSES),
      },
    ],
    fix: current < needed ? { kind: 'advice', text: `ethtool -G ${card} rx ${needed}` } : null,
  });
}

function checkQueues(situation: Situation, card: string): Finding {
  const { limits, load, machine } = situation;
  const id = `${card} receive queues`;
  const queues = machine
    .list(`/sys/class/net/${card}/queues`)
    .filter((name) => name.startsWith('rx-')).length;
  if (queues === 0) return skipped(id, 'host', 'the driver shows no queues');
  const needed = Math.min(load.workers, limits.cores);
  const hasRps = isSteered(machine, card);
  const isEnough = queues >= needed || hasRps;
  return finding({
    id,
    scope: 'host',
    severity: isEnough ? 'ok' : 'info',
    current: hasRps ? `${queues}, with RPS` : String(queues),
    needed: String(needed),
    formula: `min(${load.workers} workers, ${limits.cores} cores)`,
    why: 'One core serves one queue, so with fewer queues than cores some cores are overloaded first.',
    counters: [
      { name: 'softnet_stat squeezed (of the host)', value: readSoftnet(machine, 2) },
      { name: '/proc/interrupts, one CPU at 100 % softirq', value: null },
    ],
    fix: isEnough
      ? null
      : {
          kind: 'advice',
          text: `ethtool -L ${card} combined ${needed}, or RPS if the card has fewer queues`,
        },
  });
}

/** Only pfifo_fast uses this length; the current default queues have limits of their own. */
function showQueueLength({ machine }: Situation, card: string): Finding {
  const id = `${card} txqueuelen`;
  const current = machine.read(`/sys/class/net/${card}/tx_queue_len`)?.trim();
  if (current === undefined) return skipped(id, 'host', 'the driver shows no queue length');
  return finding({
    id,
    scope: 'host',
    severity: 'ok',
    current,
    needed: null,
    formula: '',
    why: 'Leave it: pfifo_fast uses it, but fq and fq_codel do not.',
    counters: [{ name: `tc -s qdisc show dev ${card}, dropped`, value: null }],
  });
}

const cards: Check = (situation) => {
  const names = networkCards(situation.machine);
  if (names.length === 0) {
    return [
      skipped('network card', 'host', 'none is visible here, so rings and queues are skipped'),
    ];
  }
  return names.flatMap((card) => [
    checkRing(situation, card),
    checkQueues(situation, card),
    showQueueLength(situation, card),
  ]);
};

const switchKeys = ['net.ipv4.tcp_syncookies', 'net.ipv4.tcp_abort_on_overflow'];

export const acceptingChecks: readonly Check[] = [
  onlyFor('server', ['net.core.somaxconn'], 'namespace', somaxconn),
  onlyFor('server', ['--backlog'], 'process', backlog),
  onlyFor('server', ['TLS handshakes'], 'process', handshakes),
  onlyFor('server', ['net.ipv4.tcp_max_syn_backlog'], 'namespace', synBacklog),
  onlyFor('server', switchKeys, 'namespace', switches),
  onlyFor('server', ['net.ipv4.tcp_synack_retries'], 'namespace', synackRetries),
  netdevBacklog,
  netdevBudget,
  cards,
];
