// The calls by which an application uses a comet server: messages, channels, users and queries. They
// check their arguments; the broker does the rest.
import { EventEmitter } from 'node:events';

import { MegacometError } from '../base/errors.js';
import type { BroadcastResult } from '../broker/broadcast.js';
import type { DisconnectTarget } from '../broker/client-orders.js';
import type { ChannelHistoryPage, HistoryQuery } from '../broker/history-reader.js';
import type { ChannelPresence } from '../broker/presence.js';
import type { ChannelPage, ChannelQuery, PublishOptions, Receipt } from '../broker/publishing.js';
import type { Revocation } from '../broker/revocations.js';
import {
  checkPresenceLimit,
  readChannelQuery,
  readChannels,
  readDisconnectTarget,
  readHistoryQuery,
  readRevocation,
} from './calls.js';
import type { Parts } from './parts.js';
import type { ServerEvents } from './server-events.js';
import type { Filled } from './server-options.js';

/** The part of {@link Server} that `protocol: 'comet'` alone has. */
export abstract class CometCalls extends EventEmitter<ServerEvents> {
  readonly #parts: Pick<Parts, 'broker'>;
  readonly #options: Pick<Filled, 'ingest' | 'mailboxes'>;

  /** @internal */
  constructor(parts: Pick<Parts, 'broker'>, options: Pick<Filled, 'ingest' | 'mailboxes'>) {
    super();
    this.#parts = parts;
    this.#options = options;
  }

  /**
   * Comet: gives a message the next number of the server's sequence, and sends it to subscribers.
   *
   * `delivered` is the number of subscribers of this node known at that moment, at most 100 ms old;
   * with `count: 'cluster'` those of all nodes. It is not an acknowledgement.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`; `ERR_BUSY` when a
   *   worker cannot follow, and a later try may succeed; `ERR_NOT_RUNNING`.
   */
  async publish(
    channel: string,
    data: Uint8Array | string,
    options?: PublishOptions,
  ): Promise<Receipt> {
    return this.#parts.broker().publish(channel, data, options);
  }

  /**
   * Comet: puts a message into the mailbox of a client that polls `/ID.js`. The mailbox keeps it
   * for `mailboxTime`, or until it was written completely. Needs the option `mailboxes` or `ingest`.
   * With a log the promise resolves when the log has the message. After `ERR_LOG` the log may have it
   * nevertheless: a second attempt may deliver it twice.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`, `ERR_BUSY`, `ERR_LOG`,
   *   `ERR_NOT_RUNNING`, `ERR_OPTION_INVALID`. As rejections.
   */
  async deliver(clientId: string, data: Uint8Array | string): Promise<void> {
    const broker = this.#parts.broker();
    const { mailboxes, ingest } = this.#options;
    if (!mailboxes && ingest === undefined) {
      const message = 'deliver: needs the option mailboxes or ingest';
      throw new MegacometError('ERR_OPTION_INVALID', message);
    }
    await broker.mailboxes.deliver(clientId, data);
  }

  /**
   * Comet: a page of the channels with subscribers or history.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_NOT_RUNNING`; in a
   *   cluster `ERR_BUSY`, `ERR_LOG`.
   */
  async channels(query?: ChannelQuery): Promise<ChannelPage> {
    const checked = readChannelQuery(query);
    return this.#parts.broker().channels(checked);
  }

  /**
   * Comet: publishes one message to each of up to 1,000 channels. All names are checked before the
   * first publish.
   *
   * @returns A result for each channel, in their order. One whose workers cannot follow has the
   *   code `ERR_BUSY` instead of a cursor.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_OPTION_INVALID`; `ERR_MESSAGE_SIZE`, also
   *   above 16 MiB for all channels together; `ERR_NOT_RUNNING`.
   */
  broadcast(
    channels: readonly string[],
    data: Uint8Array | string,
    options?: PublishOptions,
  ): Promise<readonly BroadcastResult[]> {
    return new Promise((resolve) => {
      const names = readChannels('broadcast', channels);
      resolve(this.#parts.broker().broadcast(names, data, options));
    });
  }

  /**
   * Comet: closes every subscriber of a channel or pattern, every connection of a user, whose tokens
   * stay valid, one connection by its name in events and presence(), or all connections. The reason
   * is sent where the transport has a field for it.
   *
   * @returns Subscribers that were known, in a cluster to the nodes that answer within 100 ms; for a
   *   connection 1, or 0 if it has ended; for a user and for all always 0, because only the workers
   *   count them.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_OPTION_INVALID`,
   *   `ERR_OPTION_UNKNOWN`, `ERR_NOT_RUNNING`; `ERR_BUSY` if the worker of a connection does not
   *   answer.
   */
  disconnect(target: string | DisconnectTarget, reason?: string): Promise<number> {
    return new Promise((resolve) => {
      const checked = readDisconnectTarget(target);
      resolve(this.#parts.broker().disconnect(checked, reason));
    });
  }

  /**
   * Comet: subscribes every WebSocket of a user to up to 100 channels or patterns, without a grant.
   * Each client receives `subscribed`. Connections of other transports have the channels of their
   * request. A client that reconnects has not these channels: subscribe the user again.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_OPTION_INVALID`, `ERR_NOT_RUNNING`.
   */
  async subscribe(user: string, channels: readonly string[] | string): Promise<void> {
    const names = readChannels('subscribe', channels);
    await this.#parts.broker().changeChannels(user, names, true);
  }

  /**
   * Comet: ends the subscriptions of a user to exactly these channels or patterns. A WebSocket
   * receives `unsubscribed`; a connection of another transport that has one of them is closed. The
   * user may subscribe again as far as its token allows: see revoke().
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_OPTION_INVALID`, `ERR_NOT_RUNNING`.
   */
  async unsubscribe(user: string, channels: readonly string[] | string): Promise<void> {
    const names = readChannels('unsubscribe', channels);
    await this.#parts.broker().changeChannels(user, names, false);
  }

  /**
   * Comet: closes the connections of a user's tokens, or of one token, and rejects those tokens from
   * now on, in all workers. A restart of the server forgets it: issue short-lived tokens.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_BUSY` if 100,000
   *   revocations are kept, `ERR_NOT_RUNNING`.
   */
  async revoke(revocation: Revocation): Promise<void> {
    await this.#parts.broker().revoke(readRevocation(revocation));
  }

  /**
   * Comet: one page of the history of a channel or pattern, from the oldest message or after a cursor.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`,
   *   `ERR_NOT_RUNNING`.
   */
  history(channel: string, query?: HistoryQuery): ChannelHistoryPage {
    const checked = readHistoryQuery(query);
    return this.#parts.broker().history(channel, checked);
  }

  /**
   * Comet: the subscribers of exactly this channel or pattern, as the workers report them, by user.
   *
   * @param limit - Connections at most; default 10,000. `subscribers` counts all.
   * @throws MegacometError `ERR_CHANNEL`, `ERR_OPTION_INVALID`, `ERR_BUSY`, `ERR_NOT_RUNNING`.
   */
  async presence(channel: string, limit?: number): Promise<ChannelPresence> {
    checkPresenceLimit(limit);
    return this.#parts.broker().presence(channel, limit);
  }
}
