// Where the options of a command come from: flags override the environment, the environment
// overrides the config file, the config file overrides the defaults.
import { parseListenAddress } from '../base/address.js';
import { unknownOption } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { FlatJsonError, readFlatJson, type FlatObject } from '../base/flat-json.js';
import { readSmallFile } from '../base/small-file.js';
import { variableOptions, optionsOf, type CommandName } from './commands.js';
import { checkVariables, fromEnvironment, variableOf } from './environment.js';
import { readNamespaces } from './namespaces.js';
import type { OptionSpec } from './option-spec.js';
import {
  defaultsOf,
  environmentNameOf,
  isGiven,
  keyOf,
  parseOption,
  wordOf,
  type OptionValue,
  type Settings,
} from './options.js';
import { checkRequirements } from './requirements.js';

export type { Settings } from './options.js';

/** Thousands of namespaces. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

function invalidFile(path: string, problem: string): MegacometError {
  return new MegacometError('ERR_OPTION_INVALID', `--config: ${path} ${problem}`);
}

function readFile(path: string): FlatObject {
  let content: Buffer | null;
  try {
    content = readSmallFile(path, FILE_BYTES_MAX);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw invalidFile(path, `cannot be read (${code})`);
  }
  if (content === null) {
    throw invalidFile(path, `is too large; at most ${FILE_BYTES_MAX} bytes are allowed`);
  }
  try {
    return readFlatJson(content.toString('utf8'));
  } catch (error) {
    if (error instanceof FlatJsonError) throw invalidFile(path, error.message + error.detail);
    throw error;
  }
}

function fromFile(path: string, specs: readonly OptionSpec[]): Settings {
  const settings: Settings = {};
  const allowed = specs.filter(({ name }) => name !== 'config');
  const file = readFile(path);
  for (const [name, raw] of file.members) {
    const spec = allowed.find((candidate) => candidate.name === name);
    if (spec === undefined) {
      if (name !== 'config') throw unknownOption(path, name, allowed.map(nameOf));
      const message = `${path}: unknown option config (a config file cannot name another one)`;
      throw new MegacometError('ERR_OPTION_UNKNOWN', message);
    }
    if (!isGiven(spec, raw)) continue;
    settings[keyOf(name)] =
      spec.kind === 'namespaces'
        ? readNamespaces(path, file.line(name), file.raw(name))
        : parseOption(spec, `${path}: ${name}`, raw);
  }
  return settings;
}

function nameOf({ name }: OptionSpec): string {
  return name;
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

/** The label of each given option, in the form of the source that counts. */
function labelsOf(
  specs: readonly OptionSpec[],
  sources: readonly [Settings, (name: string) => string][],
): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  for (const { name } of specs) {
    const key = keyOf(name);
    const source = sources.find(([settings]) => settings[key] !== undefined);
    if (source !== undefined) labels.set(key, source[1](name));
  }
  return labels;
}

/**
 * Reads every option of a command.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`.
 */
export function readSettings(command: CommandName, { flags, env }: Sources): Settings {
  const specs = optionsOf(command);
  checkVariables(env, variableOptions());
  const commandLine = fromFlags(flags, specs);
  const variables = fromEnvironment(env, specs, commandLine);
  const path = wordOf(commandLine['config'] ?? variables['config'] ?? '');
  const file = path === '' ? {} : fromFile(path, specs);
  const defaults = { ...commandDefaultsOf(specs), ...adminDefault(env, specs) };
  const settings = { ...defaults, ...file, ...variables, ...commandLine };
  const labels = labelsOf(specs, [
    [commandLine, (name): string => `--${name}`],
    [variables, environmentNameOf],
    [file, (name): string => `${path}: ${name}`],
  ]);
  checkRequirements(specs, settings, labels);
  return settings;
}

/**
 * The default of `--admin`: the address that the variables of `serve` name, so that one environment
 * fits a server and the commands that ask it.
 */
function adminDefault(env: NodeJS.ProcessEnv, specs: readonly OptionSpec[]): Settings {
  const admin = specs.find(({ name }) => name === 'admin');
  if (admin === undefined) return {};
  const valueOf = (name: string): OptionValue | undefined => {
    const variable = environmentNameOf(name);
    const raw = variableOf(env, variable);
    const spec = optionsOf('serve').find((candidate) => candidate.name === name);
    return raw === undefined || spec === undefined ? undefined : parseOption(spec, variable, raw);
  };
  const [, usual = ''] = /:(\d+)$/.exec(String(admin.default)) ?? [];
  const [listen] = (valueOf('admin-listen') ?? []) as readonly string[];
  if (listen !== undefined) {
    const { isUnix, host, port, isTls = false } = parseListenAddress('admin-listen', listen);
    if (isUnix) return { admin: listen };
    const peer = peerOf(host, port === 0 ? usual : String(port));
    return { admin: isTls ? `https://${peer}` : peer };
  }
  const [host, port] = [valueOf('admin-host'), valueOf('admin-port')];
  // Port 0 lets the kernel choose, so the variable does not name the port.
  if (host === undefined && (port === undefined || port === 0)) return {};
  return { admin: peerOf(wordOf(host ?? '127.0.0.1'), port === 0 ? usual : wordOf(port ?? usual)) };
}

/** The address at which a client reaches a server that listens on a host and port. */
function peerOf(host: string, port: string): string {
  if (host === '0.0.0.0') return `127.0.0.1:${port}`;
  if (host === '::') return `[::1]:${port}`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The defaults of options as the command line has them. */
export function commandDefaultsOf(specs: readonly OptionSpec[]): Settings {
  const settings = defaultsOf(specs);
  for (const { name, commandLineDefault } of specs) {
    if (commandLineDefault !== undefined) settings[keyOf(name)] = commandLineDefault;
  }
  return settings;
}
