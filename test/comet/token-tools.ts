// The commands that issue and send tokens, against a server that needs them.
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { createToken } from '../../lib/index.js';
import { Secret } from '../support/client-tokens.js';
import { Program } from '../support/comet-world.js';
import { Command, run, until } from '../support/helpers.js';

/** A server that believes HS256 with a secret, and EdDSA with a key that is named. */
async function start(
  t: Test,
): Promise<{ program: Program; keys: readonly string[]; folder: string }> {
  const secret = new Secret(t);
  const pair = generateKeyPairSync('ed25519');
  const folder = t.testdir({});
  const write = (name: string, text: Buffer | string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const file = write('token.key', secret.text);
  const own = write('own.pem', pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const known = write('known.pem', pair.publicKey.export({ type: 'spki', format: 'pem' }));
  const program = await Program.start(t, {
    args: [
      ...['--workers', '1', '--token-key', `HS256=${file}`],
      ...['--token-key', `EdDSA:ed=${known}`],
    ],
    expectLog: [/^--token-audience is not set/],
  });
  return { program, keys: [`HS256=${file}`, `EdDSA:ed=${own}`], folder };
}

t.test('an issued token is accepted, by the command and by the library', async (t) => {
  const { program, keys } = await start(t);
  const url = `http://127.0.0.1:${program.port}/poll?timeout=0&channel=news/1&token=`;
  for (const key of keys) {
    const { code, stdout } = await run(['token', '--key', key, '--subscribe', 'news/*']);
    t.equal(code, 0);
    t.equal((await fetch(url + stdout.trim())).status, 204, key);
    const made = await createToken(key, { user: 'ada', grants: { subscribe: ['news/1'] } });
    t.equal((await fetch(url + made)).status, 204, key);
    const other = await createToken(key, { grants: { subscribe: ['news'] } });
    t.equal((await fetch(url + other)).status, 403, key);
  }
  await program.server.stop();
});

t.test('the claims are those of the options', async (t) => {
  const { program, keys } = await start(t);
  const [key = ''] = keys;
  const args = ['--user', 'ada', '--ttl', '60', '--connect-to', 'a', '--connect-to', 'b'];
  const more = [
    '--publish',
    'c',
    '--id',
    '7',
    '--issuer',
    'me',
    '--audience',
    'you',
    '--info',
    '{"name":"Ada"}',
  ];
  const { stdout } = await run(['token', '--key', key, ...args, ...more]);
  const payload = Buffer.from(stdout.split('.')[1] ?? '', 'base64url').toString();
  const { iat, exp, ...claims } = JSON.parse(payload) as { iat: number; exp: number };
  t.equal(exp - iat, 60);
  t.strictSame(claims, {
    sub: 'ada',
    jti: '7',
    iss: 'me',
    aud: 'you',
    channels: ['a', 'b'],
    grants: { publish: ['c'] },
    info: { name: 'Ada' },
  });
  await program.server.stop();
});

t.test('a mistake is one sentence', async (t) => {
  const { program, keys } = await start(t);
  const [key = ''] = keys;
  for (const [args, message] of [
    [[], /token: --key ALG=FILE is required/],
    [['--key', 'HS256=/no/such'], /key: \/no\/such cannot be read \(ENOENT\)/],
    [['--key', key.replace('HS256', 'ES256')], /is not a private key as PEM or JWK/],
    [['--key', (keys[1] ?? '').replace('EdDSA', 'RS256')], /own.pem is not a key of RS256/],
    [['--key', key, '--info', '{'], /info: { is not JSON/],
    [['--key', key, '--ttl', '0'], /ttl: 0 is not between 1 and/],
    [['--key', key, '--user', 'u'.repeat(201)], /user: .* is not a text of 1 to 200 bytes/],
    [
      ['--key', key, '--info', `"${'x'.repeat(1100)}"`],
      /info: .* is not at most 1024 bytes of JSON/,
    ],
  ] as const) {
    const { code, stdout, stderr } = await run(['token', ...args]);
    t.equal(code, 2);
    t.equal(stdout, '');
    t.match(stderr, message);
    t.equal(stderr.trim().split('\n').length, 1);
  }
  await program.server.stop();
});

t.test('subscribe and bench send the token of a file', async (t) => {
  const { program, keys, folder } = await start(t);
  const [key = ''] = keys;
  const file = join(folder, 'token');
  const issue = (channel: string): Promise<string> =>
    createToken(key, { grants: { subscribe: [channel] } });
  writeFileSync(file, `${await issue('a')}\n`);
  const url = `http://127.0.0.1:${program.port}`;
  const reader = new Command(['subscribe', url, 'a', '--token-file', file, '--count', '1']);
  await program.untilTotal('subscriptions', 1);
  t.equal(await program.publish('a', 'hello'), 200);
  await until('the message', () => reader.stdout === 'hello\n');
  const without = await run(['subscribe', url, 'a']);
  t.match(without.stderr, /401 Unauthorized: token is required/);
  writeFileSync(file, `${await issue('bench/0')}\n${await issue('bench/1')}\n`);
  const args = ['--target', `127.0.0.1:${program.port}`, '--connections', '8', '--hold', '0'];
  for (const transport of ['sse', 'websocket', 'poll', 'stream']) {
    const { code, stderr } = await run([
      ...['bench', ...args, '--transport', transport, '--channels', '2', '--token-file', file],
      ...['--processes', '1', '--admin', '127.0.0.1:1'],
    ]);
    t.equal(code, 0, `${transport}: ${stderr}`);
  }
  await program.server.stop();
});
