// The sources of settings: command line, environment, config file, defaults.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { expandFlagValues } from '../../lib/cli/flag-values.js';
import { commandDefaultsOf, readSettings } from '../../lib/options/config.js';
import { fill } from '../../lib/server/server-options.js';
import { MegacometError } from '../../lib/base/errors.js';
import { COMMANDS, optionsOf } from '../../lib/options/commands.js';
import { environmentNameOf, keyOf } from '../../lib/options/options.js';

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
  t.match(found, { host: '::', port: 8000, workers: 'auto', drain: 5, adminPort: 9001 });
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

t.test('variables of platforms and of other commands are ignored', (t) => {
  const ignored: NodeJS.ProcessEnv[] = [
    // Kubernetes, for services called megacomet, megacomet-ts and megacomet-admin.
    { MEGACOMET_SERVICE_HOST: '10.0.0.1', MEGACOMET_SERVICE_PORT: '8000' },
    { MEGACOMET_SERVICE_PORT_HTTP: '8000', MEGACOMET_PORT: 'tcp://10.0.0.1:8000' },
    { MEGACOMET_PORT_8000_TCP: 'tcp://10.0.0.1:8000', MEGACOMET_PORT_8000_TCP_PROTO: 'tcp' },
    { MEGACOMET_PORT_8000_TCP_PORT: '8000', MEGACOMET_PORT_8000_TCP_ADDR: '10.0.0.1' },
    { MEGACOMET_TS_SERVICE_HOST: '10.0.0.1', MEGACOMET_TS_PORT: 'tcp://10.0.0.1:8000' },
    { MEGACOMET_ADMIN_SERVICE_HOST: '10.0.0.1', MEGACOMET_ADMIN_PORT: 'tcp://10.0.0.1:9001' },
    { MEGACOMET_UDP_PORT: 'udp://10.0.0.1:53', MEGACOMET_UDP_PORT_53_UDP_ADDR: '10.0.0.1' },
    // Docker links.
    { MEGACOMET_NAME: '/app/megacomet', MEGACOMET_ENV_NODE_VERSION: '20' },
    // Options of other commands, and of one run of a command.
    { MEGACOMET_TARGET: '1000000', MEGACOMET_JSON: 'result.json', MEGACOMET_ALL: '1' },
  ];
  for (const { name } of COMMANDS) {
    if (name === 'bench') continue;
    const usual = readSettings(name, { flags: {}, env: {} });
    for (const env of ignored) t.same(readSettings(name, { flags: {}, env }), usual, name);
  }
  t.notOk('json' in readSettings('bench', { flags: {}, env: { MEGACOMET_JSON: '1' } }));
  t.same(readSettings('bench', { flags: {}, env: { MEGACOMET_TARGET: 'a,b' } })['target'], [
    'a',
    'b',
  ]);
  t.end();
});

t.test('an empty variable counts as not set, and one that a flag overrules is not read', (t) => {
  const names = optionsOf('serve').map(({ name }) => environmentNameOf(name));
  const env = Object.fromEntries([...names, 'MEGACOMET_PROT'].map((name) => [name, '']));
  t.same(readSettings('serve', { flags: {}, env }), readSettings('serve', { flags: {}, env: {} }));
  t.equal(complaint({ backlog: '5' }, { MEGACOMET_BACKLOG: 'lots' }), '');
  t.match(complaint({}, { MEGACOMET_BACKLOG: 'lots' }), /^ERR_OPTION_INVALID: MEGACOMET_BACKLOG: /);
  t.end();
});

t.test('a variable of no option is an error, with the nearest name', (t) => {
  for (const [name, rest] of [
    ['MEGACOMET_BAKCLOG', ' (did you mean MEGACOMET_BACKLOG?)'],
    ['MEGACOMET_PROT', ' (did you mean MEGACOMET_PROTOCOL?)'],
  ] as const) {
    const message = `ERR_OPTION_UNKNOWN: environment: unknown option ${name}${rest}`;
    t.equal(complaint({}, { [name]: '1' }), message);
  }
  t.end();
});

t.test('every flag of every command may have a value', (t) => {
  let flags = 0;
  for (const { name: command } of COMMANDS) {
    const specs = optionsOf(command);
    for (const { name } of specs.filter(({ kind }) => kind === 'flag')) {
      flags++;
      const words = ['true', '1', 'false', '0'].map((value) => `--${name}=${value}`);
      const on = `--${name}`;
      const off = `--no-${name}`;
      t.same(expandFlagValues(words, specs), [on, on, off, off], `${command} ${on}`);
      const rule = { message: /^--.*: ".*" is not true or false$/ };
      for (const value of ['', 'no', 'TRUE', 'true,false']) {
        t.throws(() => expandFlagValues([`${on}=${value}`], specs), rule, `${on}=${value}`);
      }
      t.same(expandFlagValues(['--', `${on}=x`], specs), ['--', `${on}=x`], 'words stay');
    }
  }
  t.ok(flags > 10);
  t.end();
});

