// Options without effect: an option that needs another one is rejected where that one is missing.
import { MegacometError } from '../base/errors.js';
import { shown } from '../base/shown.js';
import type { OptionSpec, Requirement } from './option-spec.js';
import { keyOf, type Settings } from './options.js';

/** What an option requires: `protocol: 'comet'` of its row, or the row's own requirement. */
function requirementOf({ protocol, requires }: OptionSpec): Requirement | undefined {
  return protocol === undefined ? requires : { name: 'protocol', is: protocol };
}

function isFulfilled({ is, isNot }: Requirement, value: unknown): boolean {
  if (is !== undefined) return value === is;
  return isNot === undefined ? value !== undefined : value !== isNot;
}

/** The other option as the user has to write it: `--protocol comet`. */
function ruleOf({ name, is, isNot }: Requirement): string {
  if (is !== undefined) return `--${name} ${is}`;
  return isNot === undefined ? `--${name}` : `--${name} other than ${isNot}`;
}

/**
 * Rejects each given option that has no effect.
 *
 * @param settings - All options of the command or call, with their defaults.
 * @param given - The options that the user gave, by key, each with its label for an error.
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function checkRequirements(
  specs: readonly OptionSpec[],
  settings: Settings,
  given: ReadonlyMap<string, string>,
): void {
  const names = new Set(specs.map(({ name }) => name));
  for (const spec of specs) {
    const key = keyOf(spec.name);
    const label = given.get(key);
    const requirement = requirementOf(spec);
    if (label === undefined || requirement === undefined || settings[key] === false) continue;
    if (!names.has(requirement.name)) continue;
    if (isFulfilled(requirement, settings[keyOf(requirement.name)])) continue;
    const isHidden = spec.isSecret === true || spec.kind === 'flag';
    const value = isHidden ? '' : `${shown(settings[key])} `;
    const message = `${label}: ${value}needs ${ruleOf(requirement)}`;
    throw new MegacometError('ERR_OPTION_INVALID', message);
  }
}
