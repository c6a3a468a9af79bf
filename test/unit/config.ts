// Where settings come from: flags over environment over config file over defaults.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { defaultsOf, readSettings } from '../../lib/options/config.js';
import { MegacometError } from '../../lib/base/errors.js';
import { optionsOf } from '../../lib/options/options.js';

function complaint(flags: Record<string, unknown>, env: NodeJS.ProcessEnv): string {
  try {
    readSettings('serve', { flags, env });
    return '';
  } catch (error) {
    if (!(error instanceof MegacometError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

void t.test('without anything the defaults hold', (t) => {
  const found = readSettings('serve', { flags: {}, env: {} });
  t.same(found, defaultsOf(optionsOf('serve')));
  t.match(found, { host: '::', port: 8000, workers: 'auto', drain: 10, adminPort: 9001 });
  t.notOk('maxConnections' in found, 'an option without a default is absent');
  t.end();
});

void t.test('flags beat the environment, which beats the file, which beats defaults', (t) => {
  const config = join(t.testdir(), 'config.json');
  writeFileSync(config, '{"port": 1, "backlog": 1, "drain": 1.5, "listen": ["127.0.0.1:1"]}');
  const env = { MEGACOMET_PORT: '2', MEGACOMET_BACKLOG: '2', PATH: '/bin', MEGACOMET: 'other' };
  const found = readSettings('serve', { flags: { config, port: '3' }, env });
  t.match(found, { port: 3, backlog: 2, drain: 1.5, keepalive: 240, listen: ['127.0.0.1:1'] });
  t.end();
});

void t.test('the environment may name the file, and a flag another one', (t) => {
  const folder = t.testdir({ a: '{"port": 1}', b: '{"port": 2}' });
  const env = { MEGACOMET_CONFIG: join(folder, 'a') };
  t.equal(readSettings('serve', { flags: {}, env })['port'], 1);
  const flags = { config: join(folder, 'b') };
  t.equal(readSettings('serve', { flags, env })['port'], 2);
  t.end();
});

void t.test('a variable of another command is no mistake, but one of none is', (t) => {
  t.equal(complaint({}, { MEGACOMET_TARGET: '127.0.0.1:1' }), '', 'bench has that one');
  t.equal(
    complaint({}, { MEGACOMET_PROT: '1' }),
    'ERR_OPTION_UNKNOWN: environment: MEGACOMET_PROT is no option (did you mean MEGACOMET_PORT?)',
  );
  t.match(complaint({}, { MEGACOMET_PORT: '' }), /^ERR_OPTION_INVALID: MEGACOMET_PORT: "" is not/);
  t.end();
});

void t.test('each mistake names where it was made', (t) => {
  const config = join(t.testdir(), 'config.json');
  const inFile = (text: string): string => {
    writeFileSync(config, text);
    return complaint({ config }, {});
  };
  t.match(complaint({ port: 'x' }, {}), /^ERR_OPTION_INVALID: --port: "x" is not a whole number/);
  t.match(complaint({}, { MEGACOMET_PORT: 'x' }), /^ERR_OPTION_INVALID: MEGACOMET_PORT: "x" is/);
  t.match(inFile('{"port": "x"}'), /^ERR_OPTION_INVALID: .*config\.json: "port": "x" is not/);
  t.match(inFile('{"prot": 1}'), /^ERR_OPTION_UNKNOWN: .*: "prot" is no option .*port\?\)/);
  t.match(inFile('{"maxConnections": 1}'), /is no option \(did you mean max-connections\?\)/);
  t.match(inFile('{"config": "x"}'), /^ERR_OPTION_UNKNOWN: .*"config" is no option/);
  t.match(inFile('{"target": ["x:1"]}'), /"target" is no option/, 'one of another command');
  t.match(inFile('{"__proto__": 1}'), /"__proto__" is no option/);
  for (const text of ['[]', 'null', '5', '"x"']) t.match(inFile(text), /is not a JSON object/);
  for (const text of ['', '{', '{"port": 1,}']) {
    t.match(inFile(text), /^ERR_OPTION_INVALID: --config: .*config\.json is no JSON/);
    t.notMatch(inFile(text), '\n', 'in one line');
  }
  t.match(complaint({ config: '/nowhere' }, {}), /--config: \/nowhere cannot be read \(ENOENT\)/);
  t.match(complaint({ config: '/' }, {}), /--config: \/ cannot be read \(EISDIR\)/);
  t.end();
});
