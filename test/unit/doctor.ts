// The doctor on recorded machines: the critical findings of each, the connections that it can hold,
// and the limit that binds first. Every known limit has a finding, and a section in docs/tuning.md.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { formatDiagnosis, groupDigits } from '../../lib/cli/diagnosis-text.js';
import type { Finding, Role } from '../../lib/doctor/finding.js';
import { containerSign, recordedMachine } from '../../lib/doctor/machine.js';
import { root } from '../support/helpers.js';
import {
  diagnosisOf,
  findingOf,
  idsOf,
  MACHINES,
  recordingOf,
} from '../support/machines/recorded.js';

interface Wanted {
  readonly machine: (typeof MACHINES)[number];
  readonly role: Role;
  readonly workers: number;
  readonly connections: number;
  readonly binding: string;
  readonly critical: readonly string[];
  readonly warning: readonly string[];
}

const TUNED = ['--backlog', 'net.core.somaxconn', 'net.ipv4.tcp_mem'];
const OUTDATED = [2, 4, 6].map((line) => `/etc/sysctl.d/60-tuning.conf:${line}`);
const POD = 'memory cgroup /sys/fs/cgroup/pod.slice';

const WANTED: readonly Wanted[] = [
  {
    machine: 'laptop',
    role: 'server',
    workers: 8,
    // nf_conntrack_max is 262,144, and 213 entries are in use.
    connections: 261_931,
    binding: 'net.netfilter.nf_conntrack_max',
    critical: ['/etc/security/limits.conf:3', 'net.netfilter.nf_conntrack_max'],
    warning: [...TUNED, ...OUTDATED],
  },
  {
    machine: 'laptop',
    role: 'both',
    workers: 8,
    connections: 261_931,
    binding: 'net.netfilter.nf_conntrack_max',
    // The host allows 1,626,521 files, and the user is not root: too few for both ends.
    critical: [...['/etc/security/limits.conf:3', 'fs.file-max'], 'net.netfilter.nf_conntrack_max'],
    warning: [
      ...[...TUNED, ...OUTDATED, 'memory'],
      ...['net.core.netdev_max_backlog', 'net.ipv4.tcp_ehash_entries'],
    ],
  },
  {
    machine: 'ec2',
    role: 'server',
    workers: 8,
    // The connections that the security groups may still track.
    connections: 612_311,
    binding: 'ens5 conntrack_allowance',
    critical: ['ens5 conntrack_allowance'],
    warning: TUNED,
  },
  {
    machine: 'ec2',
    role: 'client',
    workers: 8,
    connections: 28_232,
    binding: 'net.ipv4.ip_local_port_range',
    critical: ['ens5 conntrack_allowance', 'net.ipv4.ip_local_port_range'],
    // Linux 6.1 searches for ports in steps of two.
    warning: ['IP_LOCAL_PORT_RANGE'],
  },
  {
    machine: 'container',
    role: 'server',
    workers: 4,
    // (4 GiB − 4 · 9 MB − 100 MB) / 1.2 / (4100 + 196 + 4096).
    connections: 412_989,
    binding: POD,
    critical: [POD, `${POD}/app.scope`],
    warning: ['--backlog', 'net.core.somaxconn'],
  },
  {
    machine: 'debian-12',
    role: 'server',
    workers: 56,
    // 56 · (20,000 − 97).
    connections: 1_114_568,
    binding: 'RLIMIT_NOFILE',
    critical: [],
    warning: ['net.ipv4.tcp_mem'],
  },
  {
    machine: 'debian-13',
    role: 'server',
    workers: 4,
    // (7,560,000 kB − 993 MiB − 136 MB) / (4098 + 96 + 1200).
    connections: 1_217_018,
    binding: 'memory',
    critical: [],
    warning: [...TUNED, 'memory', 'net.ipv4.tcp_ehash_entries'],
  },
  {
    machine: 'debian-13',
    role: 'both',
    workers: 4,
    connections: 656_783,
    binding: 'memory',
    critical: ['fs.epoll.max_user_watches', 'memory'],
    warning: [...TUNED, 'net.core.netdev_max_backlog', 'net.ipv4.tcp_ehash_entries'],
  },
  {
    machine: 'arm64-64k',
    role: 'server',
    workers: 16,
    // (31,400,000 kB − 1 GiB − 244 MB) / (4070 + 96 + 1200).
    connections: 5_746_525,
    binding: 'memory',
    critical: [],
    warning: ['net.ipv4.tcp_mem'],
  },
];

