// How a command reaches the admin server: the address, the token and the trust of its options, or the
// token that a server of this user has generated.
import type { Trust } from '../api/admin-client.js';
import { tokenOfThisUser } from '../api/generated-token.js';
import { tokenOf } from '../api/token.js';
import { parsePeer } from '../base/address.js';
import type { Settings } from '../options/config.js';
import { trustOf } from './trust.js';

export interface AdminAccess {
  readonly admin: string;
  readonly token: string | null;
  readonly trust: Trust;
}

/** @throws MegacometError `ERR_OPTION_INVALID`. */
export function adminTokenOf(settings: Settings): string | null {
  const peer = parsePeer('admin', settings['admin']);
  return tokenOf(settings) ?? tokenOfThisUser(process.env, peer);
}

/** As adminAccessOf(), for a command whose options about certificates are about its target too. */
export function adminTrustOf(settings: Settings): Trust {
  return parsePeer('admin', settings['admin']).isTls === true ? trustOf(settings, true) : {};
}

/** @throws MegacometError `ERR_OPTION_INVALID`. */
export function adminAccessOf(settings: Settings): AdminAccess {
  const admin = settings['admin'] as string;
  const { isTls = false } = parsePeer('admin', admin);
  return { admin, token: adminTokenOf(settings), trust: trustOf(settings, isTls) };
}
