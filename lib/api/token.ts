// The admin token: its sources, its form, and its comparison in constant time.
import { createHash, timingSafeEqual } from 'node:crypto';

import { MegacometError } from '../base/errors.js';
import { readOptionFile } from '../base/option-file.js';

/**
 * A shorter token can be guessed; a longer one does not fit into the admin server's header limit.
 */
const LENGTH_MIN = 16;
const LENGTH_MAX = 512;

const RULE = `${LENGTH_MIN} to ${LENGTH_MAX} visible ASCII characters`;

export interface TokenSource {
  readonly adminToken?: string | undefined;
  readonly adminTokenFile?: string | undefined;
}

function check(token: string, label: string): string {
  const isVisible = /^[\x21-\x7e]*$/.test(token);
  if (isVisible && token.length >= LENGTH_MIN && token.length <= LENGTH_MAX) return token;
  throw new MegacometError('ERR_OPTION_INVALID', `${label}: the token is not ${RULE}`);
}

function readToken(path: string): string {
  const text = readOptionFile('admin-token-file', path).toString('utf8');
  return check(text.replace(/\r?\n$/, ''), `admin-token-file: ${path}`);
}

/**
 * The token of the options; null without one. The file takes precedence.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`; no message shows the token.
 */
export function tokenOf({ adminToken, adminTokenFile }: TokenSource): string | null {
  if (adminTokenFile !== undefined) return readToken(adminTokenFile);
  return adminToken === undefined ? null : check(adminToken, 'admin-token');
}

/** The expected token. */
export class Token {
  readonly #digest: Buffer;

  constructor(token: string) {
    this.#digest = digestOf(token);
  }

  /** Compares hashes, so that the time reveals neither the content nor the length. */
  equals(other: string): boolean {
    return timingSafeEqual(digestOf(other), this.#digest);
  }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
