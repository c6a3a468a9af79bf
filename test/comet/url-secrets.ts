// The URLs of options may have secrets in user info and query: no error, log line or answer has them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { createServer } from '../../lib/index.js';
import { readSettings } from '../../lib/options/config.js';
import { Secret } from '../support/client-tokens.js';
import { exchange, startComet } from '../support/comet-world.js';
import { run, TestServer } from '../support/helpers.js';

const SECRET = /SECRET/;

/** Values that are wrong, in each way in which a person may mistype a URL. */
const WRONG: readonly unknown[] = [
  'https://user:SECRET@issuer.example/keys?key=SECRET#SECRET',
  'http://user:SECRET@issuer.example/keys',
  'https:user:SECRET@issuer.example/keys',
  'https://user:SEC/SECRET@issuer.example/keys',
  'https://user:SECRET?SECRET@issuer.example/keys',
  'https://user:SECRET',
  'user:SECRET@issuer.example',
  'mailto:SECRET@issuer.example',
  '//user:SECRET@issuer.example',
  '/keys?key=SECRET',
  'https://issuer.example/\0?SECRET',
  ['https://issuer.example/?SECRET'],
  { url: 'https://issuer.example/?SECRET' },
];
const VALID = 'https://issuer.example/keys?key=SECRET';

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : '';
}

function complaint(flags: Record<string, unknown>, env: NodeJS.ProcessEnv = {}): string {
  try {
    readSettings('serve', { flags, env });
    return '';
  } catch (error) {
    return messageOf(error);
  }
}

t.test('an error about a URL of the library has none of its secrets', async (t) => {
  const { path: hookSecret } = new Secret(t);
  for (const value of WRONG) {
    for (const options of [{ tokenJwksUrl: value }, { hookUrl: value, hookSecret }]) {
      const error: unknown = await startComet(t, options as object).catch(
        (reason: unknown) => reason,
      );
      const message = messageOf(error);
      t.match(message, /(?:token-jwks-url|tokenJwksUrl|hook-url|hookUrl): \S.* is not /);
      t.notMatch(message, SECRET, JSON.stringify(value));
    }
  }
  for (const key of ['tokenJwksUrl', 'hookUrl'] as const) {
    const needed = {
      message: `createServer: ${key}: "https://issuer.example/keys" needs --protocol comet`,
    };
    t.throws(() => createServer({ [key]: VALID }), needed);
  }
});

t.test('an error about a URL of each other source has none of its secrets', (t) => {
  const folder = t.testdir({});
  const config = join(folder, 'c.json');
  const ofFile = (text: string): string => {
    writeFileSync(config, text);
    return complaint({ config });
  };
  for (const [key, name, variable] of [
    ['tokenJwksUrl', 'token-jwks-url', 'MEGACOMET_TOKEN_JWKS_URL'],
    ['hookUrl', 'hook-url', 'MEGACOMET_HOOK_URL'],
  ] as const) {
    const needed = '"https://issuer.example/keys" needs --protocol comet';
    t.equal(complaint({ [key]: VALID }), `--${name}: ${needed}`);
    t.equal(complaint({}, { [variable]: VALID }), `${variable}: ${needed}`);
    const known = JSON.stringify({ [name]: VALID });
    t.equal(ofFile(known), `${config}: ${name}: ${needed}`);
    const wrong = [
      ...[
        `{"${name}": ["${VALID}"]}`,
        `{"${name}": {"a": "${VALID}"}}`,
        `{"${name}s": "${VALID}"}`,
      ],
      ...[`{"${name}": "${VALID}" x}`, `{"${name}": "${VALID}", x}`, `{"${name}": "${VALID}`],
      ...[`{"a": x, "${name}": "${VALID}"}`, `{"${name}": ${VALID}}`],
    ];
    for (const text of wrong) {
      const message = ofFile(text);
      t.match(message, 'c.json', text);
      t.notMatch(message, SECRET, text);
    }
  }
  t.notMatch(complaint({}, { MEGACOMET_HOOK_URLS: VALID }), SECRET);
  t.end();
});

t.test('the command line repeats no secret of a URL', async (t) => {
  for (const args of [[`--hook-url=${VALID}`], [`--hook-urls=${VALID}`], [VALID]]) {
    const { code, stdout, stderr } = await run(['serve', ...args]);
    t.not(code, 0);
    t.not(stderr, '');
    t.notMatch(stdout + stderr, SECRET, args.join(' '));
  }
});

/** Everything that a server tells about itself. */
async function textOf(t: Test, server: TestServer): Promise<string> {
  const texts = await Promise.all(
    ['/info', '/stats', '/metrics', '/readyz'].map(async (path) => (await server.get(path)).text()),
  );
  const { stdout } = await run(['status', '--admin', `127.0.0.1:${server.adminPort}`, '--json']);
  t.match(stdout, '"protocol"');
  return [...texts, stdout].join('\n');
}

t.test('a running server tells no secret of its URLs', async (t) => {
  const { path: hookSecret } = new Secret(t);
  const url = 'http://127.0.0.1:1/path?key=SECRET';
  const server = await TestServer.start(t, {
    args: [
      ...['--protocol', 'comet', '--workers', '1', '--log-level', 'trace'],
      ...['--token-jwks-url', url, '--hook-url', url, '--hook-secret', hookSecret],
    ],
    expectLog: [/^--token-audience/, /^keys of the issuer not fetched/, /^hook without a decision/],
  });
  t.ok(await server.logged(/^keys of the issuer not fetched/));
  const request = 'GET /poll?channel=a&timeout=0 HTTP/1.1\r\nHost: a\r\n\r\n';
  t.match(await exchange(server.port, request, (text) => text.includes('\r\n\r\n')), / 503 /);
  t.ok(await server.logged(/^hook without a decision/));
  const told = await textOf(t, server);
  await server.stop();
  t.notMatch(told, SECRET);
  t.notMatch(server.stdout + server.stderr, SECRET);
});
