// Messaging of a comet server: the broker, the settings of the workers, and publishing over HTTP.
import { Authorization } from '../access/authorization.js';
import type { Hook } from '../access/hook-rules.js';
import type { Logger } from '../base/logger.js';
import type { LogSetup } from '../broker/broker-log.js';
import type { LogEvent } from '../broker/log-follower.js';
import { Broker } from '../broker/broker.js';
import type { ClientMessage } from '../broker/client-publishing.js';
import type { MemberEvent } from '../broker/presence.js';
import { AccessFlag } from '../ipc/frames.js';
import type { BrokerLink, CometLink } from '../manager/manager.js';
import { addon } from '../system/native.js';
import { PublishApi } from '../api/publish-api.js';
import { brokerOptions } from './broker-options.js';
import type { ClientKeys } from './client-keys.js';
import { cometRules } from './comet-rules.js';
import { HookedBroker } from './hooked-broker.js';
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

/** The identity of clients: from their tokens, and from the application; null without a hook. */
export interface ClientRules {
  readonly keys: ClientKeys;
  readonly hook: Hook | null;
}

/** The log of the messages, and the connections that its ticks report. */
export interface MessagingParts {
  readonly log?: LogSetup | undefined;
  readonly connections?: () => number;
}

export class Messaging {
  readonly broker: Broker;
  readonly api: PublishApi;
  /** The comet half of the manager: the workers' settings, and the broker. */
  readonly link: CometLink;
  readonly #keys: ClientKeys;
  readonly #hook: Hook | null;
  readonly #authorization: Authorization | null;

  constructor(
    slots: number,
    options: Filled,
    clients: ClientRules,
    cores: number,
    events: MessagingEvents,
    log: Logger,
    parts: MessagingParts = {},
  ) {
    const { keys, hook } = clients;
    this.#keys = keys;
    this.broker = new Broker(brokerOptions(slots, options), {
      ...parts,
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
    this.broker.on('log', (event) => {
      reportLog(event, log);
    });
    this.#hook = hook;
    this.#authorization =
      hook === null ? null : new Authorization({ authorize: hook.authorize, log });
    this.broker.on('revoke', (user) => this.#authorization?.forgetUser(user));
    this.broker.start();
    this.api = new PublishApi(this.broker, {
      messageBytesMax: options.messageBytes,
      publishesPerToken: options.publishesPerToken,
    });
    // Where workers outnumber cores: see native/schedule/slice_limiter.h.
    const slicesMax = slots > cores ? cores : 0;
    const authorized =
      hook === null || this.#authorization === null
        ? this.broker
        : new HookedBroker(this.broker, this.#authorization, hook.rules);
    this.link = linkOf(() => this.broker.epoch, authorized, options, keys, slicesMax);
  }

  /**
   * The credential of a client: a token, a decision, a signed URL, a certificate; none for public
   * channels, or at all.
   */
  get accessMode(): 'certificates' | 'hook' | 'open' | 'public' | 'signed' | 'tokens' {
    const { access } = this.link;
    if (access === null) return 'open';
    const isRemote = (access.flags & AccessFlag.remoteKeys) !== 0;
    if (access.keys.length > 0 || isRemote) return 'tokens';
    if (this.#hook !== null) return 'hook';
    if (access.urlKeys.length > 0) return 'signed';
    return (access.flags & AccessFlag.certificates) === 0 ? 'public' : 'certificates';
  }

  /** Metrics of the broker, of publishing over HTTP and of the keys of tokens, for `messages` of the stats. */
  get counters(): Readonly<Record<string, number>> {
    return { ...this.broker.counters, ...this.api.counters, ...this.#keys.counters };
  }

  /** Metrics of asking the application; null without a hook. */
  get hookCounters(): Readonly<Record<string, number>> | null {
    return this.#authorization?.counters ?? null;
  }

  /** Reads the secret of the hook again. @throws MegacometError `ERR_OPTION_INVALID`. */
  reloadHook(): void {
    this.#hook?.reload();
  }

  async close(): Promise<void> {
    this.#authorization?.close();
    this.#hook?.close();
    await this.broker.close();
  }
}

/** Writes a condition of the log of the messages to the log of the server. */
function reportLog(event: LogEvent, log: Logger): void {
  switch (event.kind) {
    case 'down':
      log.warn({ reason: event.reason }, 'the log of the messages is not available');
      return;
    case 'up':
      log.info({}, 'the log of the messages is available again');
      return;
    case 'cut-off':
      if (event.isOn) log.warn({}, 'cut off from the engine: clients are closed');
      else log.info({}, 'the engine is back: clients are admitted');
      return;
    case 'outdated':
      log.warn({ record: event.record }, 'a newer node writes records that this version needs');
      return;
    case 'break':
      if (event.entries > 0) {
        log.warn({ entries: event.entries }, 'entries of the log are lost; subscribers know');
      }
      if (event.epoch !== null) log.warn({}, 'the log of the messages begins a new epoch');
  }
}

/** The settings of the workers, their keys, and the broker that they speak to. */
function linkOf(
  epoch: () => bigint,
  broker: BrokerLink,
  options: Filled,
  keys: ClientKeys,
  slicesMax: number,
): CometLink {
  const rules = cometRules(options);
  return {
    // The epoch of a log is known when it is open, and may change.
    get settings() {
      return { epoch: epoch(), slicesMax, ...rules };
    },
    get access() {
      return keys.access;
    },
    onUnknownKey: (tokens) => {
      keys.onUnknownKey(tokens);
    },
    broker,
  };
}
