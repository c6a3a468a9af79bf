// Outdated lines in sysctl.conf and limits.conf: the doctor reports each of them, and no harmless
// line. The worst is a limit of files that makes pam_limits reject every login.
import t from 'tap';

import type { Finding } from '../../lib/doctor/finding.js';
import type { Recording } from '../../lib/doctor/machine.js';
import {
  diagnosisOf,
  findingOf,
  recordingOf,
  withFiles,
  withSysctls,
} from '../support/machines/recorded.js';

const plain = withFiles(recordingOf('debian-12'), {
  '/etc/sysctl.conf': '',
  '/etc/sysctl.d/99-sysctl.conf': '',
});

/** The findings about lines of sysctl.d on a machine. */
function findingsOn(lines: string, machine: Recording = plain): Finding[] {
  const path = '/etc/sysctl.d/60-web.conf';
  const { findings } = diagnosisOf(withFiles(machine, { [path]: `${lines}\n` }));
  return findings.filter(({ id }) => id.startsWith('/etc/'));
}

type Row = readonly [line: string, severity: 'info' | 'nothing' | 'warning', why: RegExp];

/** Findings on Debian 12 with Linux 6.18 and 24 GiB; the recording has its current values. */
const ROWS: readonly Row[] = [
  ['fs.file-max = 1100000', 'warning', /lowers a value that is 2460000 now/],
  ['fs.file-max = 4000000', 'nothing', /^$/],
  ['fs.nr_open = 1000000', 'warning', /lowers a value that is 1048576 now/],
  ['fs.nr_open = 2000000', 'nothing', /^$/],
  ['fs.epoll.max_user_watches = 100000', 'warning', /lowers a value that is 5491533 now/],
  ['net.core.rmem_max = 33554432', 'info', /caps the buffer sizes that a program requests/],
  ['net.core.wmem_max = 33554432', 'info', /caps the buffer sizes that a program requests/],
  ['net.ipv4.tcp_rmem = 4096 16384 33554432', 'info', /ceilings, not reservations/],
  ['net.ipv4.tcp_wmem = 4096 16384 33554432', 'info', /ceilings, not reservations/],
  ['net.ipv4.tcp_rmem = 8388608 8388608 16777216', 'warning', /slow clients hold more memory/],
  ['net.ipv4.tcp_mem = 786432 1048576 26777216', 'warning', /PAGES.*limits nothing/],
  ['net.ipv4.tcp_mem = 100000 200000 300000', 'warning', /lowers a value/],
  ['net.ipv4.tcp_mem = 750000 1000000 1500000', 'nothing', /^$/],
  ['net.ipv4.tcp_max_tw_buckets = 360000', 'nothing', /^$/],
  ['net.ipv4.tcp_max_tw_buckets = 5000', 'warning', /lowers a value that is 131072 now/],
  ['net.ipv4.tcp_max_orphans = 3000', 'warning', /lowers a value that is 131072 now/],
  ['net.core.netdev_max_backlog = 2500', 'info', /network card does not use it.*16384/],
  ['net.core.netdev_max_backlog = 300', 'warning', /lowers a value that is 1000 now/],
  ['net.core.netdev_max_backlog = 16384', 'nothing', /^$/],
  ['vm.min_free_kbytes = 65536', 'warning', /lowers a value that is 67584 now/],
  ['vm.swappiness = 0', 'info', /sockets cannot be swapped/i],
  ['net.ipv4.ip_local_port_range = 1024 65535', 'info', /only a client needs ports/i],
  ['net.ipv4.tcp_fin_timeout = 15', 'info', /FIN_WAIT_2 only, not TIME_WAIT/],
  ['net.ipv4.tcp_fin_timeout = 60', 'nothing', /^$/],
  ['net.ipv4.tcp_tw_reuse = 1', 'info', /outgoing connections/],
  ['net.ipv4.tcp_tw_recycle = 1', 'warning', /Linux 4\.12 removed/],
  ['net.ipv4.tcp_tw_recycle=0', 'warning', /Linux 4\.12 removed/],
  ['net.core.somaxconn = 1024', 'warning', /lowers a value that is 4096 now/],
  ['net.core.somaxconn = 4096', 'nothing', /^$/],
  ['net.ipv4.tcp_max_syn_backlog = 2048', 'info', /no effect while tcp_syncookies is on/],
  ['net.ipv4.tcp_congestion_control = bbr', 'info', /no effect on idle/],
  ['net.ipv4.tcp_syncookies = 0', 'warning', /drops new clients/],
  ['net.ipv4.tcp_syncookies = 1', 'nothing', /^$/],
  ['net.ipv4.tcp_timestamps = 0', 'warning', /without timestamps/i],
  ['net.ipv4.tcp_sack = 0', 'warning', /lost packet/],
  ['net.ipv4.tcp_window_scaling = 0', 'warning', /64 KiB/],
  ['net.ipv4.tcp_abort_on_overflow = 1', 'warning', /resets/],
  ['net.netfilter.nf_conntrack_max = 0', 'warning', /0 means no limit on some/],
  ['net.netfilter.nf_conntrack_max = 65536', 'warning', /lowers a value that is 262144 now/],
  [
    'net.ipv4.netfilter.ip_conntrack_max = 1000000',
    'warning',
    /calls the setting net\.netfilter\.nf_/,
  ],
  ['net.ipv4.ip_conntrack_max = 1000000', 'warning', /calls the setting net\.netfilter\.nf_/],
  ['kernel.pid_max = 65536', 'nothing', /^$/],
  // Other ways to write the same.
  ['-net.ipv4.tcp_tw_recycle = 1', 'warning', /removed/],
  ['net/ipv4/tcp_tw_recycle = 1', 'warning', /removed/],
  ['  vm.swappiness=0  ', 'info', /swapped/],
  ['# net.ipv4.tcp_tw_recycle = 1', 'nothing', /^$/],
  ['; net.ipv4.tcp_tw_recycle = 1', 'nothing', /^$/],
  ['nonsense', 'nothing', /^$/],
];

