// The options of `serve` about TLS.
import { COUNT_MAX, type OptionSpec } from './option-spec.js';

const OF_TLS = { name: 'tls-cert', isSet: true } as const;

export const TLS_OPTIONS = [
  {
    name: 'tls-cert',
    kind: 'list',
    item: 'pem',
    value: 'FILE',
    unset: 'no TLS',
    requires: { name: 'tls-key', isSet: true },
    help:
      'File with a certificate and its issuers as PEM; repeat it for several host names, of which a client ' +
      'chooses one. The addresses of --listen tls:HOST:PORT have TLS then, and without --listen all. SIGHUP reads ' +
      'the files again.',
  },
  {
    name: 'tls-key',
    kind: 'list',
    item: 'pem',
    value: 'FILE',
    unset: 'required with --tls-cert',
    requires: OF_TLS,
    help: 'File with the private key of a certificate as PEM, not encrypted, in the order of --tls-cert.',
  },
  {
    name: 'tls-client-ca',
    kind: 'list',
    item: 'pem',
    value: 'FILE',
    unset: 'clients need no certificate',
    requires: OF_TLS,
    help:
      'File with the issuers of client certificates as PEM: every client with TLS needs one then. Its subject, such ' +
      'as CN=alice,O=Example, is the user of the connection, which ends with the certificate.',
  },
  {
    name: 'tls-min-version',
    kind: 'choice',
    value: 'VERSION',
    choices: ['1.2', '1.3'],
    default: '1.2',
    requires: OF_TLS,
    help: 'Oldest version of TLS that clients may use. A client with 1.2 costs up to 29 kB while it is idle.',
  },
  {
    name: 'tls12-connections',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: COUNT_MAX,
    default: 10_000,
    requires: OF_TLS,
    help:
      'Maximum number of connections with TLS 1.2, which cost 14 to 29 kB each. Beyond it, clients that do not ' +
      'know TLS 1.3 are rejected. 0 rejects all of them.',
  },
  {
    name: 'tls-groups',
    kind: 'text',
    value: 'LIST',
    unset: 'those of OpenSSL',
    requires: OF_TLS,
    help: 'Groups of the key exchange in the order of preference, separated by colons, such as X25519:P-256.',
  },
  {
    name: 'tls-ciphers',
    kind: 'text',
    value: 'LIST',
    unset: 'those of OpenSSL',
    requires: OF_TLS,
    help:
      'Ciphers, separated by colons: names that begin with TLS_ are the suites of TLS 1.3, the others those of ' +
      'TLS 1.2.',
  },
  {
    name: 'tls-ticket-key-file',
    kind: 'text',
    value: 'FILE',
    unset: 'random keys, which no other server has',
    requires: OF_TLS,
    help:
      'File with a secret of at least 32 bytes, from which the keys of session tickets are derived for every 12 ' +
      'hours: servers with the same file and clocks resume the sessions of each other. SIGHUP reads the file again.',
  },
] as const satisfies readonly OptionSpec[];
