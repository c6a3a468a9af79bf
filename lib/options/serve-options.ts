// The options of `serve`, which createServer() has too unless a row says otherwise.
import { DEADLINE_SECONDS_MAX, PROTOCOL_CHOICES, SLOTS_MAX } from '../base/native-constants.js';
import { DRAIN_S } from '../base/stop-times.js';
import { ACCESS_OPTIONS } from './access-options.js';
import { ADMIN_OPTIONS } from './admin-options.js';
import { HOOK_OPTIONS } from './hook-options.js';
import { COMET_OPTIONS } from './comet-options.js';
import { ENGINE_OPTIONS } from './engine-options.js';
import { HISTORY_OPTIONS } from './history-options.js';
import { LIMIT_OPTIONS } from './limit-options.js';
import { COUNT_MAX, type OptionSpec } from './option-spec.js';
import { TLS_OPTIONS } from './tls-options.js';

export const DRAIN = {
  name: 'drain',
  isCommandLineOnly: true,
  kind: 'seconds',
  value: 'S',
  min: 0,
  max: DEADLINE_SECONDS_MAX,
  default: DRAIN_S,
  isReloadable: true,
  help: 'Seconds over which SIGTERM closes the connections, evenly.',
} as const satisfies OptionSpec;

export const PORT = {
  name: 'port',
  kind: 'ports',
  value: 'N',
  default: 8000,
  help: 'Port to listen on, or a range such as 8000-8007; 0 lets the kernel choose.',
} as const satisfies OptionSpec;

export const BACKLOG = {
  name: 'backlog',
  kind: 'integer',
  value: 'N',
  min: 1,
  max: 65_535,
  default: 4096,
  help: 'Maximum number of unaccepted connections, per worker; net.core.somaxconn caps it.',
} as const satisfies OptionSpec;

export const KEEPALIVE = {
  name: 'keepalive',
  kind: 'integer',
  value: 'S',
  min: 0,
  max: DEADLINE_SECONDS_MAX,
  default: 240,
  help: 'Seconds of silence until the kernel sends TCP keep-alive probes; 0 sends none.',
} as const satisfies OptionSpec;

const SERVER_OPTIONS = [
  {
    name: 'demo',
    isCommandLineOnly: true,
    hasNoVariable: true,
    kind: 'flag',
    help: 'Run a comet server on loopback, with a page that subscribes and publishes.',
  },
  {
    name: 'config',
    isCommandLineOnly: true,
    kind: 'text',
    value: 'FILE',
    unset: 'no file',
    help: 'JSON file with options; keys are the long names, such as "max-connections".',
  },
  {
    name: 'host',
    kind: 'address',
    value: 'ADDRESS',
    default: '::',
    help: 'Numeric address to listen on, or localhost; :: accepts IPv4 peers too.',
  },
  PORT,
  {
    name: 'listen',
    kind: 'list',
    item: 'address',
    value: 'ADDRESS',
    unset: 'host and port',
    help:
      'Address to listen on instead of host and port: HOST:PORT, [V6]:PORT, :PORT or unix:PATH; tls:HOST:PORT ' +
      'with --tls-cert.',
  },
  {
    name: 'workers',
    kind: 'integer',
    value: 'N',
    min: 1,
    max: SLOTS_MAX,
    word: 'auto',
    default: 'auto',
    help: 'Worker processes; auto starts one per core, and more if the file limit requires it.',
  },
  {
    name: 'max-connections',
    kind: 'integer',
    value: 'N',
    min: 1,
    max: COUNT_MAX,
    unset: 'the capacity of the machine',
    isReloadable: true,
    help: 'Maximum number of open connections.',
  },
  {
    name: 'protocol',
    kind: 'choice',
    choices: PROTOCOL_CHOICES,
    default: 'echo',
    help: 'Protocol of the connections; comet serves SSE, WebSocket, long polling and streams.',
  },
  BACKLOG,
  {
    name: 'idle-timeout',
    kind: 'integer',
    value: 'S',
    min: 0,
    max: DEADLINE_SECONDS_MAX,
    default: 0,
    isReloadable: true,
    help: 'Seconds without a byte after which a connection is closed, up to a quarter later; 0 never.',
  },
  {
    name: 'accept-rate',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: 1_000_000,
    default: 0,
    isReloadable: true,
    help: 'Connections accepted per second, split evenly over the workers; 0 means no limit.',
  },
  KEEPALIVE,
  {
    name: 'heartbeat-limit',
    kind: 'integer',
    value: 'S',
    min: 4,
    max: 600,
    default: 10,
    help: 'Seconds without a heartbeat of its loop until a worker is replaced.',
  },
  DRAIN,
  {
    name: 'user',
    kind: 'text',
    value: 'USER',
    unset: 'the user that starts the server',
    help: 'User that the server becomes after it has bound its sockets, if root starts it: USER or USER:GROUP, names or numbers.',
  },
  {
    name: 'socket-mode',
    kind: 'mode',
    value: 'MODE',
    unset: 'the umask decides',
    requires: { name: 'listen', isSet: true },
    help: 'Permissions of the unix sockets of --listen in octal digits, such as 0660.',
  },
  {
    name: 'socket-group',
    kind: 'text',
    value: 'GROUP',
    unset: 'the group of the server',
    requires: { name: 'listen', isSet: true },
    help: 'Group of the unix sockets of --listen, by name or number.',
  },
  {
    name: 'log-level',
    isCommandLineOnly: true,
    kind: 'choice',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    default: 'info',
    isReloadable: true,
    help: 'Least severe level of the log lines that are written.',
  },
  {
    name: 'log-format',
    isCommandLineOnly: true,
    kind: 'choice',
    choices: ['json', 'pretty'],
    unset: 'pretty on a terminal, otherwise json',
    help: 'Form of the log lines: json for machines, pretty for people.',
  },
] as const satisfies readonly OptionSpec[];

export const SERVE_OPTIONS = [
  ...SERVER_OPTIONS,
  ...TLS_OPTIONS,
  ...ADMIN_OPTIONS,
  ...COMET_OPTIONS,
  ...ENGINE_OPTIONS,
  ...HISTORY_OPTIONS,
  ...ACCESS_OPTIONS,
  ...LIMIT_OPTIONS,
  ...HOOK_OPTIONS,
] as const;

type ServeOption = (typeof SERVE_OPTIONS)[number];
type LibraryOption = Exclude<ServeOption, { readonly isCommandLineOnly: true }>;

/** The options that createServer() takes too. */
export const LIBRARY_OPTIONS = SERVE_OPTIONS.filter(
  (spec): spec is LibraryOption => !('isCommandLineOnly' in spec),
);
