// The options that each name some of the addresses that a server listens on.
import { formatAddress, type Address } from '../base/address.js';
import { invalidValue } from '../base/call-check.js';
import { silentLogger } from '../base/logger.js';
import { ListenerFlag } from '../ipc/frames.js';
import { configuredAddresses } from './configured-addresses.js';
import type { Filled } from './server-options.js';

/** The flag of a listener by the option that lists the listeners with it. */
const FLAGS = { proxyProtocol: ['proxy-protocol', ListenerFlag.proxyHeader] } as const;

/** The addresses that an option names, as the server formats its own. */
function namesOf(
  label: string,
  listed: readonly string[],
  served: readonly string[],
  hasIpv6: boolean,
): ReadonlySet<string> {
  const names = listed.map((text) => {
    const [address] = configuredAddresses(
      { listen: [text], host: '', port: 0 },
      hasIpv6,
      silentLogger,
    );
    const name = address === undefined ? text : formatAddress(address);
    if (served.includes(name)) return name;
    const rule = `an address that the server listens on, which are ${served.join(', ')}`;
    throw invalidValue(label, text, rule);
  });
  return new Set(names);
}

/**
 * A set of ListenerFlag for each address.
 *
 * @param hasIpv6 - Whether this kernel has IPv6: without it 0.0.0.0 replaces `::`.
 * @throws MegacometError `ERR_OPTION_INVALID` if an option names another address.
 */
export function listenerFlags(
  options: Filled,
  addresses: readonly Address[],
  hasIpv6: boolean,
): readonly number[] {
  const served = addresses.map(formatAddress);
  const flags = served.map(() => 0);
  for (const key of Object.keys(FLAGS) as (keyof typeof FLAGS)[]) {
    const [label, flag] = FLAGS[key];
    const value = options[key];
    const names = typeof value === 'boolean' ? null : namesOf(label, value, served, hasIpv6);
    served.forEach((name, index) => {
      const hasFlag = names === null ? value === true : names.has(name);
      if (hasFlag) flags[index] = (flags[index] ?? 0) | flag;
    });
  }
  return flags;
}
