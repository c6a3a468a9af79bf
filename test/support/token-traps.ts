// Tokens that are each wrong in one way: the traps of RFC 7515, RFC 7518, RFC 7519 and RFC 8725.
import {
  constants,
  createHmac,
  generateKeyPairSync,
  sign,
  type KeyObject,
  type SignKeyObjectInput,
} from 'node:crypto';

import { nowS } from './client-tokens.js';

export interface TrapKeys {
  /** Of HS256. */
  readonly secret: string;
  readonly rsa: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly p256: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly ed25519: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
}

export type Traps = Readonly<Record<string, string>>;
type Claims = Readonly<Record<string, unknown>>;
type Signer = (text: string) => Buffer;

const encode = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64url');

/** A compact token of any texts. */
function compact(header: string, payload: Uint8Array | string, signer: Signer): string {
  const text = `${encode(header)}.${encode(payload)}`;
  return `${text}.${encode(signer(text))}`;
}

const hmac =
  (secret: string | Uint8Array, hash = 'sha256'): Signer =>
  (text) =>
    createHmac(hash, secret).update(text).digest();

const signature =
  (
    key: KeyObject,
    hash: string | null = 'sha256',
    more: Partial<SignKeyObjectInput> = {},
  ): Signer =>
  (text) =>
    sign(hash, Buffer.from(text), { key, dsaEncoding: 'ieee-p1363', ...more });

const bytes =
  (hex: string): Signer =>
  () =>
    Buffer.from(hex, 'hex');

/** The order of P-256 and of Ed25519 (RFC 8032 5.1), in hex; the second is little-endian. */
const P256_ORDER = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';
const ED25519_ORDER = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn;

/** The same signature with another S, which a verifier must not accept (RFC 8032 8.4). */
function malleable(signer: Signer): Signer {
  return (text) => {
    const whole = signer(text);
    let s =
      ED25519_ORDER + BigInt(`0x${Buffer.from(whole.subarray(32)).reverse().toString('hex')}`);
    for (let at = 32; at < 64; at++, s >>= 8n) whole[at] = Number(s & 0xffn);
    return whole;
  };
}

/** Algorithms: none, that of another key, and one that no key has (RFC 8725 2.1, 3.1). */
function algorithmTraps(keys: TrapKeys, payload: string): Traps {
  const { secret, rsa, p256, ed25519 } = keys;
  const traps: Record<string, string> = {};
  const add = (name: string, header: object, signer: Signer): void => {
    traps[name] = compact(JSON.stringify(header), payload, signer);
  };
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '', 'hs256', 'HS256\0']) {
    add(`alg ${JSON.stringify(alg)} without a signature`, { alg }, bytes(''));
    add(`alg ${JSON.stringify(alg)} with one of HS256`, { alg }, hmac(secret));
  }
  add('alg that is a list', { alg: ['HS256'] }, hmac(secret));
  add('no alg', { typ: 'JWT' }, hmac(secret));
  const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string;
  const confused = {
    PEM: pem,
    'PEM without its line end': pem.trimEnd(),
    'PEM of PKCS #1': rsa.publicKey.export({ type: 'pkcs1', format: 'pem' }),
    DER: rsa.publicKey.export({ type: 'spki', format: 'der' }),
    JWK: JSON.stringify(rsa.publicKey.export({ format: 'jwk' })),
    'PEM of P-256': p256.publicKey.export({ type: 'spki', format: 'pem' }),
    'the bytes of Ed25519': Buffer.from(
      ed25519.publicKey.export({ format: 'jwk' }).x ?? '',
      'base64url',
    ),
    'an empty secret': '',
  };
  for (const [name, key] of Object.entries(confused)) {
    add(`HS256 with ${name}`, { alg: 'HS256' }, hmac(key));
    add(`HS256 with ${name}, and the name of the key`, { alg: 'HS256', kid: 'r' }, hmac(key));
  }
  add('RS256 with the secret', { alg: 'RS256' }, hmac(secret));
  add('ES256 with the key of RS256', { alg: 'ES256' }, signature(rsa.privateKey));
  add('EdDSA with the key of ES256', { alg: 'EdDSA' }, signature(p256.privateKey));
  add('HS512 with the secret', { alg: 'HS512' }, hmac(secret, 'sha512'));
  add('HS256 with SHA-512', { alg: 'HS256' }, hmac(secret, 'sha512'));
  add('RS512', { alg: 'RS512' }, signature(rsa.privateKey, 'sha512'));
  add('RS256 with SHA-512', { alg: 'RS256' }, signature(rsa.privateKey, 'sha512'));
  add('RS256 with SHA-1', { alg: 'RS256' }, signature(rsa.privateKey, 'sha1'));
  const pss = signature(rsa.privateKey, 'sha256', { padding: constants.RSA_PKCS1_PSS_PADDING });
  add('PS256', { alg: 'PS256' }, pss);
  add('RS256 with the padding of PS256', { alg: 'RS256' }, pss);
  return traps;
}

