// The options of the admin server: its addresses, and the access to it.
import type { OptionSpec } from './option-spec.js';

export const ADMIN_TOKEN = {
  name: 'admin-token',
  kind: 'text',
  isSecret: true,
  unset: 'a token that the server generates',
  help: 'Token of the admin server with the role admin.',
} as const satisfies OptionSpec;

export const ADMIN_TOKEN_FILE = {
  name: 'admin-token-file',
  kind: 'text',
  value: 'FILE',
  unset: 'no file',
  help: 'File whose only line is the token with the role admin; readable by its owner alone.',
} as const satisfies OptionSpec;

export const ADMIN_OPTIONS = [
  {
    name: 'admin-host',
    kind: 'address',
    value: 'ADDRESS',
    default: '127.0.0.1',
    requires: { name: 'admin-port', isSet: true },
    help: 'Numeric address of the admin server: health, readiness, stats, metrics.',
  },
  {
    name: 'admin-port',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: 65_535,
    commandLineDefault: 9001,
    unset: 'no admin server',
    help: 'Port of the admin server; 0 lets the kernel choose.',
  },
  {
    name: 'admin-listen',
    kind: 'list',
    item: 'address',
    value: 'ADDRESS',
    unset: 'admin-host and admin-port',
    help:
      'Address of the admin server instead of admin-host and admin-port: HOST:PORT, [V6]:PORT, unix:PATH, or ' +
      'tls:HOST:PORT with the certificates of --tls-cert.',
  },
  {
    name: 'admin-socket-mode',
    kind: 'mode',
    value: 'MODE',
    unset: '0600, or 0660 with admin-socket-group',
    requires: { name: 'admin-listen', isSet: true },
    help: 'Permissions of the unix sockets of --admin-listen in octal digits.',
  },
  {
    name: 'admin-socket-group',
    kind: 'text',
    value: 'GROUP',
    unset: 'the group of the server',
    requires: { name: 'admin-listen', isSet: true },
    help: 'Group of the unix sockets of --admin-listen, by name or number.',
  },
  {
    name: 'admin-allowed-host',
    kind: 'list',
    item: 'host name',
    value: 'NAME',
    unset: 'addresses and localhost',
    help: 'Name that requests without a token may have in their Host, besides addresses and localhost.',
  },
  ADMIN_TOKEN,
  ADMIN_TOKEN_FILE,
  {
    name: 'admin-role',
    kind: 'list',
    value: 'ROLE=FILE',
    unset: 'none',
    help: 'Further token of the admin server: metrics=FILE, publish=FILE or admin=FILE, as in admin-token-file.',
  },
] as const satisfies readonly OptionSpec[];