for (const wanted of WANTED) {
  const { machine, role } = wanted;
  t.test(`${machine} as ${role}`, (t) => {
    const diagnosis = diagnosisOf(recordingOf(machine), { role });
    const { verdict } = diagnosis;
    t.equal(diagnosis.workers, wanted.workers, 'workers');
    t.equal(verdict.connections, wanted.connections, 'connections');
    t.match(verdict.binding, new RegExp(`^${wanted.binding} \\(`), 'the limit that binds first');
    t.same(idsOf(diagnosis, 'critical'), [...wanted.critical].sort(), 'critical');
    t.same(idsOf(diagnosis, 'warning'), [...wanted.warning].sort(), 'warnings');
    t.equal(verdict.isEnough, wanted.connections >= 1_000_000);
    t.same([...verdict.critical].sort(), [...wanted.critical].sort());
    for (const id of wanted.critical) t.ok(verdict.sentence.includes(id), `it names ${id}`);
    t.end();
  });
}

t.test('every finding has its values, and its reason in one sentence', (t) => {
  const diagnoses = MACHINES.flatMap((name) =>
    (['server', 'client', 'both'] as const).map((role) => diagnosisOf(recordingOf(name), { role })),
  );
  for (const { findings } of diagnoses) {
    const ids = findings.map(({ id }) => id);
    t.equal(new Set(ids).size, ids.length, 'no finding is reported twice');
  }
  const loud = diagnoses
    .flatMap(({ findings }) => findings)
    .filter(({ severity }) => severity !== 'skipped');
  const settingsFiles = /^\/etc\//;
  for (const { id, why, current, needed, formula, severity, counters, fix } of loud) {
    if (!/^[A-Z].*\.$/.test(why) || /\. [A-Z]/.test(why)) t.fail(`${id}: ${why}`);
    if (current === '') t.fail(`${id}: no value`);
    if (severity === 'ok' || settingsFiles.test(id)) continue;
    if (needed === null && severity !== 'info') t.fail(`${id}: no needed value`);
    if (formula === '' && !/transparent|IP_LOCAL/.test(id)) t.fail(`${id}: no formula`);
    if (counters.length === 0 && id !== 'IP_LOCAL_PORT_RANGE') t.fail(`${id}: no counter`);
    if (fix === null && !/_[rw]mem$/.test(id)) t.fail(`${id}: no fix`);
  }
  t.ok(loud.length > 300, 'there are many findings');
  t.end();
});

