// The options of the commands that talk to a running server or inspect the machine.
import { HISTORY_AGE_S_MAX, SPREAD_S_MAX } from '../base/message-limits.js';
import { DEADLINE_SECONDS_MAX, SLOTS_MAX } from '../base/native-constants.js';
import { ADMIN_TOKEN, ADMIN_TOKEN_FILE } from './admin-options.js';
import { HEARTBEAT } from './comet-options.js';
import { COUNT_MAX, type OptionSpec } from './option-spec.js';
import { BACKLOG, DRAIN, KEEPALIVE, PORT } from './serve-options.js';

export const ADMIN = {
  name: 'admin',
  kind: 'peer',
  value: 'ADDRESS',
  default: '127.0.0.1:9001',
  help:
    'Address of the admin server, HOST:PORT, https://HOST:PORT or unix:PATH; without it the variables of serve ' +
    'count.',
} as const satisfies OptionSpec;

/** Which certificates of a server a command accepts. */
export const CA = {
  name: 'ca',
  hasNoVariable: true,
  kind: 'text',
  value: 'FILE',
  unset: 'the authorities of the system',
  help: 'PEM file of the authorities that may sign the certificate of a server with https.',
} as const satisfies OptionSpec;

export const INSECURE = {
  name: 'insecure',
  hasNoVariable: true,
  kind: 'flag',
  help: 'Accept any certificate of a server with https.',
} as const satisfies OptionSpec;

/** How a command of the admin server proves its right, and knows the server. */
const ADMIN_ACCESS = [
  ADMIN_TOKEN,
  ADMIN_TOKEN_FILE,
  CA,
  INSECURE,
] as const satisfies readonly OptionSpec[];

const JSON_LINES = {
  name: 'json',
  hasNoVariable: true,
  kind: 'flag',
  help: 'Print JSON lines with every known field.',
} as const satisfies OptionSpec;

export const HISTORY_COMMAND_OPTIONS = [JSON_LINES] as const satisfies readonly OptionSpec[];

export const STATUS_OPTIONS = [
  ADMIN,
  {
    name: 'json',
    hasNoVariable: true,
    kind: 'flag',
    help: 'Print the response of /stats as JSON.',
  },
  {
    name: 'watch',
    hasNoVariable: true,
    kind: 'flag',
    help: 'Redraw the table every second, with rates.',
  },
  ...ADMIN_ACCESS,
] as const satisfies readonly OptionSpec[];

export const PUBLISH_OPTIONS = [
  ADMIN,
  {
    name: 'event',
    hasNoVariable: true,
    kind: 'text',
    value: 'NAME',
    help: 'Name of the event, for the listeners of an EventSource.',
  },
  {
    name: 'id',
    hasNoVariable: true,
    kind: 'text',
    value: 'ID',
    help: 'Id of the message, for its receivers.',
  },
  {
    name: 'ttl',
    kind: 'seconds',
    value: 'S',
    min: 0.001,
    max: HISTORY_AGE_S_MAX,
    unset: 'history-age of the server',
    help: 'Seconds that the message is kept for clients that reconnect.',
  },
  {
    name: 'spread',
    kind: 'seconds',
    value: 'S',
    min: 0,
    max: SPREAD_S_MAX,
    unset: '0, all at once',
    help: 'Seconds over which the message is sent to the subscribers, evenly.',
  },
  {
    name: 'policy',
    kind: 'choice',
    choices: ['disconnect', 'dropOldest', 'latestOnly'],
    unset: 'disconnect',
    help: 'Treatment of a subscriber whose send queue is full.',
  },
  {
    name: 'idempotency-key',
    hasNoVariable: true,
    kind: 'text',
    value: 'KEY',
    help: 'Key that makes repeated publishes count once, for some minutes.',
  },
  {
    name: 'lines',
    hasNoVariable: true,
    kind: 'flag',
    help: 'Publish each line of standard input as one message, in one batch.',
  },
  {
    name: 'chomp',
    hasNoVariable: true,
    kind: 'flag',
    help: 'Remove the line end at the end of standard input.',
  },
  ...ADMIN_ACCESS,
] as const satisfies readonly OptionSpec[];

