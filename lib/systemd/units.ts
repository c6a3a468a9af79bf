// The units for systemd, as text: computed from a plan, every number with its formula.
// packaging/systemd/ holds what this makes of PACKAGED; a test compares them.
import { parseAddress } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import {
  backlogNeeded,
  cgroupBytesNeeded,
  CLIENT_KERNEL_BYTES,
  CONNECTION_KERNEL_BYTES,
  CONNECTION_USER_BYTES,
  defaultAcceptRate,
  limitNofile,
  MANAGER_BYTES,
  stopTimeoutS,
  tasksMax,
  WORKER_BYTES,
  type Costs,
  type Load,
} from '../capacity/sizing.js';

/** What the units are for, and the machine that they are for. */
export interface UnitPlan {
  /** Connections to hold. */
  readonly target: number;
  readonly workers: number;
  /** fs.nr_open of the machine. */
  readonly nrOpen: number;
  readonly costs: Costs;
  readonly drainS: number;
  /** Addresses as `--listen` takes them. */
  readonly listen: readonly string[];
  /** Node, and the file that it runs. */
  readonly command: readonly [program: string, script: string];
  /** The config file; null leaves that to the environment. */
  readonly config: string | null;
}

/** The plan of the committed units: stock Debian, Node and the package where npm -g puts them. */
export const PACKAGED: UnitPlan = {
  target: 1_000_000,
  workers: 8,
  nrOpen: 1_048_576,
  costs: {
    pageBytes: 4096,
    connectionBytes: CONNECTION_KERNEL_BYTES,
    clientBytes: CLIENT_KERNEL_BYTES,
  },
  drainS: 10,
  listen: ['[::]:8000'],
  command: ['/usr/bin/node', '/usr/lib/node_modules/megacomet-ts/lib/bin.js'],
  config: null,
};

export const SERVICE_NAME = 'megacomet.service';
export const SOCKET_NAME = 'megacomet.socket';

/** Where the environment of the packaged unit may be set, for those who want no drop-in. */
const ENVIRONMENT_FILE = '/etc/megacomet/environment';

function quote(text: string): string {
  return /^[\w@+=:,./%$-]+$/.test(text) ? text : `"${text}"`;
}

/** The program of an ExecStart= line: no specifiers; variables are not looked for there. */
export function quoteProgram(text: string): string {
  return quote(text.replaceAll('%', '%%'));
}

/** One argument as systemd.service(5) reads it: no specifiers, no variables, no escapes. */
export function quoteArgument(text: string): string {
  const escaped = text.replace(/["\\]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$');
  return quote(escaped);
}

/** Bytes in whole MiB, as MemoryMax= takes them. */
function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)}M`;
}

/** The load at its worst: everybody comes back within a minute, and a message goes to everybody. */
function loadOf({ target, workers }: UnitPlan): Load {
  const acceptRate = defaultAcceptRate(target);
  return { connections: target, clients: 0, workers, acceptRate, burst: 1, messageBytes: 0 };
}

function head(plan: UnitPlan): string {
  return (
    `# For ${plan.target} connections in ${plan.workers} workers, with fs.nr_open ${plan.nrOpen} ` +
    `and pages of\n# ${plan.costs.pageBytes} bytes. Made by "megacomet-ts install-service"; ` +
    'change it by a drop-in\n# (systemctl edit), which survives the next time.'
  );
}

function execStart({ command, config }: UnitPlan): string {
  const [program, script] = command;
  const start = `ExecStart=${quoteProgram(program)} ${quoteArgument(script)} serve`;
  if (config !== null) {
    return (
      '# All options stand in the config file; "systemctl reload" reads it again.\n' +
      `${start} --config ${quoteArgument(config)}`
    );
  }
  return (
    '# Options are set by MEGACOMET_NAME=VALUE, one a line; MEGACOMET_CONFIG=FILE names a\n' +
    '# config file, which "systemctl reload" reads again.\n' +
    `EnvironmentFile=-${ENVIRONMENT_FILE}\n${start}`
  );
}

