// Connects to the server of an address, and checks that a log can be on it.
import type { Redis } from 'ioredis';

import { formatPeer } from '../base/address.js';
import type { RedisAddress } from './redis-address.js';
import { parseInfo, RedisClient, type RedisAccess, type RedisInfo } from './redis-client.js';
import { findMaster } from './redis-sentinel.js';

/** A connection with the server at its other end. */
export interface RedisServer {
  readonly client: RedisClient;
  /** Names one life of a server; a restart gives another. */
  readonly run: string;
}

/** MINID of XTRIM came with 6.2. Valkey reports the version of Redis that it is compatible with. */
function isTooOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < 6 || (major === 6 && minor < 2);
}

/** @throws Error if the server is not able to hold a log. */
export function checkServer(info: RedisInfo): string {
  const version = info.get('redis_version') ?? '';
  const run = info.get('run_id') ?? '';
  if (version === '' || run === '') throw new Error('it is not a Redis server');
  if (isTooOld(version)) throw new Error(`it is Redis ${version}; 6.2 or newer is required`);
  if (info.get('loading') === '1') throw new Error('LOADING: it loads its data');
  if (info.get('role') !== 'master') {
    throw new Error('READONLY: it is a replica and does not accept writes');
  }
  const policy = info.get('maxmemory_policy') ?? '';
  if (policy.startsWith('allkeys-')) {
    throw new Error(`its maxmemory-policy is ${policy}, which drops the log; set noeviction`);
  }
  return run;
}

/**
 * Connects, with names and Sentinels asked anew.
 *
 * @throws Error with the reason.
 */
export async function connectServer(
  Client: typeof Redis,
  { servers, master, db }: RedisAddress,
  access: RedisAccess,
): Promise<RedisServer> {
  const [only] = servers;
  const peer = master === null ? only : await findMaster(Client, servers, master, access);
  if (peer === undefined) throw new Error('unreachable: an address has a server');
  const client = await RedisClient.connect(Client, peer, access);
  const timer = setTimeout(() => {
    client.destroy(`${formatPeer(peer)} does not answer`);
  }, access.patience.answerMs);
  try {
    if (db !== 0) await client.call('SELECT', db);
    const run = checkServer(parseInfo(String(await client.call('INFO'))));
    return { client, run };
  } catch (error) {
    client.destroy();
    throw client.explain(error);
  } finally {
    clearTimeout(timer);
  }
}
