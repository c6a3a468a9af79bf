// A slow model of grants: the rights of a client, character by character, and random grants and
// names to compare a server with it. It shares no code with the product.
import type { Random } from './random.js';

export const ACTIONS = ['subscribe', 'publish', 'presence', 'history'] as const;
export type Action = (typeof ACTIONS)[number];
export type Grants = Readonly<Partial<Record<Action, readonly string[]>>>;

/** Names that no random grant has: a grant that covers them all covers a whole prefix. */
const FRESH = ['', 'zq9', 'zq9/zq9', 'zq9/zq9/zq9'];

function matches(pattern: string, name: string): boolean {
  if (pattern === '') return name === '';
  if (pattern[0] !== '*') return name[0] === pattern[0] && matches(pattern.slice(1), name.slice(1));
  const isFree = name !== '' && name[0] !== '/';
  return matches(pattern.slice(1), name) || (isFree && matches(pattern, name.slice(1)));
}

/** Whether a grant stands for a name: `*` at the end, alone in its segment, for all that follows. */
function covers(grant: string, name: string): boolean {
  if (grant === '*') return true;
  if (!grant.endsWith('/*')) return matches(grant, name);
  for (let end = 0; end <= name.length; end++) {
    if (matches(grant.slice(0, -1), name.slice(0, end))) return true;
  }
  return false;
}

/** Whether one of the grants has a name, or all names of a pattern. */
export function isGranted(grants: readonly string[], channel: string): boolean {
  if (!channel.endsWith('*')) return grants.some((grant) => covers(grant, channel));
  const prefix = channel.slice(0, -1);
  return grants.some((grant) => FRESH.every((rest) => covers(grant, prefix + rest)));
}

/** Whether a subscription to a name or pattern receives the messages of a channel. */
export function receives(subscribed: string, channel: string): boolean {
  if (!subscribed.endsWith('*')) return subscribed === channel;
  return channel.startsWith(subscribed.slice(0, -1));
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)] as Item;
}

/** Few names, so that grants and requests meet; two of them differ only in their Unicode form. */
const SEGMENTS = ['a', 'b', 'ab', 'ba', 'aab', 'caf\u00e9', 'cafe\u0301', 'A', '..', 'a b', '%2F'];

export function randomName(random: Random): string {
  const depth = 1 + Math.floor(random() * 3);
  return Array.from({ length: depth }, () => pick(random, SEGMENTS)).join('/');
}

/** A name, or a pattern to subscribe to. */
export function randomChannel(random: Random): string {
  return random() < 0.7 ? randomName(random) : `${randomName(random)}/*`;
}

/** A name, a prefix, or a pattern with stars anywhere. */
function randomGrant(random: Random): string {
  const name = randomName(random);
  const kind = random();
  if (kind < 0.4) return name;
  if (kind < 0.6) return `${name}/*`;
  if (kind < 0.63) return '*';
  const at = Math.floor(random() * (name.length + 1));
  const stars = random() < 0.8 ? '*' : '**';
  return name.slice(0, at) + stars + name.slice(at + Math.floor(random() * 3));
}

export function randomGrants(random: Random): Record<Action, string[]> {
  const some = (): string[] =>
    Array.from({ length: Math.floor(random() * 4) }, () => randomGrant(random));
  return { subscribe: some(), publish: some(), presence: some(), history: some() };
}
