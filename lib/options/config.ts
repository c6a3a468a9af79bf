// Where options come from: flags over environment over config file over defaults.
import { readFileSync } from 'node:fs';

import { MegacometError } from '../base/errors.js';
import {
  environmentNameOf,
  keyOf,
  nearest,
  OPTIONS,
  optionsOf,
  parseOption,
  unknownOption,
  type OptionSpec,
  type OptionValue,
} from './options.js';

/** Options by their camel-case keys. */
export type Settings = Record<string, OptionValue>;

const PREFIX = 'MEGACOMET_';

function readFile(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new MegacometError(
      'ERR_OPTION_INVALID',
      `--config: ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new MegacometError(
      'ERR_OPTION_INVALID',
      `--config: ${path} is no JSON (${(error as Error).message})`,
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MegacometError('ERR_OPTION_INVALID', `--config: ${path} is not a JSON object`);
  }
  return value as Record<string, unknown>;
}

function fromFile(path: string, specs: readonly OptionSpec[]): Settings {
  const settings: Settings = {};
  for (const [name, raw] of Object.entries(readFile(path))) {
    const spec = specs.find((candidate) => candidate.name === name && name !== 'config');
    if (spec === undefined) {
      throw unknownOption(
        path,
        `"${name}"`,
        specs.map((candidate) => candidate.name),
      );
    }
    settings[keyOf(name)] = parseOption(spec, `${path}: "${name}"`, raw);
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

/** Refuses a variable that starts with our prefix and is an option of no command. */
function checkEnvironment(env: NodeJS.ProcessEnv): void {
  const known = OPTIONS.map((spec) => environmentNameOf(spec.name));
  for (const name of Object.keys(env)) {
    if (!name.startsWith(PREFIX) || known.includes(name)) continue;
    const guess = nearest(name, known);
    const hint = guess === undefined ? '' : ` (did you mean ${guess}?)`;
    throw new MegacometError('ERR_OPTION_UNKNOWN', `environment: ${name} is no option${hint}`);
  }
}

export interface Sources {
  /** What the command line gave, as text, by camel-case key. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Settles every option of a command.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`.
 */
export function readSettings(command: string, sources: Sources): Settings {
  const specs = optionsOf(command);
  checkEnvironment(sources.env);
  const flags: Settings = {};
  for (const spec of specs) {
    const raw = sources.flags[keyOf(spec.name)];
    if (raw !== undefined) flags[keyOf(spec.name)] = parseOption(spec, `--${spec.name}`, raw);
  }
  const environment = fromEnvironment(sources.env, specs);
  const path = flags['config'] ?? environment['config'];
  const file = typeof path === 'string' ? fromFile(path, specs) : {};
  return { ...defaultsOf(specs), ...file, ...environment, ...flags };
}

/** The defaults of some options, by key; options without a default are absent. */
export function defaultsOf(specs: readonly OptionSpec[]): Settings {
  const settings: Settings = {};
  for (const spec of specs) {
    if (spec.default !== undefined) settings[keyOf(spec.name)] = spec.default;
  }
  return settings;
}
