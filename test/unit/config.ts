// The sources of settings: command line, environment, config file, defaults.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { commandDefaultsOf, readSettings } from '../../lib/options/config.js';
import { MegacometError } from '../../lib/base/errors.js';
import { optionsOf } from '../../lib/options/commands.js';

function complaint(flags: Record<string, unknown>, env: NodeJS.ProcessEnv): string {
  try {
    readSettings('serve', { flags, env });
    return '';
  } catch (error) {
    if (!(error instanceof MegacometError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

t.test('without any source the defaults hold', (t) => {
  const found = readSettings('serve', { flags: {}, env: {} });
  t.same(found, commandDefaultsOf(optionsOf('serve')));
  t.match(found, { host: '::', port: 8000, workers: 'auto', drain: 10, adminPort: 9001 });
  t.notOk('maxConnections' in found, 'an option without a default is absent');
  t.end();
});

t.test(
  'flags override the environment, which overrides the file, which overrides the defaults',
  (t) => {
    const config = join(t.testdir(), 'config.json');
    writeFileSync(config, '{"port": 1, "backlog": 1, "drain": 1.5, "listen": ["127.0.0.1:1"]}');
    const env = { MEGACOMET_PORT: '2', MEGACOMET_BACKLOG: '2', PATH: '/bin', MEGACOMET: 'other' };
    const found = readSettings('serve', { flags: { config, port: '3' }, env });
    t.match(found, { port: 3, backlog: 2, drain: 1.5, keepalive: 240, listen: ['127.0.0.1:1'] });
    t.end();
  },
);

t.test('the environment may name the file, and a flag another one', (t) => {
  const folder = t.testdir({ a: '{"port": 1}', b: '{"port": 2}' });
  const env = { MEGACOMET_CONFIG: join(folder, 'a') };
  t.equal(readSettings('serve', { flags: {}, env })['port'], 1);
  const flags = { config: join(folder, 'b') };
  t.equal(readSettings('serve', { flags, env })['port'], 2);
  t.end();
});

t.test('a variable of another command is accepted; one of no command is rejected', (t) => {
  t.equal(complaint({}, { MEGACOMET_TARGET: '127.0.0.1:1' }), '', 'bench has this option');
  t.equal(
    complaint({}, { MEGACOMET_PROT: '1' }),
    'ERR_OPTION_UNKNOWN: environment: unknown option MEGACOMET_PROT (did you mean MEGACOMET_PORT?)',
  );
  t.equal(
    complaint({}, { MEGACOMET_BACKLOG: '' }),
    'ERR_OPTION_INVALID: MEGACOMET_BACKLOG: "" is not a whole number between 1 and 65535',
  );
  t.end();
});

t.test('each error names its source', (t) => {
  const config = join(t.testdir(), 'config.json');
  const inFile = (text: string): string => {
    writeFileSync(config, text);
    return complaint({ config }, {});
  };
  const number = 'is not a whole number between 1 and 65535';
  t.equal(complaint({ backlog: 'x' }, {}), `ERR_OPTION_INVALID: --backlog: "x" ${number}`);
  t.equal(
    complaint({}, { MEGACOMET_BACKLOG: 'x' }),
    `ERR_OPTION_INVALID: MEGACOMET_BACKLOG: "x" ${number}`,
  );
  t.equal(inFile('{"backlog": "x"}'), `ERR_OPTION_INVALID: ${config}: backlog: "x" ${number}`);
  t.equal(
    inFile('{"prot": 1}'),
    `ERR_OPTION_UNKNOWN: ${config}: unknown option prot (did you mean port?)`,
  );
  t.equal(
    inFile('{"maxConnections": 1}'),
    `ERR_OPTION_UNKNOWN: ${config}: unknown option maxConnections (did you mean max-connections?)`,
  );
  t.match(inFile('{"config": "x"}'), /^ERR_OPTION_UNKNOWN: .*: unknown option config$/);
  t.match(inFile('{"target": ["x:1"]}'), /: unknown option target/, 'one of another command');
  t.match(inFile('{"__proto__": 1}'), /: unknown option __proto__/);
  for (const text of ['[]', 'null', '5', '"x"']) {
    t.equal(inFile(text), `ERR_OPTION_INVALID: --config: ${config} is not a JSON object`);
  }
  for (const text of ['', '{', '{"port": 1,}']) {
    t.match(inFile(text), /^ERR_OPTION_INVALID: --config: .*config\.json is not valid JSON \(/);
    t.notMatch(inFile(text), '\n', 'the error is one line');
  }
  t.match(complaint({ config: '/nowhere' }, {}), /--config: \/nowhere cannot be read \(ENOENT\)/);
  t.match(complaint({ config: '/' }, {}), /--config: \/ cannot be read \(EISDIR\)/);
  t.end();
});
