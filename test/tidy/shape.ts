// The rules about the shape of the source tree: headers, length of functions, lines and files, open
// ends, tests that run. Pure functions: files in, problems out.
import ts from 'typescript';

import {
  blank,
  CXX_FILE,
  headerLines,
  lineAt,
  lineOf,
  maskCxx,
  parse,
  PRODUCT_FILE,
  scripts,
  SOURCE_FILE,
  visit,
  type Check,
  type Problem,
  type SourceFile,
} from './source.js';

const FUNCTION_LINES_MAX = 60;
/** Lines that an excepted function may have around its one switch. */
const AROUND_SWITCH_LINES_MAX = 10;
const FILE_LINES_MAX = 600;
const FILE_BYTES_MAX = 400 * 1024;
const COLUMNS_MAX = 100;
const HEADER_LINES_MAX = 6;

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