t.test('an empty list of a config file sets nothing', (t) => {
  const config = join(t.testdir(), 'config.json');
  const lists = optionsOf('serve').filter(({ kind }) => kind === 'list');
  writeFileSync(config, JSON.stringify(Object.fromEntries(lists.map(({ name }) => [name, []]))));
  const found = readSettings('serve', { flags: { config }, env: {} });
  t.same(found, { ...commandDefaultsOf(optionsOf('serve')), config });
  t.ok(lists.length > 2);
  t.end();
});

t.test('a variable has one meaning: no two commands read it by different rules', (t) => {
  const rules = new Map<string, string>();
  for (const { name: command } of COMMANDS) {
    for (const { name, kind, choices, word, hasNoVariable } of optionsOf(command)) {
      if (hasNoVariable === true) continue;
      const rule = JSON.stringify([kind, choices, word]);
      t.equal(rule, rules.get(name) ?? rule, `${command} --${name}`);
      rules.set(name, rule);
      t.notMatch(environmentNameOf(name), /_NAME$|_SERVICE_|_ENV_/, 'never a name of a platform');
    }
  }
  t.end();
});

t.test('--admin follows the variables of the server', (t) => {
  const admin = (env: NodeJS.ProcessEnv): unknown =>
    readSettings('status', { flags: {}, env })['admin'];
  const rows: [NodeJS.ProcessEnv, string][] = [
    [{}, '127.0.0.1:9001'],
    [{ MEGACOMET_ADMIN_PORT: '21001' }, '127.0.0.1:21001'],
    [{ MEGACOMET_ADMIN_PORT: '0' }, '127.0.0.1:9001'],
    [{ MEGACOMET_ADMIN_HOST: '10.0.0.5' }, '10.0.0.5:9001'],
    [{ MEGACOMET_ADMIN_HOST: '0.0.0.0', MEGACOMET_ADMIN_PORT: '1' }, '127.0.0.1:1'],
    [{ MEGACOMET_ADMIN_HOST: '::' }, '[::1]:9001'],
    [{ MEGACOMET_ADMIN_HOST: 'fd00::1' }, '[fd00::1]:9001'],
    [{ MEGACOMET_ADMIN: 'a:1', MEGACOMET_ADMIN_PORT: '2' }, 'a:1'],
    [{ MEGACOMET_ADMIN_PORT: 'tcp://10.0.0.1:9001' }, '127.0.0.1:9001'],
  ];
  for (const [env, wanted] of rows) t.equal(admin(env), wanted, JSON.stringify(env));
  t.equal(readSettings('serve', { flags: {}, env: { MEGACOMET_ADMIN_PORT: '5' } })['adminPort'], 5);
  t.end();
});

t.test('an option of listeners is a flag or a list of addresses, from each source', (t) => {
  const needed = { trustedProxies: ['127.0.0.1'] };
  const read = (flags: object, env: NodeJS.ProcessEnv = {}): unknown =>
    readSettings('serve', { flags: { ...needed, ...flags }, env })['proxyProtocol'];
  const variable = (value: string): unknown => read({}, { MEGACOMET_PROXY_PROTOCOL: value });
  const inFile = (value: unknown): unknown => {
    const text = JSON.stringify({ 'proxy-protocol': value });
    return read({ config: join(t.testdir({ 'c.json': text }), 'c.json') });
  };
  t.equal(read({}), false);
  t.equal(read({ proxyProtocol: true }), true);
  t.same(read({ proxyProtocol: ['[::1]:1', 'unix:/a'] }), ['[::1]:1', 'unix:/a']);
  t.equal(variable('1'), true);
  t.equal(variable('false'), false);
  t.same(variable(':1, localhost:2'), [':1', 'localhost:2']);
  t.equal(inFile(true), true);
  t.equal(inFile([]), false, 'an empty list is not given');
  t.same(inFile([':1']), [':1']);
  for (const value of [1, null, {}]) {
    t.throws(() => inFile(value), {
      message: /proxy-protocol: .* is not true, false or a list of addresses of --listen$/,
    });
  }
  t.throws(() => inFile(['a']), { message: /proxy-protocol: "a" is not a numeric HOST:PORT/ });
  t.throws(() => variable('yes'), { message: /PROXY_PROTOCOL: "yes" is not a numeric HOST:PORT/ });
  t.equal(
    complaint({ proxyProtocol: true }, {}),
    'ERR_OPTION_INVALID: --proxy-protocol: needs --trusted-proxies',
  );
  t.end();
});

