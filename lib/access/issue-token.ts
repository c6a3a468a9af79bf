// Issuing tokens for clients: for back ends in Node, for scripts and for tests.
import { createPrivateKey, createSecretKey, type JsonWebKey, type KeyObject } from 'node:crypto';

import type { JWTPayload } from 'jose';

import { checkText, invalidValue, isText, membersOf } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import {
  CHANNEL_BYTES_MAX,
  GRANT_NAMES_MAX,
  TOKEN_BYTES_MAX,
  TOKEN_INFO_BYTES_MAX,
  TOKEN_NAME_BYTES_MAX,
} from '../base/native-constants.js';
import { readOptionFile } from '../base/option-file.js';
import { readSecret } from '../base/shared-secret.js';
import type { TokenGrants } from '../base/token-grants.js';
import { checkKeyArgument, parseKeySource, type KeySource } from './token-keys.js';

/** The claims of a token. */
export interface TokenClaims {
  /** The user, claim `sub`; default: none. */
  readonly user?: string;
  /** Seconds until the token expires; default 3600. */
  readonly expiresInSeconds?: number;
  /** Channels that the client is subscribed to when it connects. */
  readonly channels?: readonly string[];
  /** The actions allowed to the client. */
  readonly grants?: TokenGrants;
  /** Makes a token for this channel alone, which opens no connection. */
  readonly channel?: string;
  /** Shown to others where presence is on; any JSON of at most 1,024 bytes. */
  readonly info?: unknown;
  /** The claim `jti`, by which the token can be revoked. */
  readonly id?: string;
  /** The claim `iss`. */
  readonly issuer?: string;
  /** The claim `aud`. */
  readonly audience?: string;
}

const EXPIRES_IN_SECONDS = 3600;
const CLAIMS = [
  ...['user', 'expiresInSeconds', 'channels', 'grants', 'channel', 'info', 'id'],
  ...['issuer', 'audience'],
];
const ACTIONS = ['subscribe', 'publish', 'presence', 'history'];

function readSigningKey({ algorithm, path }: KeySource): KeyObject {
  const content = readOptionFile('key', path);
  if (algorithm === 'HS256') return createSecretKey(readSecret('key', path, content));
  const text = content.toString('utf8');
  try {
    return text.trimStart().startsWith('{')
      ? createPrivateKey({ key: JSON.parse(text) as JsonWebKey, format: 'jwk' })
      : createPrivateKey(text);
  } catch {
    throw new MegacometError(
      'ERR_OPTION_INVALID',
      `key: ${path} is not a private key as PEM or JWK`,
    );
  }
}

function checkNames(label: string, names: unknown): void {
  const isValid =
    Array.isArray(names) &&
    names.length <= GRANT_NAMES_MAX &&
    names.every((name) => isText(name, CHANNEL_BYTES_MAX));
  const rule = `a list of at most ${GRANT_NAMES_MAX} texts of 1 to ${CHANNEL_BYTES_MAX} bytes`;
  if (!isValid) throw invalidValue(label, names, rule);
}

/** Rejects claims that a server would reject, and names without a meaning. */
function checkClaims(claims: TokenClaims): void {
  const members = membersOf('createToken', claims, CLAIMS);
  for (const [name, value] of members) {
    const label = `createToken: ${name}`;
    if (name === 'channels') checkNames(label, value);
    if (['user', 'channel', 'id', 'issuer', 'audience'].includes(name)) {
      checkText(label, value, TOKEN_NAME_BYTES_MAX);
    }
  }
  const grants = membersOf('createToken: grants', members.get('grants'), ACTIONS);
  for (const [action, names] of grants) checkNames(`createToken: grants: ${action}`, names);
  const { info = null, expiresInSeconds = EXPIRES_IN_SECONDS } = claims;
  const text = asJson(info);
  if (text === undefined || Buffer.byteLength(text) > TOKEN_INFO_BYTES_MAX) {
    const rule = `at most ${TOKEN_INFO_BYTES_MAX} bytes of JSON`;
    throw invalidValue('createToken: info', info, rule);
  }
  if (Number.isSafeInteger(expiresInSeconds) && expiresInSeconds > 0) return;
  throw invalidValue('createToken: expiresInSeconds', expiresInSeconds, 'a whole number above 0');
}

/** Undefined for a value that JSON does not have, such as a function, a BigInt or a circle. */
function asJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** The claims by their names in the token; absent ones are not set. They were checked. */
function payloadOf(claims: TokenClaims): JWTPayload {
  const { user, channels, grants, channel, info, id, issuer, audience } = claims;
  const all = { sub: user, jti: id, iss: issuer, aud: audience, channels, channel, grants, info };
  // The signer would clone the values of a program, and cannot clone all.
  return JSON.parse(JSON.stringify(all)) as JWTPayload;
}

/**
 * Issues a token for a client.
 *
 * @param key - `ALG=FILE` or `ALG:KID=FILE`, as for the option `tokenKey`, with the secret of HS256
 *   or the private key of RS256, ES256 or EdDSA as PEM or JWK.
 * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`; no message shows the key.
 */
export async function createToken(key: string, claims: TokenClaims = {}): Promise<string> {
  checkClaims(claims);
  checkKeyArgument('createToken', key);
  const source = parseKeySource('key', key);
  const signingKey = readSigningKey(source);
  const { expiresInSeconds = EXPIRES_IN_SECONDS } = claims;
  const { algorithm, keyId } = source;
  const nowS = Math.floor(Date.now() / 1000);
  // Servers do not issue tokens, and start faster without it.
  const { SignJWT } = await import('jose');
  const unsigned = new SignJWT(payloadOf(claims))
    .setProtectedHeader({ alg: algorithm, typ: 'JWT', ...(keyId === '' ? {} : { kid: keyId }) })
    .setIssuedAt(nowS)
    .setExpirationTime(nowS + expiresInSeconds);
  const token = await unsigned.sign(signingKey).catch(() => {
    const { path } = source;
    throw new MegacometError('ERR_OPTION_INVALID', `key: ${path} is not a key of ${algorithm}`);
  });
  if (token.length <= TOKEN_BYTES_MAX) return token;
  const rule = `servers accept ${TOKEN_BYTES_MAX}`;
  throw new MegacometError(
    'ERR_OPTION_INVALID',
    `createToken: the token has ${token.length} characters; ${rule}`,
  );
}
