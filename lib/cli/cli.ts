// Runs the command that argv names and sets the exit code. commander parses the command line by the
// option tables.
import { Command, CommanderError, Option } from 'commander';

import { unknownName } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { packageVersion } from '../system/native.js';
import { COMMANDS, optionsOf, type CommandName, type CommandSpec } from '../options/commands.js';
import type { OptionSpec } from '../options/option-spec.js';
import { environmentNameOf, hasFlag, hasVariable, helpOf } from '../options/options.js';
import { expandFlagValues } from './flag-values.js';
import { Output, warn } from './output.js';
import { EXIT } from './process-interface.js';

type Flags = Record<string, unknown>;

const output = new Output(process.stdout, process.env);

/** The part of an option's help that the table implies: choices, default, environment variable. */
function detailsOf(spec: OptionSpec): string {
  const fallback = spec.default ?? spec.commandLineDefault ?? spec.unset;
  return [
    spec.choices === undefined ? '' : ` One of: ${spec.choices.join(', ')}.`,
    isRepeatable(spec) ? ' Repeatable.' : '',
    fallback === undefined ? '' : ` Default: ${String(fallback)}.`,
    hasVariable(spec) ? ` [${environmentNameOf(spec.name)}]` : '',
  ].join('');
}

function isRepeatable({ kind }: OptionSpec): boolean {
  return kind === 'list' || kind === 'listeners';
}

function hasNegation({ kind }: OptionSpec): boolean {
  return kind === 'flag' || kind === 'listeners';
}

/** The value in the notation of commander. */
function valueOf({ kind, value = 'WORD' }: OptionSpec): string {
  if (kind === 'flag') return '';
  return kind === 'listeners' ? ` [${value}]` : ` <${value}>`;
}

function toOption(spec: OptionSpec): Option {
  const option = new Option(`--${spec.name}${valueOf(spec)}`, `${helpOf(spec)}${detailsOf(spec)}`);
  if (isRepeatable(spec)) {
    option.argParser((word: string, previous: unknown) => {
      // Without a value the option means all, however many are named beside.
      if (previous === true) return true;
      return Array.isArray(previous) ? [...(previous as string[]), word] : [word];
    });
  }
  return option;
}

type Run = (flags: Flags, words: readonly string[]) => Promise<number>;

/** Each command is loaded when it runs: `serve` does not need the libraries of the others. */
const RUNS: Readonly<Record<CommandName, Run>> = {
  serve: async (flags) => (await import('./commands/serve.js')).serve(flags),
  status: async (flags) => (await import('./commands/status.js')).status(flags, output),
  bench: async (flags) => (await import('./commands/bench.js')).bench(flags, output),
  doctor: async (flags) => (await import('./commands/doctor.js')).doctor(flags, output),
  plan: async (flags) => (await import('./commands/plan.js')).plan(flags, output),
  'install-service': async (flags) =>
    (await import('./commands/install-service.js')).installService(flags, output),
  publish: async (flags, words) =>
    (await import('./commands/publish.js')).publish(words, flags, output),
  subscribe: async (flags, words) =>
    (await import('./commands/subscribe.js')).subscribe(words, flags, output),
  channels: async (flags) => (await import('./commands/channels.js')).channels(flags, output),
  token: async (flags) => (await import('./commands/token.js')).token(flags, output),
  sign: async (flags, [url = '']) => (await import('./commands/sign.js')).sign(url, flags, output),
  history: async (flags, words) =>
    (await import('./commands/history.js')).history(words, flags, output),
  kick: async (flags, words) => (await import('./commands/kick.js')).kick(words, flags, output),
};

function flagsOf(command: CommandName): readonly OptionSpec[] {
  return optionsOf(command).filter(hasFlag);
}

function addCommand(program: Command, spec: CommandSpec, name: CommandName): void {
  const command = program.command(`${name} ${spec.words}`.trim()).description(spec.description);
  for (const option of flagsOf(name)) {
    command.addOption(toOption(option));
    if (hasNegation(option)) command.addOption(new Option(`--no-${option.name}`).hideHelp());
  }
  command.action(async () => {
    process.exitCode = await RUNS[name](command.opts(), command.args);
  });
}

function makeProgram(): Command {
  const program = new Command('megacomet-ts')
    .description('Holds a million idle TCP connections on one machine.')
    .version(packageVersion)
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({
      // A failed write is reported at the end of the program.
      writeOut: (text) => {
        output.queue(text);
      },
      writeErr: () => undefined,
    });
  for (const spec of COMMANDS) addCommand(program, spec, spec.name);
  return program;
}

/** The sentence for a command line that commander rejects. */
function sentenceOf({ code, message }: CommanderError, argv: readonly string[]): string {
  const sentence = message.replace(/^error: /, '').replaceAll('\n', ' ');
  // Not the value of `--NAME=VALUE`, which may be a secret.
  const [, name = ''] = /'([^'=]*)/.exec(sentence) ?? [];
  if (code === 'commander.unknownCommand') {
    const names = COMMANDS.map((command) => command.name);
    return unknownName('command', name, names);
  }
  if (code !== 'commander.unknownOption') return sentence;
  const command = COMMANDS.find((candidate) => candidate.name === argv[2]);
  const flags = command === undefined ? [] : flagsOf(command.name).map((spec) => `--${spec.name}`);
  return unknownName('option', name, [...flags, '--help']);
}

/** Prints the help on standard error, and the name of a command that does not exist. */
function reportNoCommand(argv: readonly string[]): void {
  process.stderr.write(makeProgram().helpInformation());
  const [, , help, name] = argv;
  if (help !== 'help' || name === undefined) return;
  const names = COMMANDS.map((command) => command.name);
  warn(unknownName('command', name, names));
}

/** Prints the error as one sentence on standard error; returns the exit code. */
function reportError(error: unknown, argv: readonly string[]): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.success;
    if (error.code === 'commander.help') reportNoCommand(argv);
    else warn(sentenceOf(error, argv));
    return EXIT.usage;
  }
  if (!(error instanceof MegacometError)) throw error;
  warn(error.message);
  return error.code.startsWith('ERR_OPTION_') ? EXIT.usage : EXIT.failure;
}

function withoutFlagValues(argv: readonly string[]): readonly string[] {
  const command = COMMANDS.find(({ name }) => name === argv[2]);
  return command === undefined ? argv : expandFlagValues(argv, flagsOf(command.name));
}

/** Runs the command line `argv` and sets the exit code of this process. */
export async function main(argv: readonly string[]): Promise<void> {
  // A reader of standard error may leave, too.
  process.stderr.on('error', () => undefined);
  for (const step of [
    () => makeProgram().parseAsync(withoutFlagValues(argv)),
    () => output.flush(),
  ]) {
    try {
      await step();
    } catch (error) {
      process.exitCode = reportError(error, argv);
    }
  }
  // All our handles are closed, but a library may have left one open.
  process.exit();
}
