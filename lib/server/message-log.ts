// The log of the messages that the options name.
import type { Logger } from '../base/logger.js';
import type { LogSetup } from '../broker/broker-log.js';
import { historyLog } from './history-log.js';
import type { Filled } from './server-options.js';

/**
 * The log of a server, not open yet; undefined without one.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function messageLog(options: Filled, log: Logger): LogSetup | undefined {
  const { historyDir } = options;
  return historyDir === undefined ? undefined : historyLog(historyDir, options, log);
}
