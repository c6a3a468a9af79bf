// The listening addresses of a server: parsing, binding one socket per slot, steering.
import { createConnection } from 'node:net';
import { isIPv4, isIPv6 } from 'node:net';
import { lstatSync, unlinkSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';

import { MegacometError } from '../base/errors.js';
import { hasIpv6, procReader } from './kernel.js';
import type { Logger } from '../base/logger.js';
import { addon } from './native.js';

/** Where a server listens. */
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
      `${label}: "${text}" is no numeric HOST:PORT, [V6]:PORT or unix:PATH`,
    );
  }
  return { isUnix: false, host, port };
}

/** What the options say of where to listen. `port` is one, or a range such as `8000-8007`. */
export interface Places {
  readonly listen?: readonly string[];
  readonly host: string;
  readonly port: number | string;
}

/** The addresses that options name. @throws MegacometError `ERR_OPTION_INVALID`. */
export function addressesOf(places: Places, log: Logger): Address[] {
  if (places.listen !== undefined) {
    return places.listen.map((text) => parseAddress('listen', text));
  }
  let { host } = places;
  if (host === '::' && !hasIpv6(procReader)) {
    host = '0.0.0.0';
    log.warn({}, 'this kernel has no IPv6; listening on 0.0.0.0 instead of ::');
  }
  const [first = 0, last = first] = String(places.port).split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    parseAddress('host', `${host.includes(':') ? `[${host}]` : host}:${first + index}`),
  );
}

/** Addresses in one line, neighbouring ports of one host as a range: `[::]:8000-8007`. */
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

/** What accepted sockets inherit from a listener. */
export interface PeerTimeouts {
  /** Seconds of silence until keep-alive probes; 0 for none. */
  readonly keepaliveS: number;
  /** Milliseconds for which sent bytes may go unacknowledged; 0 is the kernel's own rule. */
  readonly userTimeoutMs: number;
}

/** Ports of the kernel's choice that are tried, where the caller names none. */
const ANY_PORT_TRIES = 4;

export interface BindOptions extends PeerTimeouts {
  readonly slots: number;
  /** Whether another address takes IPv4 peers of the same port. */
  readonly v6Only: boolean;
}

function bindError(address: Address, error: number, call: string): MegacometError {
  const name = getSystemErrorName(-error);
  const rules: Partial<Record<string, string>> = {
    EADDRINUSE: 'another program listens there',
    EACCES: 'ports below 1024 need root or CAP_NET_BIND_SERVICE; a path needs write permission',
    EADDRNOTAVAIL: 'no interface of this machine has that address',
    EINVAL: 'the address is not numeric, or the path too long',
    EAFNOSUPPORT: 'this kernel has no such address family',
    EMFILE: 'the limit of open files is reached',
  };
  const rule = rules[name] ?? `${call} failed`;
  return new MegacometError(
    'ERR_LISTEN',
    `cannot listen on ${formatAddress(address)}: ${rule} (${name})`,
  );
}

function registerError(fd: number, name: string, error: number, call: string): MegacometError {
  const code = getSystemErrorName(-error);
  const rules: Partial<Record<string, string>> = {
    EBADF: 'it is not open',
    ENOTSOCK: 'it is no socket',
    EPROTOTYPE: 'it is no stream socket',
    EINVAL: 'it does not listen',
    EAFNOSUPPORT: 'it is neither IPv4, IPv6 nor unix',
  };
  const rule = rules[code] ?? `${call} failed`;
  return new MegacometError(
    'ERR_LISTEN',
    `LISTEN_FDS: descriptor ${fd} ("${name}") cannot be served: ${rule} (${code})`,
  );
}

/** Who else holds a socket. The numbers are those of Ownership in native/connection/listener.h. */
export const OWNERSHIPS = ['own', 'shared', 'inherited'] as const;

export type Ownership = (typeof OWNERSHIPS)[number];

/** The sockets of one address: one per slot, or one that all share (unix, or inherited). */
export class ListeningAddress {
  readonly address: Address;
  readonly ownership: Ownership;
  readonly #descriptors: number[] = [];
  /** Slots in the order in which their sockets began to listen: the indices of a BPF program. */
  readonly #order: number[] = [];
  #steeredBy = '';
  #hasListened: boolean;

  private constructor(address: Address, descriptors: number[], ownership: Ownership) {
    this.address = address;
    this.ownership = ownership;
    this.#descriptors = descriptors;
    // Whoever let it listen chose its backlog.
    this.#hasListened = ownership === 'inherited';
  }

  /** Whether one socket serves all slots. */
  get isShared(): boolean {
    return this.ownership !== 'own';
  }

  /**
   * Binds all sockets of an address, so that errors show at once. Nothing listens yet.
   *
   * @throws MegacometError `ERR_LISTEN`, naming the address and the rule.
   */
  static async bind(address: Address, options: BindOptions): Promise<ListeningAddress> {
    if (address.isUnix) await removeStaleSocket(address.host);
    // A port of the kernel's choice may go to another program as well before either listens.
    for (let tries = address.port === 0 ? ANY_PORT_TRIES : 1; ; tries--) {
      try {
        return ListeningAddress.#bindOnce(address, options);
      } catch (error) {
        if (tries <= 1) throw error;
      }
    }
  }

