// Lines of sysctl.conf and limits.conf that are wrong, gone or dangerous.
// Most of them were copied from the web; the worst locks everybody out at the next login.
import { sysctl, sysctlVector } from '../../system/kernel.js';
import { NETDEV_BACKLOG_ONE_BOX } from '../../capacity/sizing.js';
import { finding, type Check, type Finding, type Severity, type Situation } from '../finding.js';

/** Folders of sysctl.d(5): of two files with one name the first folder's counts. */
const SYSCTL_FOLDERS = [
  '/etc/sysctl.d',
  '/run/sysctl.d',
  '/usr/local/lib/sysctl.d',
  '/usr/lib/sysctl.d',
];
const SYSCTL_CONF = '/etc/sysctl.conf';
/** By this link Debian 12 has systemd read /etc/sysctl.conf; Debian 13 has no such link. */
const SYSCTL_CONF_LINK = '/etc/sysctl.d/99-sysctl.conf';
const LIMITS_CONF = '/etc/security/limits.conf';
const LIMITS_FOLDER = '/etc/security/limits.d';

interface Line {
  /** Such as `/etc/sysctl.conf:7`. */
  readonly place: string;
  readonly key: string;
  readonly value: string;
}

function confFiles(situation: Situation, folder: string): string[] {
  const names = situation.machine.list(folder).filter((name) => name.endsWith('.conf'));
  return names.map((name) => `${folder}/${name}`);
}

function linesOf(situation: Situation, path: string): { place: string; text: string }[] {
  return (situation.machine.read(path) ?? '').split('\n').flatMap((raw, index) => {
    const text = raw.trim();
    return text === '' || /^[#;]/.test(text) ? [] : [{ place: `${path}:${index + 1}`, text }];
  });
}

/** The files in the order in which a boot reads them: by name, whatever their folder. */
function sysctlPaths(situation: Situation): string[] {
  const paths = new Map<string, string>();
  for (const path of SYSCTL_FOLDERS.flatMap((folder) => confFiles(situation, folder))) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (!paths.has(name)) paths.set(name, path);
  }
  const sorted = [...paths.keys()].sort().map((name) => paths.get(name) ?? '');
  const text = situation.machine.read(SYSCTL_CONF);
  // The link and what it points to are one file.
  const isLink = (path: string): boolean =>
    path === SYSCTL_CONF_LINK && situation.machine.read(path) === text;
  return [...sorted.filter((path) => !isLink(path)), SYSCTL_CONF];
}

