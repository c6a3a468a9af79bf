// Asks the Sentinels for the address of the master.
import type { Redis } from 'ioredis';

import { formatPeer, type Peer } from '../base/address.js';
import { isReply, RedisClient, redisReason, wordOf, type RedisAccess } from './redis-client.js';

/** Milliseconds for one answer. */
const ANSWER_MS = 500;

/** The address that one Sentinel knows. */
async function ask(
  Client: typeof Redis,
  sentinel: Peer,
  master: string,
  access: RedisAccess,
): Promise<Peer> {
  const question = async (isKnown: boolean): Promise<Peer> => {
    const login = isKnown ? access.login : () => ({ user: null, password: null });
    const client = await RedisClient.connect(Client, sentinel, { ...access, login });
    const timer = setTimeout(() => {
      client.destroy('no answer in time');
    }, ANSWER_MS);
    try {
      const found = await client.call('SENTINEL', 'get-master-addr-by-name', master);
      if (!Array.isArray(found)) throw new Error(`it does not know the master ${master}`);
      const [host, port] = found as string[];
      return { host: host ?? '', port: Number(port) };
    } finally {
      clearTimeout(timer);
      client.destroy();
    }
  };
  try {
    return await question(false);
  } catch (error) {
    // Most Sentinels have no password; one that has it shares it with the servers.
    if (!isReply(error) || wordOf(error) !== 'NOAUTH') throw error;
    return question(true);
  }
}

/**
 * The address that most Sentinels know: one that was cut off may still name the old master.
 *
 * @throws Error with the reason of each Sentinel, if none answers.
 */
export async function findMaster(
  Client: typeof Redis,
  sentinels: readonly Peer[],
  master: string,
  access: RedisAccess,
): Promise<Peer> {
  const found = await Promise.allSettled(
    sentinels.map((sentinel) => ask(Client, sentinel, master, access)),
  );
  const votes = new Map<string, { readonly peer: Peer; count: number }>();
  for (const result of found) {
    if (result.status === 'rejected') continue;
    const text = formatPeer(result.value);
    const vote = votes.get(text) ?? { peer: result.value, count: 0 };
    vote.count++;
    votes.set(text, vote);
  }
  const [best] = [...votes.values()].sort((a, b) => b.count - a.count);
  if (best !== undefined) return best.peer;
  const reasons = found.map((result, index) => {
    const reason = result.status === 'rejected' ? redisReason(result.reason) : '';
    const sentinel = sentinels[index];
    return `${sentinel === undefined ? '' : formatPeer(sentinel)}: ${reason}`;
  });
  throw new Error(`no Sentinel answers (${reasons.join('; ')})`);
}
