// A JSON Web Key Set (RFC 7517): which of its keys verify tokens, and why the others do not.
import { KeyObject } from 'node:crypto';

import type { CryptoKey, JWK } from 'jose';

import { TOKEN_NAME_BYTES_MAX } from '../base/native-constants.js';
import { quoted } from '../base/quoted.js';
import { shown } from '../base/shown.js';
import { faultOf, tokenKeyOf, type AlgorithmName, type TokenKey } from './token-keys.js';

/** Identity providers publish up to twenty; a worker tries each of an algorithm for some tokens. */
const KEYS_MAX = 64;

export interface KeySet {
  readonly keys: readonly TokenKey[];
  /** A sentence about each key that verifies no token. */
  readonly ignored: readonly string[];
}

/** A text that is not a set of keys; the message is a clause about the set. */
export class KeySetError extends Error {}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The entries of a set; each may still be anything. */
function entriesOf(text: string): readonly unknown[] {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    throw new KeySetError('is not valid JSON');
  }
  const keys = isObject(set) ? set['keys'] : undefined;
  if (!Array.isArray(keys)) throw new KeySetError('is not a JSON Web Key Set');
  if (keys.length > KEYS_MAX) {
    throw new KeySetError(`has ${keys.length} keys; at most ${KEYS_MAX} are allowed`);
  }
  return keys;
}

/** The one algorithm that a key serves, by its type and curve; null for another key. */
function algorithmOf({ kty, crv }: JWK): AlgorithmName | null {
  if (kty === 'RSA') return 'RS256';
  if (kty === 'EC' && crv === 'P-256') return 'ES256';
  return kty === 'OKP' && crv === 'Ed25519' ? 'EdDSA' : null;
}

/** Why a key must not verify tokens, by the members of its JWK (RFC 7517 4); null if it may. */
function purposeFault(jwk: JWK, algorithm: AlgorithmName): string | null {
  const { alg, d, key_ops: operations, kid, use } = jwk as Record<string, unknown>;
  if (d !== undefined) return 'is a private key; a set must have public ones';
  if (alg !== undefined && alg !== algorithm) return `has alg ${shown(alg)}`;
  if (use !== undefined && use !== 'sig') return `has use ${shown(use)}`;
  const mayVerify = Array.isArray(operations) && operations.includes('verify');
  if (operations !== undefined && !mayVerify) return 'has key_ops without "verify"';
  if (kid === undefined) return null;
  const isName = typeof kid === 'string' && Buffer.byteLength(kid) <= TOKEN_NAME_BYTES_MAX;
  return isName ? null : `has a kid that is not a text of at most ${TOKEN_NAME_BYTES_MAX} bytes`;
}

/** The key for the workers, or the clause that says why there is none. */
async function readEntry(entry: unknown): Promise<TokenKey | string> {
  if (!isObject(entry)) return 'is not an object';
  const jwk = entry as JWK;
  const algorithm = algorithmOf(jwk);
  if (algorithm === null) return 'is not a key of RS256, ES256 or EdDSA';
  const purpose = purposeFault(jwk, algorithm);
  if (purpose !== null) return purpose;
  // Servers without such a URL start faster without it.
  const { importJWK } = await import('jose');
  let key: KeyObject;
  try {
    key = KeyObject.from((await importJWK(jwk, algorithm, { extractable: true })) as CryptoKey);
  } catch {
    return 'is not a valid key';
  }
  return faultOf(algorithm, key) ?? tokenKeyOf(algorithm, jwk.kid ?? '', key);
}

function nameOf(entry: unknown, index: number): string {
  const kid = isObject(entry) ? entry['kid'] : undefined;
  return typeof kid === 'string' ? `key ${quoted(kid)}` : `key ${index + 1}`;
}

/**
 * Reads the keys of a set. Two keys may have the same `kid` (RFC 7517 4.5): both are tried.
 *
 * @throws KeySetError
 */
export async function readKeySet(text: string): Promise<KeySet> {
  const keys: TokenKey[] = [];
  const ignored: string[] = [];
  for (const [index, entry] of entriesOf(text).entries()) {
    const key = await readEntry(entry);
    if (typeof key === 'string') ignored.push(`${nameOf(entry, index)} ${key}`);
    else keys.push(key);
  }
  return { keys, ignored };
}
