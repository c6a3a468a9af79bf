// The log of the messages that the options name.
import type { LogSetup } from '../broker/broker-log.js';

/** Opens nothing; the server does. */
export type MakeLog = () => Promise<LogSetup>;

/**
 * The log of a server, not open yet; undefined without one.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export async function messageLog(make: MakeLog | undefined): Promise<LogSetup | undefined> {
  return make?.();
}
