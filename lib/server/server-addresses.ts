// The addresses that a server listens on: those of inherited sockets, and those that it binds.
import { formatAddress, formatSocket, type Address } from '../base/address.js';
import { invalidValue } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { shown } from '../base/shown.js';
import { LISTENERS_MAX } from '../base/native-constants.js';
import { ListeningAddress, type PeerTimeouts } from '../manager/listening-address.js';
import { gidOf } from '../system/accounts.js';
import type { Identity } from '../system/identity.js';
import { hasIpv6, procReader } from '../system/kernel.js';
import type { SocketFile } from '../system/socket-file.js';
import { configuredAddresses } from './configured-addresses.js';
import { listenerFlags, withTls } from './listener-flags.js';
import type { StartContext } from './start-context.js';

export class ServerAddresses {
  readonly #context: StartContext;
  readonly #open: ListeningAddress[];
  #toBind: readonly Address[] = [];
  #flags: readonly number[] = [];
  #file: SocketFile = { mode: -1, uid: -1, gid: -1 };

  /** @param open - Gets the addresses that are open. */
  constructor(context: StartContext, open: ListeningAddress[]) {
    this.#context = context;
    this.#open = open;
  }

  /**
   * Plans the files of unix sockets. They belong to the user that the server becomes: its group may
   * connect, and it may remove them where the folder allows that.
   *
   * @throws MegacometError `ERR_OPTION_INVALID` if the group is unknown.
   */
  planFiles(identity: Identity | undefined): void {
    const { socketMode, socketGroup } = this.#context.options;
    const group = socketGroup === undefined ? undefined : gidOf(socketGroup);
    if (group === null) {
      throw invalidValue('socket-group', socketGroup, 'a group of this machine');
    }
    this.#file = {
      mode: socketMode === undefined ? -1 : parseInt(socketMode, 8),
      uid: identity?.uid ?? -1,
      gid: group ?? identity?.gid ?? -1,
    };
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
    const all = withTls(this.#context.options, this.#planAll());
    this.#open.forEach((open, index) => {
      if (all[index]?.isTls === true) open.addTls();
    });
    this.#toBind = all.slice(this.#open.length);
    this.#flags = listenerFlags(this.#context.options, all, hasIpv6(procReader));
    return all;
  }

  /** A set of ListenerFlag for each address, in the order of plan() and after bind() of `open`. */
  get flags(): readonly number[] {
    return this.#flags;
  }

  #planAll(): readonly Address[] {
    const { host, namesAddress, options, log } = this.#context;
    const inherited = this.#open.map(({ address }) => address);
    if (host.sockets.length > 0 && !namesAddress) return inherited;
    const configured = configuredAddresses(options, hasIpv6(procReader), log);
    const served = inherited.map(
      (address) =>
        configured.find((other) => formatSocket(other) === formatSocket(address)) ?? address,
    );
    this.#toBind = configured.filter((address) => !served.includes(address));
    this.#checkFiles();
    const all = [...served, ...this.#toBind];
    if (all.length <= LISTENERS_MAX) return all;
    throw new MegacometError(
      'ERR_LISTEN',
      `cannot listen on ${all.length} addresses: a server has at most ${LISTENERS_MAX}`,
    );
  }

  /** Rejects options of unix sockets where none is bound. */
  #checkFiles(): void {
    const { socketMode, socketGroup } = this.#context.options;
    if (this.#toBind.some(({ isUnix }) => isUnix)) return;
    for (const [label, value] of Object.entries({
      'socket-mode': socketMode,
      'socket-group': socketGroup,
    })) {
      if (value === undefined) continue;
      const message = `${label}: ${shown(value)} needs --listen unix:PATH`;
      throw new MegacometError('ERR_OPTION_INVALID', message);
    }
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
          file: this.#file,
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
