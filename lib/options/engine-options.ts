// The options of `serve` about the log of a cluster in Redis or NATS.
import type { OptionSpec } from './option-spec.js';

const OF_ENGINE = { name: 'engine', isSet: true } as const;
const MIB = 1024 * 1024;

export const ENGINE_OPTIONS = [
  {
    name: 'engine',
    kind: 'text',
    value: 'URL',
    isUrl: true,
    protocol: 'comet',
    unset: 'the messages are in the memory of this server',
    help:
      'URL of the log that all nodes of a cluster share: redis://HOST:PORT/DB, rediss:// with TLS, or ' +
      'redis+sentinel://HOST:PORT,HOST:PORT/NAME/DB, nats://HOST:PORT,HOST:PORT or tls:// for NATS with TLS. A user comes ' +
      'before an @.',
  },
  {
    name: 'engine-password',
    kind: 'text',
    isSecret: true,
    protocol: 'comet',
    requires: OF_ENGINE,
    unset: 'no password',
    help: 'Password of the engine.',
  },
  {
    name: 'engine-password-file',
    kind: 'text',
    value: 'FILE',
    protocol: 'comet',
    requires: OF_ENGINE,
    unset: 'no file',
    help: 'File whose only line is the password of the engine. It is read again for each connection.',
  },
  {
    name: 'engine-ca',
    kind: 'text',
    value: 'FILE',
    protocol: 'comet',
    requires: OF_ENGINE,
    unset: 'those of Node.js',
    help: 'File with the issuers of the certificate of the engine as PEM.',
  },
  {
    name: 'engine-log',
    kind: 'text',
    value: 'NAME',
    default: 'megacomet',
    protocol: 'comet',
    requires: OF_ENGINE,
    help: 'Name of the log: clusters with different names share an engine. It begins all keys in Redis.',
  },
  {
    name: 'engine-keep-bytes',
    kind: 'integer',
    value: 'N',
    min: MIB,
    max: 1024 * 1024 * MIB,
    default: 64 * MIB,
    protocol: 'comet',
    requires: OF_ENGINE,
    help: 'Bytes of messages that the log keeps at least, in the memory of Redis; the same on all nodes.',
  },
  {
    name: 'engine-wait',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: 16,
    default: 0,
    protocol: 'comet',
    requires: OF_ENGINE,
    help: 'Replicas of Redis that must have a message before its publisher gets the answer.',
  },
  {
    name: 'engine-down',
    kind: 'choice',
    value: 'WORD',
    choices: ['keep', 'close'],
    default: 'keep',
    protocol: 'comet',
    requires: OF_ENGINE,
    help:
      'Whether a server without its engine for 15 s keeps its clients, or closes them evenly and ' +
      'rejects others until the engine is back.',
  },
  {
    name: 'engine-credentials',
    kind: 'text',
    value: 'FILE',
    protocol: 'comet',
    requires: OF_ENGINE,
    unset: 'no file',
    help: 'File of NATS with the credentials of a user. It is read again for each connection.',
  },
  {
    name: 'engine-replicas',
    kind: 'integer',
    value: 'N',
    min: 1,
    max: 5,
    default: 1,
    protocol: 'comet',
    requires: OF_ENGINE,
    help: 'Servers of NATS that keep a copy of the log, when a node makes its stream.',
  },
] as const satisfies readonly OptionSpec[];
