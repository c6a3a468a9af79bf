// The options of the broker, from the options of the server.
import type { BrokerOptions } from '../broker/broker.js';
import type { HistoryLimits } from '../broker/history-limits.js';
import { HISTORY_COUNT } from '../options/comet-options.js';
import type { Filled } from './server-options.js';

/** Bytes of the history of a channel on a server that keeps no history by itself. */
const CHOSEN_HISTORY_BYTES = 256 * 1024;

/** Limits for the members of `history` that a publisher leaves out. */
function historyDefaults({ historyCount, historyAge, historyBytes }: Filled): HistoryLimits {
  const ageMs = historyAge * 1000;
  if (historyCount > 0) return { count: historyCount, bytes: historyBytes, ageMs };
  return { count: HISTORY_COUNT.default, bytes: CHOSEN_HISTORY_BYTES, ageMs };
}

export function brokerOptions(slots: number, options: Filled): BrokerOptions {
  const defaults = historyDefaults(options);
  return {
    slots,
    messageBytesMax: options.messageBytes,
    history: options.historyCount > 0 ? defaults : null,
    historyDefaults: defaults,
    historyBytesMax: options.historyBytes,
    mailboxTimeMs: options.mailboxTime * 1000,
    tokenLeewayS: options.tokenKey === undefined ? null : options.tokenLeeway,
  };
}
