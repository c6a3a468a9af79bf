// Completions for bash, zsh and fish, written as plain files from the table of options, so that a
// completion does not start Node.
//   node packaging/completions.mjs bash|zsh|fish   writes one to standard output
import { fileURLToPath } from 'node:url';

import { isRepeatable, readCommandLine, withFlagsOnly } from './command-line.mjs';
import { main, PackagingError } from './tools.mjs';

const NOTE = '# Written by packaging/completions.mjs from the table of options.';
/** The options of the program itself, before a command. */
const GLOBAL = [
  { name: 'help', letter: 'h', help: 'Show help.' },
  { name: 'version', letter: 'V', help: 'Show the version.' },
];

const flags = (options) => options.map(({ name }) => `--${name}`);

/** In single quotes, for a shell of the Bourne family. */
const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The bash code that fills COMPREPLY for a value; empty for a free value. */
const BASH_VALUES = {
  words: ({ words }) => `COMPREPLY=($(compgen -W ${quote(words.join(' '))} -- "$current")); `,
  files: () => 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$current")); ',
  users: () => 'COMPREPLY=($(compgen -u -- "$current")); ',
  free: () => '',
};

function bash({ commands }) {
  /** Patterns of `COMMAND --OPTION`, by the bash code that completes their values. */
  const patterns = new Map();
  for (const { name, options } of commands) {
    for (const option of options.filter(({ completion }) => completion)) {
      const action = BASH_VALUES[option.completion.kind](option.completion);
      patterns.set(action, [...(patterns.get(action) ?? []), `'${name} --${option.name}'`]);
    }
  }
  const values = [...patterns].map(
    ([action, names]) => `    ${names.join(' | \\\n      ')}) ${action}return ;;`,
  );
  const names = commands.map(({ name, options }) => {
    const words = quote([...flags(options), '--help'].join(' '));
    return `    ${name}) COMPREPLY=($(compgen -W ${words} -- "$current")) ;;`;
  });
  const first = [...commands.map(({ name }) => name), ...flags(GLOBAL)].join(' ');
  return `# bash completion for megacomet-ts.
${NOTE}
_megacomet_ts() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W ${quote(first)} -- "$current"))
    return
  fi
  # bash splits --option=value at the equals sign.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]]; then
    previous=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  case "\${COMP_WORDS[1]} $previous" in
${values.join('\n')}
  esac
  case \${COMP_WORDS[1]} in
${names.join('\n')}
  esac
}
complete -F _megacomet_ts megacomet-ts
`;
}

const ZSH_VALUES = {
  words: ({ words }) => `(${words.join(' ')})`,
  files: () => '_files',
  users: () => '_users',
  free: () => ' ',
};

/** Colons and brackets end a description of _arguments. */
const zshText = (text) => text.replace(/[[\]:\\]/g, '\\$&');

function zshOption({ name, kind, value, help, completion }) {
  const repeat = isRepeatable({ kind }) ? '*' : '';
  const spec = `${repeat}--${name}${completion ? '=' : ''}[${zshText(help)}]`;
  if (!completion) return quote(spec);
  return quote(`${spec}:${zshText(value ?? 'WORD')}:${ZSH_VALUES[completion.kind](completion)}`);
}

function zsh({ commands }) {
  const described = commands.map(({ name, description }) =>
    quote(`${name}:${description.replaceAll(':', '\\:')}`),
  );
  const cases = commands.map(({ name, options }) => {
    const specs = [...options.map(zshOption), "'(- *)--help[Show help.]'"];
    return `        ${name})\n          _arguments \\\n            ${specs.join(' \\\n            ')}\n          ;;`;
  });
  const globals = GLOBAL.map(
    ({ name, letter, help }) => `'(- *)'{-${letter},--${name}}'[${help}]'`,
  );
  return `#compdef megacomet-ts
# zsh completion for megacomet-ts.
${NOTE}
_megacomet-ts() {
  local context curcontext="$curcontext" state line
  typeset -A opt_args
  local -a commands=(
    ${described.join('\n    ')}
  )
  _arguments -C \\
    ${globals.join(' \\\n    ')} \\
    '1:command:->command' \\
    '*::option:->option'
  case $state in
    command) _describe command commands ;;
    option)
      case $words[1] in
${cases.join('\n')}
      esac
      ;;
  esac
}
_megacomet-ts "$@"
`;
}

/** In single quotes for fish, where a backslash escapes. */
const fishQuote = (text) => `'${text.replace(/[\\']/g, '\\$&')}'`;

const FISH_VALUES = {
  words: ({ words }) => `-x -a ${fishQuote(words.join(' '))}`,
  files: () => '-r -F',
  users: () => "-x -a '(__fish_complete_users)'",
  free: () => '-x',
};

function fish({ commands }) {
  const start = 'complete -c megacomet-ts';
  const first = [
    ...GLOBAL.map(
      ({ name, letter, help }) =>
        `${start} -n __fish_use_subcommand -s ${letter} -l ${name} -d ${fishQuote(help)}`,
    ),
    ...commands.map(
      ({ name, description }) =>
        `${start} -n __fish_use_subcommand -a ${name} -d ${fishQuote(description)}`,
    ),
  ];
  const options = commands.flatMap(({ name: command, options }) =>
    options.map(({ name, help, completion }) => {
      const value = completion ? ` ${FISH_VALUES[completion.kind](completion)}` : '';
      const condition = fishQuote(`__fish_seen_subcommand_from ${command}`);
      return `${start} -n ${condition} -l ${name}${value} -d ${fishQuote(help)}`;
    }),
  );
  return [
    '# fish completion for megacomet-ts.',
    NOTE,
    `${start} -f`,
    ...first,
    ...options,
    '',
  ].join('\n');
}

export const COMPLETIONS = { bash, zsh, fish };

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    const write = COMPLETIONS[process.argv[2]];
    if (!write) throw new PackagingError('give a shell: bash, zsh or fish');
    process.stdout.write(write(withFlagsOnly(await readCommandLine())));
  });
}
