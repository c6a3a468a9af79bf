// Source ports of clients, and listening ports of the server within their range.
import { sysctl, sysctlVector } from '../../system/kernel.js';
import { portsNeeded } from '../../capacity/sizing.js';
import {
  formatCount,
  finding,
  onlyFor,
  fixFor,
  skipped,
  tcpCounter,
  type Check,
  type Finding,
  type Situation,
} from '../finding.js';

const RANGE = 'net.ipv4.ip_local_port_range';
const RESERVED = 'net.ipv4.ip_local_reserved_ports';
const WIDEST = { low: 1024, high: 65_535 };
const EADDRNOTAVAIL = { name: 'failed with EADDRNOTAVAIL in the result of bench', value: null };
/** Addresses of 127.0.0.0/8. They need no configuration, so a test on one machine has many ports. */
const LOOPBACK_SOURCES = 254 * 256 * 254;

/** Ports in a list such as `8000,9000-9007`. */
function portsOf(text: string): Set<number> {
  const ports = new Set<number>();
  for (const part of text.trim().split(',')) {
    if (part === '') continue;
    const [first = 0, last = first] = part.split('-').map(Number);
    for (let port = first; port <= last; port++) ports.add(port);
  }
  return ports;
}

interface Range {
  readonly low: number;
  readonly high: number;
  readonly reserved: ReadonlySet<number>;
}

function readRange({ machine }: Situation): Range | null {
  const [low, high] = sysctlVector(machine.read, RANGE) ?? [];
  if (low === undefined || high === undefined) return null;
  const text = machine.read(`/proc/sys/${RESERVED.replaceAll('.', '/')}`) ?? '';
  return { low, high, reserved: portsOf(text) };
}

function usablePorts({ low, high, reserved }: Range): number {
  const taken = [...reserved].filter((port) => port >= low && port <= high).length;
  return high - low + 1 - taken;
}

/** The widest range, which contains the current one. */
function widest({ low, high }: Range): { readonly low: number; readonly high: number } {
  return { low: Math.min(low, WIDEST.low), high: Math.max(high, WIDEST.high) };
}

/** The widest range as a setting, or null if the range is that wide already. */
function widened(found: Range): string | null {
  const { low, high } = widest(found);
  return low === found.low && high === found.high ? null : `${low} ${high}`;
}

/** Whether the clients of this machine have enough ports; a server needs none. */
function isRangeEnough({ load, role }: Situation, found: Range): boolean {
  if (role === 'server') return true;
  const sources = role === 'both' ? LOOPBACK_SOURCES : 1;
  return sources * usablePorts(found) >= portsNeeded(load);
}

/** Both ends on one machine: bench uses as many addresses of 127.0.0.0/8 as it needs. */
function rangeOfOneBox(situation: Situation, found: Range): Finding {
  const { load } = situation;
  const usable = usablePorts(found);
  const addresses = Math.ceil(portsNeeded(load) / Math.max(1, usable));
  const holds = LOOPBACK_SOURCES * usable;
  const isEnough = isRangeEnough(situation, found);
  const wider = widened(found);
  return finding({
    id: RANGE,
    scope: 'namespace',
    severity: isEnough ? 'ok' : holds < situation.target ? 'critical' : 'warning',
    current: `${found.low} ${found.high} (${formatCount(usable)} ports)`,
    needed: `${formatCount(addresses)} addresses of 127.0.0.0/8`,
    formula: `ceil(1.02 · ${load.clients} clients / ${formatCount(usable)} ports)`,
    why:
      'Each source address has its own set of ports, and bench uses as many addresses of ' +
      '127.0.0.0/8 as it needs.',
    counters: [EADDRNOTAVAIL],
    connections: holds,
    fix: isEnough || wider === null ? null : fixFor(situation, 'namespace', RANGE, wider),
  });
}

function rangeOfClient(situation: Situation, found: Range): Finding {
  const { load, target } = situation;
  const usable = usablePorts(found);
  const needed = portsNeeded(load);
  const isEnough = isRangeEnough(situation, found);
  const addresses = Math.ceil(needed / Math.max(1, usable));
  const wider = widened(found);
  return finding({
    id: RANGE,
    scope: 'namespace',
    severity: isEnough ? 'ok' : usable < target ? 'critical' : 'warning',
    current: `${found.low} ${found.high} (${formatCount(usable)} ports)`,
    needed: `${formatCount(needed)} ports from one address to one destination`,
    formula:
      `1.02 · ${load.clients} clients / (${formatCount(usable)} ports · source ` +
      `addresses · destinations)`,
    why:
      'Each pair of a source address and a destination can use each port once; without a free ' +
      'port connect fails with EADDRNOTAVAIL.',
    counters: [EADDRNOTAVAIL],
    connections: usable,
    fix: isEnough
      ? null
      : wider === null
        ? { kind: 'advice', text: `use ${addresses} source addresses or destinations` }
        : fixFor(situation, 'namespace', RANGE, wider),
  });
}