/** Curves, and signatures that hold for no text (RFC 8725 3.4, CVE-2022-21449). */
function signatureTraps({ rsa, p256, ed25519 }: TrapKeys, payload: string): Traps {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
  const k256 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey;
  const ed448 = generateKeyPairSync('ed448').privateKey;
  const es256 = signature(p256.privateKey);
  const rs256 = signature(rsa.privateKey);
  const eddsa = signature(ed25519.privateKey, null);
  const zero = '00'.repeat(32);
  const rows: readonly (readonly [string, string, Signer])[] = [
    ['ES256', 'P-384', signature(p384)],
    ['ES256', 'secp256k1', signature(k256)],
    ['ES256', 'a signature in DER', signature(p256.privateKey, 'sha256', { dsaEncoding: 'der' })],
    ['ES256', 'zeros', bytes(zero + zero)],
    ['ES256', 'R zero', bytes(`${zero}${'00'.repeat(31)}01`)],
    ['ES256', 'the order of the curve twice', bytes(P256_ORDER + P256_ORDER)],
    ['ES256', 'one byte more', (text) => Buffer.concat([es256(text), Buffer.alloc(1)])],
    ['ES256', 'one byte less', (text) => es256(text).subarray(0, 63)],
    ['ES256', 'no byte', bytes('')],
    ['EdDSA', 'Ed448', signature(ed448, null)],
    ['EdDSA', 'a second S', malleable(eddsa)],
    ['EdDSA', 'zeros', bytes(zero + zero)],
    // The neutral element as R.
    ['EdDSA', 'a point of small order', bytes(`01${'00'.repeat(63)}`)],
    ['EdDSA', 'one byte more', (text) => Buffer.concat([eddsa(text), Buffer.alloc(1)])],
    ['EdDSA', 'no byte', bytes('')],
    ['RS256', 'zeros', bytes('00'.repeat(256))],
    ['RS256', 'one', bytes(`${'00'.repeat(255)}01`)],
    ['RS256', 'one byte in front', (text) => Buffer.concat([Buffer.alloc(1), rs256(text)])],
    ['RS256', 'one byte less', (text) => rs256(text).subarray(0, 255)],
    ['RS256', 'no byte', bytes('')],
    ['HS256', 'no byte', bytes('')],
    ['HS256', 'zeros', bytes(zero)],
  ];
  return Object.fromEntries(
    rows.map(([alg, name, signer]) => [
      `${alg}: ${name}`,
      compact(JSON.stringify({ alg }), payload, signer),
    ]),
  );
}

/** Members of the header: keys that the token brings, names, and unknown members. */
function headerTraps({ secret, rsa }: TrapKeys, payload: string): Traps {
  const own = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = own.publicKey.export({ format: 'jwk' });
  const headers: Record<string, [string, Signer]> = {};
  const add = (member: object, alg = 'HS256', signer = hmac(secret)): void => {
    headers[JSON.stringify(member).slice(0, 60)] = [JSON.stringify({ alg, ...member }), signer];
  };
  const brought = {
    jwk,
    jku: 'http://127.0.0.1/keys',
    x5u: 'http://127.0.0.1/a.pem',
    x5c: ['AA=='],
  };
  for (const [name, value] of Object.entries(brought)) {
    add({ [name]: value, kid: 'r' }, 'RS256', signature(own.privateKey));
  }
  const kids = ['../../dev/null', "r' UNION SELECT 'x", '*', 'R', 'r\0', 'p', 'x'.repeat(201)];
  for (const kid of kids) add({ kid }, 'RS256', signature(rsa.privateKey));
  for (const kid of [7, null, ['r'], { r: 1 }]) add({ kid }, 'RS256', signature(rsa.privateKey));
  // The contents of /dev/null and of a missing file.
  add({ kid: '/dev/null' }, 'HS256', hmac(''));
  for (const more of [
    ...[
      { crit: ['exp'] },
      { crit: [] },
      { crit: ['b64'], b64: false },
      { cty: 'JWT' },
      { cty: '' },
    ],
    ...[{ typ: 'JWE' }, { typ: 'secevent+jwt' }, { typ: 7 }],
  ]) {
    add(more);
  }
  const made = Object.entries(headers).map(([name, [header, signer]]) => [
    name,
    compact(header, payload, signer),
  ]);
  return Object.fromEntries(made) as Traps;
}

