// The option `namespaces`: options for the channels below a prefix, by pattern. In the config file
// their keys are long names, and an error names the line; in the library they are camel-case.
import { invalidValue, membersOf, unknownOption } from '../base/call-check.js';
import { isPattern } from '../base/channel-name.js';
import { MegacometError } from '../base/errors.js';
import { FlatJsonError, readFlatJson, type FlatObject } from '../base/flat-json.js';
import { NAMESPACES_MAX } from '../base/native-constants.js';
import { NAMESPACE_OPTIONS } from './namespace-options.js';
import type { OptionSpec } from './option-spec.js';
import { keyOf, parseOption } from './options.js';
import type { NamespaceOptions, Namespaces } from './server-options.js';

const SPECS: readonly OptionSpec[] = NAMESPACE_OPTIONS;
const NAMES = SPECS.map(({ name }) => name);
const KEYS = NAMES.map(keyOf);

/** An option of a namespace, as its source has it. */
interface Given {
  readonly name: string;
  /** Its name in errors. */
  readonly label: string;
  readonly raw: unknown;
}

function checkCount(label: string, count: number): void {
  if (count <= NAMESPACES_MAX) return;
  const message = `${label}: ${count} namespaces; at most ${NAMESPACES_MAX} are allowed`;
  throw new MegacometError('ERR_OPTION_INVALID', message);
}

function checkPattern(label: string, pattern: string): void {
  if (pattern === '*' || isPattern(pattern)) return;
  throw invalidValue(label, pattern, 'a prefix that ends in /*, such as "chat/*", or "*"');
}

/** Checks and converts the options of one namespace. */
function parseNamespace(given: readonly Given[]): NamespaceOptions {
  const options: Record<string, unknown> = {};
  for (const { name, label, raw } of given) {
    const spec = SPECS.find((each) => each.name === name);
    if (spec !== undefined) options[keyOf(name)] = parseOption(spec, label, raw);
  }
  const joinLeave = given.find(({ name }) => name === 'join-leave');
  if (options['joinLeave'] === true && options['presence'] === false && joinLeave !== undefined) {
    const message = `${joinLeave.label}: true needs the presence of this namespace`;
    throw new MegacometError('ERR_OPTION_INVALID', message);
  }
  return options;
}

/**
 * Reads the namespaces of a program.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`.
 */
export function parseNamespaces(label: string, value: unknown): Namespaces {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidValue(label, value, 'an object of namespaces by pattern');
  }
  const entries = Object.entries(value);
  checkCount(label, entries.length);
  const namespaces: Record<string, NamespaceOptions> = {};
  for (const [pattern, options] of entries) {
    checkPattern(label, pattern);
    const source = `${label}: ${pattern}`;
    const given = [...membersOf(source, options, KEYS)].map(([key, raw]) => {
      const name = NAMES[KEYS.indexOf(key)] ?? key;
      return { name, label: `${source}: ${key}`, raw };
    });
    namespaces[pattern] = parseNamespace(given);
  }
  return namespaces;
}

/** Reads an object of a config file; `label` names it, without its line. */
function readObject(path: string, line: number, label: string, json: string): FlatObject {
  try {
    return readFlatJson(json, line);
  } catch (error) {
    if (!(error instanceof FlatJsonError)) throw error;
    const message = `${path}:${line}: ${label} ${error.message}${error.detail}`;
    throw new MegacometError('ERR_OPTION_INVALID', message);
  }
}

/**
 * Reads the namespaces of a config file.
 *
 * @param path - The file, for errors.
 * @param line - The line at which the JSON text begins.
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`, with the line.
 */
export function readNamespaces(path: string, line: number, json: string): Namespaces {
  const all = readObject(path, line, 'namespaces', json);
  checkCount(`${path}:${line}: namespaces`, all.members.size);
  const namespaces: Record<string, NamespaceOptions> = {};
  for (const pattern of all.members.keys()) {
    const start = all.line(pattern);
    checkPattern(`${path}:${start}: namespaces`, pattern);
    const label = `namespaces: ${pattern}`;
    const one = readObject(path, start, label, all.raw(pattern));
    const given = [...one.members].map(([name, raw]) => {
      const source = `${path}:${one.line(name)}: ${label}`;
      if (!NAMES.some((known) => known === name)) throw unknownOption(source, name, NAMES);
      return { name, label: `${source}: ${name}`, raw };
    });
    namespaces[pattern] = parseNamespace(given);
  }
  return namespaces;
}
