// The rule of every option, and the error message of each invalid value.
import t from 'tap';

import { unknownOption } from '../../lib/base/call-check.js';
import { MegacometError } from '../../lib/base/errors.js';
import { COMMANDS, optionsOf, type CommandName } from '../../lib/options/commands.js';
import { nearest } from '../../lib/base/nearest.js';
import { shown } from '../../lib/base/shown.js';
import type { OptionsOf, OptionSpec } from '../../lib/options/option-spec.js';
import {
  defaultsOf,
  environmentNameOf,
  keyOf,
  parseOption,
  raiseToMinimums,
} from '../../lib/options/options.js';
import type { LIBRARY_OPTIONS } from '../../lib/options/serve-options.js';
import type { Adjustments, ServerOptions } from '../../lib/options/server-options.js';

const specs: readonly OptionSpec[] = COMMANDS.flatMap(
  ({ options }): readonly OptionSpec[] => options,
);

function complaint(spec: OptionSpec, raw: unknown): string {
  try {
    return `accepted as ${JSON.stringify(parseOption(spec, `--${spec.name}`, raw))}`;
  } catch (error) {
    if (!(error instanceof MegacometError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

function optionOf(command: CommandName, name: string): OptionSpec {
  const spec = optionsOf(command).find((candidate) => candidate.name === name);
  if (spec === undefined) throw new Error(`no option ${name}`);
  return spec;
}

t.test('names are unique in each command, and helps are sentences', (t) => {
  for (const { name: command, options } of COMMANDS) {
    const names = options.map(({ name }) => name);
    t.equal(new Set(names).size, names.length, command);
  }
  for (const { name, help } of specs) {
    t.match(name, /^[a-z][a-z\d]*(-[a-z]+)*$/);
    t.match(help, /^[A-Z].*\.$/, name);
  }
  t.equal(keyOf('max-connections'), 'maxConnections');
  t.equal(environmentNameOf('max-connections'), 'MEGACOMET_MAX_CONNECTIONS');
  t.end();
});

/** True if each type can be assigned to the other. */
type Same<A, B> = [A, B] extends [B, A] ? true : false;

type Library = (typeof LIBRARY_OPTIONS)[number];
type Reloadable = Extract<Library, { readonly isReloadable: true }>;

t.test('the generated types of the library are those of the table', (t) => {
  // The compiler checks these: a wrong type does not accept `true`.
  const proofs: readonly [
    Same<Omit<ServerOptions, 'authorize' | 'logger'>, OptionsOf<Library[]>>,
    Same<keyof ServerOptions, keyof OptionsOf<Library[]> | 'authorize' | 'logger'>,
    Same<Adjustments, OptionsOf<Reloadable[]>>,
    Same<keyof Adjustments, keyof OptionsOf<Reloadable[]>>,
  ] = [true, true, true, true];
  t.same(new Set(proofs), new Set([true]));
  t.end();
});

t.test('every default fulfils the rule of its option', (t) => {
  for (const spec of specs) {
    const value = spec.default ?? spec.commandLineDefault;
    if (value === undefined) continue;
    t.same(parseOption(spec, spec.name, value), value, spec.name);
    t.same(parseOption(spec, spec.name, String(value)), value, 'also as text');
  }
  t.end();
});

t.test('the limits of every number are accepted, and the numbers beyond are not', (t) => {
  for (const spec of specs) {
    if (spec.kind !== 'integer' && spec.kind !== 'seconds') continue;
    const { min = 0, max = 0 } = spec;
    t.equal(complaint(spec, String(min)), `accepted as ${min}`, `${spec.name}: lower limit`);
    t.equal(complaint(spec, max), `accepted as ${max}`, `${spec.name}: upper limit`);
    for (const raw of [max + 1, String(max + 1), '-1']) {
      t.match(complaint(spec, raw), /^ERR_OPTION_INVALID: --.* is not between /, spec.name);
    }
    const half = complaint(spec, String(min + 0.5));
    t.equal(half.startsWith('accepted'), spec.kind === 'seconds', `${spec.name}: fractions`);
    if (spec.word !== undefined) t.equal(complaint(spec, spec.word), `accepted as "${spec.word}"`);
  }
  t.end();
});

t.test('a wrong number is named with its option and the rule', (t) => {
  const backlog = optionOf('serve', 'backlog');
  const range = 'ERR_OPTION_INVALID: --backlog: 65536 is not between 1 and 65535';
  t.equal(complaint(backlog, '65536'), range);
  t.equal(complaint(backlog, 65_536), range);
  for (const text of ['', ' 5', '5x', '0x10', '1e3', '٣', 'NaN', 'Infinity']) {
    t.equal(
      complaint(backlog, text),
      `ERR_OPTION_INVALID: --backlog: "${text}" is not a whole number between 1 and 65535`,
    );
  }
  const others: [unknown, string][] = [
    ['1.5', '"1.5"'],
    [1.5, '1.5'],
    [NaN, 'NaN'],
    [null, 'null'],
    [true, 'true'],
    [[5], '[5]'],
    [{}, '{}'],
  ];
  for (const [raw, shown] of others) {
    t.equal(
      complaint(backlog, raw),
      `ERR_OPTION_INVALID: --backlog: ${shown} is not a whole number between 1 and 65535`,
    );
  }
  const drain = optionOf('serve', 'drain');
  t.equal(
    complaint(drain, 'soon'),
    'ERR_OPTION_INVALID: --drain: "soon" is not a number between 0 and 32400',
  );
  t.equal(complaint(drain, -0.5), 'ERR_OPTION_INVALID: --drain: -0.5 is not between 0 and 32400');
  const workers = optionOf('serve', 'workers');
  t.equal(
    complaint(workers, 'many'),
    'ERR_OPTION_INVALID: --workers: "many" is not a whole number between 1 and 512, or auto',
  );
  t.equal(
    complaint(workers, '0'),
    'ERR_OPTION_INVALID: --workers: 0 is not between 1 and 512, or auto',
  );
  t.end();
});

t.test('a port is one, or a range of as many as a server can listen on', (t) => {
  const port = optionOf('serve', 'port');
  for (const raw of [0, 80, 65_535, '0', '8000']) {
    t.equal(complaint(port, raw), `accepted as ${raw}`);
  }
  for (const raw of ['8000-8007', '8000-8000', '1-64', '65472-65535']) {
    t.equal(complaint(port, raw), `accepted as "${raw}"`);
  }
  for (const raw of [65_536, '655360', 99_999, -1, '-8000']) {
    t.equal(complaint(port, raw), `ERR_OPTION_INVALID: --port: ${raw} is not between 0 and 65535`);
  }
  for (const raw of ['8007-8000', '0-5', '1-65', '65500-65536']) {
    t.equal(
      complaint(port, raw),
      `ERR_OPTION_INVALID: --port: "${raw}" is not a range of 1 to 64 ports between 1 and 65535`,
    );
  }
  const rule = 'is not a port or a range of ports between 0 and 65535';
  for (const raw of ['8000-', '8000-8001-8002', '', '8000 - 8007', '1e3', ' 5', '0x10']) {
    t.equal(complaint(port, raw), `ERR_OPTION_INVALID: --port: "${raw}" ${rule}`);
  }
  for (const raw of [1.5, NaN]) {
    t.equal(complaint(port, raw), `ERR_OPTION_INVALID: --port: ${raw} ${rule}`);
  }
  for (const raw of [null, true, [5], {}]) {
    t.equal(complaint(port, raw), `ERR_OPTION_INVALID: --port: ${JSON.stringify(raw)} ${rule}`);
  }
  t.end();
});

t.test('choices and flags have rules too', (t) => {
  const level = optionOf('serve', 'log-level');
  const choices = 'trace, debug, info, warn, error, fatal, silent';
  t.equal(complaint(level, 'warn'), 'accepted as "warn"');
  t.equal(
    complaint(level, 'loud'),
    `ERR_OPTION_INVALID: --log-level: "loud" is not one of ${choices}`,
  );
  t.equal(complaint(level, 3), `ERR_OPTION_INVALID: --log-level: 3 is not one of ${choices}`);

  const json = optionOf('status', 'json');
  for (const raw of [true, 'true', '1']) t.equal(complaint(json, raw), 'accepted as true');
  for (const raw of [false, 'false', '0']) t.equal(complaint(json, raw), 'accepted as false');
  for (const raw of ['yes', '', null]) {
    t.equal(
      complaint(json, raw),
      `ERR_OPTION_INVALID: --json: ${JSON.stringify(raw)} is not true or false`,
    );
  }
  t.equal(complaint(json, 1), 'ERR_OPTION_INVALID: --json: 1 is not true or false');

  t.end();
});

t.test('lists, texts and addresses have rules too', (t) => {
  const listen = optionOf('serve', 'listen');
  t.equal(complaint(listen, '[::]:1,unix:b'), 'accepted as ["[::]:1","unix:b"]');
  t.equal(complaint(listen, ['127.0.0.1:1']), 'accepted as ["127.0.0.1:1"]');
  t.equal(
    complaint(listen, ' 127.0.0.1:1, :2'),
    'accepted as ["127.0.0.1:1",":2"]',
    'blanks around an item do not count',
  );
  for (const raw of ['', '127.0.0.1:1,', [], [''], [1], {}, 5]) {
    t.equal(
      complaint(listen, raw),
      `ERR_OPTION_INVALID: --listen: ${JSON.stringify(raw)} is not a list of non-empty strings`,
    );
  }

  const user = optionOf('serve', 'user');
  t.equal(complaint(user, 'nobody'), 'accepted as "nobody"');
  for (const raw of ['', 5, null]) {
    t.equal(
      complaint(user, raw),
      `ERR_OPTION_INVALID: --user: ${JSON.stringify(raw)} is not a non-empty string without NUL`,
    );
  }
  const token = complaint(optionOf('serve', 'admin-token'), 'secret\0');
  t.notMatch(token, 'secret', 'a secret is not shown');

  for (const name of ['host', 'admin-host']) {
    const host = optionOf('serve', name);
    for (const raw of ['127.0.0.1', '::1']) t.equal(complaint(host, raw), `accepted as "${raw}"`);
    t.equal(complaint(host, 'localhost'), 'accepted as "127.0.0.1"');
    for (const raw of ['', 'nowhere', '1.2.3', '[::1]', ' ::1', '127.0.0.1:80', 5, null]) {
      t.equal(
        complaint(host, raw),
        `ERR_OPTION_INVALID: --${name}: ${JSON.stringify(raw)} is not a numeric address, such as ` +
          '127.0.0.1 or ::1',
      );
    }
  }
  t.end();
});

t.test('a value below its minimum, which another option gives, is raised', (t) => {
  const options = optionsOf('serve');
  const defaults = defaultsOf(options);
  t.same(raiseToMinimums(options, defaults), defaults);
  const raised = raiseToMinimums(options, { ...defaults, pollTimeout: 90, messageBytes: 100_000 });
  t.match(raised, { channelRetention: 90, sendQueueBytes: 100_000 });
  t.same(raiseToMinimums(options, { pollTimeout: 90 }), { pollTimeout: 90 });
  t.end();
});

t.test('an error suggests the nearest option for a misspelled name, and none for nonsense', (t) => {
  const names = optionsOf('serve').map(({ name }) => name);
  const rows: [string, string | undefined][] = [
    ['max-conections', 'max-connections'],
    ['maxconnections', 'max-connections'],
    ['prot', 'protocol'],
    ['pr', undefined],
    ['bakclog', 'backlog'],
    ['PORT', 'port'],
    ['idletimeout', 'idle-timeout'],
    ['worker', 'workers'],
    ['qqqq', undefined],
    ['', undefined],
  ];
  for (const [name, wanted] of rows) t.equal(nearest(name, names), wanted, name);
  t.equal(nearest('x', []), undefined);
  const error = unknownOption('here', 'prot', names);
  t.equal(error.message, 'here: unknown option prot (did you mean protocol?)');
  t.equal(error.code, 'ERR_OPTION_UNKNOWN');
  t.equal(unknownOption('here', 'qqqq', names).message, 'here: unknown option qqqq');
  t.end();
});

t.test('any value of a program is shown in the error, and none breaks it', (t) => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const values: unknown[] = [
    ...[9000n, [5n], Symbol('s'), circle, new Map([['port', 1]]), (): number => 1, undefined],
    ...[-Infinity, '\u001b[31m\u0085', 'x'.repeat(300), null, new Date(NaN)],
  ];
  for (const value of values) {
    const text = complaint(optionOf('serve', 'backlog'), value);
    t.match(text, /^ERR_OPTION_INVALID: --backlog: .+ is not a whole number between 1 and 65535$/);
    t.notMatch(text, /\p{Cc}/u, 'one line without control characters');
    t.ok(text.length < 400, 'a bounded length');
  }
  t.equal(shown(9000n), '9000n');
  t.equal(shown([5n]), '[ 5n ]');
  t.equal(shown(Symbol('s')), 'Symbol(s)');
  t.match(shown(circle), 'Circular');
  t.match(shown(new Map([['port', 1]])), 'Map(1)');
  t.equal(shown('x'.repeat(300)), `"${'x'.repeat(199)}…`);
  t.end();
});

t.test('an origin has the form that a browser sends, or is rejected', (t) => {
  const origin = optionOf('serve', 'origin');
  const rows: [string, string][] = [
    ['https://app.example', 'https://app.example'],
    ['https://app.example/', 'https://app.example'],
    ['HTTPS://APP.EXAMPLE', 'https://app.example'],
    ['https://app.example:443', 'https://app.example'],
    ['http://app.example:80/', 'http://app.example'],
    ['http://app.example:443', 'http://app.example:443'],
    ['https://bücher.example', 'https://xn--bcher-kva.example'],
    [' https://app.example', 'https://app.example'],
    ['http://[::1]:8080', 'http://[::1]:8080'],
    ['capacitor://localhost', 'capacitor://localhost'],
    ['*', '*'],
    ['null', 'null'],
  ];
  for (const [given, wanted] of rows) {
    t.equal(complaint(origin, [given]), `accepted as ["${wanted}"]`, given);
  }
  t.equal(
    complaint(origin, 'https://a.example, https://b.example/'),
    'accepted as ["https://a.example","https://b.example"]',
    'a list of the environment',
  );
  for (const given of [
    'app.example',
    'https://*.example.com',
    '"https://app.example"',
    'https://u@app.example',
    'https://app.example/path',
    'https://app.example?x',
    'https://app.example#x',
    'https://a.example,https://b.example',
    'https:\\\\app.example',
    'https://',
    'file:///x',
    '//app.example',
    'https://app.example:99999',
  ]) {
    t.match(complaint(origin, [given]), /^ERR_OPTION_INVALID: --origin: .* is not SCHEME:/, given);
  }
  t.end();
});
