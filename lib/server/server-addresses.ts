// The addresses that a server listens on: those of inherited sockets, and those that it binds.
import { formatAddress, type Address } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import { LISTENERS_MAX } from '../base/native-constants.js';
import { ListeningAddress, type PeerTimeouts } from '../manager/listening-address.js';
import { hasIpv6, procReader } from '../system/kernel.js';
import { configuredAddresses } from './configured-addresses.js';
import type { StartContext } from './start-context.js';

export class ServerAddresses {
  readonly #context: StartContext;
  readonly #open: ListeningAddress[];
  #toBind: readonly Address[] = [];

  /** @param open - Gets the addresses that are open. */
  constructor(context: StartContext, open: ListeningAddress[]) {
    this.#context = context;
    this.#open = open;
  }

  /** Registers the sockets that the program inherited. */
  register(): void {
    const { host, startLog: log } = this.#context;
    for (const { fd, name } of host.sockets) {
      const registered = ListeningAddress.register(fd, name, this.#timeouts());
      this.#open.push(registered);
      const listen = formatAddress(registered.address);
      log.info({ name, listen }, 'serving a socket from systemd');
    }
  }

  /**
   * Plans the addresses of the options that no inherited socket serves. Returns all addresses, the
   * inherited ones first.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_LISTEN`.
   */
  plan(): readonly Address[] {
    const { host, namesAddress, options, log } = this.#context;
    const inherited = this.#open.map(({ address }) => address);
    if (host.sockets.length > 0 && !namesAddress) return inherited;
    const served = inherited.map(formatAddress);
    this.#toBind = configuredAddresses(options, hasIpv6(procReader), log).filter(
      (address) => !served.includes(formatAddress(address)),
    );
    const all = [...inherited, ...this.#toBind];
    if (all.length <= LISTENERS_MAX) return all;
    throw new MegacometError(
      'ERR_LISTEN',
      `cannot listen on ${all.length} addresses: a server has at most ${LISTENERS_MAX}`,
    );
  }

  /** Binds the planned addresses, with one socket for each slot. */
  async bind(slots: number): Promise<void> {
    const inherited = this.#open.map(({ address }) => address);
    const all = [...inherited, ...this.#toBind];
    for (const address of this.#toBind) {
      const takesIpv4 = (other: Address): boolean =>
        other !== address && other.port === address.port && !other.host.includes(':');
      this.#open.push(
        await ListeningAddress.bind(address, {
          slots,
          backlog: this.#context.options.backlog,
          ...this.#timeouts(),
          v6Only: address.host !== '::' || all.some(takesIpv4),
        }),
      );
    }
  }

  close(): void {
    for (const address of this.#open) address.close();
  }

  /** TCP_USER_TIMEOUT only for comet: an echo server waits for its peers as long as the kernel. */
  #timeouts(): PeerTimeouts {
    const { keepalive, protocol, writeTimeout } = this.#context.options;
    const userTimeoutMs = protocol === 'comet' ? writeTimeout * 1000 : 0;
    return { keepaliveS: keepalive, userTimeoutMs };
  }
}
