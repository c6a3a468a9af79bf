// Parses and formats addresses as users write them: those that a server listens on, and those of
// servers that a client connects to. It opens no socket and looks no name up.
import { isIP, isIPv4, isIPv6 } from 'node:net';

import { invalidValue } from './call-check.js';

/** An address that a server listens on. */
export interface Address {
  readonly isUnix: boolean;
  /** Numeric host, or the path of a unix socket. */
  readonly host: string;
  readonly port: number;
  /** Whether its peers begin with a TLS handshake. */
  readonly isTls?: boolean;
}

/** The address of a server, for a client. */
export interface Peer {
  /** A numeric host, or a name. */
  readonly host: string;
  readonly port: number;
}

/** The loopback address of the name localhost: RFC 6761, 6.3, lets no resolver decide. */
const LOCALHOST = '127.0.0.1';

/** Whether only this machine reaches a numeric host (RFC 1122 3.2.1.3, RFC 4291 2.5.3). */
export function isLoopback(host: string): boolean {
  return /^(?:::ffff:)?127\./i.test(host) || host === '::1';
}

/** `HOST:PORT`, `[V6]:PORT` or `unix:PATH`, after `tls:` for an address with TLS. */
export function formatAddress(address: Address): string {
  return `${address.isTls === true ? 'tls:' : ''}${formatSocket(address)}`;
}

/** As formatAddress(), without the protocol: two addresses with the same text cannot both be bound. */
export function formatSocket(address: Address): string {
  return address.isUnix ? `unix:${address.host}` : formatPeer(address);
}

/** As parsePeer() reads it. */
export function formatServer(address: Address): string {
  return `${address.isTls === true ? 'https://' : ''}${formatSocket(address)}`;
}

/** `HOST:PORT` or `[V6]:PORT`. */
export function formatPeer({ host, port }: Peer): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

interface HostAndPort {
  /** Without the brackets of IPv6; empty in `:PORT`. */
  readonly host: string;
  readonly isBracketed: boolean;
  readonly port: number;
}

/** Splits `HOST:PORT`; null for any other text. */
function split(text: string): HostAndPort | null {
  const match = /^(?:\[([^[\]]+)\]|([^:[\]/@?#\s]*)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const [, v6, other = '', digits] = match;
  const port = Number(digits);
  const isValid = port <= 65_535 && (v6 === undefined || isIPv6(v6));
  return isValid ? { host: v6 ?? other, isBracketed: v6 !== undefined, port } : null;
}

/**
 * A numeric host to listen on. `localhost` is 127.0.0.1.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function parseHost(label: string, text: unknown): string {
  if (text === 'localhost') return LOCALHOST;
  if (typeof text === 'string' && isIP(text) !== 0) return text;
  throw invalidValue(label, text, 'a numeric address, such as 127.0.0.1 or ::1');
}

/**
 * An address to listen on, or to connect to if it must be numeric. `:PORT` means every address of
 * the machine, and `localhost` 127.0.0.1.
 *
 * @param label - The option or field that the address was given for.
 * @param takesUnix - Whether `unix:PATH` is one.
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function parseAddress(label: string, text: unknown, takesUnix = true): Address {
  const rule = `a numeric HOST:PORT, [V6]:PORT${takesUnix ? ', :PORT or unix:PATH' : ' or :PORT'}`;
  if (typeof text !== 'string' || text.includes('\0')) throw invalidValue(label, text, rule);
  if (takesUnix && text.startsWith('unix:') && text.length > 5) {
    return { isUnix: true, host: text.slice(5), port: 0 };
  }
  const parts = split(text);
  if (parts === null) throw invalidValue(label, text, rule);
  const { host, isBracketed, port } = parts;
  if (isBracketed || isIPv4(host)) return { isUnix: false, host, port };
  if (host === 'localhost') return { isUnix: false, host: LOCALHOST, port };
  if (host === '') return { isUnix: false, host: '::', port };
  throw invalidValue(label, text, rule);
}

/**
 * As parseAddress(), also after `tls:` for an address with TLS.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function parseListenAddress(label: string, text: unknown): Address {
  if (typeof text !== 'string' || !text.startsWith('tls:')) return parseAddress(label, text);
  const rest = text.slice(4);
  if (rest.startsWith('unix:')) throw invalidValue(label, text, 'an address that can have TLS');
  return { ...parseAddress(label, rest), isTls: true };
}

/**
 * Checks the network of a proxy: an address, ADDRESS/BITS, or `unix` for peers without an address.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function parseNetwork(label: string, text: string): void {
  if (text === 'unix') return;
  const [, host = '', bits] = /^([^/]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
  const bitsMax = { 0: -1, 4: 32, 6: 128 }[isIP(host)] ?? -1;
  // isIP() takes a zone, which no peer's address has here.
  if (!host.includes('%') && Number(bits ?? 0) <= bitsMax) return;
  throw invalidValue(label, text, 'an address, a network such as 10.0.0.0/8 or fd00::/8, or unix');
}

/** A host name (RFC 1123, 2.1), with the `_` of container names. A URL reads 1.2 as an address. */
const NAME = /^(?!.*(^|\.)(\d+|0x[\da-f]*)\.?$)[\da-z_]([\da-z_.-]{0,251}[\da-z_])?\.?$/i;

/** A host name in lower case, without the dot at its end. @throws MegacometError `ERR_OPTION_INVALID`. */
export function parseHostName(label: string, text: string): string {
  if (NAME.test(text)) return text.toLowerCase().replace(/\.$/, '');
  throw invalidValue(label, text, 'a host name, such as admin.example.com');
}

/**
 * The address of a server to connect to: `HOST:PORT`, where the host may be a name, or `unix:PATH`.
 * With TLS it begins with `https://`, or with `tls:` as in the log of the server. A scheme `http://`
 * and one `/` at the end are ignored. `:PORT` means this machine.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function parsePeer(label: string, text: unknown): Address {
  const rule = 'HOST:PORT, such as 127.0.0.1:9001, https://HOST:PORT or unix:PATH';
  if (typeof text !== 'string' || text.includes('\0')) throw invalidValue(label, text, rule);
  if (/^unix:./.test(text)) return { isUnix: true, host: text.slice(5), port: 0 };
  const tls = /^(?:https:\/\/|tls:)/i.test(text) ? { isTls: true } : {};
  const parts = split(text.replace(/^https?:\/\/(.*?)\/?$/i, '$1').replace(/^tls:/, ''));
  if (parts === null || parts.port === 0) throw invalidValue(label, text, rule);
  const { host, isBracketed, port } = parts;
  if (host === '') return { isUnix: false, host: LOCALHOST, port, ...tls };
  if (isBracketed || isIPv4(host) || NAME.test(host)) return { isUnix: false, host, port, ...tls };
  throw invalidValue(label, text, rule);
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
