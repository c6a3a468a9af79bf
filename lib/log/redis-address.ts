// The URL of an option that names a Redis server, or the Sentinels that know it.
import { formatPeer, type Peer } from '../base/address.js';
import { invalidUrl, invalidValue } from '../base/call-check.js';
import { parseEngineServer, parseEngineUser } from './engine-url.js';

export interface RedisAddress {
  /** The server alone, or the Sentinels that know it. */
  readonly servers: readonly Peer[];
  /** The name of the master at the Sentinels; null without Sentinels. */
  readonly master: string | null;
  /** The user of an access control list; null for the default user. */
  readonly user: string | null;
  readonly db: number;
  readonly isTls: boolean;
  /** The URL without user and password, for people. */
  readonly name: string;
}

const RULE =
  'redis://HOST:PORT/DB, rediss://HOST:PORT/DB or redis+sentinel://HOST:PORT,HOST:PORT/NAME/DB';
const FORM = /^(redis|rediss)(\+sentinel)?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^?#]*))?$/;
const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;
/** Redis allows more than the default 16, but no command line needs more digits. */
const DB_MAX = 65_535;

function parseDb(text: string): number | null {
  if (text === '') return 0;
  return /^\d{1,5}$/.test(text) && Number(text) <= DB_MAX ? Number(text) : null;
}

/**
 * Checks the beginning of the keys.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function checkPrefix(label: string, text: string): void {
  if (/^[\w.:-]{1,64}$/.test(text)) return;
  throw invalidValue(label, text, '1 to 64 letters, digits and the characters . : _ -');
}

/** Whether a value is the URL of a Redis server, as far as its scheme says. */
export function isRedisUrl(text: string): boolean {
  return /^rediss?(\+sentinel)?:/.test(text);
}

/**
 * Parses the URL of a Redis server.
 *
 * @param label - The option: `engine`.
 * @throws MegacometError `ERR_OPTION_INVALID`; no message shows user or password.
 */
export function parseRedisUrl(label: string, text: string): RedisAddress {
  const match = FORM.exec(text);
  if (match === null) throw invalidUrl(label, text, RULE);
  const [, scheme = '', sentinel, info, hosts = '', path = ''] = match;
  const user = parseEngineUser(label, info);
  const segments = path.split('/');
  const master = sentinel === undefined ? null : (segments.shift() ?? '');
  const db = parseDb(segments[0] ?? '');
  const isMaster = master === null || /^[\w.-]+$/.test(master);
  if (segments.length > 1 || db === null || !isMaster) throw invalidUrl(label, text, RULE);
  const texts = hosts.split(',');
  if (master === null && texts.length > 1) throw invalidUrl(label, text, RULE);
  const port = master === null ? REDIS_PORT : SENTINEL_PORT;
  const servers = texts.map((one) => parseEngineServer(label, one, port));
  const shown = `${scheme}${sentinel ?? ''}://${servers.map(formatPeer).join(',')}`;
  const name = `${shown}${master === null ? '' : `/${master}`}/${db}`;
  return { servers, master, user, db, isTls: scheme === 'rediss', name };
}
