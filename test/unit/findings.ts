// Properties of the doctor's findings on any machine: no fix lowers a value, no fix is dangerous, and
// the verdict is the lowest limit.
import fc from 'fast-check';
import t from 'tap';

import type { Aim, Diagnosis } from '../../lib/doctor/doctor.js';
import type { Fix } from '../../lib/doctor/finding.js';
import type { Recording } from '../../lib/doctor/machine.js';
import {
  diagnosisOf,
  MACHINES,
  pathOf,
  recordingOf,
  withFiles,
  withSysctls,
} from '../support/machines/recorded.js';

type Sysctl = Extract<Fix, { kind: 'sysctl' }>;

const FORBIDDEN = [
  'net.ipv4.tcp_tw_recycle',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
  'net.core.rmem_default',
  'net.core.wmem_default',
  'vm.swappiness',
  'vm.max_map_count',
];
/** Settings that are on or off, with the value that a fix may set. */
const SWITCHES: Readonly<Record<string, string>> = {
  'net.ipv4.tcp_syncookies': '1',
  'net.ipv4.tcp_abort_on_overflow': '0',
  'net.ipv4.tcp_timestamps': '1',
  'net.ipv4.tcp_sack': '1',
  'net.ipv4.tcp_window_scaling': '1',
};

const numbersOf = (text: string | undefined): number[] =>
  (text ?? '').match(/\d+/g)?.map(Number) ?? [];

function portsOf(text: string | undefined): Set<number> {
  const ranges = (text ?? '').trim().split(',').filter(Boolean);
  return new Set(
    ranges.flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    }),
  );
}

/** The rule that a fix breaks, or undefined. */
function fault({ key, value }: Sysctl, machine: Recording): string | undefined {
  const before = machine.files[pathOf(key)];
  const now = numbersOf(before);
  const then = numbersOf(value);
  if (FORBIDDEN.includes(key)) return 'must never be proposed';
  if (before === undefined) return 'does not exist on the machine';
  if (key in SWITCHES) return value === SWITCHES[key] ? undefined : 'is the wrong value';
  if (key === 'net.ipv4.ip_local_reserved_ports') {
    const kept = portsOf(value);
    return [...portsOf(before)].every((port) => kept.has(port)) ? undefined : 'forgets a port';
  }
  if (key === 'net.ipv4.ip_local_port_range') {
    const isWider = Number(then[0]) <= Number(now[0]) && Number(then[1]) >= Number(now[1]);
    return isWider && value !== before.trim() ? undefined : 'is not wider';
  }
  if (then.length !== now.length) return 'has another length';
  if (then.some((number, index) => number < Number(now[index]))) return 'lowers it';
  if (then.every((number, index) => number === now[index])) return 'changes nothing';
  if (then.some((number, index) => number < (then[index - 1] ?? 0))) return 'is out of order';
  return undefined;
}

function sysctlsOf({ findings }: Diagnosis): Sysctl[] {
  return findings.flatMap(({ fix }) => (fix?.kind === 'sysctl' ? [fix] : []));
}

function unitOf({ findings }: Diagnosis, directive: string): number[] {
  return findings.flatMap(({ fix }) =>
    fix?.kind === 'unit' && fix.directive === directive ? [Number(fix.value)] : [],
  );
}

/** The machine after `--apply`. */
function fixed(machine: Recording, diagnosis: Diagnosis): Recording {
  return withSysctls(
    machine,
    Object.fromEntries(sysctlsOf(diagnosis).map(({ key, value }) => [key, value])),
  );
}

/** The rules that one diagnosis breaks, as sentences. */
function faults(machine: Recording, aim: Partial<Aim>): string[] {
  const diagnosis = diagnosisOf(machine, aim);
  const wrong = sysctlsOf(diagnosis).flatMap((fix) => {
    const found = fault(fix, machine);
    return found === undefined ? [] : [`${fix.key} = ${fix.value} ${found}`];
  });
  const bounds = diagnosis.findings.filter(({ connections }) => connections !== null);
  const least = Math.min(...bounds.map(({ connections }) => connections ?? Infinity));
  if (diagnosis.verdict.connections !== least) wrong.push('the verdict is not the lowest limit');
  for (const { id, connections, severity } of bounds) {
    const isShort = (connections ?? 0) < diagnosis.target;
    if (isShort !== (severity === 'critical')) wrong.push(`${id}: ${connections} is ${severity}`);
  }
  const nrOpen = Number(machine.files[pathOf('fs.nr_open')] ?? 0);
  const raised = sysctlsOf(diagnosis).find(({ key }) => key === 'fs.nr_open')?.value ?? 0;
  const hard = Number(/files\s+\d+\s+(\d+)/.exec(machine.files['/proc/self/limits'] ?? '')?.[1]);
  for (const value of unitOf(diagnosis, 'LimitNOFILE')) {
    if (value > Math.max(nrOpen, Number(raised))) wrong.push('LimitNOFILE is above fs.nr_open');
    if (value < Math.min(hard, nrOpen)) wrong.push('LimitNOFILE lowers the limit');
  }
  // With other limits another number of workers may be best.
  const { workers } = diagnosis;
  const again = sysctlsOf(diagnosisOf(fixed(machine, diagnosis), { ...aim, workers }));
  if (again.length > 0) wrong.push(`not fixed: ${again.map(({ key }) => key).join()}`);
  return wrong;
}

