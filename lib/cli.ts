// From argv to a command, its output and the exit code. Level 8; decides nothing else.
import { Command, CommanderError, Option } from 'commander';

import { bench } from './commands/bench.js';
import { doctor } from './commands/doctor.js';
import { installService } from './commands/install-service.js';
import { plan } from './commands/plan.js';
import { serve } from './commands/serve.js';
import { status } from './commands/status.js';
import { MegacometError } from './errors.js';
import { packageVersion } from './native.js';
import { environmentNameOf, optionsOf, type OptionSpec } from './options.js';

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
  run: (flags: Flags) => Promise<number>,
): void {
  const command = program.command(name).description(description);
  for (const spec of optionsOf(name)) command.addOption(toOption(spec));
  command.action(async (flags: Flags) => {
    process.exitCode = await run(flags);
  });
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
