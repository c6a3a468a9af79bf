// The rule of every option, and the error message of each invalid value.
import t from 'tap';

import { MegacometError } from '../../lib/base/errors.js';
import { COMMANDS, optionsOf, type CommandName } from '../../lib/options/commands.js';
import { nearest } from '../../lib/options/nearest.js';
import type { OptionsOf, OptionSpec } from '../../lib/options/option-spec.js';
import {
  defaultsOf,
  environmentNameOf,
  keyOf,
  parseOption,
  raiseToMinimums,
  unknownOption,
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
    t.match(name, /^[a-z]+(-[a-z]+)*$/);
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
    Same<Omit<ServerOptions, 'logger'>, OptionsOf<Library[]>>,
    Same<keyof ServerOptions, keyof OptionsOf<Library[]> | 'logger'>,
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

t.test('choices, flags, lists and texts have rules too', (t) => {
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

  const listen = optionOf('serve', 'listen');
  t.equal(complaint(listen, 'a:1,b:2'), 'accepted as ["a:1","b:2"]');
  t.equal(complaint(listen, ['a:1']), 'accepted as ["a:1"]');
  for (const raw of ['', 'a:1,', [], [''], [1], {}, 5]) {
    t.equal(
      complaint(listen, raw),
      `ERR_OPTION_INVALID: --listen: ${JSON.stringify(raw)} is not a list of non-empty strings`,
    );
  }

  const host = optionOf('serve', 'host');
  t.equal(complaint(host, '::1'), 'accepted as "::1"');
  for (const raw of ['', 'a\0b', 5, null]) {
    t.equal(
      complaint(host, raw),
      `ERR_OPTION_INVALID: --host: ${JSON.stringify(raw)} is not a non-empty string without NUL`,
    );
  }
  const token = complaint(optionOf('serve', 'admin-token'), 'secret\0');
  t.notMatch(token, 'secret', 'a secret is not shown');

  const adminHost = optionOf('serve', 'admin-host');
  for (const raw of ['127.0.0.1', '::1'])
    t.equal(complaint(adminHost, raw), `accepted as "${raw}"`);
  for (const raw of ['', 'localhost', '1.2.3', '[::1]', ' ::1', '::1\0', 5, null]) {
    t.equal(
      complaint(adminHost, raw),
      `ERR_OPTION_INVALID: --admin-host: ${JSON.stringify(raw)} is not a numeric address`,
    );
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
    ['prot', 'port'],
    ['PORT', 'port'],
    ['idletimeout', 'idle-timeout'],
    ['worker', 'workers'],
    ['qqqq', undefined],
    ['', undefined],
  ];
  for (const [name, wanted] of rows) t.equal(nearest(name, names), wanted, name);
  t.equal(nearest('x', []), undefined);
  const error = unknownOption('here', 'prot', names);
  t.equal(error.message, 'here: unknown option prot (did you mean port?)');
  t.equal(error.code, 'ERR_OPTION_UNKNOWN');
  t.equal(unknownOption('here', 'qqqq', names).message, 'here: unknown option qqqq');
  t.end();
});
