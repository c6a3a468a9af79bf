// Parses and formats listening addresses. It opens no socket.
import { isIPv4, isIPv6 } from 'node:net';

import { MegacometError } from './errors.js';

/** An address that a server listens on. */
export interface Address {
  readonly isUnix: boolean;
  /** Numeric host, or the path of a unix socket. */
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, `[V6]:PORT` or `unix:PATH`. */
export function formatAddress(address: Address): string {
  if (address.isUnix) return `unix:${address.host}`;
  const host = isIPv6(address.host) ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/**
 * Reads an address as a user writes it.
 *
 * @param label - The option or field that the address was given for.
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function parseAddress(label: string, text: string): Address {
  if (text.startsWith('unix:') && text.length > 5) {
    return { isUnix: true, host: text.slice(5), port: 0 };
  }
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  const isNumeric = match?.[1] === undefined ? isIPv4(host) : isIPv6(host);
  if (match === null || !isNumeric || port > 65_535) {
    throw new MegacometError(
      'ERR_OPTION_INVALID',
      `${label}: "${text}" is not a numeric HOST:PORT, [V6]:PORT or unix:PATH`,
    );
  }
  return { isUnix: false, host, port };
}

/** Addresses in one line; consecutive ports of one host become a range: `[::]:8000-8007`. */
export function formatAddresses(addresses: readonly string[]): string {
  const ranges: { host: string; first: number; last: number }[] = [];
  for (const text of addresses) {
    const [, host = text, digits] = (/^(?!unix:)(.+):(\d+)$/.exec(text) ?? []) as string[];
    const port = digits === undefined ? NaN : Number(digits);
    const range = ranges.at(-1);
    if (range?.host === host && range.last + 1 === port) range.last = port;
    else ranges.push({ host, first: port, last: port });
  }
  const ports = (first: number, last: number): string =>
    first === last ? `:${first}` : `:${first}-${last}`;
  return ranges
    .map(({ host, first, last }) => (Number.isNaN(first) ? host : host + ports(first, last)))
    .join(', ');
}
