// The options of the history in a directory.
import type { OptionSpec } from './option-spec.js';

export const HISTORY_OPTIONS = [
  {
    name: 'history-dir',
    kind: 'text',
    value: 'DIR',
    protocol: 'comet',
    unset: 'memory, which a restart of the server clears',
    help: 'Directory that keeps the history over restarts, of this server alone. Its parent must exist.',
  },
  {
    name: 'history-sync',
    kind: 'text',
    value: 'MODE',
    default: 'group',
    protocol: 'comet',
    requires: { name: 'history-dir', isSet: true },
    help:
      'When a publish is answered: group, after an fdatasync that it shares with others; always, after its own; ' +
      'or milliseconds from 1 to 60000, before the fdatasync that follows within that time.',
  },
] as const satisfies readonly OptionSpec[];
