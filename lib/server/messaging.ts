// Messaging of a comet server: the broker, the settings of the workers, and publishing over HTTP.
import { Broker } from '../broker/broker.js';
import type { ClientMessage } from '../broker/client-publishing.js';
import type { MemberEvent } from '../broker/presence.js';
import { AccessFlag } from '../ipc/frames.js';
import type { CometLink } from '../manager/manager.js';
import { addon } from '../system/native.js';
import { PublishApi } from '../api/publish-api.js';
import { brokerOptions } from './broker-options.js';
import type { ClientKeys } from './client-keys.js';
import { cometRules } from './comet-rules.js';
import type { Filled } from './server-options.js';

/** Events of the broker for the server. */
export interface MessagingEvents {
  /** A client published. */
  onMessage(message: ClientMessage): void;
  onSubscribe(event: MemberEvent): void;
  onUnsubscribe(event: MemberEvent): void;
  /** A worker cannot follow and must be replaced. */
  onOverflow(slot: number): void;
}

export class Messaging {
  readonly broker: Broker;
  readonly api: PublishApi;
  /** What the manager needs to serve comet: the workers' settings, and the broker. */
  readonly link: CometLink;
  readonly #keys: ClientKeys;

  constructor(
    slots: number,
    options: Filled,
    keys: ClientKeys,
    cores: number,
    events: MessagingEvents,
  ) {
    this.#keys = keys;
    this.broker = new Broker(brokerOptions(slots, options), {
      trimHeap: () => {
        addon.trimHeap();
      },
    });
    this.broker.on('overflow', (slot) => {
      events.onOverflow(slot);
    });
    this.broker.on('message', (message) => {
      events.onMessage(message);
    });
    this.broker.on('subscribe', (event) => {
      events.onSubscribe(event);
    });
    this.broker.on('unsubscribe', (event) => {
      events.onUnsubscribe(event);
    });
    this.broker.start();
    this.api = new PublishApi(this.broker, { messageBytesMax: options.messageBytes });
    // Where workers outnumber cores: see native/schedule/slice_limiter.h.
    const slicesMax = slots > cores ? cores : 0;
    this.link = linkOf(this.broker, options, keys, slicesMax);
  }

  /** What a client needs: nothing, a token, or nothing for public channels alone. */
  get accessMode(): 'open' | 'public' | 'tokens' {
    const { access } = this.link;
    if (access === null) return 'open';
    const isRemote = (access.flags & AccessFlag.remoteKeys) !== 0;
    return access.keys.length > 0 || isRemote ? 'tokens' : 'public';
  }

  /** Metrics of the broker, of publishing over HTTP and of the keys of tokens, for `messages` of the stats. */
  get counters(): Readonly<Record<string, number>> {
    return { ...this.broker.counters, ...this.api.counters, ...this.#keys.counters };
  }

  close(): void {
    this.broker.close();
  }
}

/** The settings of the workers, their keys, and the broker that they speak to. */
function linkOf(broker: Broker, options: Filled, keys: ClientKeys, slicesMax: number): CometLink {
  return {
    settings: { epoch: broker.epoch, slicesMax, ...cometRules(options) },
    get access() {
      return keys.access;
    },
    onUnknownKey: (tokens) => {
      keys.onUnknownKey(tokens);
    },
    broker,
  };
}