const upTo = (max: number): fc.Arbitrary<number> =>
  fc.oneof(fc.integer({ min: 0, max: Math.min(max, 100) }), fc.integer({ min: 0, max }));

/** Mostly in ascending order; the kernel accepts any order. */
const vectors = fc
  .tuple(upTo(3e7), upTo(3e7), upTo(3e7), fc.boolean())
  .map(([min, pressure, max, isMixed]) => {
    const values = [min, pressure, max];
    return (isMixed ? values : values.toSorted((a, b) => a - b)).join('\t');
  });

const ranges = fc
  .tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 1, max: 65_535 }))
  .map(([a, b]) => `${Math.min(a, b)}\t${Math.max(a, b)}`);

const ports = fc.constantFrom('', '8000', '8000-8010,9001', '1024-65535', '40000');

const sysctls = fc.record(
  {
    'fs.nr_open': upTo(2 ** 30),
    'fs.file-max': upTo(2 ** 40),
    'fs.epoll.max_user_watches': upTo(1e8),
    'net.core.somaxconn': upTo(65_535),
    'net.core.netdev_max_backlog': upTo(1e6),
    'net.core.netdev_budget': upTo(1e4),
    'net.core.netdev_budget_usecs': upTo(1e5),
    'net.ipv4.tcp_syncookies': fc.constantFrom(0, 1, 2),
    'net.ipv4.tcp_abort_on_overflow': fc.constantFrom(0, 1),
    'net.ipv4.tcp_timestamps': fc.constantFrom(0, 1, 2),
    'net.ipv4.tcp_max_syn_backlog': upTo(1e5),
    'net.ipv4.tcp_synack_retries': upTo(20),
    'net.ipv4.tcp_mem': vectors,
    'net.ipv4.tcp_max_orphans': upTo(1e6),
    'net.ipv4.tcp_max_tw_buckets': upTo(1e7),
    'net.ipv4.ip_local_port_range': ranges,
    'net.ipv4.ip_local_reserved_ports': ports,
    'net.netfilter.nf_conntrack_max': upTo(1e7),
    'net.netfilter.nf_conntrack_count': upTo(1e6),
    'net.netfilter.nf_conntrack_buckets': upTo(1e6),
    'vm.min_free_kbytes': upTo(1e6),
  },
  { requiredKeys: [] },
);

const aims: fc.Arbitrary<Partial<Aim>> = fc.record({
  target: fc.integer({ min: 1, max: 100_000_000 }),
  role: fc.constantFrom('server', 'client', 'both'),
  workers: fc.oneof(fc.constant('auto' as const), fc.integer({ min: 1, max: 512 })),
  acceptRate: upTo(1_000_000),
  messageBurst: fc.constantFrom(0, 0.01, 0.5, 1),
  ports: fc.array(fc.integer({ min: 1, max: 65_535 }), { maxLength: 3 }),
  backlog: fc.integer({ min: 1, max: 65_535 }),
  keepaliveS: upTo(32_400),
});

const drawings = fc.record({
  name: fc.constantFrom(...MACHINES),
  sysctls,
  hard: upTo(2 ** 30),
  availableKb: upTo(10 ** 9),
  groupMib: fc.option(upTo(1e6)),
});

type Drawing = typeof drawings extends fc.Arbitrary<infer Value> ? Value : never;

function machineOf({ name, sysctls, hard, availableKb, groupMib }: Drawing): Recording {
  const recording = withSysctls(recordingOf(name), sysctls);
  const group = recording.files['/proc/self/cgroup']?.split('0::')[1]?.trim() ?? '/';
  const limit = { [`/sys/fs/cgroup${group}/memory.max`]: `${(groupMib ?? 0) * 2 ** 20}\n` };
  return withFiles(recording, {
    '/proc/self/limits': `Max open files            1024         ${hard}         files\n`,
    '/proc/meminfo': `MemTotal: 65674496 kB\nMemAvailable: ${availableKb} kB\n`,
    ...(groupMib === null ? {} : limit),
  });
}

t.test('on any machine nothing is lowered, and the verdict is the lowest limit', (t) => {
  const property = fc.property(drawings, aims, (drawing, aim) => {
    const wrong = faults(machineOf(drawing), aim);
    if (wrong.length > 0) throw new Error(wrong.join('; '));
  });
  t.doesNotThrow(() => {
    fc.assert(property, { numRuns: 250 });
  });
  t.end();
});
