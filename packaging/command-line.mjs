// The command line as data, for the man page, the completions and the documents: the tables that the
// program itself reads. Needs the compiled program: run `npm run build:ts` first.
import { PACKAGE } from './tools.mjs';

/**
 * The values of an option, for a shell that completes them: `words` to choose from, `files`, `users`,
 * `free` text, or undefined for a flag.
 */
function completionOf(spec) {
  if (spec.kind === 'flag') return undefined;
  if (spec.choices) return { kind: 'words', words: spec.choices };
  if (spec.word) return { kind: 'words', words: [spec.word] };
  if (spec.value?.startsWith('FILE')) return { kind: 'files', words: [] };
  return { kind: spec.name === 'user' ? 'users' : 'free', words: [] };
}

/** The default as Markdown: code for a value, words for the meaning of an absent value. */
export function defaultText(spec, { isLibrary = false } = {}) {
  const value = spec.default ?? (isLibrary ? undefined : spec.commandLineDefault);
  if (value !== undefined) return `\`${String(value)}\``;
  return spec.kind === 'flag' ? '`false`' : (spec.unset ?? 'none');
}

/** The command line without the options that have no flag. */
export function withoutSecrets(commandLine) {
  const commands = commandLine.commands.map(({ options, ...command }) => ({
    ...command,
    options: options.filter(({ isSecret }) => !isSecret),
  }));
  return { ...commandLine, commands };
}

export async function readCommandLine() {
  const { environmentNameOf, helpOf, keyOf } = await import('../dist/lib/options/options.js');
  const { COMMANDS } = await import('../dist/lib/options/commands.js');
  const { EXIT_CODES, SIGNALS } = await import('../dist/lib/cli/process-interface.js');
  const commands = COMMANDS.map(({ options, ...command }) => ({
    ...command,
    options: options.map((spec) => ({
      ...spec,
      key: keyOf(spec.name),
      fullHelp: helpOf(spec),
      environment: environmentNameOf(spec.name),
      completion: completionOf(spec),
    })),
  }));
  return {
    version: PACKAGE.version,
    description: PACKAGE.description,
    commands,
    signals: SIGNALS,
    exitCodes: EXIT_CODES,
  };
}
