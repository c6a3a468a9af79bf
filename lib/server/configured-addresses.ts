// The addresses that the options `listen`, `host` and `port` name.
import { parseAddress, type Address } from '../base/address.js';
import type { Logger } from '../base/logger.js';

/** The options that name addresses. `port` is one, or a range such as `8000-8007`. */
export interface AddressOptions {
  readonly listen?: readonly string[];
  readonly host: string;
  readonly port: number | string;
}

/**
 * The addresses that the options name.
 *
 * @param hasIpv6 - Whether this kernel has IPv6: without it 0.0.0.0 replaces `::`.
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function configuredAddresses(
  options: AddressOptions,
  hasIpv6: boolean,
  log: Logger,
): Address[] {
  if (options.listen !== undefined) {
    return options.listen.map((text) => parseAddress('listen', text));
  }
  let { host } = options;
  if (host === '::' && !hasIpv6) {
    host = '0.0.0.0';
    log.warn({}, 'this kernel has no IPv6; listening on 0.0.0.0 instead of ::');
  }
  const [first = 0, last = first] = String(options.port).split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    parseAddress('host', `${host.includes(':') ? `[${host}]` : host}:${first + index}`),
  );
}
