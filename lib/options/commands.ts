// The commands of the program: name, arguments, purpose, options and examples.
import type { OptionSpec } from './option-spec.js';
import { BENCH_OPTIONS } from './bench-options.js';
import { SERVE_OPTIONS } from './serve-options.js';
import {
  CHANNELS_OPTIONS,
  DOCTOR_OPTIONS,
  HISTORY_COMMAND_OPTIONS,
  INSTALL_OPTIONS,
  KICK_OPTIONS,
  PLAN_OPTIONS,
  PUBLISH_OPTIONS,
  STATUS_OPTIONS,
  SUBSCRIBE_OPTIONS,
} from './tool-options.js';
import { SIGN_OPTIONS, TOKEN_OPTIONS } from './token-options.js';

export interface Example {
  /** The command line behind the program's name. */
  readonly line: string;
  readonly effect: string;
}

export interface CommandSpec {
  readonly name: string;
  /** Arguments besides the options, in the notation of commander. */
  readonly words: string;
  readonly description: string;
  readonly options: readonly OptionSpec[];
  readonly examples: readonly Example[];
}

export const COMMANDS = [
  {
    name: 'serve',
    words: '',
    description: 'Run a server.',
    options: SERVE_OPTIONS,
    examples: [
      { line: 'serve', effect: 'Run an echo server on port 8000.' },
      {
        line: 'serve --protocol comet --admin-token-file token',
        effect: 'Run a push server whose admin server accepts messages.',
      },
    ],
  },
  {
    name: 'status',
    words: '',
    description: 'Show the state of a running server.',
    options: STATUS_OPTIONS,
    examples: [{ line: 'status --watch', effect: 'Show the state every second, with rates.' }],
  },
  {
    name: 'bench',
    words: '',
    description: 'Open many connections to a server, and measure.',
    options: BENCH_OPTIONS,
    examples: [
      {
        line: 'bench --target 127.0.0.1:8000 --connections 100000 --verify',
        effect: 'Open 100,000 connections and send a byte over each.',
      },
    ],
  },
  {
    name: 'doctor',
    words: '',
    description: 'Check this machine, and name the limit that binds.',
    options: DOCTOR_OPTIONS,
    examples: [
      {
        line: 'doctor --target 1000000',
        effect: 'List the limits that keep this machine from holding a million connections.',
      },
    ],
  },
  {
    name: 'plan',
    words: '',
    description: 'Plan a machine for a number of connections.',
    options: PLAN_OPTIONS,
    examples: [
      { line: 'plan --target 5000000', effect: 'Plan a machine for five million connections.' },
      {
        line: 'plan --target 10000000 --nodes 6',
        effect: 'Plan each of six machines that hold ten million together.',
      },
    ],
  },
  {
    name: 'install-service',
    words: '',
    description: 'Write systemd units for this machine.',
    options: INSTALL_OPTIONS,
    examples: [{ line: 'install-service --print', effect: 'Show the units without writing them.' }],
  },
  {
    name: 'publish',
    words: '<channel> [data]',
    description:
      'Publish a message to a running server; without data, or if data is -, from standard input.',
    options: PUBLISH_OPTIONS,
    examples: [
      { line: 'publish news hello', effect: 'Publish the message "hello" to the channel "news".' },
    ],
  },
  {
    name: 'subscribe',
    words: '<url> <channel...>',
    description: 'Print the messages of channels; reconnects after a disconnect.',
    options: SUBSCRIBE_OPTIONS,
    examples: [
      {
        line: 'subscribe http://127.0.0.1:8000 news',
        effect: 'Print the messages of the channel "news" until a signal.',
      },
    ],
  },
  {
    name: 'channels',
    words: '',
    description: 'List the channels of a running server that have subscribers or history.',
    options: CHANNELS_OPTIONS,
    examples: [],
  },
  {
    name: 'kick',
    words: '[channel]',
    description: 'Close the subscribers of a channel of a running server, or all connections.',
    options: KICK_OPTIONS,
    examples: [],
  },
  {
    name: 'history',
    words: '<action> <directory>',
    description: 'Check the files of --history-dir; the action is verify.',
    options: HISTORY_COMMAND_OPTIONS,
    examples: [
      {
        line: 'history verify /var/lib/megacomet/history',
        effect: 'Read every entry, and name each damaged one.',
      },
    ],
  },
  {
    name: 'token',
    words: '',
    description: 'Issue a token for a client.',
    options: TOKEN_OPTIONS,
    examples: [
      {
        line: "token --key HS256=token.key --user ada --subscribe 'news/*'",
        effect: 'Print a token with which the user "ada" may subscribe to "news/…" for an hour.',
      },
    ],
  },
  {
    name: 'sign',
    words: '<url>',
    description: 'Sign a URL for a client without a token.',
    options: SIGN_OPTIONS,
    examples: [
      {
        line: "sign --key sign.key '/events?channel=news/1'",
        effect: 'Print a path that subscribes to the channel "news/1" for an hour.',
      },
    ],
  },
] as const satisfies readonly CommandSpec[];

export type CommandName = (typeof COMMANDS)[number]['name'];

/** The options of one command. */
export function optionsOf(command: CommandName): readonly OptionSpec[] {
  return COMMANDS.find(({ name }) => name === command)?.options ?? [];
}

/** The names of all options of all commands that a variable may have, used or not. */
export function variableOptions(): readonly string[] {
  const specs = COMMANDS.flatMap(({ options }) => options as readonly OptionSpec[]);
  return [
    ...new Set(specs.filter(({ isFileOnly }) => isFileOnly !== true).map(({ name }) => name)),
  ];
}
