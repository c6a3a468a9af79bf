// Lines of sysctl.conf and limits.conf that are wrong, obsolete or dangerous. Most of them were copied
// from the web. The worst one makes pam_limits reject every login.
import { sysctl, sysctlVector } from '../../system/kernel.js';
import { NETDEV_BACKLOG_ONE_BOX } from '../../capacity/sizing.js';
import { finding, type Check, type Finding, type Severity, type Situation } from '../finding.js';

/** Folders of sysctl.d(5). If two folders have a file of one name, the first folder counts. */
const SYSCTL_FOLDERS = [
  '/etc/sysctl.d',
  '/run/sysctl.d',
  '/usr/local/lib/sysctl.d',
  '/usr/lib/sysctl.d',
];
const SYSCTL_CONF = '/etc/sysctl.conf';
/** Through this link systemd reads /etc/sysctl.conf on Debian 12. Debian 13 lacks the link. */
const SYSCTL_CONF_LINK = '/etc/sysctl.d/99-sysctl.conf';
const LIMITS_CONF = '/etc/security/limits.conf';
const LIMITS_FOLDER = '/etc/security/limits.d';

interface Line {
  /** Such as `/etc/sysctl.conf:7`. */
  readonly location: string;
  readonly key: string;
  readonly value: string;
}

function confFiles(situation: Situation, folder: string): string[] {
  const names = situation.machine.list(folder).filter((name) => name.endsWith('.conf'));
  return names.map((name) => `${folder}/${name}`);
}

function linesOf(situation: Situation, path: string): { location: string; text: string }[] {
  return (situation.machine.read(path) ?? '').split('\n').flatMap((raw, index) => {
    const text = raw.trim();
    return text === '' || /^[#;]/.test(text) ? [] : [{ location: `${path}:${index + 1}`, text }];
  });
}

/** The files in the order in which systemd reads them at boot: by name, not by folder. */
function sysctlPaths(situation: Situation): string[] {
  const paths = new Map<string, string>();
  for (const path of SYSCTL_FOLDERS.flatMap((folder) => confFiles(situation, folder))) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (!paths.has(name)) paths.set(name, path);
  }
  const sorted = [...paths.keys()].sort().map((name) => paths.get(name) ?? '');
  const text = situation.machine.read(SYSCTL_CONF);
  // The link and its target are one file.
  const isLink = (path: string): boolean =>
    path === SYSCTL_CONF_LINK && situation.machine.read(path) === text;
  return [...sorted.filter((path) => !isLink(path)), SYSCTL_CONF];
}

/** Lines `key = value`. A dash in front means that errors are ignored; slashes mean dots. */
function sysctlLines(situation: Situation): Line[] {
  return sysctlPaths(situation).flatMap((path) =>
    linesOf(situation, path).flatMap(({ location, text }) => {
      const match = /^-?\s*([\w./-]+)\s*=\s*(.*)$/.exec(text);
      if (match === null) return [];
      const key = (match[1] ?? '').replaceAll('/', '.');
      return [{ location, key, value: (match[2] ?? '').trim().replace(/\s+/g, ' ') }];
    }),
  );
}

interface Verdict {
  readonly severity: Severity;
  readonly why: string;
}

type Rule = (line: Line, situation: Situation) => Verdict | null;

const warning = (why: string): Verdict => ({ severity: 'warning', why });
const info = (why: string): Verdict => ({ severity: 'info', why });

const renamed =
  (name: string): Rule =>
  () =>
    warning(`the line fails, because the kernel now calls the setting ${name}`);
const never =
  (bad: string, why: string): Rule =>
  ({ value }) =>
    value === bad ? warning(why) : null;

/** Old advice lowers some defaults, because newer kernels have larger ones. */
const raiseOnly: Rule = ({ key, value }, situation) => {
  const current = sysctl(situation.machine.read, key);
  return current !== null && Number(value) < current
    ? warning(`at the next boot it lowers a value that is ${current} now`)
    : null;
};

const tcpMemRule: Rule = ({ key, value }, { costs, machine, memory }) => {
  const values = value.split(' ').map(Number);
  const most = Math.floor(memory.totalBytes / costs.pageBytes);
  if ((values[2] ?? 0) > most) {
    return warning(
      `it counts PAGES, and the machine has only ${most}, so this maximum limits nothing`,
    );
  }
  const current = sysctlVector(machine.read, key) ?? [];
  return values.some((number, index) => number < (current[index] ?? 0))
    ? warning(`it lowers a value that is ${current.join(' ')} now`)
    : null;
};