t.test('an option of listeners may have a value after =', (t) => {
  const specs = optionsOf('serve');
  const words = ['true', '0', '127.0.0.1:1'].map((value) => `--proxy-protocol=${value}`);
  const wanted = ['--proxy-protocol', '--no-proxy-protocol', '--proxy-protocol=127.0.0.1:1'];
  t.same(expandFlagValues(words, specs), wanted);
  t.throws(() => expandFlagValues(['--proxy-protocol='], specs), { code: 'ERR_OPTION_INVALID' });
  t.end();
});

t.test('an option of the hook needs an address, or a function of the library', (t) => {
  for (const key of ['hookAction', 'hookHeader', 'hookCookie']) {
    const options = { protocol: 'comet', [key]: ['connect'] };
    t.throws(() => fill(options), {
      message: `createServer: ${key}: ["connect"] needs --hook-url`,
    });
    t.doesNotThrow(() => fill({ ...options, authorize: () => ({}) }));
  }
  t.equal(
    complaint({ protocol: 'comet', hookAction: 'connect' }, {}),
    'ERR_OPTION_INVALID: --hook-action: ["connect"] needs --hook-url',
  );
  t.end();
});

t.test('an option that needs another one is rejected without it, from each source', (t) => {
  const comet = optionsOf('serve').filter(
    (spec) => spec.protocol === 'comet' && spec.isFileOnly !== true,
  );
  t.ok(comet.length > 15, 'there are such options');
  for (const spec of comet) {
    const raw = spec.kind === 'flag' ? true : String(spec.default ?? spec.min ?? '*');
    const flags = { [keyOf(spec.name)]: raw };
    t.match(complaint(flags, {}), / needs --protocol comet$/, spec.name);
    const { requires } = spec;
    if (requires !== undefined) {
      const rule =
        requires.or === undefined ? requires.name : `${requires.name} or --${requires.or}`;
      const message = complaint({ ...flags, protocol: 'comet' }, {});
      t.ok(message.endsWith(` needs --${rule}`), message);
    }
    for (const name of [requires?.name, requires?.or].filter((one) => one !== undefined)) {
      const isFlag = comet.find((one) => one.name === name)?.kind === 'flag';
      const all = { ...flags, protocol: 'comet', [keyOf(name)]: isFlag ? true : 'a' };
      t.equal(complaint(all, {}), '', `${spec.name} with --${name}`);
    }
    if (requires === undefined) {
      t.equal(complaint({ ...flags, protocol: 'comet' }, {}), '', `${spec.name} with it`);
    }
  }
  t.equal(complaint({ clientPublish: false }, {}), '', 'a flag that is off needs nothing');
  t.equal(
    complaint({}, { MEGACOMET_HISTORY_COUNT: '5' }),
    'ERR_OPTION_INVALID: MEGACOMET_HISTORY_COUNT: 5 needs --protocol comet',
  );
  t.equal(complaint({}, { MEGACOMET_ADMIN_TOKEN: 'x' }), '', 'every server may have a token');
  const config = join(t.testdir({ 'c.json': '{"retry": 500}' }), 'c.json');
  t.match(complaint({ config }, {}), /c\.json: retry: 500 needs --protocol comet$/);
  t.equal(complaint({ config }, { MEGACOMET_PROTOCOL: 'comet' }), '');
  t.equal(
    readSettings('kick', { flags: {}, env: { MEGACOMET_ADMIN_TOKEN: 'x' } })['all'],
    undefined,
  );
  for (const flags of [{ private: true }, { channel: 'a' }, { since: 'x' }, { duration: '5' }]) {
    t.throws(() => readSettings('bench', { flags, env: {} }), / needs --(transport|active) other/);
  }
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
    `ERR_OPTION_UNKNOWN: ${config}: unknown option prot (did you mean protocol?)`,
  );
  t.equal(
    inFile('{"maxConnections": 1}'),
    `ERR_OPTION_UNKNOWN: ${config}: unknown option maxConnections (did you mean max-connections?)`,
  );
  t.match(
    inFile('{"config": "x"}'),
    /^ERR_OPTION_UNKNOWN: .*: unknown option config \(a config file/,
  );
  t.match(
    inFile('{"port": 1, "port": 2}'),
    /config\.json has the duplicate key "port" \(line 1\)$/,
  );
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
