// docs/configuration.md from the option tables.
// Reads the compiled program: run `npm run build:ts` first.
import { readBounds } from '../bounds.mjs';
import { defaultText, readCommandLine, valueText } from '../command-line.mjs';

/** Limits that no option changes: the name in bounds.h, the limited thing, and the reason. */
const FIXED_LIMITS = [
  [
    'kConnectionPatternsMax',
    'patterns of a connection',
    'a client with more would have every message sent to its worker',
  ],
  [
    'kWaitingMessagesMax',
    'commands of a WebSocket that wait for a response',
    'they are held in memory',
  ],
  [
    'kClientRequestsMax',
    'unanswered requests about presence or history, of all clients of a worker',
    'the manager answers all clients in one thread',
  ],
  [
    'kHookWaitingMax',
    'clients of a worker that wait for the application',
    'their requests are held in memory',
  ],
  ['kChannelTokensMax', 'tokens for single channels in one request', 'each costs a signature'],
  ['kTokenBytesMax', 'characters of a token', 'it comes before its sender is known'],
  ['kTokenInfoBytesMax', 'bytes of `info` in a token', 'every presence answer repeats it'],
  [
    'kKnownTokensMax',
    'verified tokens that a worker remembers',
    '32 bytes each; others are verified again',
  ],
  ['kRevocationsMax', 'revocations', 'about 150 bytes each, in every worker'],
  ['kHttpTargetBytesMax', 'bytes of a request target', 'RFC 9112 asks for 8,000 in the whole line'],
  ['kChannelBytesMax', 'bytes of a channel name', 'it fits into a log line'],
  [
    'kWebSocketControlsMax',
    'pings and pongs of a WebSocket in two seconds',
    'each ping costs an answer',
  ],
  ['kInflatersMax', 'messages that a worker inflates at once', '41 KiB each'],
  ['kProxyHeaderBytesMax', 'bytes of a PROXY header', 'it comes before its sender is known'],
  ['kNamespacesMax', 'namespaces', 'each publish searches them'],
  [
    'kTrustedNetworksMax',
    'networks of `--trusted-proxies`',
    'each new connection is compared with all',
  ],
  [
    'kListenersMax',
    'addresses that a server listens on',
    'each costs a descriptor in every worker',
  ],
];

function fixedLimits() {
  const bounds = readBounds(FIXED_LIMITS.map(([identifier]) => identifier));
  const rows = FIXED_LIMITS.map(
    ([, limited, reason], index) =>
      `| ${limited} | ${bounds[index].value.toLocaleString('en-GB')} | ${reason} |`,
  );
  return ['| limited | limit | reason |', '| --- | --- | --- |', ...rows].join('\n');
}

const cell = (text) => text.replaceAll('|', '\\|');

function rangeText({ kind, min, max, choices, word }) {
  if (choices) return choices.map((choice) => `\`${choice}\``).join(', ');
  if (kind === 'flag') return '`true`, `false`';
  if (kind === 'listeners') return '`true`, `false`, or a list';
  if (kind === 'mode') return 'three octal digits';
  if (kind === 'namespaces') return 'object, see [below](#namespaces)';
  if (kind === 'ports') return '0 to 65535, or a range';
  if (max === undefined) return kind === 'list' ? 'list' : 'text';
  return `${min} to ${max}${word ? `, \`${word}\`` : ''}`;
}

function nameOf(option, value) {
  if (option.hasFlag) return `--${option.name}${value}`;
  return option.isSecret ? option.environment : option.name;
}

function row(option) {
  const value = valueText(option);
  const name = nameOf(option, value);
  const reload = option.isReloadable ? ' \\*' : '';
  const atLeast = option.atLeast ? ` At least \`${option.atLeast}\`.` : '';
  const cells = [
    `\`${name}\`${reload}${option.hasFlag && !option.hasVariable ? ' †' : ''}`,
    defaultText(option),
    rangeText(option),
    `${option.help}${atLeast}`,
  ];
  return `| ${cells.map(cell).join(' | ')} |`;
}

const table = (options) =>
  [
    '| option | default | values | meaning |',
    '| --- | --- | --- | --- |',
    ...options.map(row),
  ].join('\n');

