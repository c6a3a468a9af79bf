// The rules of the source tree as pure functions: files in, problems out. test/tidy.ts runs each one
// against a planted violation and against the tree. C++ is read by a small matcher, TypeScript by
// its own parser.
import ts from 'typescript';

/** One file: its path from the root, with slashes, and what it holds. */
export interface SourceFile {
  path: string;
  text: string;
  bytes: number;
}

export interface Problem {
  path: string;
  line: number;
  message: string;
}

export type Check = (files: readonly SourceFile[]) => Problem[];

/**
 * Where a file stands. A number: it names only files of a lower number. 'entry': names what its own
 * rules allow and is named by nobody. 'outside': runs before or without the compiled tree.
 */
export type Level = number | 'entry' | 'outside';

/**
 * The one table of levels (ARCHITECTURE.md explains them). A native entry stands for the .h and the
 * .cc of that name; `*` stands for one file name.
 */
export const LEVELS: Readonly<Record<string, Level>> = {
  'native/ascii': 0,
  'native/bounds': 0,
  'native/chance': 0,
  'native/check': 0,
  'native/libev': 0,
  'native/cursor': 1,
  'native/digest': 1,
  'native/queue': 1,
  'native/ref': 1,
  'native/sys': 1,
  'native/token_bucket': 1,
  'native/url_codec': 1,
  'native/utf8': 1,
  'native/address': 2,
  'native/comet_reader': 2,
  'native/deflate_codec': 2,
  'native/frames': 2,
  'native/histogram': 2,
  'native/http_codec': 2,
  'native/http_writer': 2,
  'native/json_codec': 2,
  'native/message': 2,
  'native/outbox': 2,
  'native/segment': 2,
  'native/slab': 2,
  'native/sse_codec': 2,
  'native/websocket_codec': 2,
  'native/admission': 3,
  'native/arrivals': 3,
  'native/channels': 3,
  'native/dial_request': 3,
  'native/http_body': 3,
  'native/inbox': 3,
  'native/lag': 3,
  'native/linger': 3,
  'native/message_codec': 3,
  'native/part_queue': 3,
  'native/slice_gate': 3,
  'native/comet_request': 4,
  'native/http_answer': 4,
  'native/session': 4,
  'native/connection': 5,
  'native/control': 5,
  'native/dialer': 6,
  'native/fanout': 6,
  'native/services': 6,
  'native/mailboxes': 7,
  'native/presence': 7,
  'native/protocol': 7,
  'native/dial_worker': 8,
  'native/drain': 8,
  'native/listening': 8,
  'native/protocol_echo': 8,
  'native/protocol_http': 8,
  'native/protocol_mailbox': 8,
  'native/protocol_poll': 8,
  'native/protocol_sse': 8,
  'native/protocol_stream': 8,
  'native/protocol_websocket': 8,
  'native/sweep': 8,
  'native/transport': 8,
  'native/hub': 9,
  'native/listener': 9,
  'native/hub_sending': 10,
  'native/worker': 10,
  'native/binding': 11,

  'lib/block-pool.ts': 0,
  'lib/chain.ts': 0,
  'lib/errors.ts': 0,
  'lib/flat-json.ts': 0,
  'lib/floors.ts': 0,
  'lib/hash-index.ts': 0,
  'lib/idempotency.ts': 0,
  'lib/name-hash.ts': 0,
  'lib/option-spec.ts': 0,
  'lib/push-metrics.ts': 0,
  'lib/typed-array.ts': 0,
  'lib/bench-result.ts': 1,
  'lib/comet.ts': 1,
  'lib/kernel.ts': 1,
  'lib/logger.ts': 1,
  'lib/message-index.ts': 1,
  'lib/name-log.ts': 1,
  'lib/native.ts': 1,
  'lib/outgoing.ts': 1,
  'lib/plots.ts': 1,
  'lib/serve-options.ts': 1,
  'lib/sizing.ts': 1,
  'lib/slabs.ts': 1,
  'lib/token.ts': 1,
  'lib/tool-options.ts': 1,
  'lib/whole-file.ts': 1,
  'lib/capacity.ts': 2,
  'lib/fast-frames.ts': 2,
  'lib/frames.ts': 2,
  'lib/headroom.ts': 2,
  'lib/history-engine.ts': 2,
  'lib/identity.ts': 2,
  'lib/ingest-parser.ts': 2,
  'lib/listening.ts': 2,
  'lib/machine.ts': 2,
  'lib/messages.ts': 2,
  'lib/options.ts': 2,
  'lib/publishing.ts': 2,
  'lib/registry.ts': 2,
  'lib/report-html.ts': 2,
  'lib/subscription.ts': 2,
  'lib/systemd.ts': 2,
  'lib/config.ts': 3,
  'lib/finding.ts': 3,
  'lib/history.ts': 3,
  'lib/interest.ts': 3,
  'lib/limit-watch.ts': 3,
  'lib/mailboxes.ts': 3,
  'lib/ports.ts': 3,
  'lib/presence.ts': 3,
  'lib/publish-request.ts': 3,
  'lib/questions.ts': 3,
  'lib/report.ts': 3,
  'lib/service.ts': 3,
  'lib/spawn.ts': 3,
  'lib/stats.ts': 3,
  'lib/units.ts': 3,
  'lib/admin-client.ts': 4,
  'lib/broker.ts': 4,
  'lib/checks/*.ts': 4,
  'lib/fleet.ts': 4,
  'lib/manager.ts': 4,
  'lib/metrics.ts': 4,
  'lib/publish-api.ts': 4,
  'lib/server-options.ts': 4,
  'lib/admin.ts': 5,
  'lib/doctor.ts': 5,
  'lib/histograms.ts': 5,
  'lib/ingest.ts': 5,
  'lib/push.ts': 5,
  'lib/server-watch.ts': 5,
  'lib/bench.ts': 6,
  'lib/machine-plan.ts': 6,
  'lib/remedy.ts': 6,
  'lib/server.ts': 6,
  'lib/commands/*.ts': 7,
  'lib/cli.ts': 8,
  'lib/index.ts': 8,
  'lib/worker.cts': 'entry',
  'lib/bin.js': 'outside',
  'lib/check-system.js': 'outside',
};

