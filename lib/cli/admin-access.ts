// How a command reaches the admin server: the address and the token of its options, or the token that
// a server of this user has generated.
import { tokenOfThisUser } from '../api/generated-token.js';
import { tokenOf } from '../api/token.js';
import { parsePeer } from '../base/address.js';
import type { Settings } from '../options/config.js';

export interface AdminAccess {
  readonly admin: string;
  readonly token: string | null;
}

/** @throws MegacometError `ERR_OPTION_INVALID`. */
export function adminAccessOf(settings: Settings): AdminAccess {
  const admin = settings['admin'] as string;
  const token = tokenOf(settings);
  return { admin, token: token ?? tokenOfThisUser(process.env, parsePeer('admin', admin)) };
}
