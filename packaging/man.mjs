// The man page, section 1, from the table of options.
//   node packaging/man.mjs   writes it to standard output
import { fileURLToPath } from 'node:url';

import { readCommandLine } from './command-line.mjs';
import { main } from './tools.mjs';

/** Text that roff prints as it stands: no escapes, no hyphens instead of minus signs, no requests. */
function plain(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/gm, '\\&');
}

function defaultOf(spec) {
  if (spec.default === undefined) return '';
  return ` Default: ${plain(String(spec.default))}.`;
}

function optionEntry(spec) {
  const value = spec.completion ? ` \\fI${plain(spec.value ?? 'WORD')}\\fR` : '';
  const choices = spec.choices ? ` One of: ${plain(spec.choices.join(', '))}.` : '';
  const reload = spec.reloadable ? ' Read again on SIGHUP.' : '';
  const text = `${plain(spec.help)}${choices}${defaultOf(spec)}${reload}`;
  // Not a flag: everybody on the machine could read it.
  if (spec.isSecret) return `.TP\n\\fB${plain(spec.environment)}\\fR\n${text}`;
  return `.TP\n\\fB${plain(`--${spec.name}`)}\\fR${value}\n${text}\n[${plain(spec.environment)}]`;
}

function commandEntry({ name, description }) {
  return `.TP\n\\fB${plain(name)}\\fR\n${plain(description)}`;
}

function optionSection({ name, options }) {
  return `.SS ${plain(name)}\n${options.map(optionEntry).join('\n')}`;
}

/** The whole page. What is not in a table stands here, in the words of the README. */
export function manPage({ version, description, commands }) {
  const withOptions = commands.filter(({ options }) => options.length > 0);
  return `.\\" Written by packaging/man.mjs from the table of options.
.TH MEGACOMET\\-TS 1 "" "megacomet\\-ts ${plain(version)}" "User Commands"
.SH NAME
megacomet\\-ts \\- ${plain(description.replace(/^./, (first) => first.toLowerCase()))}
.SH SYNOPSIS
.B megacomet\\-ts
.I COMMAND
.RI [ OPTION ]...
.SH DESCRIPTION
Holds a million idle TCP connections on one machine, in worker processes under a thin manager, and
answers every one of them.
.SH COMMANDS
${commands.map(commandEntry).join('\n')}
.SH OPTIONS
Each option can also be given by the environment variable in brackets, and those of
.B serve
by the file that
.B \\-\\-config
names, as JSON with the long names for keys.
A flag wins over the environment, that over the file, that over the default.
.TP
.BR \\-h ", " \\-\\-help
Show help, also behind a command.
.TP
.BR \\-V ", " \\-\\-version
Show the version.
${withOptions.map(optionSection).join('\n')}
.SH SIGNALS
They go to the pid of the manager, which is the
.I pid
of its log lines.
.TP
.BR SIGTERM ", " SIGINT
Drains: refuses new connections, closes the open ones evenly over
.B \\-\\-drain
seconds, and exits with 0.
A second one ends everything at once.
.TP
.B SIGHUP
Reads environment and config file again.
.SH EXIT STATUS
.TP
.B 0
Ended cleanly.
.TP
.B 1
Could not start, or ended uncleanly; one sentence on standard error says why.
.TP
.B 2
The command line, the environment or the config file is wrong.
.SH SEE ALSO
.BR systemctl (1),
.BR prlimit (1),
.BR sysctl (8)
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    process.stdout.write(manPage(await readCommandLine()));
  });
}
