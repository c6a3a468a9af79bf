// Flags with a value: `--client-publish=false` is `--no-client-publish`, as variables and config
// files may say false too. commander knows only the second form. The value of --proxy-protocol may
// also be an address.
import type { OptionSpec } from '../options/option-spec.js';
import { parseOption } from '../options/options.js';

/** Replaces each `--FLAG=VALUE` before `--`. @throws MegacometError for any other value. */
export function expandFlagValues(
  words: readonly string[],
  flags: readonly OptionSpec[],
): readonly string[] {
  const end = words.indexOf('--');
  return words.map((word, index) => {
    const [, name, value] = /^--([a-z-]+)=(.*)$/s.exec(word) ?? [];
    const spec = flags.find((flag) => flag.name === name);
    if (spec === undefined || (end !== -1 && index > end)) return word;
    if (spec.kind !== 'flag' && spec.kind !== 'listeners') return word;
    const parsed = parseOption(spec, `--${spec.name}`, value);
    if (typeof parsed !== 'boolean') return word;
    return parsed ? `--${spec.name}` : `--no-${spec.name}`;
  });
}
