// The listening sockets of one address: one per slot, or one that all slots share.
import type { Ownership as OwnershipNumbers } from '../ipc/frames.js';
import { lstatSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';

import { formatAddress, type Address } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import { forkedCopyHint } from '../base/forked-copy.js';
import { procReader } from '../system/kernel.js';
import { addon } from '../system/native.js';
import { atFreePath, removeSocket, type SocketFile } from '../system/socket-file.js';

/** Timeouts that accepted sockets inherit from their listener. */
export interface PeerTimeouts {
  /** Seconds of silence until keep-alive probes; 0 for none. */
  readonly keepaliveS: number;
  /** TCP_USER_TIMEOUT in milliseconds; 0 keeps the kernel's own rule. */
  readonly userTimeoutMs: number;
}

/** Attempts to bind where the kernel chooses the port. */
const ANY_PORT_TRIES = 4;

export interface BindOptions extends PeerTimeouts {
  readonly file: SocketFile;
  readonly slots: number;
  /** Peers that one listener may queue. */
  readonly backlog: number;
  /** Whether another address accepts IPv4 peers on the same port. */
  readonly v6Only: boolean;
}

/** Whether a TCP socket of this network namespace listens on the port (proc(5), state 0A). */
function hasListener(port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['/proc/net/tcp', '/proc/net/tcp6'].some((file) => {
    const lines = (procReader(file) ?? '').split('\n').map((line) => line.trim().split(/\s+/));
    return lines.some(([, local, , state]) => local?.endsWith(suffix) === true && state === '0A');
  });
}

/** Why an address is in use. */
function userOf({ isUnix, host, port }: Address): string {
  if (isUnix) {
    const file = host.startsWith('@') ? undefined : lstatSync(host, { throwIfNoEntry: false });
    if (file?.isSocket() === false) return 'a file that is not a socket is there';
  }
  if (isUnix || hasListener(port)) return `another program listens there${forkedCopyHint()}`;
  return 'an outgoing connection has the port; net.ipv4.ip_local_reserved_ports keeps it free';
}

function bindError(address: Address, error: number, call: string): MegacometError {
  const name = getSystemErrorName(-error);
  const rules: Partial<Record<string, string>> = {
    EACCES: 'ports below 1024 need root or CAP_NET_BIND_SERVICE; a path needs write permission',
    EADDRNOTAVAIL: 'no interface of this machine has that address',
    EINVAL: 'the address is not numeric, or the path too long',
    EAFNOSUPPORT: 'this kernel has no such address family',
    EMFILE: 'the limit of open files is reached',
  };
  if (call === 'chown' || call === 'chmod') {
    const text = `cannot listen on ${formatAddress(address)}: the socket cannot be given its group, owner or mode (${call}: ${name})`;
    return new MegacometError('ERR_LISTEN', text);
  }
  const rule = name === 'EADDRINUSE' ? userOf(address) : (rules[name] ?? `${call} failed`);
  return new MegacometError(
    'ERR_LISTEN',
    `cannot listen on ${formatAddress(address)}: ${rule} (${name})`,
  );
}

function registerError(fd: number, name: string, error: number, call: string): MegacometError {
  const code = getSystemErrorName(-error);
  const rules: Partial<Record<string, string>> = {
    EBADF: 'it is not open',
    ENOTSOCK: 'it is not a socket',
    EPROTOTYPE: 'it is not a stream socket',
    EINVAL: 'it is not listening',
    EAFNOSUPPORT: 'its family is not IPv4, IPv6 or unix',
  };
  const rule = rules[code] ?? `${call} failed`;
  return new MegacometError(
    'ERR_LISTEN',
    `LISTEN_FDS: descriptor ${fd} ("${name}") cannot be served: ${rule} (${code})`,
  );
}

/** Which processes hold a socket. */
export type Ownership = keyof typeof OwnershipNumbers;

/** The sockets of one address: one per slot, or one that all share (unix, or inherited). */
export class ListeningAddress {
  #address: Address;
  readonly ownership: Ownership;
  readonly #descriptors: number[] = [];
  /** Slots in the order in which their sockets began to listen: the indices of a BPF program. */
  readonly #order: number[] = [];
  #steeredBy = '';

  private constructor(address: Address, descriptors: number[], ownership: Ownership) {
    this.#address = address;
    this.ownership = ownership;
    this.#descriptors = descriptors;
    // The first socket claims the address, so it listens before its worker is ready.
    if (ownership === 'own') this.#order.push(0);
  }

  get address(): Address {
    return this.#address;
  }

  /** Its peers begin with a TLS handshake: an inherited socket does not tell it. */
  addTls(): void {
    this.#address = { ...this.#address, isTls: true };
  }

  /** Whether one socket serves all slots. */
  get isShared(): boolean {
    return this.ownership !== 'own';
  }

  /**
   * Binds all sockets of an address, so that an error ends the start. The first one listens: of two
   * servers that start at the same time exactly one has the address.
   *
   * @throws MegacometError `ERR_LISTEN`, naming the address and the rule.
   */
  static async bind(address: Address, options: BindOptions): Promise<ListeningAddress> {
    if (address.isUnix) {
      return atFreePath(address.host, () => ListeningAddress.#bindOnce(address, options));
    }
    // With SO_REUSEPORT the kernel may give a port that it chose to another program meanwhile.
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
        ...options.file,
        v6Only: options.v6Only,
        joins: slot > 0,
        backlog: options.backlog,
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
   * Registers an inherited socket that already listens.
   *
   * @throws MegacometError `ERR_LISTEN`, naming the descriptor and the rule. The descriptor stays
   *   open then: a wrong number in LISTEN_FDS may be one of Node's own descriptors.
   */
  static register(fd: number, name: string, timeouts: PeerTimeouts): ListeningAddress {
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
   * Calls listen(2) on a slot's socket, the first time that its worker is ready.
   *
   * @throws MegacometError `ERR_LISTEN`.
   */
  listen(slot: number, backlog: number): void {
    // A shared socket listens from the start.
    if (this.isShared || this.#order.includes(slot)) return;
    const error = addon.listenOn(this.descriptorOf(slot), backlog);
    if (error !== 0) throw bindError(this.address, error, 'listen');
    this.#order.push(slot);
  }

  /**
   * Distributes new connections by weight per slot; undefined uses the kernel's hash.
   *
   * @returns The name of the kernel's error, or null.
   */
  steer(weights: readonly number[] | undefined): string | null {
    // The kernel makes the group of an address when its second socket listens.
    if (this.isShared || this.#order.length < 2) return null;
    const program = weights && this.#order.map((slot) => weights[slot] ?? 0);
    // If all weights are 0, the hash is better: its peers wait in the queues.
    const wanted = program?.some((weight) => weight > 0) ? Uint32Array.from(program) : undefined;
    const key = wanted?.join() ?? '';
    if (key === this.#steeredBy) return null;
    const error = addon.steer(this.descriptorOf(0), wanted);
    if (error !== 0) return getSystemErrorName(-error);
    this.#steeredBy = key;
    return null;
  }

  /** Rejects new peers in every process that holds the socket. */
  shutDown(slot: number): void {
    addon.shutDownListener(this.descriptorOf(slot));
  }

  close(): void {
    if (this.#descriptors.length === 0) return;
    for (const fd of this.#descriptors.splice(0)) addon.closeDescriptor(fd);
    // The path of an inherited socket belongs to its creator, which may still listen there.
    if (this.ownership === 'shared') removeSocket(this.address.host);
  }
}
