// The log of the messages that the options name.
import { invalidOption } from '../base/call-check.js';
import type { Logger } from '../base/logger.js';
import type { LogSetup } from '../broker/broker-log.js';
import { engineLog } from './engine-log.js';
import { historyLog } from './history-log.js';
import type { Filled } from './server-options.js';

/**
 * The log of a server, not open yet; undefined without one.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`; `ERR_LOG` if the library of the engine is not installed.
 */
export async function messageLog(options: Filled, log: Logger): Promise<LogSetup | undefined> {
  const { engine, historyDir } = options;
  if (engine !== undefined && historyDir !== undefined) {
    throw invalidOption('history-dir: not with engine, which keeps the history itself');
  }
  if (engine !== undefined) return engineLog(engine, options);
  return historyDir === undefined ? undefined : historyLog(historyDir, options, log);
}
