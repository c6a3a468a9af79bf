// Messages to the subscribers of a channel about another one that joined or left, in namespaces
// that ask for them.
import { MegacometError } from '../base/errors.js';
import { counter } from '../base/metric.js';
import type { MemberEvent } from './presence.js';

/**
 * Subscribers of a channel with such messages: n subscribers that join send n² messages, and a
 * thousand are a million.
 */
const SUBSCRIBERS_MAX = 1000;

/** The parts of the broker that it uses. */
interface Channels {
  /** Subscribers of a channel. */
  readonly subscribers: (channel: string) => number;
  /** @throws MegacometError `ERR_BUSY`, `ERR_LOG`: as rejections. */
  readonly announce: (channel: string, data: string, event: string) => Promise<void>;
}

export class JoinLeave {
  static readonly METRICS = {
    joinLeaveMessagesTotal: counter(
      'join_leave_messages_total',
      'Messages that reported a subscriber that joined or left, in namespaces with join-leave.',
      (joinLeave: JoinLeave) => joinLeave.#sent,
    ),
    joinLeaveSkippedTotal: counter(
      'join_leave_skipped_total',
      'Messages about a subscriber that were not sent: the channel has more than 1,000, or a worker ' +
        'read too slowly. Set join-leave for small channels only.',
      (joinLeave: JoinLeave) => joinLeave.#skipped,
    ),
  };

  readonly #channels: Channels;
  #sent = 0;
  #skipped = 0;

  constructor(channels: Channels) {
    this.#channels = channels;
  }

  /** Reports an event to the subscribers of its channel. */
  async onEvent(event: 'join' | 'leave', { channel, ...member }: MemberEvent): Promise<void> {
    if (this.#channels.subscribers(channel) > SUBSCRIBERS_MAX) {
      this.#skipped++;
      return;
    }
    try {
      await this.#channels.announce(channel, JSON.stringify(member), event);
      this.#sent++;
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      this.#skipped++;
    }
  }
}
