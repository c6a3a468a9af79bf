// The addresses that the options `listen`, `host` and `port` name.
import { parseListenAddress, type Address } from '../base/address.js';
import type { Logger } from '../base/logger.js';
import { portsOf } from '../options/options.js';

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
  const { listen, host, port } = options;
  const addresses =
    listen?.map((text) => parseListenAddress('listen', text)) ??
    portsOf(port).map((one): Address => ({ isUnix: false, host, port: one }));
  if (hasIpv6 || addresses.every((address) => address.host !== '::')) return addresses;
  log.warn({}, 'this kernel has no IPv6; listening on 0.0.0.0 instead of ::');
  return addresses.map((address) =>
    address.host === '::' ? { ...address, host: '0.0.0.0' } : address,
  );
}
