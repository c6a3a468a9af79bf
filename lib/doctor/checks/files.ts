// Limits on open files and on epoll watches. Above them accept fails with EMFILE or ENFILE, and
// epoll_ctl with ENOSPC.
import { usableDescriptors } from '../../capacity/capacity.js';
import { readFileNr, sysctl } from '../../system/kernel.js';
import {
  descriptorsNeeded,
  filesNeeded,
  limitNofile,
  watchesNeeded,
  withHeadroom,
} from '../../capacity/sizing.js';
import {
  checkAtLeast,
  formatCount,
  finding,
  skipped,
  unitFix,
  type Check,
  type Finding,
  type Situation,
} from '../finding.js';

const EMFILE = { name: 'megacomet_accept_failed_emfile_total (of the server)', value: null };

/** Connections that all workers hold if each may open `descriptors` files. */
function heldBy(situation: Situation, descriptors: number): number {
  const usable = usableDescriptors({ ...situation.limits, descriptors }, 1);
  return situation.load.workers * Math.max(0, usable);
}

function nofileFormula({ load, target }: Situation): string {
  return `ceil(1.1 · ${target} / ${load.workers} workers) + 1024`;
}

/** Critical if the target does not fit; a warning if a dead worker's clients would not fit. */
function nofileSeverity({ target }: Situation, holds: number): 'critical' | 'info' | 'warning' {
  if (holds < target) return 'critical';
  return holds < withHeadroom(target) ? 'warning' : 'info';
}

/** Checks the hard limit, because workers raise their soft limit to it. */
const nofile: Check = (situation) => {
  const { limits, load, machine, target } = situation;
  const needed = descriptorsNeeded(load);
  const isEnough = limits.descriptors >= needed;
  const holds = heldBy(situation, limits.descriptors);
  // setrlimit fails above fs.nr_open, which the finding about fs.nr_open raises if needed.
  const ceiling = Math.max(needed, sysctl(machine.read, 'fs.nr_open') ?? 0);
  const value = Math.max(needed, limitNofile(target, ceiling));
  return [
    finding({
      id: 'RLIMIT_NOFILE',
      scope: 'process',
      severity: isEnough ? 'ok' : nofileSeverity(situation, holds),
      current: `${formatCount(limits.descriptors)} (hard)`,
      needed: formatCount(needed),
      formula: nofileFormula(situation),
      why:
        'Each connection is an open file of its worker; the limit is per process, and the fix lets ' +
        'one worker hold every connection, because a higher limit costs nothing until it is used.',
      counters: [EMFILE],
      connections: holds,
      fix: isEnough
        ? null
        : unitFix(
            situation,
            'LimitNOFILE',
            String(value),
            `docker run --ulimit nofile=${value}:${value}; at most fs.nr_open of the host`,
          ),
    }),
  ];
};

const nrOpen: Check = (situation) => [
  checkAtLeast(situation, {
    key: 'fs.nr_open',
    scope: 'host',
    needed: ({ load }) => descriptorsNeeded(load),
    formula: nofileFormula,
    below: (current, at) => nofileSeverity(at, heldBy(at, current)),
    why:
      'It is the ceiling of RLIMIT_NOFILE, for root too: setrlimit fails above it, and ' +
      'pam_limits then rejects logins.',
    counters: () => [EMFILE],
    connections: (current, at) => heldBy(at, current),
  }),
];

const fileMax: Check = (situation) => {
  const { load, machine, target } = situation;
  const { connections, clients } = load;
  const open = readFileNr(machine.read) ?? 0;
  const holds = (current: number): number => perEnd(situation, current - open);
  const belowSeverity = (current: number): 'critical' | 'warning' =>
    holds(current) < target ? 'critical' : 'warning';
  return [
    checkAtLeast(situation, {
      key: 'fs.file-max',
      scope: 'host',
      needed: () => Math.max(filesNeeded(load), connections + clients + open),
      formula: () =>
        `max(ceil(1.1 · (${connections} + ${clients})) + 65536, ${connections} + ${clients} + ` +
        'files open now)',
      below: belowSeverity,
      why: 'It counts all open files of the host, and above it accept fails with ENFILE.',
      counters: () => [{ name: 'fs.file-nr (open now)', value: open }],
      connections: holds,
    }),
  ];
};

const watches: Check = (situation) => [
  checkAtLeast(situation, {
    key: 'fs.epoll.max_user_watches',
    scope: 'host',
    needed: ({ load }) => watchesNeeded(load),
    formula: ({ load }) => `ceil(1.1 · (${load.connections} + ${load.clients})) + 10000`,
    below: (current, at) => (perEnd(at, current) < at.target ? 'critical' : 'warning'),
    why:
      'It counts the connections of a user in all processes and containers, also for root; above ' +
      'it epoll_ctl fails with ENOSPC, and the kernel logs nothing.',
    counters: () => [{ name: 'megacomet_closed_watch_failed_total (of the server)', value: null }],
    connections: (current) => perEnd(situation, current),
  }),
];

/** Connections for a number of files or watches: with both ends here, each connection needs two. */
function perEnd({ role }: Situation, count: number): number {
  return Math.max(0, role === 'both' ? Math.floor(count / 2) : count);
}

const descriptorTable: Check = ({ load, target }) => {
  const share = Math.ceil(target / load.workers);
  const bytes = 8.25 * 2 ** Math.ceil(Math.log2(Math.max(64, share)));
  return [
    finding({
      id: 'descriptor table',
      scope: 'process',
      severity: 'ok',
      current: `${formatCount(bytes)} bytes per worker`,
      needed: null,
      formula: `8.25 · 2^ceil(log2(${share}))`,
      why: 'Each worker grows its table once at the start, so that no accept has to wait for it.',
    }),
  ];
};

const mapCount: Check = ({ machine }): Finding[] => {
  const current = sysctl(machine.read, 'vm.max_map_count');
  if (current === null) {
    return [skipped('vm.max_map_count', 'host', 'this kernel does not have it')];
  }
  return [
    finding({
      id: 'vm.max_map_count',
      scope: 'host',
      severity: 'ok',
      current: formatCount(current),
      needed: null,
      formula: '',
      why: 'Leave it: a worker maps one block of 256 KiB for 4,096 connections.',
    }),
  ];
};

export const fileChecks: readonly Check[] = [
  // fs.nr_open is the ceiling of RLIMIT_NOFILE: if both bind, it must be raised first.
  nrOpen,
  nofile,
  fileMax,
  watches,
  descriptorTable,
  mapCount,
];
