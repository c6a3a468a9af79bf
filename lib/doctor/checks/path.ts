// What watches connections beside the server: the packet filter, and the cloud's.
import { sysctl } from '../../system/kernel.js';
import { networkCards, sumColumn, sumStatistics } from '../machine.js';
import { conntrackNeeded } from '../../capacity/sizing.js';
import {
  checkAtLeast,
  figure,
  finding,
  fixFor,
  skipped,
  type Check,
  type CounterReading,
  type Finding,
  type Situation,
} from '../finding.js';

const MAX = 'net.netfilter.nf_conntrack_max';
const COUNT = 'net.netfilter.nf_conntrack_count';

function conntrackCounter({ machine }: Situation, name: string): CounterReading {
  const value = sumColumn(machine, '/proc/net/stat/nf_conntrack', name);
  return { name: `nf_conntrack ${name}`, value };
}

/** Loaded is not active: without a rule or NAT that needs it nothing is ever counted. */
function idleConntrack(most: number): Finding {
  return finding({
    id: MAX,
    scope: 'host',
    severity: 'ok',
    current: `${figure(most)}, 0 in use: not active`,
    needed: null,
    formula: '',
    why: 'No rule of this host tracks connections, so the limit is not used.',
  });
}

function judgeConntrack(situation: Situation, most: number, count: number): Finding {
  const { connections, clients } = situation.load;
  // 0 means no limit at all, on kernels that still take it.
  const holds = most === 0 ? null : Math.max(0, most - count);
  const needed = Math.max(conntrackNeeded(situation.load), situation.target + count);
  const isEnough = most === 0 || most >= needed;
  return finding({
    id: MAX,
    scope: 'host',
    severity: isEnough ? 'ok' : (holds ?? 0) < situation.target ? 'critical' : 'warning',
    current: `${figure(most)}, ${figure(count)} in use`,
    needed: figure(needed),
    formula: `ceil(1.25 · C + 120 s · C / 600 s), C = ${connections} + ${clients}`,
    why:
      'Each connection takes an entry; when the table is full new ones hang, and the server sees ' +
      'nothing; better still: notrack for the port.',
    counters: [conntrackCounter(situation, 'drop'), conntrackCounter(situation, 'early_drop')],
    connections: holds,
    fix: isEnough ? null : fixFor(situation, 'host', MAX, String(needed)),
  });
}

const conntrack: Check = (situation) => {
  const count = sysctl(situation.machine.read, COUNT);
  const most = sysctl(situation.machine.read, MAX);
  if (count === null || most === null) {
    return [skipped(MAX, 'host', 'connection tracking is not loaded')];
  }
  if (count === 0) return [idleConntrack(most)];
  return [judgeConntrack(situation, most, count), ...entries(situation)];
};

/** Size of the table, and how long it remembers an idle connection. */
function entries(situation: Situation): Finding[] {
  return [
    checkAtLeast(situation, {
      key: 'net.netfilter.nf_conntrack_buckets',
      scope: 'host',
      needed: (at) => Math.ceil(conntrackNeeded(at.load) / 4),
      formula: () => 'nf_conntrack_max / 4',
      below: () => 'info',
      why: 'Long chains in the table cost CPU for every packet.',
      counters: (at) => [conntrackCounter(at, 'chaintoolong')],
    }),
    checkAtLeast(situation, {
      key: 'net.netfilter.nf_conntrack_tcp_timeout_established',
      scope: 'namespace',
      needed: (at) => at.keepaliveS + 120,
      formula: (at) => `--keepalive ${at.keepaliveS} s + its 4 probes of 30 s`,
      below: () => 'warning',
      why: 'An entry that expires under a silent connection kills it, and neither end notices.',
    }),
  ];
}

/** What else the cloud counts beyond a machine's share: packets and bits were held back. */
const OTHER_ALLOWANCES = ['pps', 'bw_in', 'bw_out'].map((name) => `${name}_allowance_exceeded`);

function allowanceSeverity(
  { target }: Situation,
  available: number | null,
  exceeded: number | null,
): 'critical' | 'ok' | 'warning' {
  if (available !== null && available < target) return 'critical';
  return (exceeded ?? 0) > 0 ? 'warning' : 'ok';
}

function judgeAllowance(situation: Situation, card: string): Finding[] {
  const read = (name: string): number | null =>
    sumStatistics(situation.machine, card, new RegExp(`^${name}$`));
  const available = read('conntrack_allowance_available');
  const exceeded = read('conntrack_allowance_exceeded');
  if (available === null && exceeded === null) return [];
  const severity = allowanceSeverity(situation, available, exceeded);
  const counters = ['conntrack_allowance_exceeded', ...OTHER_ALLOWANCES].map((name) => ({
    name: `ethtool -S ${card} ${name}`,
    value: read(name),
  }));
  return [
    finding({
      id: `${card} conntrack_allowance`,
      scope: 'cloud',
      severity,
      current: available === null ? 'not shown' : `${figure(available)} left`,
      needed: figure(situation.target),
      formula: `${situation.target} connections`,
      why:
        'The cloud tracks connections of security groups outside the machine; beyond its ' +
        'allowance ' +
        'packets vanish; untracked rules (all traffic, both ways, for the port) are free of it.',
      counters,
      connections: available,
      fix:
        severity === 'ok'
          ? null
          : {
              kind: 'advice',
              text: 'open the port to all in both directions, or take a larger instance',
            },
    }),
  ];
}

/** Security groups of EC2 track connections outside the guest, where no sysctl shows it. */
const allowances: Check = (situation) => {
  if (situation.role === 'both') {
    return [skipped('cloud allowances', 'cloud', 'a test on one machine stays within it')];
  }
  const findings = networkCards(situation.machine).flatMap((card) =>
    judgeAllowance(situation, card),
  );
  return findings.length > 0
    ? findings
    : [skipped('cloud allowances', 'cloud', 'no network card here shows any (ethtool -S)')];
};

export const pathChecks: readonly Check[] = [conntrack, allowances];
