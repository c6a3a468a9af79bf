// The options of `megacomet-ts token` and `sign`: the key that signs, and the claims.
import type { OptionSpec } from './option-spec.js';

/** Of a token: one list of channels for each action. */
const TOKEN_LIST = {
  hasNoVariable: true,
  kind: 'list',
  value: 'PATTERN',
  unset: 'none',
} as const;

export const SIGN_OPTIONS = [
  {
    name: 'key',
    hasNoVariable: true,
    kind: 'text',
    value: 'FILE',
    unset: 'required',
    help: 'File with the secret that signs, as for --sign-key of the server.',
  },
  {
    name: 'ttl',
    hasNoVariable: true,
    kind: 'integer',
    value: 'S',
    min: 1,
    max: 315_360_000,
    default: 3600,
    help: 'Seconds until the URL expires.',
  },
] as const satisfies readonly OptionSpec[];

export const TOKEN_OPTIONS = [
  {
    name: 'key',
    hasNoVariable: true,
    kind: 'text',
    value: 'ALG=FILE',
    unset: 'required',
    help: 'Key that signs: HS256=FILE with the secret, or RS256=, ES256= or EdDSA=FILE with the private key.',
  },
  {
    name: 'user',
    hasNoVariable: true,
    kind: 'text',
    value: 'ID',
    unset: 'none',
    help: 'The user, claim sub.',
  },
  {
    name: 'ttl',
    hasNoVariable: true,
    kind: 'integer',
    value: 'S',
    min: 1,
    max: 315_360_000,
    default: 3600,
    help: 'Seconds until the token expires.',
  },
  {
    ...TOKEN_LIST,
    name: 'connect-to',
    help: 'Channels that the client is subscribed to when it connects.',
  },
  { ...TOKEN_LIST, name: 'subscribe', help: 'Channels that the client may subscribe to.' },
  { ...TOKEN_LIST, name: 'publish', help: 'Channels that the client may publish to.' },
  { ...TOKEN_LIST, name: 'presence', help: 'Channels whose subscribers the client may see.' },
  { ...TOKEN_LIST, name: 'history', help: 'Channels whose history the client may read.' },
  {
    name: 'channel',
    hasNoVariable: true,
    kind: 'text',
    value: 'NAME',
    unset: 'a token for a connection',
    help: 'Make a token for this channel alone.',
  },
  {
    name: 'info',
    hasNoVariable: true,
    kind: 'text',
    value: 'JSON',
    unset: 'none',
    help: 'Data about the user for other clients, where presence is on.',
  },
  {
    name: 'id',
    hasNoVariable: true,
    kind: 'text',
    value: 'ID',
    unset: 'none',
    help: 'Id of the token, claim jti, by which it can be revoked.',
  },
  {
    name: 'issuer',
    hasNoVariable: true,
    kind: 'text',
    value: 'TEXT',
    unset: 'none',
    help: 'Issuer of the token, claim iss.',
  },
  {
    name: 'audience',
    hasNoVariable: true,
    kind: 'text',
    value: 'TEXT',
    unset: 'none',
    help: 'Audience of the token, claim aud.',
  },
] as const satisfies readonly OptionSpec[];
