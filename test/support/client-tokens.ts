// Tokens of clients, signed here and not by the product, for the tests.
import { createHmac, randomBytes, sign, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';

const base64url = (value: unknown): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url');

export const nowS = (): number => Math.floor(Date.now() / 1000);

/** A secret of HS256 in a file. */
export class Secret {
  readonly text = randomBytes(24).toString('hex');
  readonly path: string;

  constructor(test: Test) {
    this.path = join(test.testdir({}), 'token.key');
    writeFileSync(this.path, this.text, { mode: 0o600 });
  }

  /** The value of --token-key. */
  get option(): string {
    return `HS256=${this.path}`;
  }

  /** A token of an hour; `claims` may say otherwise. */
  token(claims: object = {}, header: object = {}): string {
    const iat = nowS();
    const payload = { iat, exp: iat + 3600, ...claims };
    return signHs256(this.text, payload, header);
  }
}

/** A compact token of any header and payload. */
export function signHs256(secret: string, payload: object, header: object = {}): string {
  const text = `${base64url({ alg: 'HS256', typ: 'JWT', ...header })}.${base64url(payload)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** As signHs256(), with a private key. */
export function signPublic(
  alg: 'ES256' | 'EdDSA' | 'RS256',
  key: KeyObject,
  payload: object,
  header: object = {},
): string {
  const text = `${base64url({ alg, ...header })}.${base64url(payload)}`;
  const hash = alg === 'EdDSA' ? null : 'sha256';
  const signature = sign(hash, Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}