function serveSections({ options }, namespaceOptions) {
  const server = options.filter(({ protocol }) => protocol === undefined);
  const comet = options.filter(({ protocol }) => protocol === 'comet');
  return `## serve

${table(server)}

### With \`--protocol comet\`

${table(comet)}

### Namespaces

The config file has options for the channels below a prefix. A channel has the options of the longest pattern alone,
and those that it leaves out are the server's: nothing comes from a shorter pattern. \`*\` is all channels. An error names
the line.

\`\`\`json
{
  "protocol": "comet",
  "token-key": ["HS256=token.key"],
  "namespaces": {
    "news/*": { "public": true, "history-count": 1000, "history-age": 86400 },
    "chat/*": { "client-publish": "subscribers", "join-leave": true },
    "chat/private/*": { "client-publish": "grant", "presence": false }
  }
}
\`\`\`

${namespaceTable(namespaceOptions)}

A subscription to a pattern such as \`chat/*\` is public if its namespace is, and every namespace below it. SIGHUP reads
namespaces again: history limits count from the next message of a channel, and connections that are subscribed stay
so. In the library the option is \`namespaces\`, with the keys of its type in camel case.`;
}

const namespaceTable = (options) =>
  [
    '| option | default | values | meaning |',
    '| --- | --- | --- | --- |',
    ...options.map((option) => {
      const { default: value, unset, name, help } = option;
      const fallback = value === undefined ? unset : `\`${String(value)}\``;
      return `| ${[`\`${name}\``, fallback, rangeText(option), help].map(cell).join(' | ')} |`;
    }),
  ].join('\n');

function commandSection(command, namespaceOptions) {
  if (command.name === 'serve') return serveSections(command, namespaceOptions);
  const words = command.words === '' ? '' : ` ${command.words}`;
  return `## ${command.name}

\`megacomet-ts ${command.name}${words}\`: ${command.description}

${table(command.options)}`;
}

export const page = 'docs/configuration.md';

export async function content() {
  const { commands, namespaceOptions, signals, exitCodes } = await readCommandLine();
  const signalRows = signals.map(
    ({ names, effect }) => `| ${names.join(', ')} | ${cell(effect)} |`,
  );
  const codeRows = exitCodes.map(({ code, meaning }) => `| ${String(code)} | ${cell(meaning)} |`);
  return `<!-- Generated from the option tables by packaging/docs/configuration.mjs: npm run docs. -->

# Configuration

An option has one name in four sources:

| source | example |
| --- | --- |
| command line | \`--max-connections 1000\` |
| environment | \`MEGACOMET_MAX_CONNECTIONS=1000\` |
| config file of \`serve\` (\`--config FILE\`, JSON) | \`{"max-connections": 1000}\` |
| [library](library.md) | \`createServer({ maxConnections: 1000 })\` |

A flag overrides the environment, the environment overrides the config file, and the config file overrides the
default. An unknown name is an error that names the nearest option, and so is an option that needs another one, such as
\`--origin\` without \`--protocol comet\`. In the environment a list is separated by commas; on the command line an option
with a list is repeated. A flag may have a value: \`--client-publish=false\`, or \`--no-client-publish\`.

Each command reads the variables of its own options. An empty variable counts as not set. A variable that a flag
overrules may have any value. Variables that Kubernetes or Docker sets for a service named megacomet, such as
\`MEGACOMET_SERVICE_HOST\` or \`MEGACOMET_PORT=tcp://10.0.0.1:8000\`, are ignored. Options that describe one run of a
command, such as \`--json\`, have no variable; a † marks them. \`--admin\` of the commands follows \`MEGACOMET_ADMIN_HOST\`
and \`MEGACOMET_ADMIN_PORT\`.

Addresses have the form \`HOST:PORT\` or \`[V6]:PORT\`. A server listens on numeric hosts and \`localhost\`, which is
127.0.0.1; \`:8000\` is port 8000 of every address. \`--admin\` takes a host name too. An origin is normalised as a
browser does it: \`https://APP.example:443/\` is \`https://app.example\`.

Options marked \\* change while the server runs, on SIGHUP. An option without a dash in front can be set in the
environment or in the config file only.

${commands.map((command) => commandSection(command, namespaceOptions)).join('\n\n')}

## Limits without an option

[protocol.md](protocol.md#limits) has the answer that a client receives at a limit, and [security.md](security.md#bounds-of-the-admin-server)
has those of the admin server.

${fixedLimits()}

## Signals

Signals go to the process of the manager: the \`pid\` of its log lines. \`npx\` does not forward signals.

| signal | effect |
| --- | --- |
${signalRows.join('\n')}

## Exit codes

| code | meaning |
| --- | --- |
${codeRows.join('\n')}
`;
}