const range: Check = (situation) => {
  const found = readRange(situation);
  if (found === null) return [skipped(RANGE, 'namespace', 'this kernel does not have it')];
  const isOneBox = situation.role === 'both';
  return [isOneBox ? rangeOfOneBox(situation, found) : rangeOfClient(situation, found)];
};

/** An outgoing connection can take a listening port inside the range while the server restarts. */
const reserved: Check = (situation) => {
  const found = readRange(situation);
  if (found === null) return [skipped(RESERVED, 'namespace', 'this kernel does not have it')];
  const current = (
    situation.machine.read(`/proc/sys/${RESERVED.replaceAll('.', '/')}`) ?? ''
  ).trim();
  // If another finding widens the range, the wider range counts.
  const { low, high } = isRangeEnough(situation, found) ? found : widest(found);
  const inside = [...new Set(situation.ports)].filter(
    (port) => port >= low && port <= high && !found.reserved.has(port),
  );
  const wanted = [current, ...inside.map(String)].filter((part) => part !== '').join(',');
  const isEnough = inside.length === 0;
  return [
    finding({
      id: RESERVED,
      scope: 'namespace',
      severity: isEnough ? 'ok' : 'warning',
      current: current === '' ? 'none' : current,
      needed: isEnough ? null : wanted,
      formula: `ports ${situation.ports.join(', ')}, range ${low} to ${high}`,
      why: isEnough
        ? 'Every listening port is reserved, or outside the range of outgoing connections.'
        : 'An outgoing connection may take the port while the server restarts, and then bind ' +
          'fails with EADDRINUSE.',
      counters: [{ name: 'EADDRINUSE at the start of the server', value: null }],
      fix: isEnough ? null : fixFor(situation, 'namespace', RESERVED, wanted),
    }),
  ];
};

function shownSetting(situation: Situation, key: string, good: number, why: string): Finding {
  const current = sysctl(situation.machine.read, key);
  if (current === null) return skipped(key, 'namespace', 'this kernel does not have it');
  return finding({
    id: key,
    scope: 'namespace',
    severity: current < good ? 'info' : 'ok',
    current: String(current),
    needed: null,
    formula: '',
    why,
    counters: [tcpCounter(situation, 'TCPSynRetrans')],
  });
}

const dialing: Check = (situation) => [
  shownSetting(
    situation,
    'net.ipv4.tcp_syn_retries',
    4,
    'The kernel sends a lost SYN again; with fewer retries connects fail under load.',
  ),
  shownSetting(
    situation,
    'net.ipv4.tcp_tw_reuse',
    1,
    'At 2 ports in TIME_WAIT are reused on loopback, at 1 everywhere; it never helps a server.',
  ),
];

/** Linux 6.3 added the socket option that makes the kernel try all ports in order. */
const portSearch: Check = ({ machine }) => {
  const id = 'IP_LOCAL_PORT_RANGE';
  const release = machine.read('/proc/sys/kernel/osrelease')?.trim() ?? '';
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  if (major === undefined || minor === undefined) {
    return [skipped(id, 'process', 'this kernel does not show its version')];
  }
  const isNew = Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 3);
  return [
    finding({
      id,
      scope: 'process',
      severity: isNew ? 'ok' : 'warning',
      current: `Linux ${release}`,
      needed: 'Linux 6.3',
      formula: '',
      why:
        'Without it a connect takes 33 times as long after half of the ports of an address are ' +
        'used.',
      fix: isNew
        ? null
        : { kind: 'advice', text: 'use at most half of the ports of each source address' },
    }),
  ];
};

const DIALING_KEYS = ['net.ipv4.tcp_syn_retries', 'net.ipv4.tcp_tw_reuse'];

export const portChecks: readonly Check[] = [
  onlyFor('client', [RANGE], 'namespace', range),
  onlyFor('server', [RESERVED], 'namespace', reserved),
  onlyFor('client', DIALING_KEYS, 'namespace', dialing),
  onlyFor('client', ['IP_LOCAL_PORT_RANGE'], 'process', portSearch),
];
