// Limits of the packet filters that track connections: the kernel's, and the cloud's.
import { sysctl } from '../../system/kernel.js';
import { networkCards, sumColumn, sumStatistics } from '../machine.js';
import { conntrackNeeded } from '../../capacity/sizing.js';
import {
  checkAtLeast,
  formatCount,
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

/** The module is loaded, but without a rule or NAT that needs it the kernel tracks nothing. */
function idleConntrack(most: number): Finding {
  return finding({
    id: MAX,
    scope: 'host',
    severity: 'ok',
    current: `${formatCount(most)}, 0 in use: not active`,
    needed: null,
    formula: '',
    why: 'No rule of this host tracks connections, so the limit has no effect.',
  });
}

function checkConntrack(situation: Situation, most: number, count: number): Finding {
  const { connections, clients } = situation.load;
  // On kernels that accept 0 it means "no limit".
  const holds = most === 0 ? null : Math.max(0, most - count);
  const needed = Math.max(conntrackNeeded(situation.load), situation.target + count);
  const isEnough = most === 0 || most >= needed;
  return finding({
    id: MAX,
    scope: 'host',
    severity: isEnough ? 'ok' : (holds ?? 0) < situation.target ? 'critical' : 'warning',
    current: `${formatCount(most)}, ${formatCount(count)} in use`,
    needed: formatCount(needed),
    formula: `ceil(1.25 · C + 120 s · C / 600 s), C = ${connections} + ${clients}`,
    why:
      'Each connection takes an entry; when the table is full new connections hang, and no counter ' +
      'of the server moves.',
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
  return [checkConntrack(situation, most, count), ...entries(situation)];
};

/** Checks the size of the table, and the time for which it keeps an idle connection. */
function entries(situation: Situation): Finding[] {
  return [
    checkAtLeast(situation, {
      key: 'net.netfilter.nf_conntrack_buckets',
      scope: 'host',
      needed: (at) => Math.ceil(conntrackNeeded(at.load) / 4),
      formula: () => 'nf_conntrack_max / 4',
      below: () => 'info',
      why: 'Long chains in the table cost CPU time for every packet.',
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

/** Other counters of the cloud, for packets and bits that it delayed or dropped. */
const OTHER_ALLOWANCES = ['pps', 'bw_in', 'bw_out'].map((name) => `${name}_allowance_exceeded`);

function allowanceSeverity(
  { target }: Situation,
  available: number | null,
  exceeded: number | null,
): 'critical' | 'ok' | 'warning' {
  if (available !== null && available < target) return 'critical';
  return (exceeded ?? 0) > 0 ? 'warning' : 'ok';
}

function checkAllowance(situation: Situation, card: string): Finding[] {
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
      current: available === null ? 'not shown' : `${formatCount(available)} left`,
      needed: formatCount(situation.target),
      formula: `${situation.target} connections`,
      why:
        'The cloud tracks connections of security groups outside the machine and drops packets ' +
        'above its allowance; rules that allow all traffic of the port both ways are exempt.',
      counters,
      connections: available,
      fix:
        severity === 'ok'
          ? null
          : {
              kind: 'advice',
              text: 'open the port to all in both directions, or use a larger instance',
            },
    }),
  ];
}

/** Security groups of EC2 track connections outside the guest; no sysctl shows it. */
const allowances: Check = (situation) => {
  if (situation.role === 'both') {
    return [skipped('cloud allowances', 'cloud', 'a test on one machine does not use the network')];
  }
  const findings = networkCards(situation.machine).flatMap((card) =>
    checkAllowance(situation, card),
  );
  return findings.length > 0
    ? findings
    : [skipped('cloud allowances', 'cloud', 'ethtool -S of no network card shows any')];
};

export const pathChecks: readonly Check[] = [conntrack, allowances];
