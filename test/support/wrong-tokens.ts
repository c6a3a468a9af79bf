// Tokens that a server with an issuer and an audience rejects, each for one reason.
import { generateKeyPairSync, randomUUID } from 'node:crypto';

import { nowS, type Secret, signHs256, signPublic } from './client-tokens.js';

export const ISSUER = 'https://issuer.example';

/** Tokens that are each wrong in one way, for a server with issuer and audience. */
export function wrongTokens(secret: Secret, claims: object): Record<string, string> {
  const good = secret.token(claims);
  const [header = '', payload = '', signature = ''] = good.split('.');
  const encode = (value: object): string =>
    Buffer.from(JSON.stringify(value)).toString('base64url');
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
  return {
    'no algorithm': `${encode({ alg: 'none' })}.${payload}.`,
    'no algorithm, with a signature': `${encode({ alg: 'None' })}.${payload}.${signature}`,
    'another secret': signHs256(randomUUID() + randomUUID(), claims),
    'a public key as secret': signHs256(pem, claims),
    'another algorithm': signPublic('RS256', privateKey, claims),
    'an empty signature': `${header}.${payload}.`,
    'a shorter signature': good.slice(0, -4),
    padding: `${good}=`,
    'a changed payload': `${header}.${encode({ ...claims, sub: 'root' })}.${signature}`,
    'expired a minute ago': secret.token({ ...claims, exp: nowS() - 60 }),
    'not valid yet': secret.token({ ...claims, nbf: nowS() + 60 }),
    'issued in the future': secret.token({ ...claims, iat: nowS() + 60 }),
    'another issuer': secret.token({ ...claims, iss: 'https://other.example' }),
    'no issuer': secret.token({ ...claims, iss: undefined }),
    'another audience': secret.token({ ...claims, aud: ['pull', 'pushy'] }),
    'an extension that must be understood': secret.token(claims, { crit: ['x'], x: 1 }),
    'a token in a token': secret.token(claims, { cty: 'JWT' }),
    'of 9,000 bytes': secret.token({ ...claims, x: 'y'.repeat(9000) }),
    'of 1,000 claims': secret.token({
      ...claims,
      ...Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`c${n}`, n])),
    }),
    'a grant of an unknown action': secret.token({ ...claims, grants: { all: ['*'] } }),
    'a user with a zero byte': secret.token({ ...claims, sub: 'ada\0x' }),
    'an empty user': secret.token({ ...claims, sub: '' }),
    'a pattern in channels': secret.token({ ...claims, channels: ['*'] }),
    'for one channel': secret.token({ ...claims, channel: 'a' }),
  };
}
