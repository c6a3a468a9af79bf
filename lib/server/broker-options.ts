// The options of the broker, from the options of the server.
import { hasHook } from '../access/hook-rules.js';
import { MegacometError } from '../base/errors.js';
import { hasUsers, readsTokens } from '../access/access-rules.js';
import type { BrokerOptions } from '../broker/broker-options.js';
import type { HistoryLimits } from '../broker/history-limits.js';
import { usualRules, type ChannelRules, type RulesByPattern } from '../broker/namespaces.js';
import { HISTORY_COUNT } from '../options/comet-options.js';
import type { NamespaceOptions } from '../options/server-options.js';
import type { Filled } from './server-options.js';

/** Bytes of the history of a channel on a server that keeps no history by itself. */
const CHOSEN_HISTORY_BYTES = 256 * 1024;

type HistoryOptions = Pick<Filled, 'historyAge' | 'historyBytes' | 'historyCount'>;

/** Limits for the members of `history` that a publisher leaves out. */
function historyDefaults({
  historyCount,
  historyAge,
  historyBytes,
}: HistoryOptions): HistoryLimits {
  const ageMs = historyAge * 1000;
  if (historyCount > 0) return { count: historyCount, bytes: historyBytes, ageMs };
  return { count: HISTORY_COUNT.default, bytes: CHOSEN_HISTORY_BYTES, ageMs };
}

/** The rules for the broker from the options of a namespace; those of the server fill the gaps. */
function rulesOf(options: NamespaceOptions, server: Filled): ChannelRules {
  const defaults = historyDefaults({
    historyCount: options.historyCount ?? server.historyCount,
    historyAge: options.historyAge ?? server.historyAge,
    historyBytes: options.historyBytes ?? server.historyBytes,
  });
  const usual = usualRules(
    (options.historyCount ?? server.historyCount) > 0 ? defaults : null,
    defaults,
  );
  return {
    ...usual,
    isPublic: options.public,
    clientPublish: options.clientPublish ?? usual.clientPublish,
    hasPresence: options.presence ?? usual.hasPresence,
    hasJoinLeave: options.joinLeave ?? usual.hasJoinLeave,
    hasClientHistory: options.clientHistory ?? usual.hasClientHistory,
    policy: options.slowPolicy ?? usual.policy,
    spreadMs: options.spreadMs ?? usual.spreadMs,
  };
}

/**
 * The rules of all namespaces.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` if one needs grants, and the server gives none.
 */
export function namespaceRules(server: Filled): RulesByPattern {
  const rules = new Map<string, ChannelRules>();
  for (const [pattern, options] of Object.entries(server.namespaces ?? {})) {
    const hasGrants = readsTokens(server) || hasHook(server);
    if (options.clientPublish === 'grant' && !hasGrants) {
      const label = `namespaces: ${pattern}: client-publish`;
      throw new MegacometError(
        'ERR_OPTION_INVALID',
        `${label}: "grant" needs --token-key, --token-jwks-url or --hook-url`,
      );
    }
    rules.set(pattern, rulesOf(options, server));
  }
  return rules;
}

export function brokerOptions(slots: number, options: Filled): BrokerOptions {
  const defaults = historyDefaults(options);
  return {
    slots,
    messageBytesMax: options.messageBytes,
    history: options.historyCount > 0 ? defaults : null,
    historyDefaults: defaults,
    namespaces: namespaceRules(options),
    historyBytesMax: options.historyBytes,
    mailboxTimeMs: options.mailboxTime * 1000,
    publishesPerToken: options.publishesPerToken,
    closesCutOff: options.engineDown === 'close',
    tokenLeewayS: hasUsers(options) ? options.tokenLeeway : null,
  };
}