  static #bindOnce(address: Address, options: BindOptions): ListeningAddress {
    const descriptors: number[] = [];
    let port = address.port;
    const { isUnix } = address;
    const count = isUnix ? 1 : options.slots;
    for (let slot = 0; slot < count; slot++) {
      const opened = addon.openListener({
        host: address.host,
        port,
        isUnix,
        v6Only: options.v6Only,
        joins: slot > 0,
        keepaliveS: options.keepaliveS,
        userTimeoutMs: options.userTimeoutMs,
      });
      if (opened.error !== 0) {
        for (const fd of descriptors) addon.closeDescriptor(fd);
        throw bindError({ ...address, port }, opened.error, opened.call);
      }
      descriptors.push(opened.fd);
      if (slot === 0 && !isUnix) port = addon.listenerPort(opened.fd);
    }
    return new ListeningAddress({ ...address, port }, descriptors, isUnix ? 'shared' : 'own');
  }

  /**
   * Takes over a socket that somebody else bound and let listen.
   *
   * @throws MegacometError `ERR_LISTEN`, naming the descriptor and the rule. It stays open then: a
   *   number that was announced wrongly may be one of Node's own.
   */
  static adopt(fd: number, name: string, timeouts: PeerTimeouts): ListeningAddress {
    const { keepaliveS, userTimeoutMs } = timeouts;
    const { error, call, ...address } = addon.registerListener(fd, keepaliveS, userTimeoutMs);
    if (error === 0) return new ListeningAddress(address, [fd], 'inherited');
    throw registerError(fd, name, error, call);
  }

  descriptorOf(slot: number): number {
    return this.#descriptors[this.isShared ? 0 : slot] ?? -1;
  }

  /** Slots whose sockets listen. */
  get listening(): readonly number[] {
    return this.#order;
  }

  /**
   * Lets a slot's socket listen, the first time that its worker is ready.
   *
   * @throws MegacometError `ERR_LISTEN`.
   */
  listen(slot: number, backlog: number): void {
    if (this.isShared ? this.#hasListened : this.#order.includes(slot)) return;
    const error = addon.listenOn(this.descriptorOf(slot), backlog);
    if (error !== 0) throw bindError(this.address, error, 'listen');
    this.#hasListened = true;
    if (!this.isShared) this.#order.push(slot);
  }

  /**
   * Spreads new connections by weight per slot; undefined leaves it to the kernel's hash.
   *
   * @returns The name of the error with which the kernel refused, or null.
   */
  steer(weights: readonly number[] | undefined): string | null {
    const first = this.#order[0];
    if (this.isShared || first === undefined) return null;
    const program = weights && this.#order.map((slot) => weights[slot] ?? 0);
    // A program without a place for anybody is none: the hash leaves peers in the queues.
    const wanted = program?.some((weight) => weight > 0) ? Uint32Array.from(program) : undefined;
    const key = wanted?.join() ?? '';
    if (key === this.#steeredBy) return null;
    const error = addon.steer(this.descriptorOf(first), wanted);
    if (error !== 0) return getSystemErrorName(-error);
    this.#steeredBy = key;
    return null;
  }

  /** Refuses peers from now on, in every process that holds the socket. */
  shutDown(slot: number): void {
    addon.shutDownListener(this.descriptorOf(slot));
  }

  close(): void {
    for (const fd of this.#descriptors.splice(0)) addon.closeDescriptor(fd);
    // The path of an inherited one is its maker's, who goes on listening there.
    if (this.ownership === 'shared') removeSocket(this.address.host);
  }
}

/**
 * The slots that shall watch a socket that all share: a few with room. Those that watch already
 * come first while they have room, so that the watch seldom moves.
 *
 * @param free - Connections that each slot can still take.
 * @param crowdedAt - Free places up to which a slot counts as full.
 */
export function watchersOf(
  free: readonly number[],
  watching: ReadonlySet<number>,
  crowdedAt: number,
  count: number,
): Set<number> {
  const order = [...free.keys()].filter((slot) => (free[slot] ?? 0) > 0);
  const rank = (slot: number): number =>
    ((free[slot] ?? 0) > crowdedAt ? 0 : 2) + (watching.has(slot) ? 0 : 1);
  order.sort((a, b) => rank(a) - rank(b) || (free[b] ?? 0) - (free[a] ?? 0));
  return new Set(order.slice(0, count));
}

function removeSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // Gone already, or not ours to remove: the next start says so.
  }
}

/** Removes a socket file that nobody listens on; a server that crashed leaves one. */
async function removeStaleSocket(path: string): Promise<void> {
  const isStale = await new Promise<boolean>((resolve) => {
    const probe = createConnection({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED');
    });
  });
  if (isStale) removeSocket(path);
}