function memoryFormula({ target, workers, costs }: UnitPlan): string {
  return (
    `# 1.2 × ${target} connections × (${costs.connectionBytes} + 100 bytes in the kernel, ` +
    `${CONNECTION_USER_BYTES} of ours, and\n` +
    `# ${costs.pageBytes} for a message to all of them at once) + ${workers} workers × ` +
    `${WORKER_BYTES / 1e6} MB + ${MANAGER_BYTES / 1e6} MB for the manager`
  );
}

/** What bounds the service: all of it follows from the plan. */
function limits(plan: UnitPlan): string {
  const { target, workers, nrOpen, drainS, costs } = plan;
  return `# min(fs.nr_open ${nrOpen}, max(${target} connections + 1024, 65536)) for each process, so
# that one worker could hold all. A number and never infinity: that is fs.nr_open, and programs
# that loop over all possible descriptors stall at it.
LimitNOFILE=${limitNofile(target, nrOpen)}
# 64 threads of the manager and of what it starts + 8 × ${workers} workers
TasksMax=${tasksMax(workers)}
${memoryFormula(plan)}
MemoryMax=${mebibytes(cgroupBytesNeeded(loadOf(plan), costs))}
# ${drainS} s of drain + 10 s to clean up + 6 µs of the kernel for each of ${target} sockets. A
# drain that is longer by configuration asks for its time when it begins.
TimeoutStopSec=${stopTimeoutS(target, drainS)}
# A worker has 10 s to start, and a few start at a time.
TimeoutStartSec=120`;
}

const SUPERVISION = `# The manager feeds the watchdog at a third of this, while its own loop turns,
# supervision runs and a worker serves. A single stuck worker is the manager's to replace.
WatchdogSec=30
# The manager drains its workers; a signal to all at once would cut them off.
KillMode=mixed
# The kernel took one process: the manager replaces it. The default would end the whole service.
OOMPolicy=continue
Restart=on-failure
RestartSec=200ms
# A mistake in the configuration does not mend itself.
RestartPreventExitStatus=2`;

const SANDBOX = `# A user of its own, who exists while the service runs.
DynamicUser=yes
NoNewPrivileges=yes
PrivateUsers=yes
UMask=0077
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateIPC=yes
KeyringMode=private
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# Not possible: MemoryDenyWriteExecute= (V8 writes the code that it runs), ProcSubset=pid (limits
# and figures are read from /proc/sys, /proc/meminfo and /proc/net).`;

/** megacomet.service. */
export function serviceUnit(plan: UnitPlan): string {
  return `${head(plan)}

[Unit]
Description=megacomet-ts, a server for ${plan.target} idle connections
Requires=${SOCKET_NAME}
After=${SOCKET_NAME} network.target
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
${execStart(plan)}
ExecReload=/bin/kill -HUP $MAINPID
SyslogIdentifier=megacomet

# Supervision
${SUPERVISION}

# Limits
${limits(plan)}

# Sandbox
${SANDBOX}

[Install]
WantedBy=multi-user.target
`;
}

/** A listening address as ListenStream= takes it. */
function listenStream(text: string): string {
  const address = parseAddress('listen', text);
  if (!address.isUnix) return text;
  if (address.host.startsWith('/')) return address.host;
  throw new MegacometError('ERR_OPTION_INVALID', `listen: "${text}" has no absolute path`);
}

/**
 * megacomet.socket.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` for an address that is none.
 */
export function socketUnit(plan: UnitPlan): string {
  const { acceptRate } = loadOf(plan);
  const backlog = backlogNeeded({ ...loadOf(plan), workers: 1 });
  return `${head(plan)}
#
# systemd keeps these sockets while the service restarts: who comes meanwhile waits and is served.

[Unit]
Description=Sockets of megacomet-ts

[Socket]
${plan.listen.map((text) => `ListenStream=${listenStream(text)}`).join('\n')}
# [::] takes IPv4 peers too.
BindIPv6Only=both
FileDescriptorName=megacomet
# The power of two above twice the ${acceptRate} clients per second that come when all come back
# within a minute, from 4096 to 65535; net.core.somaxconn caps it.
Backlog=${backlog}

[Install]
WantedBy=sockets.target
`;
}