/** Default of a receive buffer on Linux 6.18; larger ones let slow clients hold more. */
const BUFFER_DEFAULT_MAX = 131_072;

const bufferRule: Rule = ({ value }) =>
  Number(value.split(' ')[1]) > BUFFER_DEFAULT_MAX
    ? warning('larger default buffers make nothing faster here, and slow clients hold more memory')
    : info('these are ceilings, not reservations: idle connections use none of them');

const conntrackMaxRule: Rule = (line, situation) =>
  line.value === '0'
    ? warning('0 means no limit on some kernels, and others reject it')
    : raiseOnly(line, situation);

const portRangeRule: Rule = (_line, { role }) =>
  role === 'server'
    ? info('only a client needs ports: a server accepts all connections on one port')
    : null;

const netdevBacklogRule: Rule = (line, situation) => {
  const lowered = raiseOnly(line, situation);
  if (lowered !== null || Number(line.value) >= NETDEV_BACKLOG_ONE_BOX) return lowered;
  return info(`a network card does not use it, and loopback needs ${NETDEV_BACKLOG_ONE_BOX}`);
};

/** The rule for each key. */
const RULES: Readonly<Record<string, Rule>> = {
  'fs.epoll.max_user_watches': raiseOnly,
  'fs.file-max': raiseOnly,
  'fs.nr_open': raiseOnly,
  'net.core.netdev_max_backlog': netdevBacklogRule,
  'net.core.rmem_max': () =>
    info('it caps the buffer sizes that a program requests; megacomet-ts requests none'),
  'net.core.somaxconn': raiseOnly,
  'net.core.wmem_max': () =>
    info('it caps the buffer sizes that a program requests; megacomet-ts requests none'),
  'net.ipv4.ip_conntrack_max': renamed('net.netfilter.nf_conntrack_max'),
  'net.ipv4.ip_local_port_range': portRangeRule,
  'net.ipv4.netfilter.ip_conntrack_max': renamed('net.netfilter.nf_conntrack_max'),
  'net.ipv4.tcp_abort_on_overflow': never(
    '1',
    'it resets connections of a burst that the kernel would have served a second later',
  ),
  'net.ipv4.tcp_congestion_control': () => info('it has no effect on idle connections'),
  'net.ipv4.tcp_fin_timeout': ({ value }) =>
    Number(value) < 60 ? info('it shortens FIN_WAIT_2 only, not TIME_WAIT') : null,
  'net.ipv4.tcp_max_orphans': raiseOnly,
  'net.ipv4.tcp_max_syn_backlog': () =>
    info('it has no effect while tcp_syncookies is on, since Linux 4.4'),
  'net.ipv4.tcp_max_tw_buckets': raiseOnly,
  'net.ipv4.tcp_mem': tcpMemRule,
  'net.ipv4.tcp_rmem': bufferRule,
  'net.ipv4.tcp_sack': never('0', 'without it one lost packet makes TCP resend a window'),
  'net.ipv4.tcp_syncookies': never('0', 'a full queue of handshakes then drops new clients'),
  'net.ipv4.tcp_timestamps': never('0', 'without timestamps SYN cookies lose TCP options'),
  'net.ipv4.tcp_tw_recycle': () =>
    warning(
      'the line fails, because Linux 4.12 removed the setting, which lost clients behind NAT',
    ),
  'net.ipv4.tcp_tw_reuse': () =>
    info('it concerns outgoing connections only, so a server does not need it'),
  'net.ipv4.tcp_window_scaling': never('0', 'without it no window is larger than 64 KiB'),
  'net.ipv4.tcp_wmem': bufferRule,
  'net.netfilter.nf_conntrack_max': conntrackMaxRule,
  'vm.min_free_kbytes': raiseOnly,
  'vm.swappiness': () => info('sockets cannot be swapped, so it changes nothing for connections'),
};

