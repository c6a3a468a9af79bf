// docs/library.md from the docstrings of the names that lib/index.ts exports, by TypeDoc. A public name
// without a docstring is an error.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Application, ReflectionKind, UnionType } from 'typedoc';

import { PackagingError, ROOT } from '../tools.mjs';

export const page = 'docs/library.md';

const HEAD = `<!-- Written by packaging/docs/library.mjs from the docstrings of lib/: npm run docs. -->

# The library

\`\`\`js
import { createServer } from 'megacomet-ts';

const server = createServer({ port: 8000, protocol: 'comet', clientPublish: true });
server.on('worker', ({ slot, state }) => console.log('worker', slot, state));
server.on('message', ({ channel, data }) => console.log(channel, data.toString()));

const { workers, maxConnections } = await server.listen(); // resolves when all workers serve
const { cursor, delivered } = await server.publish('news', 'hello', { ttlMs: 60_000 });
console.log(server.addresses, server.stats().totals.connections);
const { killed } = await server.close({ drainMs: 5000 }); // closes evenly over five seconds
\`\`\`

- **Start.** \`createServer()\` only checks the options. \`listen()\` binds, starts the workers and returns the
  capacity of the server. When it rejects, no socket or process is left. A server starts once.
- **Publish.** With \`protocol: 'comet'\`: \`publish()\` to a channel, \`deliver()\` to the mailbox of one client.
  Clients subscribe over HTTP and WebSocket; see [protocol.md](protocol.md).
- **Listen.** A \`Server\` is an \`EventEmitter\` with the events of \`ServerEvents\`. It never emits \`error\`:
  a call that fails throws or rejects with a \`MegacometError\`.
- **Close.** \`close()\` rejects new connections at once and resolves when all workers have exited. When your
  process ends, for any reason, its workers end too.

A time is in seconds unless its name ends with another unit; a size is in bytes. The server installs no
signal handler, never exits the process, and logs nothing without a \`logger\`.

Start one server in one process: it starts a worker for each core. Under node:cluster, or PM2 with \`-i 2\`, only
the first process serves, and \`listen()\` of the others rejects with \`ERR_LISTEN\`. Use PM2 with one process, and
a \`--kill-timeout\` longer than the drain: its default of 1.6 s cuts the drain off. In a worker thread, a single
executable, Deno or Bun \`listen()\` rejects with \`ERR_RUNTIME\`, because workers run this program's own node.

A bundler must leave the package outside the bundle, because workers start from its files: for esbuild
\`--packages=external\`, or \`--external:megacomet-ts\`. TypeScript needs \`@types/node\` for the types.
`;

const TYPEDOC = {
  plugin: ['typedoc-plugin-markdown'],
  name: 'megacomet-ts',
  readme: 'none',
  logLevel: 'Warn',
  treatWarningsAsErrors: true,
  validation: { notDocumented: true, notExported: true, invalidLink: true },
  requiredToBeDocumented: [
    ...['Class', 'Interface', 'TypeAlias', 'Function', 'Variable', 'Enum', 'EnumMember'],
    ...['Method', 'Property', 'Accessor'],
  ],
  excludePrivate: true,
  excludeInternal: true,
  excludeExternals: true,
  disableSources: true,
  groupOrder: ['Functions', 'Classes', 'Interfaces', 'Type Aliases'],
};

const MARKDOWN = {
  // One page for the one entry point.
  outputFileStrategy: 'modules',
  hideBreadcrumbs: true,
  hidePageHeader: true,
  hidePageTitle: true,
  useCodeBlocks: true,
  parametersFormat: 'table',
  interfacePropertiesFormat: 'table',
  classPropertiesFormat: 'table',
  typeDeclarationFormat: 'table',
  propertyMembersFormat: 'table',
  tableColumnSettings: {
    hideDefaults: true,
    hideInherited: true,
    hideModifiers: true,
    hideOverrides: true,
    hideSources: true,
  },
};

/** Appends the docstrings of the words of a union to that of the type: the plug-in drops them. */
function listWords(project) {
  for (const { name, type, comment } of project.getReflectionsByKind(ReflectionKind.TypeAlias)) {
    if (!(type instanceof UnionType) || type.elementSummaries === undefined) continue;
    for (const [index, { value }] of type.types.entries()) {
      const summary = type.elementSummaries[index] ?? [];
      if (summary.length === 0) throw new PackagingError(`${name}: ${value} has no docstring`);
      const head = { kind: 'text', text: `${index === 0 ? '\n' : ''}\n- \`${value}\` — ` };
      comment.summary.push(head, ...summary);
    }
  }
}

/** Shows the members of a base class that is not public as members of the class itself. */
function hideBases(project) {
  const isHidden = ({ package: name, reflection }) => name === project.packageName && !reflection;
  for (const one of project.getReflectionsByKind(ReflectionKind.ClassOrInterface)) {
    if (!one.extendedTypes?.some(isHidden)) continue;
    delete one.extendedTypes;
    delete one.typeHierarchy;
    for (const member of one.children) {
      for (const part of [member, ...(member.signatures ?? [])]) {
        delete part.inheritedFrom;
        delete part.overwrites;
      }
    }
  }
}

/** The page of the entry file of a project, written to a folder first. */
async function convert(out, { entry, tsconfig }) {
  const app = await Application.bootstrapWithPlugins({
    ...TYPEDOC,
    ...MARKDOWN,
    entryPoints: [entry],
    tsconfig,
    out,
  });
  const project = await app.convert();
  if (project) app.validate(project);
  if (!project || app.logger.hasErrors() || app.logger.hasWarnings()) {
    throw new PackagingError('TypeDoc reports the problems above');
  }
  listWords(project);
  hideBases(project);
  await app.generateOutputs(project);
  return readFileSync(join(out, 'README.md'), 'utf8');
}

const LIBRARY = { entry: join(ROOT, 'lib/index.ts'), tsconfig: join(ROOT, 'tsconfig.json') };

export async function content(source = LIBRARY) {
  const out = mkdtempSync(join(tmpdir(), 'megacomet-library-'));
  try {
    return `${HEAD}\n${await convert(out, source)}`;
  } finally {
    rmSync(out, { recursive: true });
  }
}