/** Texts of a header that say one thing twice, or are not a JSON object. */
function headerTextTraps({ secret }: TrapKeys, payload: string): Traps {
  const texts = [
    ...[
      '{"alg":"none","alg":"HS256"}',
      '{"alg":"HS256","alg":"none"}',
      '{"alg":"HS256","\\u0061lg":"none"}',
    ],
    ...[
      '{"alg":"HS256","kid":"r","kid":"h"}',
      '["HS256"]',
      '"HS256"',
      'null',
      '',
      '{"alg":"HS256"}x',
    ],
    ...[
      '\ufeff{"alg":"HS256"}',
      "{'alg':'HS256'}",
      '{"alg":"HS256",}',
      '{"alg":"HS256"',
      '\0{"alg":"HS256"}',
    ],
  ];
  return Object.fromEntries(
    texts.map((text) => [
      `the header ${JSON.stringify(text)}`,
      compact(text, payload, hmac(secret)),
    ]),
  );
}

/** Other texts than three parts in base64url without padding. */
function textTraps({ secret }: TrapKeys, payload: string): Traps {
  const header = '{"alg":"HS256"}';
  const good = compact(header, payload, hmac(secret));
  const [first = '', second = '', third = ''] = good.split('.');
  /** Texts that are signed as they are. */
  const signedText = (text: string): string => `${text}.${encode(hmac(secret)(text))}`;
  const last = third.slice(-1);
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return {
    'one part': first,
    'two parts': `${first}.${second}`,
    'four parts': `${good}.${third}`,
    'five parts, as an encrypted one': `${good}.${second}.${third}`,
    'an empty payload part': signedText(`${first}.`),
    'an empty header part': signedText(`.${second}`),
    'points alone': '..',
    'a padded signature': `${good}=`,
    'a padded payload': signedText(`${first}.${second}==`),
    'a blank in the payload': signedText(`${first}.${second.slice(0, 4)} ${second.slice(4)}`),
    'a digit of base64': signedText(`${first}.${second.slice(0, -4)}+/AA`),
    'another spelling of the signature':
      good.slice(0, -1) + (digits[digits.indexOf(last) ^ 1] ?? ''),
    'the payload of another token': `${first}.${encode(payload.replace('ada', 'bob'))}.${third}`,
    'a token in a token': compact(header, good, hmac(secret)),
    'a token as a JSON text': compact(header, JSON.stringify(good), hmac(secret)),
    'the JSON serialization': JSON.stringify({
      payload: second,
      protected: first,
      signature: third,
    }),
  };
}

/** Claims that are signed, and mean nothing or something else. */
function claimTraps({ secret }: TrapKeys, claims: Claims): Traps {
  const now = nowS();
  const rest = JSON.stringify(claims).slice(1, -1);
  const withoutEnd = JSON.stringify({ ...claims, exp: undefined }).slice(1, -1);
  const texts = [
    ...[`{${rest},"sub":"ada"}`, `{${rest},"s\\u0075b":"ada"}`, `{${rest},"exp":${now + 60}}`],
    ...['1e400', '1e309', '1e99', '1e16', '9007199254740993', '1e99999999999', '-1', '-1e400'].map(
      (number) => `{${withoutEnd},"exp":${number}}`,
    ),
    ...[
      '"4000000000"',
      'null',
      'true',
      '[4000000000]',
      'NaN',
      'Infinity',
      '0x7fffffff',
      '+4e9',
    ].map((value) => `{${withoutEnd},"exp":${value}}`),
    // They have ended: in this second, or at the begin of the epoch.
    ...[now, 0, '1e-400', now - 1].map((number) => `{${withoutEnd},"exp":${number}}`),
    ...['nbf', 'iat'].flatMap((name) => [
      `{${rest},"${name}":${now + 3600}}`,
      `{${rest},"${name}":1e15}`,
      `{${rest},"${name}":1e400}`,
      `{${rest},"${name}":"0"}`,
    ]),
    ...['[]', 'null', '"ada"', '', '{', `{${rest}}x`, `{${rest},}`, `\ufeff{${rest}}`],
    ...[`{${rest},"x":${'['.repeat(2000)}${']'.repeat(2000)}}`, `{${rest},"jti":"\\ud800"}`],
    ...[`{${rest},"jti":"a\\u0000"}`, `{${rest},"aud":{}}`, `{${rest},"info":1e400x}`],
  ];
  const named = texts.map((text) => [
    `the payload ${text.slice(-60)}`,
    compact('{"alg":"HS256"}', text, hmac(secret)),
  ]);
  const invalid = Buffer.concat([
    Buffer.from(`{${rest},"jti":"`),
    Buffer.from('ff', 'hex'),
    Buffer.from('"}'),
  ]);
  return {
    ...(Object.fromEntries(named) as Traps),
    'a payload that is not UTF-8': compact('{"alg":"HS256"}', invalid, hmac(secret)),
  };
}

/** All traps, for claims that would be accepted. */
export function tokenTraps(keys: TrapKeys, claims: Claims): Traps {
  const payload = JSON.stringify(claims);
  return {
    ...algorithmTraps(keys, payload),
    ...signatureTraps(keys, payload),
    ...headerTraps(keys, payload),
    ...headerTextTraps(keys, payload),
    ...textTraps(keys, payload),
    ...claimTraps(keys, claims),
  };
}
