// The systemd units as text, computed from a plan; each number has its formula as a comment.
// packaging/systemd/ holds the units of PACKAGED; a test compares them.
import { formatSocket, parseListenAddress } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import { DRAIN_S } from '../base/stop-times.js';
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
  TLS_STATE_BYTES,
  WORKER_BYTES,
  type Costs,
  type Load,
} from '../capacity/sizing.js';

/** A certificate of the service and its key, as absolute paths. */
export interface UnitCertificate {
  readonly cert: string;
  readonly key: string;
}

/** The load and the machine that the units are computed for. */
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
  /** The config file; null if the environment names it. */
  readonly config: string | null;
  /** The file that systemd passes as the admin token; null if the server generates one. */
  readonly adminTokenFile: string | null;
  /** Empty for a service without TLS. */
  readonly certificates: readonly UnitCertificate[];
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
  drainS: DRAIN_S,
  listen: ['[::]:8000'],
  command: ['/usr/bin/node', '/usr/lib/node_modules/megacomet-ts/lib/bin.js'],
  config: null,
  adminTokenFile: null,
  certificates: [],
};

export const SERVICE_NAME = 'megacomet.service';
export const SOCKET_NAME = 'megacomet.socket';

/** The credential that the server takes as its admin token, if no option has one. */
export const TOKEN_CREDENTIAL = 'admin.token';

/** The file that sets the environment of the packaged unit, as an alternative to a drop-in. */
const ENVIRONMENT_FILE = '/etc/megacomet/environment';

/** The default of --tls12-connections. */
const TLS12_CONNECTIONS = 10_000;

function quote(text: string): string {
  return /^[\w@+=:,./%$-]+$/.test(text) ? text : `"${text}"`;
}

/** The program of an ExecStart= line: % is escaped; systemd expands no variables there. */
export function quoteProgram(text: string): string {
  return quote(text.replaceAll('%', '%%'));
}

/** One argument for systemd.service(5), with specifiers, variables and quotes escaped. */
export function quoteArgument(text: string): string {
  const escaped = text.replace(/["\\]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$');
  return quote(escaped);
}

/** Bytes in whole MiB, as MemoryMax= takes them. */
function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)}M`;
}

/** The heaviest load: all clients reconnect within a minute, and all receive one message. */
function loadOf({ target, workers, certificates }: UnitPlan): Load {
  const acceptRate = defaultAcceptRate(target);
  return {
    ...{ connections: target, clients: 0, workers, acceptRate, burst: 1, messageBytes: 0 },
    ...(certificates.length === 0 ? {} : { tls: { tls12Connections: TLS12_CONNECTIONS } }),
  };
}

function head(plan: UnitPlan): string {
  return (
    `# For ${plan.target} connections in ${plan.workers} workers, with fs.nr_open ${plan.nrOpen} ` +
    `and pages of\n# ${plan.costs.pageBytes} bytes. Made by "megacomet-ts install-service"; ` +
    'change it by a drop-in\n# (systemctl edit), which the next run keeps.'
  );
}

function execStart({ command, config }: UnitPlan): string {
  const [program, script] = command;
  const start = `ExecStart=${quoteProgram(program)} ${quoteArgument(script)} serve`;
  if (config !== null) {
    return (
      '# All options are in the config file; "systemctl reload" reads it again.\n' +
      `${start} --config ${quoteArgument(config)}`
    );
  }
  return (
    '# Options are set by MEGACOMET_NAME=VALUE, one on each line; MEGACOMET_CONFIG=FILE names\n' +
    '# a config file, which "systemctl reload" reads again.\n' +
    `EnvironmentFile=-${ENVIRONMENT_FILE}\n${start}`
  );
}

/** A path behind LoadCredential=NAME:. */
function credentialPath(file: string): string {
  return file.replaceAll('%', '%%');
}

/** The certificates that systemd passes to the service; empty without TLS. */
function certificateLines({ certificates, listen }: UnitPlan): string {
  if (certificates.length === 0) return '';
  const names = (suffix: string): string =>
    certificates.map((_, index) => `%d/tls-${index + 1}.${suffix}`).join(',');
  const isMixed = listen.some(isTlsAddress) && !listen.every(isTlsAddress);
  const lines = [
    '# Certificates and keys: systemd reads the files as root when the service starts. After a renewal',
    '# restart the service; from systemd 260 on RefreshOnReload=credentials lets a reload read them.',
    ...certificates.flatMap(({ cert, key }, index) => [
      `LoadCredential=tls-${index + 1}.crt:${credentialPath(cert)}`,
      `LoadCredential=tls-${index + 1}.key:${credentialPath(key)}`,
    ]),
    `Environment=MEGACOMET_TLS_CERT=${names('crt')}`,
    `Environment=MEGACOMET_TLS_KEY=${names('key')}`,
    ...(isMixed ? ['# The sockets with TLS.', `Environment=${listenVariable(listen)}`] : []),
  ];
  return `\n${lines.join('\n')}`;
}

