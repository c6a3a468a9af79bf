// Reading the keys and rules of access: the frames for the workers, and mistakes of users.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { isOpen, readAccess, secretFiles } from '../../lib/access/access-rules.js';
import { TokenAlgorithm } from '../../lib/ipc/frames.js';

const dir = t.testdir({});
const file = (name: string, content: Buffer | string): string => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};
const pem = (key: KeyObject): string =>
  key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }) as string;

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const ed = generateKeyPairSync('ed25519');
const ed448 = generateKeyPairSync('ed448');
const small = generateKeyPairSync('rsa', { modulusLength: 1024 });

const read = (tokenKey: readonly string[], more: object = {}): ReturnType<typeof readAccess> =>
  readAccess({ tokenKey, tokenLeeway: 10, ...more });

t.test('without keys and public channels everybody may do everything', (t) => {
  t.ok(isOpen({ tokenLeeway: 10 }));
  t.equal(readAccess({ tokenLeeway: 10 }), null);
  t.notOk(isOpen({ tokenLeeway: 10, public: ['a'] }));
  t.match(readAccess({ tokenLeeway: 10, public: ['a'] }), { keys: [], publics: ['a'] });
  t.end();
});

t.test('a secret is the content of its file without the line end', (t) => {
  const secret = 'x'.repeat(32);
  for (const end of ['', '\n', '\r\n']) {
    const access = read([`HS256=${file('secret', secret + end)}`]);
    t.equal(access?.keys[0], Buffer.from(secret).toString('base64url'));
  }
  const bytes = Buffer.alloc(48, 0xff);
  t.equal(read([`HS256=${file('bytes', bytes)}`])?.keys[0], bytes.toString('base64url'));
  t.end();
});

t.test('public keys are read as PEM and as JWK, with their names', (t) => {
  const jwk = JSON.stringify(p256.publicKey.export({ format: 'jwk' }), null, 2);
  const access = read([
    `RS256:first=${file('rsa.pem', pem(rsa.publicKey))}`,
    `ES256:=${file('p256.json', jwk)}`,
    `EdDSA:a:b=${file('ed.pem', pem(ed.publicKey))}`,
  ]);
  t.strictSame(access?.keyIds, ['first', '', 'a:b']);
  t.strictSame(access?.algorithms, [
    TokenAlgorithm.rs256,
    TokenAlgorithm.es256,
    TokenAlgorithm.edDsa,
  ]);
  const der = p256.publicKey.export({ type: 'spki', format: 'der' }).toString('base64url');
  t.equal(access?.keys[1], der);
  t.end();
});

t.test('a mistake is one sentence that names the option, and never the key', (t) => {
  const secret = file('short', 'only-a-short-secret');
  const good = file('good', 'x'.repeat(32));
  const mistakes: readonly (readonly [string, RegExp])[] = [
    ['RS257=x', /^token-key: RS257=x is not ALG=FILE or ALG:KID=FILE with one of HS256, RS256/],
    ['HS256', /^token-key: HS256 is not ALG=FILE/],
    ['HS256=', /^token-key: HS256= is not ALG=FILE/],
    [`none=${good}`, /is not ALG=FILE/],
    ['HS256=/no/such/file', /^token-key: \/no\/such\/file cannot be read \(ENOENT\)$/],
    [`HS256=${dir}`, /^token-key: .* cannot be read \(EISDIR\)$/],
    [`HS256=${secret}`, /short: the secret has 19 bytes; 32 to 1024 are allowed$/],
    [`HS256=${file('large', 'x'.repeat(65_537))}`, /large is too large; at most 65536 bytes/],
    [
      `HS256=${file('pem', pem(rsa.publicKey))}`,
      /pem has a key as PEM, JWK or DER; a secret is needed$/,
    ],
    [
      `RS256=${file('own', pem(rsa.privateKey))}`,
      /own has a private key, which belongs to the issuer/,
    ],
    [
      `EdDSA=${file('own.json', JSON.stringify(ed.privateKey.export({ format: 'jwk' })))}`,
      /own.json has a private key/,
    ],
    [
      `HS256=${file('jwk', JSON.stringify(rsa.publicKey.export({ format: 'jwk' })))}`,
      /jwk has a key as PEM, JWK or DER/,
    ],
    [
      `HS256=${file('der', rsa.publicKey.export({ type: 'spki', format: 'der' }))}`,
      /der has a key as PEM, JWK or DER/,
    ],
    [`HS256=${file('long', 'x'.repeat(1025))}`, /has 1025 bytes; 32 to 1024 are allowed$/],
    [`RS256=${file('cert', '-----BEGIN CERTIFICATE-----')}`, /cert has a certificate, whose dates/],
    [`RS256=${good}`, /good is not a public key as PEM or JWK$/],
    [`RS256=${file('bad.json', '{"kty":')}`, /bad.json is not a public key as PEM or JWK$/],
    [`RS256=${file('a', pem(p256.publicKey))}`, /a is not an RSA key, so RS256 cannot use it$/],
    [`RS256=${file('b', pem(small.publicKey))}`, /b has 1024 bits; 2048 to 4096 are allowed, so/],
    [`ES256=${file('c', pem(p384.publicKey))}`, /c is not a key of the curve P-256, so ES256/],
    [`ES256=${file('d', pem(ed.publicKey))}`, /d is not a key of the curve P-256/],
    [`EdDSA=${file('e', pem(ed448.publicKey))}`, /e is not an Ed25519 key/],
    [`HS256:${'k'.repeat(201)}=${good}`, /a key id of at most 200 bytes is allowed$/],
  ];
  for (const [item, message] of mistakes) {
    t.throws(() => read([item]), { code: 'ERR_OPTION_INVALID', message }, item);
  }
  t.throws(() => read([`HS256=${secret}`]), { message: /^(?!.*only-a)/ });
  t.throws(() => read(Array.from({ length: 65 }, () => `HS256=${good}`)), {
    message: /^token-key: 65 keys; at most 64 are allowed$/,
  });
  t.end();
});

t.test('patterns and the name of the cookie are checked', (t) => {
  const good = [`HS256=${file('good', 'x'.repeat(32))}`];
  t.throws(() => read(good, { public: ['a', 'b\n'] }), {
    message: /^public: "b\\n" is not 1 to 200 bytes without control characters$/,
  });
  t.throws(() => read(good, { public: ['x'.repeat(201)] }), { message: /^public: "x/ });
  t.throws(() => read(good, { public: Array.from({ length: 257 }, () => 'a') }), {
    message: /^public: 257 patterns; at most 256 are allowed$/,
  });
  t.throws(() => read(good, { tokenCookie: 'a b' }), {
    message: /^token-cookie: "a b" is not the name of a cookie$/,
  });
  t.end();
});

t.test('only the files of secrets must not be readable by others', (t) => {
  const tokenKey = ['HS256=/etc/secret', 'RS256:a=/etc/public.pem', 'HS256:b=/etc/other'];
  t.strictSame(secretFiles({ tokenKey, tokenLeeway: 10 }), ['/etc/secret', '/etc/other']);
  t.strictSame(secretFiles({ tokenLeeway: 10 }), []);
  t.end();
});