t.test('the doctor reports each outdated line with its reason', (t) => {
  for (const [line, severity, why] of ROWS) {
    const [found, ...more] = findingsOn(line);
    t.equal(found?.severity ?? 'nothing', severity, line);
    t.match(found?.why ?? '', why, line);
    t.same(more, [], 'there is only one finding');
    if (found !== undefined) t.equal(found.id, '/etc/sysctl.d/60-web.conf:1', 'file and line');
    t.equal(
      found?.fix?.kind,
      found === undefined ? undefined : 'advice',
      'the file stays as it is',
    );
  }
  t.end();
});

t.test('the doctor reads every folder of sysctl.d, a link once, and no hidden file', (t) => {
  const line = 'vm.swappiness = 0\n';
  const locationsOf = (files: Record<string, string>): string[] => {
    const { findings } = diagnosisOf(withFiles(plain, files));
    return findings.map(({ id }) => id).filter((id) => /^\/(etc|run|usr)\//.test(id));
  };
  t.same(locationsOf({ '/run/sysctl.d/a.conf': line }), ['/run/sysctl.d/a.conf:1']);
  t.same(locationsOf({ '/usr/lib/sysctl.d/a.conf': `\n${line}` }), ['/usr/lib/sysctl.d/a.conf:2']);
  t.same(
    locationsOf({ '/usr/lib/sysctl.d/a.conf': line, '/etc/sysctl.d/a.conf': '#\n' }),
    [],
    'a file of the same name in /etc hides it',
  );
  t.same(locationsOf({ '/etc/sysctl.d/README': line }), [], 'the name does not end in .conf');
  t.same(
    locationsOf({ '/etc/sysctl.conf': line, '/etc/sysctl.d/99-sysctl.conf': line }),
    ['/etc/sysctl.conf:1'],
    'the link of Debian 12 is the same file',
  );
  t.same(
    locationsOf({ '/etc/sysctl.conf': '#\n', '/etc/sysctl.d/99-sysctl.conf': line }),
    ['/etc/sysctl.d/99-sysctl.conf:1'],
    'a file with the name of the link is another file',
  );
  t.end();
});

t.test('the doctor reports settings in a file that systemd does not read at boot', (t) => {
  const lost = withFiles(recordingOf('debian-13'), {});
  const found = findingOf(diagnosisOf(lost), '/etc/sysctl.conf');
  t.equal(found.severity, 'info');
  t.match(found.why, /systemd does not read this file at boot/i);
  t.end();
});

t.test('a queue length in rc.local is outdated', (t) => {
  const path = '/etc/rc.local';
  const { findings } = diagnosisOf(
    withFiles(plain, { [path]: '#!/bin/sh\nifconfig eth0 txqueuelen 5000\n' }),
  );
  const found = findings.find(({ id }) => id === `${path}:2`);
  t.equal(found?.severity, 'info');
  t.match(found?.why, /pfifo_fast/);
  t.end();
});

interface Lockout {
  readonly about: string;
  readonly line: string;
  readonly sysctls?: Readonly<Record<string, number>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly severity: Finding['severity'];
  readonly why: RegExp;
}

const NR_OPEN_AT_BOOT = { '/etc/sysctl.d/10-files.conf': 'fs.nr_open = 3000000\n' };

const LOCKOUTS: readonly Lockout[] = [
  {
    about: 'above fs.nr_open',
    line: '* hard nofile 2000000',
    severity: 'critical',
    why: /^LOGIN LOCK-OUT: 2000000 is above fs\.nr_open \(1048576\).*ssh included/,
  },
  {
    about: 'a line that sets both limits',
    line: '@staff - nofile 1048577 # 1 above fs.nr_open',
    severity: 'critical',
    why: /^LOGIN LOCK-OUT: 1048577 is above/,
  },
  {
    about: 'fs.nr_open was raised by hand until the next boot',
    line: '* hard nofile 2000000',
    sysctls: { 'fs.nr_open': 3_000_000 },
    severity: 'critical',
    why: /^LOGIN LOCK-OUT: 2000000 is above fs\.nr_open after the next boot \(1048576;/,
  },
  {
    about: 'fs.nr_open is raised now and at every boot',
    line: '* hard nofile 2000000',
    sysctls: { 'fs.nr_open': 3_000_000 },
    files: NR_OPEN_AT_BOOT,
    severity: 'info',
    why: /per process/,
  },
  {
    about: 'fs.nr_open is raised in a file that the next boot will read',
    line: '* hard nofile 2000000',
    files: NR_OPEN_AT_BOOT,
    severity: 'critical',
    why: /^LOGIN LOCK-OUT: 2000000 is above fs\.nr_open \(1048576\)/,
  },
  {
    about: 'systemd raises fs.nr_open at every boot',
    line: '* hard nofile 2000000',
    sysctls: { 'fs.nr_open': 1_073_741_816 },
    severity: 'info',
    why: /per process/,
  },
  {
    about: 'the next boot lowers fs.nr_open',
    line: '* hard nofile 1000000',
    files: { '/etc/sysctl.d/10-files.conf': 'fs.nr_open = 500000\n' },
    severity: 'critical',
    why: /^LOGIN LOCK-OUT: 1000000 is above fs\.nr_open after the next boot \(500000;/,
  },
  {
    about: 'pam_limits cuts a soft limit',
    line: '* soft nofile 2000000',
    severity: 'warning',
    why: /pam_limits cuts it to the hard limit/,
  },
  {
    about: 'equal to fs.nr_open',
    line: '* hard nofile 1048576',
    severity: 'info',
    why: /services of systemd ignore it/,
  },
  {
    about: 'unlimited',
    line: '* hard nofile unlimited',
    severity: 'info',
    why: /per process/,
  },
  { about: 'minus one', line: '* - nofile -1', severity: 'info', why: /per process/ },
];

t.test('a file limit above fs.nr_open is a login lock-out', (t) => {
  const path = '/etc/security/limits.d/90-web.conf';
  for (const { about, line, sysctls = {}, files = {}, severity, why } of LOCKOUTS) {
    const machine = withFiles(withSysctls(plain, sysctls), { ...files, [path]: `#\n${line}\n` });
    const found = findingOf(diagnosisOf(machine), `${path}:2`);
    t.equal(found.severity, severity, about);
    t.match(found.why, why, about);
  }
  const other = withFiles(plain, { [path]: '* hard nproc 2000000\n* hard\n' });
  t.same(
    diagnosisOf(other).findings.filter(({ id }) => id.startsWith(path)),
    [],
    'the doctor ignores other limits',
  );
  const main = withFiles(plain, { '/etc/security/limits.conf': 'web hard nofile 9999999\n' });
  t.match(findingOf(diagnosisOf(main), '/etc/security/limits.conf:1').why, /LOCK-OUT/);
  t.end();
});
