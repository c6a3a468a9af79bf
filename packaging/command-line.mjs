// The command line as data, for the man page and the completions: commands as the program's own help
// describes them, options from the table that the program itself reads.
import { join } from 'node:path';

import { PACKAGE, ROOT, run } from './tools.mjs';

/** `  serve [options]   Run a server.`, the description perhaps going on below. */
const COMMAND = /^ {2}(\S+)(?: [[<]\S+)* {2,}(\S.*(?:\n {4,}\S.*)*)/gm;

/**
 * What can stand behind an option, for a shell that completes it: `words` to choose from, `files`,
 * `users`, something `free`, or nothing where the option is a flag.
 */
function valueOf(spec) {
  if (spec.kind === 'flag') return undefined;
  if (spec.choices) return { kind: 'words', words: spec.choices };
  if (spec.word) return { kind: 'words', words: [spec.word] };
  if (spec.value?.startsWith('FILE')) return { kind: 'files', words: [] };
  return { kind: spec.name === 'user' ? 'users' : 'free', words: [] };
}

/** Without what can stand in no command line. */
export function withoutSecrets(commandLine) {
  const commands = commandLine.commands.map(({ options, ...command }) => ({
    ...command,
    options: options.filter(({ isSecret }) => !isSecret),
  }));
  return { ...commandLine, commands };
}

/** Reads the compiled program: run `npm run build` first. */
export async function readCommandLine() {
  const { environmentNameOf, optionsOf } = await import('../dist/lib/options/options.js');
  const help = run(process.execPath, [join(ROOT, 'lib/bin.js'), '--help']);
  const found = [...(help.split('\nCommands:\n')[1] ?? '').matchAll(COMMAND)];
  const commands = found
    // Commander's own, which the options say as well.
    .filter(([, name]) => name !== 'help')
    .map(([, name, description]) => ({
      name,
      description: description.replace(/\s+/g, ' '),
      options: optionsOf(name).map((spec) => ({
        ...spec,
        environment: environmentNameOf(spec.name),
        completion: valueOf(spec),
      })),
    }));
  return { version: PACKAGE.version, description: PACKAGE.description, commands };
}