function findingAt(location: string, setting: string, verdict: Verdict): Finding {
  return finding({
    id: location,
    scope: 'host',
    severity: verdict.severity,
    current: setting,
    needed: null,
    formula: '',
    why: `${verdict.why[0]?.toUpperCase() ?? ''}${verdict.why.slice(1)}.`,
    fix: { kind: 'advice', text: `remove or correct ${location}` },
  });
}

const sysctlFiles: Check = (situation) =>
  sysctlLines(situation).flatMap((line) => {
    const verdict = RULES[line.key]?.(line, situation) ?? null;
    return verdict === null
      ? []
      : [findingAt(line.location, `${line.key} = ${line.value}`, verdict)];
  });

/** Without the link only a manual `sysctl --system` reads the file. */
const unreadFile: Check = (situation) => {
  const isLinked = situation.machine.read(SYSCTL_CONF_LINK) !== undefined;
  const count = linesOf(situation, SYSCTL_CONF).length;
  if (isLinked || count === 0) return [];
  const why = 'systemd does not read this file at boot; move its lines to /etc/sysctl.d';
  return [findingAt(SYSCTL_CONF, `${count} settings`, info(why))];
};

/** The kernel's default of fs.nr_open, and the value that systemd 257 (Debian 13) sets at boot. */
const NR_OPEN_DEFAULT = 1_048_576;
const NR_OPEN_SYSTEMD = 1_073_741_816;

/** fs.nr_open now, and after the next boot, which loses a value that was raised by hand. */
function readNrOpen(situation: Situation): { now: number; atBoot: number } {
  const now = sysctl(situation.machine.read, 'fs.nr_open') ?? NR_OPEN_DEFAULT;
  const line = sysctlLines(situation).findLast(({ key }) => key === 'fs.nr_open');
  if (line !== undefined) return { now, atBoot: Number(line.value) };
  return { now, atBoot: now === NR_OPEN_SYSTEMD ? now : Math.min(now, NR_OPEN_DEFAULT) };
}

/** pam_limits cuts a soft limit to the hard one, but a hard limit that it cannot set is an error. */
function nofileVerdict(
  type: string,
  value: number,
  nrOpen: ReturnType<typeof readNrOpen>,
): Verdict {
  const least = Math.min(nrOpen.now, nrOpen.atBoot);
  const isLater = value <= nrOpen.now;
  const ceiling = isLater
    ? `fs.nr_open after the next boot (${least}; it was raised only until then)`
    : `fs.nr_open (${nrOpen.now})`;
  // pam_limits sets "unlimited" and -1 to fs.nr_open, so they never exceed it.
  if (!(value > least)) {
    return info(
      'it is per process and applies to logins only: services of systemd ignore it, and a line ' +
        'for * does not apply to root',
    );
  }
  if (type === 'soft') {
    return warning(`${value} is above ${ceiling}, so pam_limits cuts it to the hard limit`);
  }
  return {
    severity: 'critical',
    why:
      `LOGIN LOCK-OUT: ${value} is above ${ceiling}, so pam_limits rejects every session that ` +
      'this line matches, ssh included; before you log out, raise fs.nr_open in sysctl.d or ' +
      'lower this value',
  };
}

/** Lines `domain type item value` of limits.conf(5). */
const limitsFiles: Check = (situation) => {
  const paths = [LIMITS_CONF, ...confFiles(situation, LIMITS_FOLDER)];
  const nrOpen = readNrOpen(situation);
  return paths.flatMap((path) =>
    linesOf(situation, path).flatMap(({ location, text }) => {
      const [domain = '', type = '', item = '', value = ''] = (text.split('#')[0] ?? '')
        .trim()
        .split(/\s+/);
      if (item !== 'nofile') return [];
      const setting = `${domain} ${type} nofile ${value}`;
      return [findingAt(location, setting, nofileVerdict(type, Number(value), nrOpen))];
    }),
  );
};

const RC_LOCAL = '/etc/rc.local';

const queueLength: Check = (situation) =>
  linesOf(situation, RC_LOCAL)
    .filter(({ text }) => text.includes('txqueuelen'))
    .map(({ location, text }) =>
      findingAt(
        location,
        text,
        info('only pfifo_fast uses the length; fq and fq_codel have limits of their own'),
      ),
    );

export const outdatedAdviceChecks: readonly Check[] = [
  sysctlFiles,
  unreadFile,
  limitsFiles,
  queueLength,
];
