// The arguments of the library's calls, checked before anything changes. The broker checks channels
// and messages, because requests over HTTP reach it too.
import { checkInteger, checkString, invalidValue, membersOf } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { DEADLINE_SECONDS_MAX } from '../base/native-constants.js';
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
  const members = membersOf('channels', query, ['prefix', 'limit', 'from']);
  for (const [name, value] of members) {
    const label = `channels: ${name}`;
    if (name === 'prefix') checkString(label, value);
    else checkInteger(label, value, 0, name === 'limit' ? COUNT_MAX : Number.MAX_SAFE_INTEGER);
  }
  return Object.fromEntries(members);
}

/** The limit of presence(). @throws MegacometError `ERR_OPTION_INVALID`. */
export function checkPresenceLimit(limit: unknown): asserts limit is number | undefined {
  if (limit !== undefined) checkInteger('presence: limit', limit, 0, COUNT_MAX);
}

/** What disconnect() ends: a channel or pattern, one connection by its name, or a user's. */
export type DisconnectTarget =
  { readonly channel: string } | { readonly member: string } | { readonly user: string };

/** The argument of revoke(). @throws MegacometError `ERR_OPTION_*`. */
export function readRevocation(revocation: unknown): Revocation {
  const names = ['user', 'id', 'beforeSeconds', 'keepSeconds'];
  return Object.fromEntries(membersOf('revoke', revocation, names));
}

/** The target of disconnect(). @throws MegacometError `ERR_OPTION_*`, `ERR_CHANNEL`. */
export function readDisconnectTarget(target: unknown): DisconnectTarget {
  if (typeof target === 'string') return { channel: target };
  if (typeof target !== 'object' || target === null) {
    const rule = 'a channel, a pattern, { member } or { user }';
    throw invalidValue('disconnect: target', target, rule, 'ERR_CHANNEL');
  }
  const members = membersOf('disconnect', target, ['member', 'user']);
  if (members.has('member') === members.has('user')) {
    throw new MegacometError('ERR_OPTION_INVALID', 'disconnect: either member or user is required');
  }
  if (members.has('user')) {
    const user = members.get('user');
    checkString('disconnect: user', user);
    return { user };
  }
  const member = members.get('member');
  checkString('disconnect: member', member);
  return { member };
}
