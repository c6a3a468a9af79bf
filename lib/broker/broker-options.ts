// The settings, replaceable parts and events of the broker.
import type { LogSetup } from './broker-log.js';
import type { ClientMessage } from './client-publishing.js';
import type { HistoryEngine } from './history-engine.js';
import type { LogEvent } from './log-follower.js';
import type { MemberEvent } from './presence.js';
import type { PublishRules } from './publish-path.js';

export interface BrokerOptions extends PublishRules {
  /** Workers, 1 to 512. */
  readonly slots: number;
  /** Memory for the messages of all channels. */
  readonly historyBytesMax: number;
  /** Milliseconds that a message waits in a client's mailbox. */
  readonly mailboxTimeMs: number;
  /** Seconds by which issuers' clocks may be ahead; null without users. Default null. */
  readonly tokenLeewayS?: number | null;
  /** Messages per second of each token of clients; 0 for no limit. Default 0. */
  readonly publishesPerToken?: number;
  /** Whether a server that is cut off from a shared log closes its clients. Default false. */
  readonly closesCutOff?: boolean;
}

/** Replacements for tests, or for another history engine. */
export interface BrokerParts {
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
  /** Runs a function at the end of the present loop iteration. */
  readonly schedule?: (run: () => void) => void;
  readonly epoch?: bigint;
  readonly engine?: HistoryEngine;
  /** The log of the messages; default: none, the numbers of messages are dense. */
  readonly log?: LogSetup | undefined;
  /** Open connections, for the ticks of a shared log. */
  readonly connections?: () => number;
  /** Returns free memory of the heap to the kernel. */
  readonly trimHeap?: () => void;
}

export interface BrokerEvents {
  message: [ClientMessage];
  /** While presence events are on: a connection subscribed, or unsubscribed. */
  subscribe: [MemberEvent];
  unsubscribe: [MemberEvent];
  /** This worker does not read, or breaks its protocol: the manager must replace it. */
  overflow: [slot: number];
  /** Everything kept about this user's clients is invalid from now on. */
  revoke: [user: string];
  /** A condition of the log of the messages. */
  log: [LogEvent];
}
