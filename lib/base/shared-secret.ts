// Secrets that this server shares with others: in files, as random bytes or text.
import { createPublicKey } from 'node:crypto';

import { invalidOption } from './call-check.js';
import { readOptionFile } from './option-file.js';

/** As many bytes as the hash has (RFC 7518 3.2, RFC 5869 3.3). */
const SECRET_BYTES_MIN = 32;
/** Many times the block of the hash; all keys must fit into one frame. */
const SECRET_BYTES_MAX = 1024;

function isJson(content: Buffer): boolean {
  const text = content.toString('utf8').trim();
  return text.startsWith('{') && text.endsWith('}');
}

function isPublicKey(content: Buffer): boolean {
  try {
    createPublicKey({ key: content, format: 'der', type: 'spki' });
    return true;
  } catch {
    return false;
  }
}

/**
 * The secret in a file, without the line end that editors add.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` with the name of the option.
 */
export function readSecret(option: string, path: string, content: Buffer): Buffer {
  const end = content.at(-1) === 10 ? (content.at(-2) === 13 ? -2 : -1) : content.length;
  const secret = content.subarray(0, end);
  // RFC 8725 2.1: everybody knows a public key, and could sign with it.
  if (secret.includes('-----BEGIN ') || isJson(secret) || isPublicKey(secret)) {
    throw invalidOption(`${option}: ${path} has a key as PEM, JWK or DER; a secret is needed`);
  }
  if (secret.length >= SECRET_BYTES_MIN && secret.length <= SECRET_BYTES_MAX) return secret;
  const rule = `${SECRET_BYTES_MIN} to ${SECRET_BYTES_MAX} are allowed`;
  throw invalidOption(`${option}: ${path}: the secret has ${secret.length} bytes; ${rule}`);
}

/** As readSecret(), from the file. @throws MegacometError `ERR_OPTION_INVALID`. */
export function readSecretFile(option: string, path: string): Buffer {
  return readSecret(option, path, readOptionFile(option, path));
}
