// From argv to a command, its output and the exit code.; decides nothing else.
import { Command, CommanderError, Option } from 'commander';

import { bench } from './commands/bench.js';
import { channels } from './commands/channels.js';
import { doctor } from './commands/doctor.js';
import { installService } from './commands/install-service.js';
import { kick } from './commands/kick.js';
import { plan } from './commands/plan.js';
import { publish } from './commands/publish.js';
import { serve } from './commands/serve.js';
import { status } from './commands/status.js';
import { subscribe } from './commands/subscribe.js';
import { MegacometError } from '../base/errors.js';
import { packageVersion } from '../system/native.js';
import { environmentNameOf, optionsOf, type OptionSpec } from '../options/options.js';

/** The start, or the run, failed. */
const EXIT_FAILURE = 1;
/** The command line, the environment or the config file is wrong. */
const EXIT_USAGE = 2;

type Flags = Record<string, unknown>;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function toOption(spec: OptionSpec): Option {
  const flags =
    spec.kind === 'flag' ? `--${spec.name}` : `--${spec.name} <${spec.value ?? 'WORD'}>`;
  const option = new Option(flags, spec.help);
  if (spec.choices !== undefined) option.description += ` One of: ${spec.choices.join(', ')}.`;
  if (spec.default !== undefined) option.description += ` Default: ${String(spec.default)}.`;
  option.description += ` [${environmentNameOf(spec.name)}]`;
  if (spec.kind === 'list') {
    option.argParser((value: string, previous: string[] | undefined) => [
      ...(previous ?? []),
      value,
    ]);
  }
  return option;
}

function addCommand(
  program: Command,
  name: string,
  description: string,
  run: (flags: Flags, words: readonly string[]) => Promise<number>,
): void {
  // A name such as `publish <channel> [data]` has words of its own besides the options.
  const [word = ''] = name.split(' ');
  const command = program.command(name).description(description);
  const shown = optionsOf(word).filter((spec) => spec.isSecret !== true);
  for (const spec of shown) command.addOption(toOption(spec));
  command.action(async () => {
    process.exitCode = await run(command.opts(), command.args);
  });
}

/** Commands that talk to a comet server. */
function addPushCommands(program: Command): void {
  addCommand(
    program,
    'publish <channel> [data]',
    'Publish a message to a running server; data is standard input where it is - or absent.',
    (flags, words) => publish(words, flags, print),
  );
  addCommand(
    program,
    'subscribe <url> <channel...>',
    'Print the messages of channels; comes back by itself where it was cut off.',
    (flags, words) => subscribe(words, flags, print),
  );
  addCommand(
    program,
    'channels',
    'List channels with subscribers or history of a running server.',
    (flags) => channels(flags, print),
  );
  addCommand(
    program,
    'kick [channel]',
    'Close the subscribers of a channel of a running server, or all connections.',
    (flags, words) => kick(words, flags, print),
  );
}

function makeProgram(): Command {
  const program = new Command('megacomet-ts')
    .description('Holds a million idle TCP connections on one machine.')
    .version(packageVersion)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  addCommand(program, 'serve', 'Run a server.', serve);
  addCommand(program, 'status', 'Show what a running server does.', (flags) =>
    status(flags, print),
  );
  addCommand(program, 'bench', 'Open many connections to a server, and measure.', (flags) =>
    bench(flags, print),
  );
  addCommand(program, 'doctor', 'Check this machine, and name the limit that binds.', (flags) =>
    doctor(flags, print),
  );
  addCommand(program, 'plan', 'Plan a machine for a number of connections.', (flags) =>
    plan(flags, print),
  );
  addCommand(program, 'install-service', 'Write systemd units for this machine.', (flags) =>
    installService(flags, print),
  );
  addPushCommands(program);
  return program;
}

/** One sentence on standard error, and the exit code for it. */
function complain(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code === 'commander.help') {
      makeProgram().outputHelp({ error: true });
      return EXIT_USAGE;
    }
    const sentence = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
    process.stderr.write(`megacomet-ts: ${sentence}\n`);
    return EXIT_USAGE;
  }
  if (!(error instanceof MegacometError)) throw error;
  process.stderr.write(`megacomet-ts: ${error.message}\n`);
  return error.code.startsWith('ERR_OPTION_') ? EXIT_USAGE : EXIT_FAILURE;
}

/** Runs the command line `argv` and sets the exit code of this process. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    await makeProgram().parseAsync(argv);
  } catch (error) {
    process.exitCode = complain(error);
  }
  // Ends also what a library may have left open; everything of ours is closed by now.
  process.exit();
}
