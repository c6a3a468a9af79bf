// The options of `serve` about access to the comet protocols.
import type { OptionSpec } from './option-spec.js';

/** Without a key no token is believed, so a rule about tokens has no effect. */
const OF_TOKENS = { name: 'token-key', or: 'token-jwks-url', isSet: true } as const;

export const ACCESS_OPTIONS = [
  {
    name: 'token-key',
    kind: 'list',
    value: 'ALG=FILE',
    protocol: 'comet',
    unset: 'clients need no token',
    help:
      'Key of the tokens of clients: HS256=FILE with a secret of at least 32 bytes, or RS256=, ES256= or ' +
      'EdDSA=FILE with a public key as PEM or JWK. ALG:KID=FILE names the key; SIGHUP reads the files again.',
  },
  {
    name: 'token-jwks-url',
    kind: 'text',
    value: 'URL',
    isUrl: true,
    protocol: 'comet',
    unset: 'only the keys of --token-key',
    help:
      'URL of a JSON Web Key Set with more keys of tokens, such as that of an identity provider: https, or http ' +
      'to a loopback address. The keys are fetched again in time, for an unknown key, and at SIGHUP.',
  },
  {
    name: 'token-issuer',
    kind: 'text',
    value: 'TEXT',
    protocol: 'comet',
    unset: 'any issuer',
    requires: OF_TOKENS,
    help: 'Text that the claim iss of every token must be.',
  },
  {
    name: 'token-audience',
    kind: 'text',
    value: 'TEXT',
    protocol: 'comet',
    unset: 'any audience',
    requires: OF_TOKENS,
    help: 'Text that the claim aud of every token must contain.',
  },
  {
    name: 'token-leeway',
    kind: 'integer',
    value: 'S',
    min: 0,
    max: 60,
    default: 10,
    protocol: 'comet',
    help:
      'Seconds by which the clocks of issuer and server may differ when a token is presented; a connection ' +
      'ends at its exp all the same.',
  },
  {
    name: 'token-without-expiry',
    kind: 'flag',
    default: false,
    protocol: 'comet',
    requires: OF_TOKENS,
    help:
      'Accept tokens without the claim exp, which never end and outlive their revocation: for issuers that do not ' +
      'send it yet.',
  },
  {
    name: 'token-cookie',
    kind: 'text',
    value: 'NAME',
    protocol: 'comet',
    unset: 'no cookie counts',
    requires: OF_TOKENS,
    help: "Cookie that may hold the token, for pages of the server's own origin or of one in --origin.",
  },
  {
    name: 'sign-key',
    kind: 'list',
    value: 'FILE',
    protocol: 'comet',
    unset: 'no URL is signed',
    help:
      'File with a secret of 32 to 1,024 bytes that signs URLs, so that pages without a token subscribe to the ' +
      'channels of a URL; repeat it for a new and an old one. SIGHUP reads the files again.',
  },
  {
    name: 'mailbox-auth',
    kind: 'choice',
    value: 'WORD',
    choices: ['open', 'signed'],
    default: 'open',
    protocol: 'comet',
    requires: { name: 'mailboxes', or: 'ingest', isSet: true },
    help: 'Whether a client that polls /ID.js needs a URL signed with --sign-key, or only the ID.',
  },
  {
    name: 'public',
    kind: 'list',
    value: 'PATTERN',
    protocol: 'comet',
    unset: 'none with keys of tokens or URLs, else all',
    help: 'Channels that everybody may subscribe to: names, prefixes and patterns as in a grant; * allows all.',
  },
] as const satisfies readonly OptionSpec[];