export const SUBSCRIBE_OPTIONS = [
  {
    name: 'token-file',
    hasNoVariable: true,
    kind: 'text',
    value: 'FILE',
    unset: 'no token',
    help: 'File whose only line is the token; it is read again for each connection.',
  },
  {
    name: 'since',
    hasNoVariable: true,
    kind: 'text',
    value: 'CURSOR',
    unset: 'from now on',
    help: 'Cursor after which the messages begin.',
  },
  JSON_LINES,
  {
    name: 'verbose',
    hasNoVariable: true,
    kind: 'flag',
    help: 'Print the channel, the event and the id in front of each message.',
  },
  {
    name: 'count',
    hasNoVariable: true,
    kind: 'integer',
    value: 'N',
    min: 0,
    max: COUNT_MAX,
    default: 0,
    help: 'Number of messages after which the command ends; 0 continues until a signal.',
  },
  {
    name: 'silence',
    kind: 'seconds',
    value: 'S',
    min: 1,
    max: DEADLINE_SECONDS_MAX,
    default: 60,
    help: 'Seconds without a heartbeat or message after which the command reconnects.',
  },
  CA,
  INSECURE,
] as const satisfies readonly OptionSpec[];

export const CHANNELS_OPTIONS = [
  ADMIN,
  JSON_LINES,
  {
    name: 'prefix',
    kind: 'text',
    value: 'TEXT',
    unset: 'all channels',
    help: 'Prefix of the names of the listed channels.',
  },
  ...ADMIN_ACCESS,
] as const satisfies readonly OptionSpec[];

export const KICK_OPTIONS = [
  ADMIN,
  {
    name: 'reason',
    hasNoVariable: true,
    kind: 'text',
    value: 'TEXT',
    help: 'Reason that the clients receive, if their transport can carry one.',
  },
  {
    name: 'all',
    hasNoVariable: true,
    kind: 'flag',
    help: 'Close every connection, instead of those of one channel.',
  },
  {
    name: 'user',
    hasNoVariable: true,
    kind: 'text',
    value: 'ID',
    unset: 'no user',
    help: 'Close the connections of this user, instead of those of one channel.',
  },
  ...ADMIN_ACCESS,
] as const satisfies readonly OptionSpec[];

const TARGET = {
  name: 'target',
  hasNoVariable: true,
  kind: 'integer',
  value: 'N',
  min: 1,
  max: COUNT_MAX,
  default: 1_000_000,
  help: 'Number of connections that the machine must hold.',
} as const satisfies OptionSpec;

const WORKERS = {
  name: 'workers',
  kind: 'integer',
  value: 'N',
  min: 1,
  max: SLOTS_MAX,
  word: 'auto',
  default: 'auto',
  help: 'Worker processes; auto takes as many as serve would start.',
} as const satisfies OptionSpec;

const ACCEPT_RATE = {
  name: 'accept-rate',
  kind: 'integer',
  value: 'N',
  min: 0,
  max: 1_000_000,
  default: 0,
  help: 'New connections per second at the peak; 0 means the whole target within a minute.',
} as const satisfies OptionSpec;

const MACHINE_JSON = {
  name: 'json',
  hasNoVariable: true,
  kind: 'flag',
  help: 'Print all results as JSON.',
} as const satisfies OptionSpec;

const WRITE = {
  name: 'write',
  hasNoVariable: true,
  kind: 'text',
  value: 'DIR',
  help: 'Folder that receives 90-megacomet.conf for sysctl.d, and a systemd drop-in.',
} as const satisfies OptionSpec;

const TLS_LOAD = [
  {
    name: 'tls',
    hasNoVariable: true,
    kind: 'flag',
    help: 'Count the memory and the handshakes of connections with TLS.',
  },
  {
    name: 'tls12-connections',
    hasNoVariable: true,
    kind: 'integer',
    value: 'N',
    min: 0,
    max: COUNT_MAX,
    default: 10_000,
    requires: { name: 'tls', isSet: true },
    help: 'Value of --tls12-connections of the server.',
  },
] as const satisfies readonly OptionSpec[];

