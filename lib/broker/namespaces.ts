// The options of channels by the longest prefix of their name.
import { encodeFrame } from '../ipc/frame-codecs.js';
import { ClientPublish, NamespaceFlag, type Frames } from '../ipc/frames.js';
import type { HistoryLimits } from './history-limits.js';
import type { SlowPolicy } from './slow-policy.js';

/** The options of one channel. */
export interface ChannelRules {
  /** History limits of a publish without its own; null keeps nothing. */
  readonly history: HistoryLimits | null;
  /** Limits for the members of `history` that a publisher leaves out. */
  readonly historyDefaults: HistoryLimits;
  /** Milliseconds over which a message is spread that says nothing else. */
  readonly spreadMs: number;
  /** The policy of a message without its own. */
  readonly policy: SlowPolicy;
  /** Whether everybody may subscribe; undefined: the access rules of the server decide. */
  readonly isPublic?: boolean | undefined;
  /** Which clients may publish; by default the options of the server decide. */
  readonly clientPublish: keyof typeof ClientPublish;
  /** Whether subscribers can be listed. */
  readonly hasPresence: boolean;
  /** Whether subscribers receive a message when another one joins or leaves. */
  readonly hasJoinLeave: boolean;
  /** Whether clients may list the history, if a grant allows it. */
  readonly hasClientHistory: boolean;
}

/** Rules by their pattern, such as `chat/*`; `*` is all channels. */
export type RulesByPattern = ReadonlyMap<string, ChannelRules>;

/** The rules of channels outside every namespace. */
export function usualRules(
  history: HistoryLimits | null,
  historyDefaults: HistoryLimits,
): ChannelRules {
  return {
    history,
    historyDefaults,
    spreadMs: 0,
    policy: 'disconnect',
    clientPublish: 'server',
    hasPresence: true,
    hasJoinLeave: false,
    hasClientHistory: true,
  };
}

function flagsOf(rules: ChannelRules): number {
  const publicity = rules.isPublic === true ? NamespaceFlag.public : NamespaceFlag.private;
  return (
    (rules.isPublic === undefined ? 0 : publicity) |
    (rules.hasPresence ? NamespaceFlag.presence : 0) |
    (rules.hasJoinLeave ? NamespaceFlag.joinLeave : 0) |
    (rules.hasClientHistory ? NamespaceFlag.clientHistory : 0)
  );
}

export class Namespaces {
  /** The rules of channels outside every namespace. */
  readonly usual: ChannelRules;
  /** By prefix, with the slash at its end; empty for all channels. */
  readonly #rules: ReadonlyMap<string, ChannelRules>;

  constructor(usual: ChannelRules, rules: RulesByPattern = new Map()) {
    this.#rules = new Map([...rules].map(([pattern, each]) => [pattern.slice(0, -1), each]));
    this.usual = this.#rules.get('') ?? usual;
  }

  get isEmpty(): boolean {
    return this.#rules.size === 0;
  }

  /** The rules of a channel, or of a pattern itself. */
  of(channel: string): ChannelRules {
    if (this.#rules.size === 0) return this.usual;
    let slash = channel.lastIndexOf('/');
    while (slash !== -1) {
      const rules = this.#rules.get(channel.slice(0, slash + 1));
      if (rules !== undefined) return rules;
      // lastIndexOf() takes a negative position for the first one.
      slash = slash === 0 ? -1 : channel.lastIndexOf('/', slash - 1);
    }
    return this.usual;
  }

  /** The frame for workers. */
  frame(): Buffer {
    const rules = [...this.#rules.values()];
    const fields: Frames['Namespaces'] = {
      prefixes: [...this.#rules.keys()],
      flags: rules.map(flagsOf),
      clientPublish: rules.map(({ clientPublish }) => ClientPublish[clientPublish]),
    };
    return encodeFrame('Namespaces', fields);
  }
}
