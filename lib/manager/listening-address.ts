// The listening sockets of one address: one per slot, or one that all slots share.
import type { Ownership as OwnershipNumbers } from '../ipc/frames.js';
import { lstatSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { getSystemErrorName } from 'node:util';

import { formatAddress, type Address } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import { addon } from '../system/native.js';

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
  readonly slots: number;
  /** Whether another address accepts IPv4 peers on the same port. */
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
    // The process that called listen(2) chose the backlog.
    this.#hasListened = ownership === 'inherited';
  }

  /** Whether one socket serves all slots. */
  get isShared(): boolean {
    return this.ownership !== 'own';
  }

  /**
   * Binds all sockets of an address, so that an error ends the start. Nothing listens yet.
   *
   * @throws MegacometError `ERR_LISTEN`, naming the address and the rule.
   */
  static async bind(address: Address, options: BindOptions): Promise<ListeningAddress> {
    if (address.isUnix) await removeStaleSocket(address.host);
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
    if (this.isShared ? this.#hasListened : this.#order.includes(slot)) return;
    const error = addon.listenOn(this.descriptorOf(slot), backlog);
    if (error !== 0) throw bindError(this.address, error, 'listen');
    this.#hasListened = true;
    if (!this.isShared) this.#order.push(slot);
  }

  /**
   * Distributes new connections by weight per slot; undefined uses the kernel's hash.
   *
   * @returns The name of the kernel's error, or null.
   */
  steer(weights: readonly number[] | undefined): string | null {
    const first = this.#order[0];
    if (this.isShared || first === undefined) return null;
    const program = weights && this.#order.map((slot) => weights[slot] ?? 0);
    // If all weights are 0, the hash is better: its peers wait in the queues.
    const wanted = program?.some((weight) => weight > 0) ? Uint32Array.from(program) : undefined;
    const key = wanted?.join() ?? '';
    if (key === this.#steeredBy) return null;
    const error = addon.steer(this.descriptorOf(first), wanted);
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

function removeSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // Removed already, or not permitted: the next bind reports that.
  }
}

/** Removes a socket file without a listener, which a crashed server leaves behind. */
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
