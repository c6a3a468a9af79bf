// The exit codes and signals of the process, for the program that starts and stops it.
// The man page and docs/configuration.md are generated from these tables.

/** The exit codes of all commands, by the names that the commands use. */
export const EXIT = {
  success: 0,
  failure: 1,
  usage: 2,
  insufficient: 3,
  rejected: 4,
} as const;

/** The exit code after a signal is the sum of this and the number of the signal. */
export const SIGNAL_EXIT = 128;

interface ExitCode {
  readonly code: string;
  readonly meaning: string;
}

export const EXIT_CODES: readonly ExitCode[] = [
  {
    code: String(EXIT.success),
    meaning:
      'The command succeeded. For bench: every connection was opened, stayed open and answered, ' +
      'and no subscriber missed a message.',
  },
  {
    code: String(EXIT.failure),
    meaning:
      'The command could not start, or failed; standard error has the reason in one sentence. ' +
      'For bench: a connection or a message was lost.',
  },
  {
    code: String(EXIT.usage),
    meaning: 'The command line, the environment or the config file is wrong.',
  },
  {
    code: String(EXIT.insufficient),
    meaning:
      'Of doctor: the machine cannot hold the target, or a finding is critical. --write has ' +
      'written its files and --apply has set its values even then.',
  },
  {
    code: String(EXIT.rejected),
    meaning: 'Of doctor --apply: the kernel rejected a value; the other values are set.',
  },
  {
    code: '129, 130, 131, 143',
    meaning:
      'SIGHUP, SIGINT, SIGQUIT or SIGTERM ended the command. Of serve: a second SIGINT or SIGTERM ' +
      'ended the server at once. Of bench: the result has the measurements before the signal.',
  },
];

interface SignalEffect {
  readonly names: readonly string[];
  readonly effect: string;
}

export const SIGNALS: readonly SignalEffect[] = [
  {
    names: ['SIGTERM', 'SIGINT'],
    effect:
      'Drain: reject new connections, close the open ones evenly over --drain seconds, ' +
      'and exit with 0. A second signal ends the server at once.',
  },
  {
    names: ['SIGHUP'],
    effect:
      'Read environment, config file and the files of --token-key, --sign-key and --hook-secret again, and ' +
      'fetch the keys of --token-jwks-url. Log level, connection limit, idle timeout, accept rate, ' +
      'namespaces and these keys change without a restart.',
  },
  {
    names: ['SIGKILL'],
    effect: 'The manager dies. Its workers exit within two seconds, and all connections are lost.',
  },
];