/** `key = value`, with a dash in front where errors do not matter; slashes are dots. */
function sysctlLines(situation: Situation): Line[] {
  return sysctlPaths(situation).flatMap((path) =>
    linesOf(situation, path).flatMap(({ place, text }) => {
      const match = /^-?\s*([\w./-]+)\s*=\s*(.*)$/.exec(text);
      if (match === null) return [];
      const key = (match[1] ?? '').replaceAll('/', '.');
      return [{ place, key, value: (match[2] ?? '').trim().replace(/\s+/g, ' ') }];
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
    warning(`the kernel calls it ${name} now: the line fails`);
const never =
  (bad: string, why: string): Rule =>
  ({ value }) =>
    value === bad ? warning(why) : null;

/** Advice on the web lowers some defaults, since they have grown meanwhile. */
const raiseOnly: Rule = ({ key, value }, situation) => {
  const current = sysctl(situation.machine.read, key);
  return current !== null && Number(value) < current
    ? warning(`it lowers a value that is ${current} now: it takes effect at the next boot`)
    : null;
};

const judgeTcpMem: Rule = ({ key, value }, { costs, machine, memory }) => {
  const values = value.split(' ').map(Number);
  const most = Math.floor(memory.totalBytes / costs.pageBytes);
  if ((values[2] ?? 0) > most) {
    return warning(
      `it counts PAGES, and its maximum is more than this machine's ${most}: no limit at all`,
    );
  }
  const current = sysctlVector(machine.read, key) ?? [];
  return values.some((number, index) => number < (current[index] ?? 0))
    ? warning(`it lowers a value that is ${current.join(' ')} now`)
    : null;
};

/** Default of a receive buffer on Linux 6.18; larger ones let slow clients hold more. */
const BUFFER_DEFAULT_MAX = 131_072;

const judgeBuffer: Rule = ({ value }) =>
  Number(value.split(' ')[1]) > BUFFER_DEFAULT_MAX
    ? warning('a bigger default buffer makes nothing faster here, and slow clients dearer')
    : info('these are ceilings, not reservations: idle connections use none of them');

const judgeConntrackMax: Rule = (line, situation) =>
  line.value === '0'
    ? warning('0 means no limit on some kernels and is refused by others')
    : raiseOnly(line, situation);

const judgePortRange: Rule = (_line, { role }) =>
  role === 'server'
    ? info('only who connects needs ports: a server accepts them all on one')
    : null;

const judgeNetdevBacklog: Rule = (line, situation) => {
  const lowered = raiseOnly(line, situation);
  if (lowered !== null || Number(line.value) >= NETDEV_BACKLOG_ONE_BOX) return lowered;
  return info(`a network card does not use it, and loopback needs ${NETDEV_BACKLOG_ONE_BOX}`);
};

/** What is said of a line, by its key. */
const RULES: Readonly<Record<string, Rule>> = {
  'fs.epoll.max_user_watches': raiseOnly,
  'fs.file-max': raiseOnly,
  'fs.nr_open': raiseOnly,
  'net.core.netdev_max_backlog': judgeNetdevBacklog,
  'net.core.rmem_max': () => info('it caps what a program asks for, and nobody here asks'),
  'net.core.somaxconn': raiseOnly,
  'net.core.wmem_max': () => info('it caps what a program asks for, and nobody here asks'),
  'net.ipv4.ip_conntrack_max': renamed('net.netfilter.nf_conntrack_max'),
  'net.ipv4.ip_local_port_range': judgePortRange,
  'net.ipv4.netfilter.ip_conntrack_max': renamed('net.netfilter.nf_conntrack_max'),
  'net.ipv4.tcp_abort_on_overflow': never('1', 'it turns a burst that would be served into resets'),
  'net.ipv4.tcp_congestion_control': () => info('it has no effect on idle connections'),
  'net.ipv4.tcp_fin_timeout': ({ value }) =>
    Number(value) < 60 ? info('it does not shorten TIME_WAIT, only FIN_WAIT_2: remove it') : null,
  'net.ipv4.tcp_max_orphans': raiseOnly,
  'net.ipv4.tcp_max_syn_backlog': () =>
    info('it has no effect while tcp_syncookies is on, since Linux 4.4'),
  'net.ipv4.tcp_max_tw_buckets': raiseOnly,
  'net.ipv4.tcp_mem': judgeTcpMem,
  'net.ipv4.tcp_rmem': judgeBuffer,
  'net.ipv4.tcp_sack': never('0', 'without it one lost packet costs a whole window'),
  'net.ipv4.tcp_syncookies': never('0', 'a full queue of handshakes then drops new clients'),
  'net.ipv4.tcp_timestamps': never('0', 'without timestamps SYN cookies lose options'),
  'net.ipv4.tcp_tw_recycle': () =>
    warning('it was removed in Linux 4.12, and lost clients behind NAT before: the line fails'),
  'net.ipv4.tcp_tw_reuse': () =>
    info('it is about outgoing connections, and is on for loopback by default: no server needs it'),
  'net.ipv4.tcp_window_scaling': never('0', 'no window is larger than 64 KiB then'),
  'net.ipv4.tcp_wmem': judgeBuffer,
  'net.netfilter.nf_conntrack_max': judgeConntrackMax,
  'vm.min_free_kbytes': raiseOnly,
  'vm.swappiness': () => info('sockets cannot be swapped: it changes nothing for connections'),
};

function told(place: string, setting: string, verdict: Verdict): Finding {
  return finding({
    id: place,
    scope: 'host',
    severity: verdict.severity,
    current: setting,
    needed: null,
    formula: '',
    why: `${verdict.why[0]?.toUpperCase() ?? ''}${verdict.why.slice(1)}.`,
    fix: { kind: 'advice', text: `remove or correct ${place}` },
  });
}

const sysctlFiles: Check = (situation) =>
  sysctlLines(situation).flatMap((line) => {
    const verdict = RULES[line.key]?.(line, situation) ?? null;
    return verdict === null ? [] : [told(line.place, `${line.key} = ${line.value}`, verdict)];
  });

/** Without the link only `sysctl --system` by hand reads it. */
const unreadFile: Check = (situation) => {
  const isLinked = situation.machine.read(SYSCTL_CONF_LINK) !== undefined;
  const count = linesOf(situation, SYSCTL_CONF).length;
  if (isLinked || count === 0) return [];
  const why = 'systemd does not read this file at boot: move its lines to /etc/sysctl.d';
  return [told(SYSCTL_CONF, `${count} settings`, info(why))];
};

/** Of the kernel; systemd 257 of Debian 13 raises it to the second at boot. */
const NR_OPEN_DEFAULT = 1_048_576;
const NR_OPEN_SYSTEMD = 1_073_741_816;

/** fs.nr_open now, and at the next boot: what was only raised by hand is gone then. */
function readNrOpen(situation: Situation): { now: number; atBoot: number } {
  const now = sysctl(situation.machine.read, 'fs.nr_open') ?? NR_OPEN_DEFAULT;
  const line = sysctlLines(situation).findLast(({ key }) => key === 'fs.nr_open');
  if (line !== undefined) return { now, atBoot: Number(line.value) };
  return { now, atBoot: now === NR_OPEN_SYSTEMD ? now : Math.min(now, NR_OPEN_DEFAULT) };
}

/** pam_limits cuts a soft limit to the hard one, but a hard limit that it cannot set ends it. */
function judgeNofile(type: string, value: number, nrOpen: ReturnType<typeof readNrOpen>): Verdict {
  const least = Math.min(nrOpen.now, nrOpen.atBoot);
  const isLater = value <= nrOpen.now;
  const ceiling = isLater
    ? `what fs.nr_open is after the next boot (${least}; it was raised for now only)`
    : `fs.nr_open (${nrOpen.now})`;
  // "unlimited" and -1 are mapped to nr_open by pam_limits, and never exceed it.
  if (!(value > least)) {
    return info(
      'it is per process, and read for logins only: no service of systemd sees it, and a ' +
        'line for ' +
        '* not root; workers raise their own soft limit',
    );
  }
  if (type === 'soft') return warning(`${value} is above ${ceiling}: it is cut to the hard limit`);
  return {
    severity: 'critical',
    why:
      `LOGIN LOCK-OUT: ${value} is above ${ceiling}, so pam_limits refuses every session that ` +
      'this line matches, ssh included: raise fs.nr_open in sysctl.d first, or lower the line ' +
      'before you log out',
  };
}

/** `domain type item value` of limits.conf(5). */
const limitsFiles: Check = (situation) => {
  const paths = [LIMITS_CONF, ...confFiles(situation, LIMITS_FOLDER)];
  const nrOpen = readNrOpen(situation);
  return paths.flatMap((path) =>
    linesOf(situation, path).flatMap(({ place, text }) => {
      const [domain = '', type = '', item = '', value = ''] = (text.split('#')[0] ?? '')
        .trim()
        .split(/\s+/);
      if (item !== 'nofile') return [];
      const setting = `${domain} ${type} nofile ${value}`;
      return [told(place, setting, judgeNofile(type, Number(value), nrOpen))];
    }),
  );
};

const RC_LOCAL = '/etc/rc.local';

const queueLength: Check = (situation) =>
  linesOf(situation, RC_LOCAL)
    .filter(({ text }) => text.includes('txqueuelen'))
    .map(({ place, text }) =>
      told(place, text, info('only pfifo_fast uses it: fq and fq_codel have limits of their own')),
    );

export const outdatedAdviceChecks: readonly Check[] = [
  sysctlFiles,
  unreadFile,
  limitsFiles,
  queueLength,
];
