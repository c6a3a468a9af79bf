// The URL of an option that names NATS servers.
import { formatPeer, type Peer } from '../base/address.js';
import { invalidUrl } from '../base/call-check.js';
import { parseEngineServer, parseEngineUser } from './engine-url.js';

export interface NatsAddress {
  /** Servers of one cluster. */
  readonly servers: readonly Peer[];
  /** The user; null without one: a password is then a token. */
  readonly user: string | null;
  readonly isTls: boolean;
  /** The URL without the user, for people. */
  readonly name: string;
}

const RULE = 'nats://HOST:PORT or tls://HOST:PORT, with further HOST:PORT after commas';
const FORM = /^(nats|tls):\/\/(?:([^@/]*)@)?([^@/?#]+)\/?$/;
const NATS_PORT = 4222;

/** Whether a value is the URL of NATS servers, as far as its scheme says. */
export function isNatsUrl(text: string): boolean {
  return /^(nats|tls):/.test(text);
}

/**
 * Parses the URL of NATS servers.
 *
 * @param label - The option: `engine`.
 * @throws MegacometError `ERR_OPTION_INVALID`; no message shows the user.
 */
export function parseNatsUrl(label: string, text: string): NatsAddress {
  const match = FORM.exec(text);
  if (match === null) throw invalidUrl(label, text, RULE);
  const [, scheme = '', info, hosts = ''] = match;
  const user = parseEngineUser(label, info);
  const servers = hosts.split(',').map((one) => parseEngineServer(label, one, NATS_PORT));
  const name = `${scheme}://${servers.map(formatPeer).join(',')}`;
  return { servers, user, isTls: scheme === 'tls', name };
}
