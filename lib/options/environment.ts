// The options that the environment sets. Container platforms set variables for a service named
// megacomet that look like ours; they are ignored.
import { unknownOption } from '../base/call-check.js';
import type { OptionSpec } from './option-spec.js';
import { environmentNameOf, hasVariable, keyOf, parseOption, type Settings } from './options.js';

const PREFIX = environmentNameOf('');

/**
 * Names that Kubernetes gives the services of a namespace, and Docker the containers of a link, for
 * example MEGACOMET_SERVICE_HOST, MEGACOMET_PORT_8000_TCP_ADDR, MEGACOMET_NAME, MEGACOMET_ENV_PATH.
 */
const PLATFORM_NAME =
  /_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$|_NAME$|^MEGACOMET(_\w+)?_ENV_/;

/** The value of `<SERVICE>_PORT`: `tcp://10.0.0.1:8000`. A service may be called megacomet-admin. */
const PLATFORM_PORT = /^(tcp|udp|sctp):\/\//;

/** Whether a platform, and not the user, has set a variable. */
function isOfPlatform(name: string, value: string): boolean {
  return PLATFORM_NAME.test(name) || (name.endsWith('_PORT') && PLATFORM_PORT.test(value));
}

/** The value that the user gave a variable; an empty variable counts as not set. */
export function variableOf(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name];
  if (value === undefined || value === '' || isOfPlatform(name, value)) return undefined;
  return value;
}

/** Rejects a variable with our prefix that belongs to no option. */
export function checkVariables(env: NodeJS.ProcessEnv, optionNames: readonly string[]): void {
  const known = optionNames.map(environmentNameOf);
  for (const name of Object.keys(env)) {
    if (!name.startsWith(PREFIX) || known.includes(name)) continue;
    if (variableOf(env, name) !== undefined) throw unknownOption('environment', name, known);
  }
}

/**
 * The options of a command that the environment sets.
 *
 * @param overruled - Options, by key, that the command line sets: their variables need not be valid.
 */
export function fromEnvironment(
  env: NodeJS.ProcessEnv,
  specs: readonly OptionSpec[],
  overruled: Readonly<Record<string, unknown>>,
): Settings {
  const settings: Settings = {};
  for (const spec of specs) {
    const key = keyOf(spec.name);
    if (!hasVariable(spec) || overruled[key] !== undefined) continue;
    const name = environmentNameOf(spec.name);
    const raw = variableOf(env, name);
    if (raw !== undefined) settings[key] = parseOption(spec, name, raw);
  }
  return settings;
}
