// The options of a namespace: the channels below a prefix. They replace the server's options there.
import {
  HISTORY_AGE_S_MAX,
  HISTORY_COUNT_MAX,
  MESSAGE_BYTES_MAX,
  SPREAD_S_MAX,
} from '../base/message-limits.js';
import type { OptionSpec } from './option-spec.js';

export const NAMESPACE_OPTIONS = [
  {
    name: 'history-count',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: HISTORY_COUNT_MAX,
    unset: 'as the server',
    help: 'Messages kept of each channel; 0 keeps none.',
  },
  {
    name: 'history-age',
    kind: 'integer',
    value: 'S',
    min: 1,
    max: HISTORY_AGE_S_MAX,
    unset: 'as the server',
    help: 'Seconds that a message is kept.',
  },
  {
    name: 'history-bytes',
    kind: 'integer',
    value: 'B',
    min: 1,
    max: HISTORY_COUNT_MAX * MESSAGE_BYTES_MAX,
    unset: 'the history-bytes of the server',
    help: 'Maximum number of bytes of the kept messages of each channel.',
  },
  {
    name: 'public',
    kind: 'flag',
    unset: 'as the server: --public decides',
    help: 'Whether everybody may subscribe; otherwise a client needs a grant.',
  },
  {
    name: 'client-publish',
    kind: 'choice',
    choices: ['nobody', 'subscribers', 'grant'],
    unset: 'as the server: --client-publish decides',
    help:
      'Which WebSocket clients may publish: none, those that subscribe to the channel or have a grant, ' +
      'or those with a grant.',
  },
  {
    name: 'presence',
    kind: 'flag',
    default: true,
    help: 'Whether the subscribers of a channel can be listed.',
  },
  {
    name: 'join-leave',
    kind: 'flag',
    default: false,
    help:
      'Whether the subscribers of a channel receive a message when a connection subscribes or leaves, ' +
      'while the channel has at most 1,000 of them.',
  },
  {
    name: 'client-history',
    kind: 'flag',
    default: true,
    help: 'Whether clients may list the kept messages of a channel, if a grant allows it.',
  },
  {
    name: 'slow-policy',
    kind: 'choice',
    choices: ['disconnect', 'dropOldest', 'latestOnly'],
    default: 'disconnect',
    help:
      'The fate of a subscriber whose send queue is full, for a message without a policy: it is ' +
      'disconnected, loses its oldest queued message, or keeps only the newest.',
  },
  {
    name: 'spread-ms',
    kind: 'integer',
    value: 'MS',
    min: 0,
    max: SPREAD_S_MAX * 1000,
    default: 0,
    help: 'Milliseconds over which the delivery of a message is spread that says nothing else.',
  },
] as const satisfies readonly OptionSpec[];
