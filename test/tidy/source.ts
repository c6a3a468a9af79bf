// Parsing for the rules of the tree: C++ with a small matcher, TypeScript with its own parser, the
// headers of files by lines.
import ts from 'typescript';

/** One file: its path from the root, with slashes, and its text. */
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

export const CXX_FILE = /\.(h|cc|c)$/;
export const SCRIPT_FILE = /\.(ts|cts|mts|js|cjs|mjs)$/;
export const SOURCE_FILE = /^(native|lib|bench|test)\/.*\.(h|cc|c|ts|cts|mts|js|cjs|mjs)$/;
export const PRODUCT_FILE = /^(native|lib)\//;

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
  /** Without comments and without the contents of strings. */
  code: string;
}

const CXX_TOKEN =
  /\/\/(?:\\\n|[^\n])*|\/\*[\s\S]*?(?:\*\/|$)|R"([^()\\\s]{0,16})\([\s\S]*?\)\1"|"(?:\\[\s\S]|[^"\\\n])*"?|(?<![0-9a-fA-F])'(?:\\[\s\S]|[^'\\\n])*'?/g;

export const blank = (text: string): string => text.replace(/[^\n]/g, ' ');

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

export function lineAt(text: string, index: number): number {
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

export function includesOf(source: SourceFile): Include[] {
  const lines = maskCxx(source.text).withStrings.split('\n');
  return lines.flatMap((text, index) => {
    const match = /^\s*#\s*include\s*(["<])([^">]+)[">]/.exec(text);
    if (!match) return [];
    return [{ name: match[2] ?? '', isQuoted: match[1] === '"', line: index + 1 }];
  });
}

// ---- Reading TypeScript and JavaScript

export function parse(source: SourceFile): ts.SourceFile {
  const kind = /\.(js|cjs|mjs)$/.test(source.path) ? ts.ScriptKind.JS : ts.ScriptKind.TS;
  return ts.createSourceFile(source.path, source.text, ts.ScriptTarget.Latest, true, kind);
}

export function visit(node: ts.Node, each: (node: ts.Node) => void): void {
  each(node);
  ts.forEachChild(node, (child) => {
    visit(child, each);
  });
}

export function lineOf(tree: ts.SourceFile, node: ts.Node): number {
  return tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
}

export interface Found<Value> {
  value: Value;
  line: number;
}

/** Runs `find` over every node of every script file and turns its results into problems. */
export function scripts(
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
export function moduleNamedBy(node: ts.Node): string | undefined {
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

export function modulesOf(source: SourceFile): Found<string>[] {
  const tree = parse(source);
  const found: Found<string>[] = [];
  visit(tree, (node) => {
    const value = moduleNamedBy(node);
    if (value !== undefined) found.push({ value, line: lineOf(tree, node) });
  });
  return found;
}

/** `object.name` of a property access on a plain identifier. */
export function memberOf(node: ts.Node): { object: string; name: string } | undefined {
  if (!ts.isPropertyAccessExpression(node) || !ts.isIdentifier(node.expression)) return undefined;
  return { object: node.expression.text, name: node.name.text };
}

// ---- Headers

/** The first paragraph of the comment that opens a file, as lines of text; empty without one. */
export function headerLines(text: string): string[] {
  const lines = text.replace(/^#!.*\n/, '').split('\n');
  const header: string[] = [];
  const isBlock = lines[0]?.trimStart().startsWith('/*') === true;
  for (const line of lines) {
    const isComment = isBlock || line.startsWith('//');
    if (!isComment) break;
    const words = line.replace(/^\s*(\/\/[/!]?|\/\*\*?|\*(?!\/))/, '').replace(/\*\/\s*$/, '');
    if (words.trim() !== '') header.push(words.trim());
    // A blank comment line ends the paragraph; the text after it may have any length.
    else if (header.length > 0) break;
    if (isBlock && line.includes('*/')) break;
  }
  return header;
}
