// Commands of the application about clients. Without a log they are executed at once; with a log
// each becomes a record, and every node executes it.
import { MegacometError } from '../base/errors.js';
import type { WorkerLines } from '../ipc/outgoing.js';
import type { BrokerLog } from './broker-log.js';
import type { ClusterQueries } from './cluster-queries.js';
import type { ClientOrders, DisconnectTarget } from './client-orders.js';
import type { JsonObject } from './log-json.js';
import type { RevocationRepeats } from './revocation-repeats.js';
import type { Revocation, RevocationRow, Revocations } from './revocations.js';

export interface CommandsParts {
  readonly orders: ClientOrders;
  readonly revocations: Revocations;
  readonly repeats: RevocationRepeats;
  readonly lines: Pick<WorkerLines, 'send'>;
  /** All workers. */
  readonly slots: () => readonly number[];
  /** Everything kept about this user's clients is invalid from now on. */
  readonly onRevoke: (user: string) => void;
  /** Null without a log. */
  readonly log: BrokerLog | null;
  readonly cluster: Pick<ClusterQueries, 'disconnect' | 'isShared' | 'subscribers'>;
}

/** The order of a record. */
type Order =
  | {
      readonly do: 'channels';
      readonly user: string;
      readonly channels: readonly string[];
      readonly isOn: boolean;
    }
  | { readonly do: 'disconnect'; readonly target: DisconnectTarget; readonly reason: string }
  | { readonly do: 'revoke'; readonly row: RevocationRow }
  /** See RevocationRepeats.missed(). */
  | { readonly do: 'repeat-revocations' };

export class Commands {
  readonly #parts: CommandsParts;

  constructor(parts: CommandsParts) {
    this.#parts = parts;
  }

  /**
   * Closes connections, of every node.
   *
   * @returns See ClientOrders.disconnect(); in a cluster the subscribers of a channel are those of all
   *   nodes that answer within 100 ms.
   * @throws MegacometError as a rejection.
   */
  async disconnect(target: DisconnectTarget, reason = ''): Promise<number> {
    const { cluster } = this.#parts;
    this.#parts.orders.checkDisconnect(target, reason);
    if ('member' in target && cluster.isShared) return cluster.disconnect(target.member, reason);
    // Asked before the order, in the same entry: afterwards the connections are closed.
    const counted =
      'channel' in target && cluster.isShared ? cluster.subscribers(target.channel) : null;
    const [own, all] = await Promise.all([
      this.#execute({ do: 'disconnect', target, reason }) as Promise<number>,
      counted,
    ]);
    return all ?? own;
  }

  /** See ClientOrders.changeChannels(). @throws MegacometError as a rejection. */
  async changeChannels(user: string, channels: readonly string[], isOn: boolean): Promise<void> {
    const names = this.#parts.orders.checkChannels(user, channels, isOn);
    await this.#execute({ do: 'channels', user, channels: names, isOn });
  }

  /**
   * Closes the connections of tokens, and rejects those tokens from now on.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_BUSY`: as rejections.
   */
  async revoke(revocation: Revocation): Promise<void> {
    await this.#execute({ do: 'revoke', row: this.#parts.revocations.rowOf(revocation) });
  }

  /**
   * Executes an order of the log on this node.
   *
   * @param atMs - Its time by the clock of the log.
   * @throws MegacometError
   */
  apply(order: JsonObject, atMs: number): unknown {
    const known = order as unknown as Order;
    const result = this.#apply(known);
    if (known.do === 'revoke') this.#parts.repeats.applied(known.row, atMs);
    return result;
  }

  #execute(order: Order): unknown {
    const { log } = this.#parts;
    return log === null ? this.#apply(order) : log.order(order);
  }

  #apply(order: Order): unknown {
    const { orders, repeats } = this.#parts;
    switch (order.do) {
      case 'disconnect':
        return orders.disconnect(order.target, order.reason);
      case 'channels':
        orders.changeChannels(order.user, order.channels, order.isOn);
        return undefined;
      case 'revoke':
        this.#revoke(order.row);
        return undefined;
      case 'repeat-revocations':
        repeats.lost();
        return undefined;
      default:
        throw new MegacometError('ERR_LOG', 'the order of a newer version is not known');
    }
  }

  #revoke(row: RevocationRow): void {
    const { revocations, lines, slots, onRevoke } = this.#parts;
    const frame = revocations.put(row);
    if (frame === null) return;
    lines.send(frame, slots());
    if (row.user !== '') onRevoke(row.user);
  }
}