/** Whether an address begins with a TLS handshake. */
export function isTlsAddress(text: string): boolean {
  return parseListenAddress('listen', text).isTls === true;
}

function listenVariable(listen: readonly string[]): string {
  const escaped = listen.join(',').replace(/["\\]/g, '\\$&').replaceAll('%', '%%');
  return `"MEGACOMET_LISTEN=${escaped}"`;
}

/** The folders of the service, and the admin token that systemd passes to it. */
function folders({ adminTokenFile }: UnitPlan): string {
  const text = `# The server keeps its admin token in /var/lib/megacomet. /run/megacomet is there for unix sockets,
# such as MEGACOMET_ADMIN_LISTEN=unix:/run/megacomet/admin.sock.
StateDirectory=megacomet
StateDirectoryMode=0700
RuntimeDirectory=megacomet`;
  if (adminTokenFile === null) return text;
  const credential = `${TOKEN_CREDENTIAL}:${credentialPath(adminTokenFile)}`;
  return `${text}\n# The admin token, for this service alone: systemd reads the file as root.\nLoadCredential=${credential}`;
}

function memoryFormula({ target, workers, costs, certificates }: UnitPlan): string {
  const tls =
    certificates.length === 0
      ? ''
      : `;\n# TLS: ${TLS_STATE_BYTES} bytes more for each, 29 kB for ${TLS12_CONNECTIONS} clients with TLS 1.2, 32 MB a worker`;
  return (
    `# 1.2 × ${target} connections × (${costs.connectionBytes} + 100 bytes in the kernel, ` +
    `${CONNECTION_USER_BYTES} in the worker,\n` +
    `# ${costs.pageBytes} for a message to all of them at once) + ${workers} workers × ` +
    `${WORKER_BYTES / 1e6} MB + ${MANAGER_BYTES / 1e6} MB for the manager${tls}`
  );
}

/** The limits of the service. */
function limits(plan: UnitPlan): string {
  const { target, workers, nrOpen, drainS, costs } = plan;
  return `# min(fs.nr_open ${nrOpen}, max(${target} connections + 1024, 65536)) for each process, so
# that one worker could hold all. It is a number, because infinity means fs.nr_open, and
# programs that loop over all possible descriptors then stall.
LimitNOFILE=${limitNofile(target, nrOpen)}
# 64 threads of the manager and its other processes + 8 × ${workers} workers
TasksMax=${tasksMax(workers)}
${memoryFormula(plan)}
MemoryMax=${mebibytes(cgroupBytesNeeded(loadOf(plan), costs))}
# ${drainS} s of drain + 10 s to clean up + 6 µs of the kernel for each of ${target} sockets. A
# longer drain asks systemd for more time when it begins.
TimeoutStopSec=${stopTimeoutS(target, drainS)}
# A worker has 30 s to start, and two for each core start at a time.
TimeoutStartSec=120`;
}

const SUPERVISION = `# The manager notifies the watchdog at a third of this, while its loop runs,
# supervision runs and a worker serves. The manager itself replaces a single hung worker.
WatchdogSec=30
# The manager drains its workers; a signal to all processes would close every connection.
KillMode=mixed
# If the kernel kills one worker, the manager replaces it. The default stops the whole service.
OOMPolicy=continue
Restart=on-failure
RestartSec=200ms
# A restart does not fix a mistake in the configuration.
RestartPreventExitStatus=2`;

const SANDBOX = `# systemd creates a user that exists while the service runs.
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
# and counters are read from /proc/sys, /proc/meminfo and /proc/net).`;

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
${folders(plan)}${certificateLines(plan)}

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
  const address = parseListenAddress('listen', text);
  if (!address.isUnix) return formatSocket(address);
  if (address.host.startsWith('/')) return address.host;
  throw new MegacometError('ERR_OPTION_INVALID', `listen: "${text}" is not an absolute path`);
}

/**
 * megacomet.socket.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` for an invalid address.
 */
export function socketUnit(plan: UnitPlan): string {
  const { acceptRate } = loadOf(plan);
  const backlog = backlogNeeded({ ...loadOf(plan), workers: 1 });
  return `${head(plan)}
#
# systemd keeps these sockets while the service restarts: new clients wait in their queues.

[Unit]
Description=Sockets of megacomet-ts

[Socket]
${plan.listen.map((text) => `ListenStream=${listenStream(text)}`).join('\n')}
# [::] accepts IPv4 peers too.
BindIPv6Only=both
FileDescriptorName=megacomet
# The power of two above twice the ${acceptRate} clients per second of a storm in which all
# reconnect within a minute, from 4096 to 65535; net.core.somaxconn caps it.
Backlog=${backlog}

[Install]
WantedBy=sockets.target
`;
}