/** Every parameter that is known to matter, and the findings about it. */
const PARAMETERS: readonly (readonly [parameter: string, ...ids: (string | RegExp)[]])[] = [
  // Descriptors, epoll, memory.
  ['RLIMIT_NOFILE soft and hard of each worker', 'RLIMIT_NOFILE'],
  ['fs.nr_open', 'fs.nr_open'],
  ['fs.file-max', 'fs.file-max'],
  ['fs.epoll.max_user_watches', 'fs.epoll.max_user_watches'],
  ['physical RAM', 'memory'],
  ['memory cgroup limit', /^memory cgroup/],
  ['vm.max_map_count', 'vm.max_map_count'],
  ['vm.min_free_kbytes', 'vm.min_free_kbytes'],
  ['vm.swappiness', 'vm.swappiness'],
  ['fd table', 'descriptor table'],
  ['THP', 'transparent huge pages'],
  // Accepting connections.
  ['net.core.somaxconn', 'net.core.somaxconn'],
  ['application backlog', '--backlog'],
  ['net.ipv4.tcp_max_syn_backlog', 'net.ipv4.tcp_max_syn_backlog'],
  ['net.ipv4.tcp_syncookies', 'net.ipv4.tcp_syncookies'],
  ['net.ipv4.tcp_abort_on_overflow', 'net.ipv4.tcp_abort_on_overflow'],
  ['net.ipv4.tcp_synack_retries', 'net.ipv4.tcp_synack_retries'],
  ['net.ipv4.tcp_migrate_req', 'net.ipv4.tcp_migrate_req'],
  ['TCP_DEFER_ACCEPT', 'TCP_DEFER_ACCEPT'],
  ['SO_REUSEPORT / SO_INCOMING_CPU', 'SO_REUSEPORT', 'SO_INCOMING_CPU'],
  ['net.core.netdev_max_backlog', 'net.core.netdev_max_backlog'],
  ['net.core.netdev_budget / _usecs', 'net.core.netdev_budget', 'net.core.netdev_budget_usecs'],
  ['NIC RX/TX ring', /RX ring$/],
  ['RSS queues, IRQ affinity, RPS/RFS/XPS', /receive queues$/],
  ['txqueuelen / qdisc', /txqueuelen$/],
  // Established, closing, memory pressure.
  ['net.ipv4.tcp_mem', 'net.ipv4.tcp_mem'],
  ['tcp_rmem / tcp_wmem', 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'],
  ['net.core.rmem_max / wmem_max', 'net.core.rmem_max', 'net.core.wmem_max'],
  ['net.ipv4.tcp_notsent_lowat', 'net.ipv4.tcp_notsent_lowat'],
  ['net.ipv4.tcp_max_orphans', 'net.ipv4.tcp_max_orphans'],
  ['net.ipv4.tcp_max_tw_buckets', 'net.ipv4.tcp_max_tw_buckets'],
  ['net.ipv4.tcp_fin_timeout', 'net.ipv4.tcp_fin_timeout'],
  ['net.ipv4.tcp_tw_reuse', 'net.ipv4.tcp_tw_reuse'],
  ['net.ipv4.tcp_tw_recycle', 'net.ipv4.tcp_tw_recycle'],
  ['tcp_keepalive_time/intvl/probes', '--keepalive', 'net.ipv4.tcp_keepalive_time'],
  ['TCP_USER_TIMEOUT / tcp_retries2', 'TCP_USER_TIMEOUT', 'net.ipv4.tcp_retries2'],
  ['thash_entries', 'net.ipv4.tcp_ehash_entries'],
  [
    'net.ipv4.tcp_timestamps, sack, window_scaling',
    'net.ipv4.tcp_timestamps',
    'net.ipv4.tcp_sack',
    'net.ipv4.tcp_window_scaling',
  ],
  ['congestion control', 'net.ipv4.tcp_congestion_control'],
  ['net.ipv4.neigh.default.gc_thresh3', 'net.ipv4.neigh.default.gc_thresh3'],
  // Clients only.
  ['net.ipv4.ip_local_port_range', 'net.ipv4.ip_local_port_range'],
  ['net.ipv4.ip_local_reserved_ports', 'net.ipv4.ip_local_reserved_ports'],
  ['IP_BIND_ADDRESS_NO_PORT', 'IP_BIND_ADDRESS_NO_PORT'],
  ['IP_LOCAL_PORT_RANGE', 'IP_LOCAL_PORT_RANGE'],
  [
    'net.ipv4.tcp_syn_retries, tcp_syn_linear_timeouts',
    'net.ipv4.tcp_syn_retries',
    'net.ipv4.tcp_syn_linear_timeouts',
  ],
  // Packet filter and cloud.
  ['net.netfilter.nf_conntrack_max', 'net.netfilter.nf_conntrack_max'],
  ['nf_conntrack_buckets', 'net.netfilter.nf_conntrack_buckets'],
  ['nf_conntrack_tcp_timeout_established', 'net.netfilter.nf_conntrack_tcp_timeout_established'],
  ['EC2 security group tracking', /conntrack_allowance$|^cloud allowances$/],
  ['path idle timeouts', '--keepalive'],
];

t.test('every known limit has a finding', (t) => {
  // Only the laptop has connection tracking on; the other findings exist on every machine.
  const { findings } = diagnosisOf(recordingOf('laptop'), { role: 'both' });
  const has = (id: string | RegExp): boolean =>
    findings.some((found) => (typeof id === 'string' ? found.id === id : id.test(found.id)));
  for (const [parameter, ...ids] of PARAMETERS) t.ok(ids.length > 0 && ids.every(has), parameter);
  t.end();
});

t.test('a role skips the limits that do not concern it', (t) => {
  const skippedFor = (role: Role): string[] =>
    idsOf(diagnosisOf(recordingOf('debian-13'), { role }), 'skipped');
  const server = skippedFor('server');
  const client = skippedFor('client');
  const both = skippedFor('both');
  t.ok(server.includes('net.ipv4.ip_local_port_range'), 'a server needs no ports');
  for (const id of [...TUNED, 'net.ipv4.tcp_max_orphans', '--keepalive']) {
    t.ok(client.includes(id), `a load generator needs no ${id}`);
    t.notOk(both.includes(id), `a test with both ends needs ${id}`);
  }
  t.notOk(both.includes('net.core.netdev_max_backlog'), 'loopback queues packets');
  t.end();
});

/** The name of a finding in the manual, without the parts that depend on the machine. */
function heading({ id }: Finding): string {
  return id
    .replace(/^\/etc\/.*/, '/etc/sysctl.d')
    .replace(/^memory cgroup.*/, 'memory cgroup')
    .replace(/^\S+ (RX ring|receive queues|txqueuelen|conntrack_allowance)$/, '$1');
}

t.test('docs/tuning.md names every finding', (t) => {
  const manual = readFileSync(join(root, 'docs/tuning.md'), 'utf8');
  const all = MACHINES.flatMap((name) => diagnosisOf(recordingOf(name), { role: 'both' }).findings);
  const headings = [...new Set(all.map(heading))].sort();
  t.ok(headings.length > 50);
  for (const name of headings) t.ok(manual.includes(`\`${name}\``), name);
  t.end();
});

t.test('a recording describes its machine', (t) => {
  for (const name of MACHINES) {
    const { about } = recordingOf(name);
    t.match(about, name === 'debian-12' ? /^Recorded by record\.mjs/ : /^Composed/, name);
  }
  t.ok(existsSync(join(root, 'test/support/machines/record.mjs')));
  t.equal(findingOf(diagnosisOf(recordingOf('container')), 'memory').severity, 'ok');
  t.end();
});

t.test('the text has the verdict first, and no line that is longer than the terminal', (t) => {
  for (const name of MACHINES) {
    const diagnosis = diagnosisOf(recordingOf(name));
    for (const columns of [80, 120]) {
      const text = formatDiagnosis(diagnosis, { columns, isVerbose: true });
      const long = text
        .split('\n')
        .filter((line) => line.length > columns && / \S+ /.test(line.trim()));
      t.same(long, [], `${name}, ${columns} columns`);
    }
    const short = formatDiagnosis(diagnosis, { columns: 80, isVerbose: false });
    const [, , verdict = ''] = short.split('\n');
    t.ok(diagnosis.verdict.sentence.startsWith(verdict), `${name}: the verdict`);
    t.match(short, /\n\d+ settings are enough, and \d+ do not apply here: --verbose lists them\.$/);
    t.notMatch(short, /^(ok|skipped) /m);
    const all = formatDiagnosis(diagnosis, { columns: 80, isVerbose: true });
    for (const { id, severity } of diagnosis.findings) {
      if (severity === 'skipped') t.match(all, `skipped  ${id}`.slice(0, 60));
    }
  }
  t.end();
});

t.test('digits are grouped in numbers, not in names, paths and ports', (t) => {
  const rows: [string, string, string?][] = [
    ['287898 383865 1000000 pages', '287,898 383,865 1,000,000 pages'],
    ['ceil(1.1 · 1000000 / 56 workers) + 1024', 'ceil(1.1 · 1,000,000 / 56 workers) + 1024'],
    [
      '/sys/fs/cgroup/12345/memory, 20,000, 1.23456',
      '/sys/fs/cgroup/12345/memory, 20,000, 1.23456',
    ],
    ['32768 60999', '32768 60999', 'net.ipv4.ip_local_port_range'],
  ];
  for (const [text, wanted, id = 'x'] of rows) t.equal(groupDigits(text, id), wanted);
  t.end();
});

t.test('a container has its own process namespace or a read-only /proc/sys', (t) => {
  const kthreadd = { '/proc/1/comm': 'systemd\n', '/proc/2/comm': 'kthreadd\n' };
  const rows: [string, Record<string, string>, RegExp | null][] = [
    ['a machine', kthreadd, null],
    ['a virtual machine made from an image', { ...kthreadd, '/.dockerenv': '' }, null],
    ['the same of Podman', { ...kthreadd, '/run/.containerenv': '' }, null],
    ['/proc that hides processes', { '/.dockerenv': '' }, null],
    ['Docker', { '/proc/1/comm': 'node\n', '/.dockerenv': '' }, /^\/\.dockerenv exists$/],
    ['Podman', { '/proc/1/comm': 'node\n', '/run/.containerenv': '' }, /containerenv exists$/],
    [
      'another runtime',
      { '/proc/1/comm': 'node\n', '/proc/2/comm': 'sh\n' },
      /namespace of its own/,
    ],
    [
      'the namespace of the host',
      { ...kthreadd, '/proc/self/mountinfo': '1 2 0:5 / /proc/sys ro,nosuid - proc proc rw\n' },
      /read-only/,
    ],
    [
      '/proc of an outer namespace',
      { ...kthreadd, '/proc/self/status': 'NSpid:\t31337\t1\n' },
      /own/,
    ],
  ];
  for (const [name, files, wanted] of rows) {
    const sign = containerSign(recordedMachine({ about: name, files, outputs: {} }));
    if (wanted === null) t.equal(sign, null, name);
    else t.match(sign, wanted, name);
  }
  t.end();
});
