// The options that each name some of the addresses that a server listens on.
import { formatAddress, formatSocket, type Address } from '../base/address.js';
import { invalidOption, invalidValue } from '../base/call-check.js';
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
    const name = address === undefined ? text : formatSocket(address);
    if (served.includes(name)) return name;
    const rule = `an address that the server listens on, which are ${served.join(', ')}`;
    throw invalidValue(label, text, rule);
  });
  return new Set(names);
}

/**
 * The addresses, each with its TLS: those of `listen` say it themselves, and without that option a
 * certificate is for all of them.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` if an address has TLS without a certificate, or none
 *   has it.
 */
export function withTls(
  { listen, adminListen, tlsCert }: Pick<Filled, 'adminListen' | 'listen' | 'tlsCert'>,
  addresses: readonly Address[],
): readonly Address[] {
  const first = addresses.find(({ isTls }) => isTls === true);
  if (tlsCert === undefined) {
    if (first === undefined) return addresses;
    throw invalidOption(`listen: ${formatAddress(first)} needs --tls-cert`);
  }
  if (first !== undefined) return addresses;
  if (listen !== undefined) {
    // The certificates may be for the admin server alone.
    if (adminListen?.some((text) => text.startsWith('tls:')) === true) return addresses;
    throw invalidOption('tls-cert: needs --listen tls:HOST:PORT, or --admin-listen with tls:');
  }
  return addresses.map((address) => ({ ...address, isTls: true }));
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
  const served = addresses.map(formatSocket);
  const flags: number[] = addresses.map(({ isTls }) => (isTls === true ? ListenerFlag.tls : 0));
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
