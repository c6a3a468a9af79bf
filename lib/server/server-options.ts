// The options of createServer() with their defaults filled in.
import type { SettingsOf } from '../options/option-spec.js';
import {
  defaultsOf,
  keyOf,
  parseOption,
  raiseToMinimums,
  unknownOption,
} from '../options/options.js';
import { LIBRARY_OPTIONS } from '../options/serve-options.js';
import type { ServerOptions } from '../options/server-options.js';

export type { Adjustments, ServerOptions } from '../options/server-options.js';

/** Options with their defaults. */
export type Filled = SettingsOf<typeof LIBRARY_OPTIONS>;

/**
 * Reads the options of the library, and fills in defaults.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`.
 */
export function fill(options: ServerOptions): Filled {
  const keys = LIBRARY_OPTIONS.map((spec) => keyOf(spec.name));
  const settings = defaultsOf(LIBRARY_OPTIONS);
  for (const [key, raw] of Object.entries(options)) {
    if (key === 'logger' || raw === undefined) continue;
    const spec = LIBRARY_OPTIONS[keys.indexOf(key)];
    if (spec === undefined) throw unknownOption('createServer', key, [...keys, 'logger']);
    settings[key] = parseOption(spec, `createServer: ${key}`, raw);
  }
  return raiseToMinimums(LIBRARY_OPTIONS, settings) as Filled;
}
