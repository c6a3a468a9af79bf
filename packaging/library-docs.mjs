// docs/library.md from the docstrings of the names that lib/index.ts exports. A public name, member
// or field without a docstring is a failure that names it.
//   node packaging/library-docs.mjs           writes the file (npm run docs)
//   node packaging/library-docs.mjs --print   writes it to standard output
//   node packaging/library-docs.mjs --print ENTRY   the names of another entry file
import { writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

import { format, resolveConfig } from 'prettier';
import ts from 'typescript';

import { main, PackagingError, ROOT } from './tools.mjs';

const PAGE = join(ROOT, 'docs/library.md');

const HEAD = `<!-- Written by packaging/library-docs.mjs from the docstrings of lib/: npm run docs. -->

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

- **Start.** \`createServer()\` checks the options and opens nothing; \`listen()\` binds, starts the workers and
  says what the server can hold. When it rejects, nothing is left open. A server starts once.
- **Publish.** With \`protocol: 'comet'\`: \`publish()\` to a channel, \`deliver()\` to one client's mailbox.
  Clients subscribe over HTTP and WebSocket; see [protocol.md](protocol.md).
- **Listen.** A \`Server\` is an \`EventEmitter\` with the events of \`ServerEvents\`. It emits no \`error\`:
  what a call cannot do it throws, or rejects with, as a \`MegacometError\`.
- **Close.** \`close()\` refuses new connections at once and resolves when all workers are gone. When your
  process ends, however it does, so do they.

Times say their unit in the name where they are not seconds; sizes are in bytes. The server installs no
signal handler, never exits, and logs nothing without a \`logger\`.
`;

/** The order of the page. What stands in none of these comes last, under its own heading. */
const SECTIONS = {
  'Starting and closing': [
    'createServer',
    'Server',
    'ServerOptions',
    'Adjustments',
    'Capacity',
    'CloseOptions',
    'CloseReport',
    'Logger',
  ],
  Events: ['ServerEvents', 'WorkerEvent', 'ClientMessage', 'MemberEvent'],
  'Publishing and channels': [
    'PublishOptions',
    'HistoryLimits',
    'SlowPolicy',
    'Receipt',
    'ChannelQuery',
    'ChannelPage',
    'ChannelInfo',
    'ChannelPresence',
  ],
  Figures: [
    'Stats',
    'WorkerStats',
    'MailboxCounters',
    'IngestCounters',
    'Headroom',
    'Count',
    'MetricValue',
    'Readiness',
    'Health',
  ],
  Errors: ['MegacometError', 'ErrorCode'],
};
const OTHERS = 'Others';

/** Where names without a docstring are noted. */
const missing = [];

const squeeze = (text) => text.replace(/\s+/g, ' ').trim();
const withoutLinks = (text) => text.replace(/\{@link ([\w.]+)\}/g, '`$1`');

function tagText(tag) {
  const name = tag.name ? `\`${tag.name.getText()}\` ` : '';
  const text = (ts.getTextOfJSDocComment(tag.comment) ?? '').replace(/^- /, '');
  return squeeze(withoutLinks(name + text));
}

/** What a docstring says: its text, and its tags as sentences. */
function docOf(node, path) {
  const docs = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  const text = docs.map((doc) => ts.getTextOfJSDocComment(doc.comment) ?? '').join('\n\n');
  if (squeeze(text) === '') missing.push(path);
  const paragraphs = withoutLinks(text)
    .split(/\n\s*\n/)
    .map(squeeze);
  const titles = { param: 'Parameter', returns: 'Returns', throws: 'Throws' };
  for (const tag of docs.flatMap((doc) => [...(doc.tags ?? [])])) {
    const title = titles[tag.tagName.text];
    if (title) paragraphs.push(`${title}: ${tagText(tag)}`);
  }
  return paragraphs.filter((paragraph) => paragraph !== '');
}

/** A type as it stands in the source, or as `{…}` where its members are told below it. */
function typeOf(node, isReadonly) {
  if (node === undefined) return isReadonly ? '' : 'void';
  return ts.isTypeLiteralNode(node) && isDocumented(node) ? '{…}' : squeeze(node.getText());
}

/** Whether a type in place has docstrings of its own; a short one speaks for itself. */
function isDocumented(literal) {
  return literal.members.some((member) => ts.getJSDocCommentsAndTags(member).length > 0);
}

function signatureOf(node) {
  const parameters = node.parameters
    .map((parameter) => squeeze(parameter.getText()).replace(/^(private|public|readonly) /, ''))
    .join(', ');
  const name = node.name?.getText() ?? 'constructor';
  return `${name}(${parameters})${node.type ? `: ${squeeze(node.type.getText())}` : ''}`;
}

/** What a member looks like, without its docstring. */
function faceOf(member) {
  if (ts.isMethodDeclaration(member) || ts.isMethodSignature(member)) return signatureOf(member);
  if (ts.isConstructorDeclaration(member))
    return `new ${member.parent.name.text}${signatureOf(member).slice(11)}`;
  if (ts.isIndexSignatureDeclaration(member)) {
    return squeeze(member.getText()).replace(/^readonly |;$/g, '');
  }
  const mark = member.questionToken ? '?' : '';
  const type = member.type ? typeOf(member.type) : squeeze(member.initializer?.getText() ?? '');
  return `${member.name.getText()}${mark}: ${type}`;
}

function isPublic(member) {
  if (member.name && ts.isPrivateIdentifier(member.name)) return false;
  const flags = ts.getCombinedModifierFlags(member);
  return (flags & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) === 0;
}

/** Items of a list: a member each, its paragraphs and the members of its own type below it. */
function membersOf(members, path, indent = '') {
  const lines = [];
  for (const member of members) {
    const face = faceOf(member);
    const [first = '', ...more] = docOf(member, `${path}.${face}`);
    lines.push(`${indent}- \`${face}\` — ${first}`);
    for (const paragraph of more) lines.push('', `${indent}  ${paragraph}`);
    if (more.length > 0) lines.push('');
    const type = member.type;
    if (type && ts.isTypeLiteralNode(type) && isDocumented(type)) {
      lines.push(...membersOf(type.members, `${path}.${face}`, `${indent}  `));
    }
  }
  return lines;
}

/** Words of a union of words, each with the docstring that stands before it. */
function wordsOf(union, path) {
  const source = union.getSourceFile().text;
  let from = union.getFullStart();
  return union.types.map((type) => {
    const before = source.slice(from, type.getStart());
    from = type.end;
    const text = /\/\*\*([\s\S]*?)\*\//.exec(before)?.[1].replace(/^\s*\*/gm, '') ?? '';
    if (squeeze(text) === '') missing.push(`${path}.${type.getText()}`);
    return `- \`${type.getText().replaceAll("'", '')}\` — ${squeeze(text)}`;
  });
}

/** A class shows its constructor only where it is exported as a value: others cannot call it. */
function classMembers(node, isType) {
  const shown = node.members.filter(
    (member) => isPublic(member) && !(isType && ts.isConstructorDeclaration(member)),
  );
  const properties = node.members
    .filter((member) => ts.isConstructorDeclaration(member))
    .flatMap((member) => [...member.parameters])
    .filter((parameter) => ts.isParameterPropertyDeclaration(parameter, parameter.parent));
  return { shown, properties };
}

function classText(node, name, isType) {
  const { shown, properties } = classMembers(node, isType);
  const tagOf = (parameter) => ts.getJSDocParameterTags(parameter)[0];
  const fields = properties.filter(isPublic).map((parameter) => {
    const face = faceOf(parameter);
    const tag = tagOf(parameter);
    if (tag === undefined) missing.push(`${name}.${face}`);
    const text = tag ? (ts.getTextOfJSDocComment(tag.comment) ?? '') : '';
    return `- \`${face}\` — ${squeeze(text.replace(/^- /, ''))}`;
  });
  const members = shown.filter((member) => !ts.isConstructorDeclaration(member));
  return [...fields, ...membersOf(members, name)];
}

function aliasText(node, name, checker) {
  const isWords =
    ts.isUnionTypeNode(node.type) &&
    node.type.types.length > 3 &&
    node.type.types.every(ts.isLiteralTypeNode);
  if (isWords) return wordsOf(node.type, name);
  // What is computed says nothing to the reader: `(typeof LIST)[number]` is told as its words.
  const text = node.type.getText();
  const shown = text.includes('typeof')
    ? checker.typeToString(
        checker.getTypeAtLocation(node),
        undefined,
        ts.TypeFormatFlags.InTypeAlias,
      )
    : text;
  return ['```ts', `type ${name} = ${squeeze(shown)};`, '```'];
}

/** One public name: its heading, its docstring, what it consists of. */
function entryText({ name, node, isType, checker }) {
  const lines = [];
  if (ts.isFunctionDeclaration(node)) {
    lines.push(`### ${name}()`, '', '```ts', signatureOf(node), '```', '');
    return [...lines, ...docOf(node, name).flatMap((text) => [text, '']), ''];
  }
  lines.push(`### ${name}`, '');
  const base = node.heritageClauses?.map((clause) => clause.getText()).join(' ');
  if (base)
    lines.push(`\`${ts.isClassDeclaration(node) ? 'class' : 'interface'} ${name} ${base}\``, '');
  lines.push(...docOf(node, name).flatMap((text) => [text, '']));
  if (ts.isClassDeclaration(node)) lines.push(...classText(node, name, isType));
  if (ts.isInterfaceDeclaration(node)) lines.push(...membersOf(node.members, name));
  if (ts.isTypeAliasDeclaration(node)) lines.push(...aliasText(node, name, checker));
  return [...lines, ''];
}

/** What a module exports: name, declaration, and whether only its type is. */
function exportsOf(entry) {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config;
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, ROOT);
  const program = ts.createProgram([entry], { ...options, noEmit: true });
  const checker = program.getTypeChecker();
  const file = program.getSourceFile(entry);
  const symbol = file && checker.getSymbolAtLocation(file);
  if (!symbol) throw new PackagingError(`${relative(ROOT, entry)} is no module`);
  return checker.getExportsOfModule(symbol).map((exported) => {
    const isAlias = (exported.flags & ts.SymbolFlags.Alias) !== 0;
    const target = isAlias ? checker.getAliasedSymbol(exported) : exported;
    const [specifier] = exported.declarations ?? [];
    const isType = isAlias && ts.isTypeOnlyExportDeclaration(specifier);
    return { name: exported.name, node: target.declarations?.[0], isType, checker };
  });
}

/** The whole page as prettier has it. */
async function page(entry) {
  const entries = new Map(exportsOf(entry).map((item) => [item.name, item]));
  const lines = [HEAD];
  const known = Object.values(SECTIONS).flat();
  const others = [...entries.keys()].filter((name) => !known.includes(name));
  for (const [title, names] of [...Object.entries(SECTIONS), [OTHERS, others]]) {
    const found = names.filter((name) => entries.has(name));
    if (found.length === 0) continue;
    lines.push(`## ${title}`, '');
    for (const name of found) lines.push(...entryText(entries.get(name)));
  }
  if (missing.length > 0) {
    throw new PackagingError(`without a docstring:\n  ${missing.join('\n  ')}`);
  }
  return format(lines.join('\n'), { ...(await resolveConfig(PAGE)), parser: 'markdown' });
}

await main(async () => {
  const isPrinted = process.argv[2] === '--print';
  const text = await page(resolve(process.argv[3] ?? join(ROOT, 'lib/index.ts')));
  if (isPrinted) process.stdout.write(text);
  else writeFileSync(PAGE, text);
});
