// Every option's rule, and the message for each way to break it.
import t from 'tap';

import { MegacometError } from '../../lib/base/errors.js';
import { addon } from '../../lib/system/native.js';
import { PORTS_MAX } from '../../lib/options/option-spec.js';
import {
  environmentNameOf,
  keyOf,
  nearest,
  OPTIONS,
  optionsOf,
  parseOption,
  unknownOption,
  type OptionSpec,
} from '../../lib/options/options.js';

const specs = OPTIONS;

function complaint(spec: OptionSpec, raw: unknown): string {
  try {
    return `taken as ${JSON.stringify(parseOption(spec, `--${spec.name}`, raw))}`;
  } catch (error) {
    if (!(error instanceof MegacometError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

function optionOf(command: string, name: string): OptionSpec {
  const spec = optionsOf(command).find((candidate) => candidate.name === name);
  if (spec === undefined) throw new Error(`no option ${name}`);
  return spec;
}

void t.test('names are unique in each command, and helps are sentences', (t) => {
  for (const command of new Set(specs.flatMap(({ commands }) => commands))) {
    const names = optionsOf(command).map(({ name }) => name);
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

void t.test('every default obeys its own rule', (t) => {
  for (const spec of specs) {
    if (spec.default === undefined) continue;
    t.same(parseOption(spec, spec.name, spec.default), spec.default, spec.name);
    t.same(parseOption(spec, spec.name, String(spec.default)), spec.default, 'also as text');
  }
  t.end();
});

void t.test('numbers have ranges, and are plain decimal text', (t) => {
  for (const spec of specs) {
    if (spec.kind !== 'integer' && spec.kind !== 'seconds') continue;
    const { min = 0, max = 0 } = spec;
    const noun = spec.kind === 'integer' ? 'a whole number' : 'a number';
    const word = spec.word === undefined ? '' : `, or ${spec.word}`;
    const rule = `is not ${noun} from ${min} to ${max}${word}`;
    t.equal(complaint(spec, String(min)), `taken as ${min}`, `${spec.name}: least`);
    t.equal(complaint(spec, max), `taken as ${max}`, `${spec.name}: most`);
    const wrong = [String(max + 1), '-1', '', ' 5', '5x', '0x10', '1e3', '٣', 'NaN', 'Infinity'];
    for (const text of wrong) {
      const wanted = `ERR_OPTION_INVALID: --${spec.name}: "${text}" ${rule}`;
      t.equal(complaint(spec, text), wanted);
    }
    for (const raw of [max + 1, null, true, [5], {}]) {
      const wanted = `ERR_OPTION_INVALID: --${spec.name}: ${JSON.stringify(raw)} ${rule}`;
      t.equal(complaint(spec, raw), wanted);
    }
    t.match(complaint(spec, NaN), rule);
    const half = complaint(spec, String(min + 0.5));
    t.equal(half.startsWith('taken'), spec.kind === 'seconds', `${spec.name}: fractions`);
    if (spec.word !== undefined) t.equal(complaint(spec, spec.word), `taken as "${spec.word}"`);
  }
  t.end();
});

void t.test('a port is one, or a range of as many as a server can listen on', (t) => {
  const port = optionOf('serve', 'port');
  t.equal(PORTS_MAX, addon.bounds.listenersMax);
  for (const raw of [0, 80, 65_535, '0', '8000']) t.equal(complaint(port, raw), `taken as ${raw}`);
  for (const raw of ['8000-8007', '8000-8000', '1-64', '65472-65535']) {
    t.equal(complaint(port, raw), `taken as "${raw}"`);
  }
  const rule = 'is not a whole number from 0 to 65535, or a range such as 8000-8007 of at most 64';
  const wrong = ['8007-8000', '0-5', '1-65', '65500-65536', '8000-', '-8000', '8000-8001-8002', ''];
  for (const raw of [...wrong, '8000 - 8007', '1e3', ' 5', '655360', '0x10']) {
    t.equal(complaint(port, raw), `ERR_OPTION_INVALID: --port: "${raw}" ${rule}`);
  }
  for (const raw of [65_536, -1, 1.5, null, true, [5], {}]) {
    t.equal(complaint(port, raw), `ERR_OPTION_INVALID: --port: ${JSON.stringify(raw)} ${rule}`);
  }
  t.match(complaint(port, NaN), rule);
  t.end();
});

void t.test('choices, flags, lists and texts have their rules too', (t) => {
  const level = optionOf('serve', 'log-level');
  t.equal(complaint(level, 'warn'), 'taken as "warn"');
  t.match(complaint(level, 'loud'), /--log-level: "loud" is not one of trace, debug, info, warn/);
  t.match(complaint(level, 3), /--log-level: 3 is not one of/);

  const json = optionOf('status', 'json');
  for (const raw of [true, 'true', '1']) t.equal(complaint(json, raw), 'taken as true');
  for (const raw of [false, 'false', '0']) t.equal(complaint(json, raw), 'taken as false');
  for (const raw of ['yes', '', 1, null]) t.match(complaint(json, raw), /is not true or false/);

  const listen = optionOf('serve', 'listen');
  t.equal(complaint(listen, 'a:1,b:2'), 'taken as ["a:1","b:2"]');
  t.equal(complaint(listen, ['a:1']), 'taken as ["a:1"]');
  for (const raw of ['', 'a:1,', [], [''], [1], {}, 5]) {
    t.match(complaint(listen, raw), /--listen: .* is not a list of names/);
  }

  const host = optionOf('serve', 'host');
  t.equal(complaint(host, '::1'), 'taken as "::1"');
  for (const raw of ['', 'a\0b', 5, null])
    t.match(complaint(host, raw), /--host: .* is not a text/);

  const adminHost = optionOf('serve', 'admin-host');
  for (const raw of ['127.0.0.1', '::1']) t.equal(complaint(adminHost, raw), `taken as "${raw}"`);
  for (const raw of ['', 'localhost', '1.2.3', '[::1]', ' ::1', '::1\0', 5, null]) {
    t.match(complaint(adminHost, raw), /--admin-host: .* is not a numeric address/);
  }
  t.end();
});

void t.test('a misspelled name brings up the nearest, and nonsense none', (t) => {
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
  t.equal(error.message, 'here: prot is no option (did you mean port?)');
  t.equal(error.code, 'ERR_OPTION_UNKNOWN');
  t.equal(unknownOption('here', 'qqqq', names).message, 'here: qqqq is no option');
  t.end();
});
