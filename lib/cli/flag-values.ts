// Flags with a value: `--client-publish=false` is `--no-client-publish`, as variables and config
// files may say false too. commander knows only the second form.
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
    if (spec?.kind !== 'flag' || (end !== -1 && index > end)) return word;
    return parseOption(spec, `--${spec.name}`, value) === true
      ? `--${spec.name}`
      : `--no-${spec.name}`;
  });
}
