// The arguments of the library's calls, checked before anything changes. The broker checks channels
// and messages, because requests over HTTP reach it too.
import { checkInteger, checkString, invalidValue, membersOf } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { DEADLINE_SECONDS_MAX } from '../base/native-constants.js';
import type { DisconnectTarget } from '../broker/client-orders.js';
import { HISTORY_LIMIT_MAX, type HistoryQuery } from '../broker/history-reader.js';
import type { ChannelQuery } from '../broker/publishing.js';
import type { Revocation } from '../broker/revocations.js';
import { COUNT_MAX } from '../options/option-spec.js';

/** Milliseconds over which close() may spread: as long as `--drain`. */
const DRAIN_MS_MAX = DEADLINE_SECONDS_MAX * 1000;

/** Milliseconds of close({ drainMs }). @throws MegacometError `ERR_OPTION_*`. */
export function readDrainMs(options: unknown): number {
  const members = membersOf('close', options, ['drainMs']);
  const drainMs = members.has('drainMs') ? members.get('drainMs') : 0;
  checkInteger('close: drainMs', drainMs, 0, DRAIN_MS_MAX);
  return drainMs;
}

/** The query of channels(). @throws MegacometError `ERR_OPTION_*`. */
export function readChannelQuery(query: unknown): ChannelQuery {
  const members = membersOf('channels', query, ['prefix', 'pattern', 'limit', 'from']);
  for (const [name, value] of members) {
    const label = `channels: ${name}`;
    if (name === 'prefix' || name === 'pattern') checkString(label, value);
    else checkInteger(label, value, 0, name === 'limit' ? COUNT_MAX : Number.MAX_SAFE_INTEGER);
  }
  return Object.fromEntries(members);
}

/** The limit of presence(). @throws MegacometError `ERR_OPTION_INVALID`. */
export function checkPresenceLimit(limit: unknown): asserts limit is number | undefined {
  if (limit !== undefined) checkInteger('presence: limit', limit, 0, COUNT_MAX);
}

/** The argument of revoke(). @throws MegacometError `ERR_OPTION_*`. */
export function readRevocation(revocation: unknown): Revocation {
  const names = ['user', 'id', 'beforeSeconds', 'keepSeconds'];
  return Object.fromEntries(membersOf('revoke', revocation, names));
}

/** The query of history(). @throws MegacometError `ERR_OPTION_*`. */
export function readHistoryQuery(query: unknown): HistoryQuery {
  const members = membersOf('history', query, ['since', 'limit']);
  for (const [name, value] of members) {
    const label = `history: ${name}`;
    if (name === 'since') checkString(label, value);
    else checkInteger(label, value, 1, HISTORY_LIMIT_MAX);
  }
  return Object.fromEntries(members);
}

/** A list of channels. @throws MegacometError `ERR_OPTION_INVALID`. */
export function readChannels(call: string, channels: unknown): readonly string[] {
  if (typeof channels === 'string') return [channels];
  if (Array.isArray(channels)) return channels as string[];
  throw invalidValue(`${call}: channels`, channels, 'a channel or a list of channels');
}

const TARGETS = ['channel', 'user', 'member', 'all'];

/** The target of disconnect(). @throws MegacometError `ERR_OPTION_*`, `ERR_CHANNEL`. */
export function readDisconnectTarget(target: unknown): DisconnectTarget {
  if (typeof target === 'string') return { channel: target };
  if (typeof target !== 'object' || target === null) {
    const rule = 'a channel, a pattern, { user }, { member } or { all: true }';
    throw invalidValue('disconnect: target', target, rule, 'ERR_CHANNEL');
  }
  const [entry, ...others] = [...membersOf('disconnect', target, TARGETS)];
  if (entry === undefined || others.length > 0) {
    const rule = 'exactly one of channel, user, member and all is required';
    throw new MegacometError('ERR_OPTION_INVALID', `disconnect: ${rule}`);
  }
  const [name, value] = entry;
  if (name === 'all') {
    if (value !== true) throw invalidValue('disconnect: all', value, 'true');
    return { all: true };
  }
  checkString(`disconnect: ${name}`, value);
  return { [name]: value } as unknown as DisconnectTarget;
}
