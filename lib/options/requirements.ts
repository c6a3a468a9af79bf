// Options without effect: an option that needs another one is rejected where that one is missing.
import { MegacometError } from '../base/errors.js';
import { shownUrl } from '../base/shown-url.js';
import { shown } from '../base/shown.js';
import type { OptionSpec, Requirement } from './option-spec.js';
import { keyOf, type OptionValue, type Settings } from './options.js';

/** The requirements of an option: `protocol: 'comet'` of its row, and the row's own requirement. */
function requirementsOf({ protocol, requires }: OptionSpec): readonly Requirement[] {
  const ofProtocol = protocol === undefined ? [] : [{ name: 'protocol', is: protocol }];
  return requires === undefined ? ofProtocol : [...ofProtocol, requires];
}

function isFulfilled(requirement: Requirement, settings: Settings): boolean {
  const { name, or, orMember, is, isNot } = requirement;
  const value = settings[keyOf(name)];
  if (is !== undefined) return value === is;
  if (isNot !== undefined) return value !== isNot;
  // A flag that is off has a value too.
  const isSet = (one: OptionValue | undefined): boolean => one !== undefined && one !== false;
  if (orMember !== undefined && isSet(settings[orMember])) return true;
  return isSet(value) || (or !== undefined && isSet(settings[keyOf(or)]));
}

/** The other option as the user has to write it: `--protocol comet`. */
function ruleOf({ name, or, is, isNot }: Requirement): string {
  if (is !== undefined) return `--${name} ${is}`;
  if (isNot !== undefined) return `--${name} other than ${isNot}`;
  return or === undefined ? `--${name}` : `--${name} or --${or}`;
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
    if (label === undefined || settings[key] === false) continue;
    const requirement = requirementsOf(spec).find(
      (one) => names.has(one.name) && !isFulfilled(one, settings),
    );
    if (requirement === undefined) continue;
    const isHidden = spec.isSecret === true || spec.item === 'pem' || settings[key] === true;
    const show = spec.isUrl === true ? shownUrl : shown;
    const value = isHidden ? '' : `${show(settings[key])} `;
    const message = `${label}: ${value}needs ${ruleOf(requirement)}`;
    throw new MegacometError('ERR_OPTION_INVALID', message);
  }
}
