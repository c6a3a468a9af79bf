// The keys and tokens of a trial, signed before it starts.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { AlgorithmName } from '../lib/access/token-keys.js';
import { createToken } from '../lib/index.js';
import { CHANNEL } from './comet-subjects.js';

export interface TokenRequest {
  readonly algorithm: AlgorithmName;
  /** Users, each with a token of its own; connections beyond that number share them. */
  readonly users: number;
  /** Seconds until they expire, all together; default: they do not. */
  readonly lifeSeconds?: number;
}

export interface IssuedTokens {
  /** The option of the server. */
  readonly tokenKey: string;
  readonly tokens: readonly string[];
  /** Seconds of the epoch at which they expire; NaN if they do not. */
  readonly expiresAtS: number;
  /** Deletes the keys, after the server has read them. */
  forget(): void;
}

/** The private and the public part; of HS256 both are the secret. */
function keysOf(algorithm: AlgorithmName): readonly [string, string] {
  if (algorithm === 'HS256') {
    const secret = randomBytes(32).toString('hex');
    return [secret, secret];
  }
  const pair =
    algorithm === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : algorithm === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('ed25519');
  return [
    pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    pair.publicKey.export({ type: 'spki', format: 'pem' }) as string,
  ];
}

export async function issueTokens(request: TokenRequest): Promise<IssuedTokens> {
  const { algorithm, users, lifeSeconds } = request;
  const folder = mkdtempSync(path.join(tmpdir(), 'megacomet-keys-'));
  const [own, known] = ['own', 'known'].map((name) => path.join(folder, name)) as [string, string];
  const [privateKey, publicKey] = keysOf(algorithm);
  writeFileSync(own, privateKey, { mode: 0o600 });
  writeFileSync(known, publicKey, { mode: 0o600 });
  const tokens: string[] = [];
  // Before the first is signed: none expires earlier.
  const expiresAtS = Math.floor(Date.now() / 1000) + (lifeSeconds ?? NaN);
  for (let user = 0; user < users; user++) {
    const claims = { user: `user-${user}`, grants: { subscribe: [CHANNEL, `${CHANNEL}/*`] } };
    const life = lifeSeconds === undefined ? {} : { expiresInSeconds: lifeSeconds };
    tokens.push(await createToken(`${algorithm}=${own}`, { ...claims, ...life }));
  }
  const forget = (): void => {
    rmSync(folder, { recursive: true });
  };
  return { tokenKey: `${algorithm}=${known}`, tokens, expiresAtS, forget };
}
