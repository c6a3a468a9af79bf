// The options of createServer() and adjust(), checked, with their defaults filled in.
import type { Authorize } from '../base/authorize.js';
import { invalidValue, membersOf } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { silentLogger, type Logger } from '../base/logger.js';
import { parseNamespaces } from '../options/namespaces.js';
import type { OptionSpec, SettingsOf } from '../options/option-spec.js';
import { defaultsOf, isGiven, keyOf, parseOption, raiseToMinimums } from '../options/options.js';
import { checkRequirements } from '../options/requirements.js';
import { LIBRARY_OPTIONS } from '../options/serve-options.js';
import type { Adjustments } from '../options/server-options.js';

export type { Adjustments, ServerOptions } from '../options/server-options.js';

/** The options of the tables, with their defaults. */
export type FilledTable = SettingsOf<typeof LIBRARY_OPTIONS>;

/** Options with their defaults. */
export type Filled = FilledTable & { readonly authorize?: Authorize };

const SPECS: ReadonlyMap<string, OptionSpec> = new Map(
  LIBRARY_OPTIONS.map((spec) => [keyOf(spec.name), spec]),
);
const KEYS = [...SPECS.keys()];
const ADJUSTABLE = KEYS.filter((key) => SPECS.get(key)?.isReloadable === true);

/** Parses the members of an options object. */
function parse(call: string, members: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const [key, raw] of members) {
    const spec = SPECS.get(key);
    if (spec === undefined || !isGiven(spec, raw)) continue;
    const label = `${call}: ${key}`;
    settings[key] =
      spec.kind === 'namespaces' ? parseNamespaces(label, raw) : parseOption(spec, label, raw);
  }
  return settings;
}

/**
 * Reads the options of the library, and fills in defaults.
 *
 * @param options - A value of any type, from a program.
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`.
 */
export function fill(options: unknown): Filled {
  const members = membersOf('createServer', options, [...KEYS, 'logger', 'authorize']);
  const given = parse('createServer', members);
  const settings = raiseToMinimums(LIBRARY_OPTIONS, {
    ...defaultsOf(LIBRARY_OPTIONS),
    ...(given as FilledTable),
  });
  const labels = new Map(Object.keys(given).map((key) => [key, `createServer: ${key}`]));
  const authorize = readAuthorize(members.get('authorize'), settings.protocol);
  const hasAuthorize = authorize !== undefined;
  checkRequirements(LIBRARY_OPTIONS, { ...settings, authorize: hasAuthorize }, labels);
  return { ...(settings as FilledTable), ...(authorize === undefined ? {} : { authorize }) };
}

function readAuthorize(value: unknown, protocol: unknown): Authorize | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'function') {
    throw invalidValue('createServer: authorize', value, 'a function');
  }
  if (protocol !== 'comet') {
    const message = 'createServer: authorize: needs --protocol comet';
    throw new MegacometError('ERR_OPTION_INVALID', message);
  }
  return value as Authorize;
}

const LOGGER_METHODS = ['debug', 'info', 'warn', 'error'] as const;

/** The logger of the options. @throws MegacometError `ERR_OPTION_INVALID`. */
export function loggerOf(logger: unknown): Logger {
  if (logger === undefined) return silentLogger;
  const isObject = (typeof logger === 'object' && logger !== null) || typeof logger === 'function';
  const methods = isObject ? (logger as Record<string, unknown>) : {};
  if (LOGGER_METHODS.every((name) => typeof methods[name] === 'function')) return logger as Logger;
  const rule = `an object with the methods ${LOGGER_METHODS.join(', ')}`;
  throw invalidValue('createServer: logger', logger, rule);
}

/**
 * Reads the options of adjust().
 *
 * @throws MegacometError `ERR_OPTION_INVALID`; `ERR_OPTION_UNKNOWN`, also for an option that cannot
 *   change while the server runs.
 */
export function readAdjustments(changes: unknown): Adjustments {
  const members = membersOf('adjust', changes, KEYS);
  for (const key of members.keys()) {
    if (ADJUSTABLE.includes(key)) continue;
    throw new MegacometError(
      'ERR_OPTION_UNKNOWN',
      `adjust: ${key} cannot change while the server runs; ${ADJUSTABLE.join(', ')} can`,
    );
  }
  return parse('adjust', members);
}
