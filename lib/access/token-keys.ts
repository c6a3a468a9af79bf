// The keys of tokens: from the texts of --token-key to the keys with which workers verify.
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

import { invalidOption } from '../base/call-check.js';
import { TOKEN_NAME_BYTES_MAX } from '../base/native-constants.js';
import { readOptionFile } from '../base/option-file.js';
import { readSecret } from '../base/shared-secret.js';
import { TokenAlgorithm } from '../ipc/frames.js';

/** RFC 7518 3.1 and RFC 8037 3.1, as a token names them. */
const ALGORITHMS = {
  HS256: TokenAlgorithm.hs256,
  RS256: TokenAlgorithm.rs256,
  ES256: TokenAlgorithm.es256,
  EdDSA: TokenAlgorithm.edDsa,
} as const;

export type AlgorithmName = keyof typeof ALGORITHMS;

const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 4096;
const RSA_EXPONENT_END = 2n ** 32n;

/** A key as the workers get it. */
export interface TokenKey {
  /** A value of TokenAlgorithm. */
  readonly algorithm: number;
  /** Its `kid`; empty for a key that is tried for every token. */
  readonly keyId: string;
  /** The secret, or the DER of the public key (SubjectPublicKeyInfo, RFC 5280 4.1). */
  readonly bytes: Buffer;
}

/** One item of --token-key. */
export interface KeySource {
  readonly algorithm: AlgorithmName;
  readonly keyId: string;
  readonly path: string;
}

/**
 * Reads `ALG=FILE` or `ALG:KID=FILE`.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` with the name of the option.
 */
export function parseKeySource(option: string, item: string): KeySource {
  const [, algorithm = '', keyId = '', path = ''] =
    /^([^:=]*)(?::([^=]*))?=(.*)$/s.exec(item) ?? [];
  if (!Object.hasOwn(ALGORITHMS, algorithm) || path === '') {
    const names = Object.keys(ALGORITHMS).join(', ');
    throw invalidOption(`${option}: ${item} is not ALG=FILE or ALG:KID=FILE with one of ${names}`);
  }
  if (Buffer.byteLength(keyId) > TOKEN_NAME_BYTES_MAX) {
    throw invalidOption(
      `${option}: ${item}: a key id of at most ${TOKEN_NAME_BYTES_MAX} bytes is allowed`,
    );
  }
  return { algorithm: algorithm as AlgorithmName, keyId, path };
}

/** The fault of a public key for an algorithm, as a clause about it; null without one. */
export function faultOf(algorithm: AlgorithmName, key: KeyObject): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (algorithm === 'EdDSA') return type === 'ed25519' ? null : 'is not an Ed25519 key';
  if (algorithm === 'ES256') {
    return details?.namedCurve === 'prime256v1' ? null : 'is not a key of the curve P-256';
  }
  if (type !== 'rsa') return 'is not an RSA key';
  const { modulusLength: bits = 0, publicExponent = 0n } = details ?? {};
  if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
    return `has ${bits} bits; ${RSA_BITS_MIN} to ${RSA_BITS_MAX} are allowed`;
  }
  // With 1 everybody can sign; a large one makes each verification slow.
  const isUsual = publicExponent >= 3n && publicExponent < RSA_EXPONENT_END;
  return isUsual ? null : 'has an exponent that is not between 3 and 2^32';
}

/** A public key as the workers get it. */
export function tokenKeyOf(algorithm: AlgorithmName, keyId: string, key: KeyObject): TokenKey {
  return {
    algorithm: ALGORITHMS[algorithm],
    keyId,
    bytes: key.export({ type: 'spki', format: 'der' }),
  };
}

function readPublicKey({ algorithm, path }: KeySource, text: string): Buffer {
  if (text.includes('PRIVATE KEY') || /"d"\s*:/.test(text)) {
    throw invalidOption(
      `token-key: ${path} has a private key, which belongs to the issuer alone; give the public key`,
    );
  }
  if (text.includes('BEGIN CERTIFICATE')) {
    throw invalidOption(
      `token-key: ${path} has a certificate, whose dates would not be checked; give its public key`,
    );
  }
  let key: KeyObject;
  try {
    key = text.trimStart().startsWith('{')
      ? createPublicKey({ key: JSON.parse(text) as JsonWebKey, format: 'jwk' })
      : createPublicKey(text);
  } catch {
    throw invalidOption(`token-key: ${path} is not a public key as PEM or JWK`);
  }
  const fault = faultOf(algorithm, key);
  if (fault !== null)
    throw invalidOption(`token-key: ${path} ${fault}, so ${algorithm} cannot use it`);
  return key.export({ type: 'spki', format: 'der' });
}

/**
 * Checks the argument of a call that names a file. The error has no value: it may be the key itself.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function checkKeyArgument(call: string, key: unknown): asserts key is string {
  if (typeof key !== 'string')
    throw invalidOption(`${call}: key: a value of type ${typeof key} is not a string`);
}

/**
 * Reads the file of a key.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`; no message shows the key.
 */
export function readKey(source: KeySource): TokenKey {
  const { algorithm, keyId, path } = source;
  const content = readOptionFile('token-key', path);
  const bytes =
    algorithm === 'HS256'
      ? readSecret('token-key', path, content)
      : readPublicKey(source, content.toString('utf8'));
  return { algorithm: ALGORITHMS[algorithm], keyId, bytes };
}