/** Names that only some files may use, and what everybody else does instead. */
const CONFINED_INCLUDES = [
  {
    pattern: /^(sys\/socket\.h|netinet\/.*|arpa\/.*)$/,
    units: ['native/sys', 'native/address', 'native/listening'],
    instead: 'call a function of sys.h',
  },
  { pattern: /^ev(\+\+)?\.h$/, units: ['native/libev'], instead: 'include "libev.h"' },
  {
    pattern: /^(napi|node_api|js_native_api)\.h$/,
    units: ['native/binding'],
    instead: 'let binding.cc convert',
  },
];
const ADDON_LOADERS = ['lib/native.ts', 'lib/worker.cts'];
const EXIT_CALLERS = ['lib/cli.ts', 'lib/commands/serve.ts', 'lib/worker.cts', 'lib/bin.js'];
const CONSOLE_USERS = /^lib\/(cli\.ts|commands\/[^/]+)$/;

/**
 * Native files that may take memory from the heap: on request, never per idle connection. Transport
 * makes the outbox of a slow peer; its owner is a record of the slab, which has no destructor.
 */
const HEAP_USERS = [
  'native/outbox',
  'native/frames',
  'native/control',
  'native/slab',
  'native/transport',
];

/** Native calls that have a better way here. Matched against code without comments and strings. */
const BANNED_NATIVE: readonly { pattern: RegExp; instead: string; allowed?: string[] }[] = [
  { pattern: /\bassert\s*\(/, instead: 'MC_CHECK, which is always on' },
  { pattern: /\b(strcpy|strcat|stpcpy)\s*\(/, instead: 'memcpy with a checked length' },
  { pattern: /\bv?sprintf\s*\(/, instead: 'snprintf' },
  { pattern: /\bgets\s*\(/, instead: 'read with a length' },
  {
    pattern: /\b(printf|vprintf|puts|putchar)\s*\(|\bfprintf\s*\(\s*stdout\b/,
    instead: 'a log frame to the manager, which owns stdout',
  },
  { pattern: /\bstd::(cout|cerr|clog)\b/, instead: 'a log frame to the manager' },
  { pattern: /\bv?fork\s*\(/, instead: 'lib/spawn.ts: Node cannot go on after fork' },
  { pattern: /\b(usleep|nanosleep|sleep)\s*\(/, instead: 'an ev_timer: the loop never waits' },
  {
    pattern: /\bnew\b(?!\s*\((?!\s*std::nothrow))|\b(malloc|calloc|realloc|strdup)\s*\(/,
    instead: 'memory of slab or outbox, or a member of a standard container',
    allowed: HEAP_USERS,
  },
  {
    pattern: /\b(throw|try|catch)\b/,
    instead: 'a closed result for what may happen, MC_CHECK for a bug',
  },
];

const FUNCTION_LINES_MAX = 60;
/** Lines that an excepted function may have around its one switch. */
const AROUND_SWITCH_LINES_MAX = 10;
const FILE_LINES_MAX = 600;
const FILE_BYTES_MAX = 400 * 1024;
const COLUMNS_MAX = 100;
const HEADER_LINES_MAX = 6;
const HELP_LENGTH_MIN = 20;

const CXX_FILE = /\.(h|cc|c)$/;
const SCRIPT_FILE = /\.(ts|cts|mts|js|cjs|mjs)$/;
const SOURCE_FILE = /^(native|lib|bench|test)\/.*\.(h|cc|c|ts|cts|mts|js|cjs|mjs)$/;
const PRODUCT_FILE = /^(native|lib)\//;

export function file(path: string, text: string): SourceFile {
  return { path, text, bytes: Buffer.byteLength(text) };
}

export function format(problem: Problem): string {
  return `${problem.path}:${problem.line}: ${problem.message}`;
}

// ---- Reading C and C++

interface MaskedCxx {
  /** Without comments; strings stay. Same length and lines as the text. */
  withStrings: string;
  /** Without comments and without what strings hold. */
  code: string;
}

const CXX_TOKEN =
  /\/\/(?:\\\n|[^\n])*|\/\*[\s\S]*?(?:\*\/|$)|R"([^()\\\s]{0,16})\([\s\S]*?\)\1"|"(?:\\[\s\S]|[^"\\\n])*"?|(?<![0-9a-fA-F])'(?:\\[\s\S]|[^'\\\n])*'?/g;

const blank = (text: string): string => text.replace(/[^\n]/g, ' ');

/** Replaces comments, and in `code` also the inside of strings, by spaces. */
export function maskCxx(text: string): MaskedCxx {
  const isComment = (token: string): boolean => token.startsWith('//') || token.startsWith('/*');
  return {
    withStrings: text.replace(CXX_TOKEN, (token) => (isComment(token) ? blank(token) : token)),
    code: text.replace(CXX_TOKEN, (token) => {
      if (isComment(token)) return blank(token);
      if (token.length < 2) return token;
      return token.charAt(0) + blank(token.slice(1, -1)) + token.charAt(token.length - 1);
    }),
  };
}

function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1))
    line++;
  return line;
}

interface Include {
  name: string;
  isQuoted: boolean;
  line: number;
}

function includesOf(source: SourceFile): Include[] {
  const lines = maskCxx(source.text).withStrings.split('\n');
  return lines.flatMap((text, index) => {
    const match = /^\s*#\s*include\s*(["<])([^">]+)[">]/.exec(text);
    if (!match) return [];
    return [{ name: match[2] ?? '', isQuoted: match[1] === '"', line: index + 1 }];
  });
}

// ---- Reading TypeScript and JavaScript

function parse(source: SourceFile): ts.SourceFile {
  const kind = /\.(js|cjs|mjs)$/.test(source.path) ? ts.ScriptKind.JS : ts.ScriptKind.TS;
  return ts.createSourceFile(source.path, source.text, ts.ScriptTarget.Latest, true, kind);
}

function visit(node: ts.Node, each: (node: ts.Node) => void): void {
  each(node);
  ts.forEachChild(node, (child) => {
    visit(child, each);
  });
}

function lineOf(tree: ts.SourceFile, node: ts.Node): number {
  return tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
}

interface Found<Value> {
  value: Value;
  line: number;
}

/** Runs `find` over every node of every script file and turns its answers into problems. */
function scripts(
  files: readonly SourceFile[],
  isWanted: (path: string) => boolean,
  find: (node: ts.Node, tree: ts.SourceFile) => string | undefined,
): Problem[] {
  const problems: Problem[] = [];
  for (const source of files) {
    if (!SCRIPT_FILE.test(source.path) || !isWanted(source.path)) continue;
    const tree = parse(source);
    visit(tree, (node) => {
      const message = find(node, tree);
      if (message) problems.push({ path: source.path, line: lineOf(tree, node), message });
    });
  }
  return problems;
}

/** The module that a node names: import, export from, import(), require(), `import x = require()`. */
function moduleNamedBy(node: ts.Node): string | undefined {
  let name: ts.Node | undefined;
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
    name = node.moduleSpecifier;
  } else if (ts.isExternalModuleReference(node)) {
    name = node.expression;
  } else if (ts.isImportTypeNode(node)) {
    name = ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined;
  } else if (ts.isCallExpression(node)) {
    const isImport = node.expression.kind === ts.SyntaxKind.ImportKeyword;
    const isRequire = ts.isIdentifier(node.expression) && node.expression.text === 'require';
    if (isImport || isRequire) name = node.arguments[0];
  }
  return name && ts.isStringLiteralLike(name) ? name.text : undefined;
}

function modulesOf(source: SourceFile): Found<string>[] {
  const tree = parse(source);
  const found: Found<string>[] = [];
  visit(tree, (node) => {
    const value = moduleNamedBy(node);
    if (value !== undefined) found.push({ value, line: lineOf(tree, node) });
  });
  return found;
}

/** `object.name` of a property access on a plain identifier. */
function memberOf(node: ts.Node): { object: string; name: string } | undefined {
  if (!ts.isPropertyAccessExpression(node) || !ts.isIdentifier(node.expression)) return undefined;
  return { object: node.expression.text, name: node.name.text };
}

// ---- Layers

/** The table's entry for a path: itself, its native unit, or a pattern with `*`. */
function entryOf(path: string): string | undefined {
  const unit = path.startsWith('native/') ? path.replace(CXX_FILE, '') : path;
  if (Object.hasOwn(LEVELS, unit)) return unit;
  const pattern = path.replace(/[^/]+(\.\w+)$/, '*$1');
  return Object.hasOwn(LEVELS, pattern) ? pattern : undefined;
}

function judgeName(from: string, to: string): string | undefined {
  const [own, other] = [entryOf(from), entryOf(to)];
  if (own === undefined) return undefined;
  if (other === undefined) return `names ${to}, which is not in LEVELS of test/tidy-rules.ts`;
  if (from.startsWith('native/') && own === other) return undefined;
  const [low, high] = [LEVELS[other], LEVELS[own]];
  if (typeof low === 'string') return `names ${to}, which nobody may name: it is '${low}'`;
  if (typeof high === 'string' && PRODUCT_FILE.test(to) && high === 'entry') {
    return `names ${to}: an entry names packages only; pass what it needs from outside`;
  }
  if (typeof high !== 'number' || low === undefined || low < high) return undefined;
  return `names ${to} of level ${low} from level ${high}: move the shared part below both, or pass it in`;
}

function resolveModule(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  const path = parts.join('/');
  if (Object.hasOwn(LEVELS, path)) return path;
  return path
    .replace(/\.cjs$/, '.cts')
    .replace(/\.mjs$/, '.mts')
    .replace(/\.js$/, '.ts');
}

function namesOf(source: SourceFile): Found<string>[] {
  if (source.path.startsWith('native/')) {
    const quoted = includesOf(source).filter((include) => include.isQuoted);
    return quoted.map(({ name, line }) => {
      const value = name.startsWith('native/') ? name : `native/${name}`;
      return { value, line };
    });
  }
  return modulesOf(source)
    .filter(({ value }) => value.startsWith('.'))
    .map(({ value, line }) => ({ value: resolveModule(source.path, value), line }));
}

const isLayered = (path: string): boolean =>
  /^native\/.*\.(h|cc|c)$/.test(path) || /^lib\/.*\.(ts|cts|js)$/.test(path);

/** A file names only files of a lower level. */
export const layers: Check = (files) =>
  files
    .filter(({ path }) => isLayered(path) && LEVELS[entryOf(path) ?? ''] !== 'outside')
    .flatMap((source) =>
      namesOf(source).flatMap(({ value, line }) => {
        const message = judgeName(source.path, value);
        return message ? [{ path: source.path, line, message }] : [];
      }),
    );

/** Every file under native/ and lib/ has a level. */
export const everyFileHasALevel: Check = (files) =>
  files
    .filter(({ path }) => PRODUCT_FILE.test(path) && entryOf(path) === undefined)
    .map(({ path }) => ({
      path,
      line: 1,
      message: 'is not in the table: give it a level in LEVELS of test/tidy-rules.ts',
    }));

/** Where a header says "Level 3", the table says the same. */
export const headersTellTheirLevel: Check = (files) =>
  files.flatMap(({ path, text }) => {
    const level = LEVELS[entryOf(path) ?? ''];
    const told = /\bLevel (\d+)\b/.exec(headerLines(text).join(' '))?.[1];
    if (level === undefined || told === undefined || String(level) === told) return [];
    const message = `says level ${told}, and the table says ${level}: make them agree`;
    return [{ path, line: 1, message }];
  });

/** Every entry of the table stands for a file. */
export const everyLevelHasAFile: Check = (files) => {
  const used = new Set(files.map(({ path }) => entryOf(path)));
  return Object.keys(LEVELS)
    .filter((entry) => !used.has(entry))
    .map((entry) => ({
      path: 'test/tidy-rules.ts',
      line: 1,
      message: `LEVELS names ${entry}, and there is no such file: remove the entry`,
    }));
};

// ---- Who may use what

export const confinedIncludes: Check = (files) =>
  files
    .filter(({ path }) => /^native\/.*\.(h|cc|c)$/.test(path))
    .flatMap((source) =>
      includesOf(source).flatMap(({ name, line }) => {
        const rule = CONFINED_INCLUDES.find(({ pattern }) => pattern.test(name));
        if (!rule || rule.units.includes(source.path.replace(CXX_FILE, ''))) return [];
        const owners = rule.units.map((unit) => unit.replace('native/', '')).join(' and ');
        const message = `includes ${name}, which belongs to ${owners}: ${rule.instead}`;
        return [{ path: source.path, line, message }];
      }),
    );

export const addonLoading: Check = (files) =>
  scripts(
    files,
    (path) => path.startsWith('lib/') && !ADDON_LOADERS.includes(path),
    (node) => {
      const module = moduleNamedBy(node);
      const member = memberOf(node);
      const isLoad =
        module === 'node-gyp-build' ||
        module?.endsWith('.node') === true ||
        (member?.object === 'process' && member.name === 'dlopen');
      return isLoad ? 'loads the addon: import it from native.ts' : undefined;
    },
  );

export const exits: Check = (files) =>
  scripts(
    files,
    (path) => path.startsWith('lib/') && !EXIT_CALLERS.includes(path),
    (node) => {
      const member = memberOf(node);
      const isExit = member?.object === 'process' && /^(exit|reallyExit|abort)$/.test(member.name);
      const isImport =
        ts.isImportSpecifier(node) &&
        (node.propertyName ?? node.name).text === 'exit' &&
        moduleNamedBy(node.parent.parent.parent) === 'node:process';
      return isExit || isImport
        ? 'ends the process: throw MegacometError, or set process.exitCode in a command'
        : undefined;
    },
  );

export const consoles: Check = (files) =>
  scripts(
    files,
    (path) => path.startsWith('lib/') && !CONSOLE_USERS.test(path),
    (node) =>
      memberOf(node)?.object === 'console'
        ? 'writes to the console: use the logger, or return it to the command'
        : undefined,
  );

export const bannedNative: Check = (files) =>
  files
    .filter(({ path }) => /^native\/.*\.(h|cc|c)$/.test(path))
    .flatMap((source) => {
      const unit = source.path.replace(CXX_FILE, '');
      const rules = BANNED_NATIVE.filter(({ allowed }) => !allowed?.includes(unit));
      const lines = maskCxx(source.text).code.split('\n');
      return lines.flatMap((code, index) => {
        // What an #include names is no call.
        if (/^\s*#\s*include\b/.test(code)) return [];
        return rules.flatMap(({ pattern, instead }) => {
          const match = pattern.exec(code);
          if (!match) return [];
          const message = `uses ${match[0].replace(/\s*\($/, '')}: use ${instead}`;
          return [{ path: source.path, line: index + 1, message }];
        });
      });
    });

// ---- Shape

/** The first paragraph of the comment that opens a file, as lines of text; empty without one. */
function headerLines(text: string): string[] {
  const lines = text.replace(/^#!.*\n/, '').split('\n');
  const header: string[] = [];
  const isBlock = lines[0]?.trimStart().startsWith('/*') === true;
  for (const line of lines) {
    const isComment = isBlock || line.startsWith('//');
    if (!isComment) break;
    const words = line.replace(/^\s*(\/\/[/!]?|\/\*\*?|\*(?!\/))/, '').replace(/\*\/\s*$/, '');
    if (words.trim() !== '') header.push(words.trim());
    // A blank comment line ends the paragraph; what follows it may be as long as it needs.
    else if (header.length > 0) break;
    if (isBlock && line.includes('*/')) break;
  }
  return header;
}

export const headers: Check = (files) =>
  files
    .filter(({ path }) => SOURCE_FILE.test(path))
    .flatMap(({ path, text }) => {
      const count = headerLines(text).length;
      if (count >= 1 && count <= HEADER_LINES_MAX) return [];
      const message =
        count === 0
          ? 'has no header: start with a comment that says what the file owns'
          : `has a header of ${count} lines: say it in ${HEADER_LINES_MAX}, or put a blank comment line after the summary`;
      return [{ path, line: 1, message }];
    });

interface FunctionSpan {
  name: string;
  first: number;
  last: number;
  /** One switch makes up the body, and its cases are flat. */
  isFlatSwitch: boolean;
}

type Scope = 'outer' | 'data' | 'function' | 'inner';

/** Tells what a brace opens from the text between the last `;`, `{` or `}` and it. */
function scopeOpenedBy(head: string, parent: Scope): Scope {
  if (parent === 'function' || parent === 'inner') return 'inner';
  if (parent === 'data') return 'data';
  const words = head
    .replace(/\b(alignas|__attribute__|noexcept|decltype)\s*\((?:[^()]|\([^()]*\))*\)/g, ' ')
    .replace(/\[\[[^\]]*\]\]/g, ' ')
    .trim();
  if (/\bnamespace\b|\bextern\s*"/.test(words)) return 'outer';
  if (/\benum\b/.test(words) && !words.includes('(')) return 'data';
  if (/\b(class|struct|union)\b/.test(words) && !words.includes('(')) return 'outer';
  if (/=\s*$/.test(words) && !/operator\s*=+\s*$/.test(words)) return 'data';
  // Nothing before the brace: the body of a constructor after `: member_{…}`.
  return words === '' || words.includes('(') ? 'function' : 'data';
}

/** True when the lines of a function are one switch, with few lines around it and no deep nesting. */
function isFlatSwitchCxx(body: string): boolean {
  const at = body.search(/\bswitch\s*\(/);
  if (at === -1) return false;
  let depth = 0;
  let deepest = 0;
  let end = at;
  for (; end < body.length; end++) {
    if (body[end] === '{') deepest = Math.max(deepest, ++depth);
    if (body[end] === '}' && --depth === 0) break;
  }
  const around = lineAt(body, body.length) - (lineAt(body, end) - lineAt(body, at) + 1);
  // switch, case, and one if or loop in a case.
  return around <= AROUND_SWITCH_LINES_MAX && deepest <= 3;
}

/** Finds the functions of a C or C++ file by matching braces; a lambda belongs to its function. */
export function functionsOfCxx(text: string): FunctionSpan[] {
  // Directives go: a brace in a macro has no partner here. clang-tidy sees the expansion.
  const code = maskCxx(text).code.replace(/^[ \t]*#(?:\\\n|[^\n])*/gm, blank);
  const functions: FunctionSpan[] = [];
  const open: { scope: Scope; start: number; brace: number }[] = [];
  let headStart = 0;
  for (const { index, 0: sign } of code.matchAll(/[{};]/g)) {
    if (sign === '{') {
      // A list like MC_FRAMES(X) ends without a semicolon, so it is no part of what follows.
      const head = code.slice(headStart, index);
      const start =
        headStart + (/^(?:\s|[A-Z][A-Z0-9_]*\([^()]*\)\s)*/.exec(head)?.[0].length ?? 0);
      const scope = scopeOpenedBy(code.slice(start, index), open.at(-1)?.scope ?? 'outer');
      open.push({ scope, start, brace: index });
    } else if (sign === '}') {
      const closed = open.pop();
      if (closed?.scope === 'function') {
        const head = code.slice(closed.start, closed.brace);
        functions.push({
          name: /([\w~:]+|operator\S+)\s*\(/.exec(head)?.[1] ?? 'function',
          first: lineAt(code, closed.start),
          last: lineAt(code, index),
          isFlatSwitch: isFlatSwitchCxx(code.slice(closed.start, index + 1)),
        });
      }
    }
    headStart = index + 1;
  }
  return functions;
}

function isFlatSwitchScript(body: ts.Node, tree: ts.SourceFile): boolean {
  const lines = (node: ts.Node): number =>
    tree.getLineAndCharacterOfPosition(node.getEnd()).line + 1 - lineOf(tree, node) + 1;
  if (!ts.isBlock(body)) return false;
  const chosen = body.statements.find((statement) => ts.isSwitchStatement(statement));
  if (!chosen || lines(body) - lines(chosen) > AROUND_SWITCH_LINES_MAX) return false;
  let isFlat = true;
  visit(chosen.caseBlock, (node) => {
    if (ts.isSwitchStatement(node) || ts.isIterationStatement(node, false)) isFlat = false;
  });
  return isFlat;
}

/** Finds the functions of a script, without their doc comments; a nested one counts for both. */
export function functionsOfScript(source: SourceFile): FunctionSpan[] {
  const tree = parse(source);
  const functions: FunctionSpan[] = [];
  visit(tree, (node) => {
    if (!ts.isFunctionLike(node) || !('body' in node) || !node.body) return;
    const named =
      node.name ?? (ts.isVariableDeclaration(node.parent) ? node.parent.name : undefined);
    functions.push({
      name: named?.getText(tree) ?? 'function',
      first: lineOf(tree, node),
      last: tree.getLineAndCharacterOfPosition(node.getEnd()).line + 1,
      isFlatSwitch: isFlatSwitchScript(node.body, tree),
    });
  });
  return functions;
}

/** No function over 60 lines; one flat switch in a file is let through. */
export const functionLength: Check = (files) =>
  files
    .filter(({ path }) => SOURCE_FILE.test(path))
    .flatMap((source) => {
      const isCxx = CXX_FILE.test(source.path);
      const all = isCxx ? functionsOfCxx(source.text) : functionsOfScript(source);
      const long = all.filter(({ first, last }) => last - first + 1 > FUNCTION_LINES_MAX);
      const excepted = long.find(({ isFlatSwitch }) => isFlatSwitch);
      return long
        .filter((span) => span !== excepted)
        .map(({ name, first, last }) => ({
          path: source.path,
          line: first,
          message: `${name} has ${last - first + 1} lines: split it, ${FUNCTION_LINES_MAX} is the most`,
        }));
    });

/** Runs `judge` over the lines of the files whose path fits. */
function eachLine(
  files: readonly SourceFile[],
  paths: RegExp,
  judge: (line: string) => string | undefined,
): Problem[] {
  return files
    .filter(({ path }) => paths.test(path))
    .flatMap(({ path, text }) =>
      text.split('\n').flatMap((content, index) => {
        const message = judge(content);
        return message ? [{ path, line: index + 1, message }] : [];
      }),
    );
}

export const lineLength: Check = (files) =>
  eachLine(files, PRODUCT_FILE, (line) => {
    const columns = Array.from(line).length;
    return columns > COLUMNS_MAX
      ? `has ${columns} columns: break it, ${COLUMNS_MAX} is the most`
      : undefined;
  });

export const blanks: Check = (files) =>
  eachLine(files, SOURCE_FILE, (line) => {
    if (line.includes('\t')) return 'holds a tab: use spaces, or \\t in a string';
    if (line.endsWith('\r')) return 'ends with a carriage return: use \\n alone';
    return /\s$/.test(line) ? 'ends with spaces: remove them' : undefined;
  });

/** Written with a class, so that this file does not accuse itself. */
const FIX_ME = /\bFIX[M]E\b/;
const TO_DO = /\bTO[D]O\b(?!\(#\d+\):)/;

export const openEnds: Check = (files) =>
  eachLine(files, SOURCE_FILE, (line) => {
    if (FIX_ME.test(line)) return 'asks to be fixed: fix it, or open an issue and write its number';
    return TO_DO.test(line) ? 'names no issue: put its number behind the word, (#123):' : undefined;
  });

/** True when a node runs only if some condition holds. */
function isConditional(node: ts.Node): boolean {
  for (let at: ts.Node = node; !ts.isFunctionLike(at) && !ts.isSourceFile(at); at = at.parent) {
    if (ts.isIfStatement(at) || ts.isConditionalExpression(at)) return true;
  }
  return false;
}

/** Every test runs: no `.only`, and `skip` only where a condition decides. */
export const everyTestRuns: Check = (files) =>
  scripts(
    files,
    (path) => path.startsWith('test/'),
    (node) => {
      if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
        const name = node.expression.name.text;
        if (name === 'only') return 'runs this test alone: remove .only';
        if (name === 'skip' && !isConditional(node)) {
          return 'skips a test always: write { skip: condition && reason }';
        }
      }
      if (ts.isPropertyAssignment(node) && ts.isIdentifier(node.name)) {
        const isFixed =
          node.initializer.kind === ts.SyntaxKind.TrueKeyword ||
          ts.isStringLiteralLike(node.initializer);
        if (isFixed && /^(only|skip)$/.test(node.name.text) && isTestOption(node)) {
          return `sets ${node.name.text} always: remove it, or let a condition decide`;
        }
      }
      return undefined;
    },
  );

/** True for `{ skip: … }` as an argument of `t.test(name, { … }, body)`. */
function isTestOption(property: ts.PropertyAssignment): boolean {
  const call = property.parent.parent;
  return (
    ts.isCallExpression(call) &&
    ts.isPropertyAccessExpression(call.expression) &&
    call.expression.name.text === 'test'
  );
}

export const fileSize: Check = (files) =>
  files.flatMap(({ path, text, bytes }) => {
    const lines = text.split('\n').length - 1;
    if (PRODUCT_FILE.test(path) && lines > FILE_LINES_MAX) {
      const message = `has ${lines} lines: split it by what it owns, ${FILE_LINES_MAX} is the most`;
      return [{ path, line: FILE_LINES_MAX + 1, message }];
    }
    if (bytes <= FILE_BYTES_MAX) return [];
    const message = `has ${Math.ceil(bytes / 1024)} KiB: keep it out of git, 400 KiB is the most`;
    return [{ path, line: 1, message }];
  });

// ---- Documents

/** Writes out `native/{a,b}.h`, so that a map may be short. */
function expandBraces(text: string): string {
  return text.replace(/([\w./-]*)\{([\w.,\s-]+)\}([\w./-]*)/g, (_all, before, inner, after) =>
    String(inner)
      .split(',')
      .map((part) => `${String(before)}${part.trim()}${String(after)}`)
      .join(' '),
  );
}

/** ARCHITECTURE.md, once there is one, names every file of native/ and lib/. */
export const architecture: Check = (files) => {
  const map = files.find(({ path }) => path === 'ARCHITECTURE.md');
  if (!map) return [];
  const named = new Set(expandBraces(map.text).match(/[\w./-]*\w\.(h|cc|c|ts|cts|js)\b/g));
  const products = files.filter(({ path }) => PRODUCT_FILE.test(path));
  return products
    .filter(({ path }) => {
      const parts = path.split('/');
      const base = parts.at(-1) ?? '';
      const twins = products.filter((other) => other.path.endsWith(`/${base}`));
      // A file that shares its name with another is named with its folder.
      const shortest = twins.length > 1 ? 2 : 1;
      return !parts.some(
        (_part, index) =>
          parts.length - index >= shortest && named.has(parts.slice(index).join('/')),
      );
    })
    .map(({ path }) => ({
      path: map.path,
      line: 1,
      message: `does not name ${path}: add it to the map with one line of what it owns`,
    }));
};

interface CounterRow {
  name: string;
  kind: string;
  help: string;
  line: number;
}

/** Reads the rows X(kName, "name", kKind, "help…") of the list; `broken` are lines that did not fit. */
function counterRows(text: string): { rows: CounterRow[]; broken: number[] } {
  const code = maskCxx(text).withStrings;
  const start = code.search(/#\s*define\s+MC_COUNTERS\s*\(/);
  if (start === -1) return { rows: [], broken: [] };
  // The list ends at the first line that is not continued.
  const end = start + (/[^\\]\n/.exec(code.slice(start))?.index ?? code.length);
  const list = code.slice(0, end + 1);
  const begins = [...list.matchAll(/\bX\s*\(/g)].filter(({ index }) => index > start);
  const rows: CounterRow[] = [];
  const broken: number[] = [];
  for (const { index } of begins) {
    const flat = list.slice(index).replace(/\\\n/g, ' \n');
    const match =
      /^X\s*\(\s*k\w+\s*,\s*"([^"]*)"\s*,\s*([\w:]+)\s*,\s*((?:"(?:\\.|[^"\\])*"\s*)+)\)/.exec(
        flat,
      );
    const line = lineAt(code, index);
    if (!match) {
      broken.push(line);
      continue;
    }
    const [, name = '', kind = '', literals = ''] = match;
    const help = [...literals.matchAll(/"((?:\\.|[^"\\])*)"/g)].map((part) => part[1]).join('');
    rows.push({ name, kind, help, line });
  }
  return { rows, broken };
}

function judgeCounter(row: CounterRow, all: readonly CounterRow[]): string | undefined {
  const isGauge = /gauge/i.test(row.kind);
  const isTotal = row.name.endsWith('_total');
  if (!/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(row.name)) return `${row.name}: name it in snake_case`;
  if (all.find(({ name }) => name === row.name) !== row) return `${row.name} stands here twice`;
  if (isGauge && isTotal) return `${row.name} is a gauge: drop _total`;
  if (!isGauge && !isTotal) return `${row.name} only grows: end it in _total, or make it a gauge`;
  return judgeHelp(row);
}

function judgeHelp({ name, help }: { name: string; help: string }): string | undefined {
  if (help.trim().length >= HELP_LENGTH_MIN) return undefined;
  return `${name} has a help of ${help.trim().length} characters: say what it tells the reader`;
}

/** Every counter of native/segment.h is named and explained. */
export const counters: Check = (files) =>
  files
    .filter(({ path }) => path === 'native/segment.h')
    .flatMap(({ path, text }) => {
      const { rows, broken } = counterRows(text);
      if (rows.length === 0) {
        return [
          { path, line: 1, message: 'has no rows X(kName, "name", kKind, "help") in MC_COUNTERS' },
        ];
      }
      return [
        ...broken.map((line) => ({
          path,
          line,
          message: 'is no row X(kName, "name", kKind, "help"): write it so, with a help text',
        })),
        ...rows.flatMap((row) => {
          const message = judgeCounter(row, rows);
          return message ? [{ path, line: row.line, message }] : [];
        }),
      ];
    });

/** Every option of lib/options.ts has a help text; takes what `OPTIONS` holds. */
export function options(value: unknown): Problem[] {
  const path = 'lib/options.ts';
  if (!Array.isArray(value) || value.length === 0) {
    return [{ path, line: 1, message: 'exports no array OPTIONS of { name, help, … }' }];
  }
  return value.flatMap((option: unknown, index) => {
    const { name, help } = (option ?? {}) as { name?: unknown; help?: unknown };
    const shown = typeof name === 'string' && name !== '' ? name : `option ${index}`;
    const message = judgeHelp({ name: shown, help: typeof help === 'string' ? help : '' });
    return message ? [{ path, line: 1, message }] : [];
  });
}
