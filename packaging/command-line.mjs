// The command line as data, for the man page, the completions and the documents: the tables that the
// program itself reads. Needs the compiled program: run `npm run build:ts` first.
import { PACKAGE } from './tools.mjs';

/**
 * The values of an option, for a shell that completes them: `words` to choose from, `files`, `users`,
 * `free` text, or undefined for a flag.
 */
function completionOf(spec) {
  // An optional value may be left out, so a shell completes the option alone.
  if (spec.kind === 'flag' || spec.kind === 'listeners') return undefined;
  if (spec.choices) return { kind: 'words', words: spec.choices };
  if (spec.word) return { kind: 'words', words: [spec.word] };
  if (spec.value?.startsWith('FILE')) return { kind: 'files', words: [] };
  return { kind: spec.name === 'user' ? 'users' : 'free', words: [] };
}

/** The value of an option after its name, such as ` N`; in brackets if it may be left out. */
export function valueText({ kind, value = 'WORD' }) {
  if (kind === 'flag') return '';
  return kind === 'listeners' ? ` [${value}]` : ` ${value}`;
}

/** Whether an option may stand more than once. */
export const isRepeatable = ({ kind }) => kind === 'list' || kind === 'listeners';

/** The default as Markdown: code for a value, words for the meaning of an absent value. */
export function defaultText(spec, { isLibrary = false } = {}) {
  const value = spec.default ?? (isLibrary ? undefined : spec.commandLineDefault);
  if (value !== undefined) return `\`${String(value)}\``;
  return spec.unset ?? (spec.kind === 'flag' ? '`false`' : 'none');
}

/** The command line without the options that have no flag. */
export function withFlagsOnly(commandLine) {
  const commands = commandLine.commands.map(({ options, ...command }) => ({
    ...command,
    options: options.filter(({ hasFlag }) => hasFlag),
  }));
  return { ...commandLine, commands };
}

export async function readCommandLine() {
  const { environmentNameOf, hasFlag, hasVariable, helpOf, keyOf } =
    await import('../dist/lib/options/options.js');
  const { NAMESPACE_OPTIONS } = await import('../dist/lib/options/namespace-options.js');
  const { COMMANDS } = await import('../dist/lib/options/commands.js');
  const { EXIT_CODES, SIGNALS } = await import('../dist/lib/cli/process-interface.js');
  const described = (spec) => ({
    ...spec,
    key: keyOf(spec.name),
    fullHelp: helpOf(spec),
    environment: environmentNameOf(spec.name),
    hasFlag: hasFlag(spec),
    hasVariable: hasVariable(spec),
    completion: completionOf(spec),
  });
  const commands = COMMANDS.map(({ options, ...command }) => ({
    ...command,
    options: options.map(described),
  }));
  return {
    version: PACKAGE.version,
    description: PACKAGE.description,
    commands,
    namespaceOptions: NAMESPACE_OPTIONS.map(described),
    signals: SIGNALS,
    exitCodes: EXIT_CODES,
  };
}