export const DOCTOR_OPTIONS = [
  TARGET,
  WORKERS,
  {
    name: 'role',
    kind: 'choice',
    choices: ['server', 'client', 'both'],
    default: 'server',
    help: 'Role of this machine: the server, a load generator, or both ends of a test.',
  },
  ACCEPT_RATE,
  {
    name: 'message-burst',
    kind: 'seconds',
    value: 'SHARE',
    min: 0,
    max: 1,
    default: 1,
    help: 'Share of the connections that receive a message at the same instant; a broadcast is 1.',
  },
  ...TLS_LOAD,
  { ...PORT, help: 'Port that the server listens on, or a range such as 8000-8007.' },
  { ...BACKLOG, help: 'Value of --backlog of the server.' },
  { ...KEEPALIVE, help: 'Value of --keepalive of the server, in seconds.' },
  MACHINE_JSON,
  WRITE,
  {
    name: 'apply',
    hasNoVariable: true,
    kind: 'flag',
    help: 'Set the sysctls now (root), read each back, and report those that the kernel rejected.',
  },
  {
    name: 'verbose',
    hasNoVariable: true,
    kind: 'flag',
    help: 'List the settings that are enough, and those that do not apply here, with the reasons.',
  },
] as const satisfies readonly OptionSpec[];

export const PLAN_OPTIONS = [
  TARGET,
  WORKERS,
  ACCEPT_RATE,
  ...TLS_LOAD,
  MACHINE_JSON,
  WRITE,
  {
    name: 'broadcast-bytes',
    kind: 'integer',
    value: 'B',
    min: 0,
    max: 16_777_216,
    default: 1024,
    help: 'Bytes of one message to every connection; 0 plans for none.',
  },
  {
    name: 'ping',
    kind: 'integer',
    value: 'S',
    min: 0,
    max: DEADLINE_SECONDS_MAX,
    default: HEARTBEAT.default,
    help: 'Seconds between heartbeats of one connection; 0 plans for none.',
  },
  {
    name: 'nodes',
    kind: 'integer',
    value: 'N',
    min: 1,
    max: 1024,
    default: 1,
    help: 'Servers of a cluster that hold the connections together, also while one of them is away.',
  },
  {
    name: 'message-rate',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: 1_000_000,
    default: 1000,
    help: 'Messages per second that all servers of a cluster publish together, of --broadcast-bytes each.',
  },
] as const satisfies readonly OptionSpec[];

export const INSTALL_OPTIONS = [
  {
    ...TARGET,
    help: 'Number of connections that the service must hold.',
  },
  {
    name: 'listen',
    kind: 'list',
    item: 'address',
    value: 'ADDRESS',
    unset: '[::]:8000, or 0.0.0.0:8000 without IPv6',
    help: 'Address of the socket unit, in the form of --listen of serve.',
  },
  {
    name: 'drain',
    kind: 'seconds',
    value: 'S',
    min: 0,
    max: DEADLINE_SECONDS_MAX,
    default: DRAIN.default,
    help: 'Seconds over which a stop closes the connections, evenly.',
  },
  {
    name: 'config-file',
    kind: 'text',
    value: 'FILE',
    default: '/etc/megacomet/config.json',
    help: 'Config file that the service reads; written if it is missing, otherwise kept.',
  },
  {
    name: 'admin-token-file',
    hasNoVariable: true,
    kind: 'text',
    value: 'FILE',
    unset: 'the server generates its token',
    help: 'File with the admin token of the service; systemd passes it by LoadCredential=.',
  },
  {
    name: 'tls-cert',
    hasNoVariable: true,
    kind: 'list',
    value: 'FILE',
    unset: 'no TLS',
    requires: { name: 'tls-key', isSet: true },
    help:
      'File with a certificate of the service and its issuers as PEM; repeat it for several host names. systemd ' +
      'passes it by LoadCredential=.',
  },
  {
    name: 'tls-key',
    hasNoVariable: true,
    kind: 'list',
    value: 'FILE',
    unset: 'required with --tls-cert',
    requires: { name: 'tls-cert', isSet: true },
    help: 'File with the private key of a certificate as PEM, in the order of --tls-cert.',
  },
  {
    name: 'dir',
    kind: 'text',
    value: 'DIR',
    default: '/etc/systemd/system',
    help: 'Folder that receives the units.',
  },
  {
    name: 'print',
    hasNoVariable: true,
    kind: 'flag',
    help: 'Print the files instead of writing them.',
  },
] as const satisfies readonly OptionSpec[];
