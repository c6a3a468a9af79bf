// The interface ServerOptions, from the option tables: TypeScript cannot give docstrings to a mapped type.
// Reads the compiled program: run `npm run build:ts` first.
import { join } from 'node:path';

import { format, resolveConfig } from 'prettier';

import { defaultText, readCommandLine } from '../command-line.mjs';
import { ROOT } from '../tools.mjs';

const COLUMNS = 100;

/** A docstring, in one line or wrapped. */
function docstring(text) {
  const single = `  /** ${text} */`;
  if (single.length <= COLUMNS) return single;
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = `${lines.at(-1)} ${word}`;
    if (line.length + 4 <= COLUMNS) lines[lines.length - 1] = line;
    else lines.push(` ${word}`);
  }
  return ['  /**', ...lines.map((line) => `   *${line}`), '   */'].join('\n');
}

const quoted = (words) => words.map((word) => `'${word}'`).join(' | ');

const TYPES = {
  address: () => 'string',
  choice: ({ choices }) => quoted([...choices].sort()),
  flag: () => 'boolean',
  integer: ({ word }) => (word ? `number | '${word}'` : 'number'),
  list: ({ item }) =>
    item === 'pem' ? 'Uint8Array | string | readonly (Uint8Array | string)[]' : 'readonly string[]',
  listeners: () => 'boolean | readonly string[]',
  mode: () => 'string',
  namespaces: () => 'Namespaces',
  ports: () => 'number | string',
  seconds: () => 'number',
  text: () => 'string',
};

const libraryText = (option) =>
  `${option.fullHelp} Default: ${defaultText(option, { isLibrary: true })}.`;

const field = (option) =>
  `${docstring(libraryText(option))}\n  ${option.key}?: ${TYPES[option.kind](option)};`;

export const page = 'lib/options/server-options.ts';

export async function content() {
  const { commands, namespaceOptions } = await readCommandLine();
  const options = commands
    .find(({ name }) => name === 'serve')
    .options.filter(({ isCommandLineOnly }) => !isCommandLineOnly);
  const reloadable = options.filter(({ isReloadable }) => isReloadable).map(({ key }) => key);
  const text = `// Generated from the option tables by packaging/docs/configuration-types.mjs: npm run docs.
import type { Authorize } from '../base/authorize.js';
import type { Logger } from '../base/logger.js';

/** Options of {@link createServer}; each is also an option of \`megacomet-ts serve\`. */
export interface ServerOptions {
${options.map(field).join('\n')}
  /**
   * Comet: decides about clients without a token, as a function in place of \`hookUrl\`. Default:
   * off.
   */
  authorize?: Authorize;
  /** Receiver of the log lines; a pino instance fits. Default: no log. */
  logger?: Logger;
}

/** Options of the channels below a prefix; an absent one is that of the server. */
export interface NamespaceOptions {
${namespaceOptions.map(field).join('\n')}
}

/**
 * Namespaces by the pattern of their channels, such as \`chat/*\`; \`*\` is all channels. A channel has
 * the options of the longest pattern alone.
 */
export type Namespaces = Readonly<Record<string, NamespaceOptions>>;

/** The options that can change while the server runs. */
export type Adjustments = Pick<ServerOptions, ${quoted(reloadable.sort())}>;
`;
  const path = join(ROOT, page);
  return format(text, { ...(await resolveConfig(path)), filepath: path });
}
