// Where the options of a command come from: flags override the environment, the environment
// overrides the config file, the config file overrides the defaults.
import { readFileSync } from 'node:fs';

import { MegacometError } from '../base/errors.js';
import { optionNames, optionsOf, type CommandName } from './commands.js';
import type { OptionSpec } from './option-spec.js';
import {
  defaultsOf,
  environmentNameOf,
  keyOf,
  parseOption,
  unknownOption,
  type Settings,
} from './options.js';

export type { Settings } from './options.js';

function invalidFile(path: string, problem: string): MegacometError {
  return new MegacometError('ERR_OPTION_INVALID', `--config: ${path} ${problem}`);
}

function readFile(path: string): object {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw invalidFile(path, `cannot be read (${code})`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalidFile(path, `is not valid JSON (${(error as Error).message})`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw invalidFile(path, 'is not a JSON object');
}

function fromFile(path: string, specs: readonly OptionSpec[]): Settings {
  const settings: Settings = {};
  const allowed = specs.filter(({ name }) => name !== 'config');
  for (const [name, raw] of Object.entries(readFile(path))) {
    const spec = allowed.find((candidate) => candidate.name === name);
    if (spec === undefined) {
      const names = allowed.map((candidate) => candidate.name);
      throw unknownOption(path, name, names);
    }
    settings[keyOf(name)] = parseOption(spec, `${path}: ${name}`, raw);
  }
  return settings;
}

function fromEnvironment(env: NodeJS.ProcessEnv, specs: readonly OptionSpec[]): Settings {
  const settings: Settings = {};
  for (const spec of specs) {
    const name = environmentNameOf(spec.name);
    const raw = env[name];
    if (raw !== undefined) settings[keyOf(spec.name)] = parseOption(spec, name, raw);
  }
  return settings;
}

/** Rejects a variable with our prefix that belongs to no option of any command. */
function checkEnvironment(env: NodeJS.ProcessEnv): void {
  const known = optionNames().map(environmentNameOf);
  for (const name of Object.keys(env)) {
    if (!name.startsWith(environmentNameOf('')) || known.includes(name)) continue;
    throw unknownOption('environment', name, known);
  }
}

function fromFlags(flags: Sources['flags'], specs: readonly OptionSpec[]): Settings {
  const settings: Settings = {};
  for (const spec of specs) {
    const key = keyOf(spec.name);
    if (flags[key] !== undefined) settings[key] = parseOption(spec, `--${spec.name}`, flags[key]);
  }
  return settings;
}

export interface Sources {
  /** The values of the command line, as text, by camel-case key. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Reads every option of a command.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`.
 */
export function readSettings(command: CommandName, { flags, env }: Sources): Settings {
  const specs = optionsOf(command);
  checkEnvironment(env);
  const commandLine = fromFlags(flags, specs);
  const given = { ...fromEnvironment(env, specs), ...commandLine };
  const { config } = given;
  const file = typeof config === 'string' ? fromFile(config, specs) : {};
  return { ...commandDefaultsOf(specs), ...file, ...given };
}

/** The defaults of options as the command line has them. */
export function commandDefaultsOf(specs: readonly OptionSpec[]): Settings {
  const settings = defaultsOf(specs);
  for (const { name, commandLineDefault } of specs) {
    if (commandLineDefault !== undefined) settings[keyOf(name)] = commandLineDefault;
  }
  return settings;
}
