// The rule about plain English: phrases of an older style, in comments, texts of the program, names
// of tests and documents. CONTRIBUTING.md says how to write instead. Pure: files in, problems out.
import ts from 'typescript';

import {
  CXX_FILE,
  lineAt,
  parse,
  SCRIPT_FILE,
  SOURCE_FILE,
  type Check,
  type Problem,
  type SourceFile,
} from './source.js';

/** Each phrase with the words to use instead. */
const PHRASES: readonly { readonly pattern: RegExp; readonly instead: string }[] = [
  {
    pattern:
      /\b[Ww]ho(?:ever)? (?:is|has|had|was|does|did|may|can|cannot|must|will|made|comes?|waits?|leaves?|goes|asks?|takes?|reads?|sends?|wants?|owes?|begins?|knows?|gets?|holds?|stays?|makes?|gives?|needs?|uses?|sees?|loses?)\b/g,
    instead: 'name the actor: "a client that …"',
  },
  {
    pattern:
      /\b[Ww]hat(?:ever)? (?:a|an|are|came|can|come|could|had|have|he|it|may|must|no|nobody|one|she|somebody|that|the|these|they|those|we|were|will|would|you|[a-z]+s)\b/g,
    instead: 'name the thing: "the messages that …"',
  },
  {
    pattern: /\b(?:[Nn]obody|[Ss]omebody)(?:'s)?(?= [a-z]|[.,;:](?: |$))/g,
    instead: 'name the actor: "no client …"',
  },
  {
    pattern: /\b(?:is|are|was|were) no [a-z]+/g,
    instead: '"is not a …", "… is missing", or the exact verb',
  },
  { pattern: /\b(?:[Mm]end(?:s|ed|ing)?|[Rr]emed(?:y|ies))\b/g, instead: '"fix"' },
  { pattern: /\b(?:turn|sen[dt])(?:s|ed|ing)? away\b/g, instead: '"reject"' },
  { pattern: /\bby chance\b/g, instead: '"random"' },
  {
    pattern: /\b(?:comes?|came|coming|goes|go|gone) back\b/g,
    instead: '"reconnect", "retry" or "return"',
  },
  { pattern: /\bso many\b/g, instead: '"N", or name the number' },
  { pattern: /\b(?:is|are|was|were|be|been) told\b/g, instead: '"receives", "logs" or "reports"' },
  { pattern: /\bfor ever\b/g, instead: '"without end"' },
];

/** All phrases, to pass over the files without any. */
const ANY = new RegExp(PHRASES.map(({ pattern }) => pattern.source).join('|'));

/** Phrases that are meant: the file, and words around the phrase. */
const EXCEPTIONS: readonly { readonly path: string; readonly text: string }[] = [];

const DOCUMENT = /^(?:[A-Z]+\.md|docs\/[^/]+\.(?:md|yml)|examples\/.*|\.github\/.*\.md)$/;
/** The history keeps its words, and this rule must name what it forbids. */
const LEFT_OUT = /^(?:CHANGELOG\.md|test\/tidy\/(?:language|tidy)\.ts)$/;

interface Span {
  readonly text: string;
  readonly line: number;
}

/** Comment lines below each other are one text. */
const CXX_TEXT = /(?:\/\/[^\n]*(?:\n[ \t]*(?=\/\/))?)+|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"/g;

/** Comments and strings of C and C++. */
function spansOfCxx(text: string): Span[] {
  return [...text.matchAll(CXX_TEXT)].map(({ 0: found, index }) => ({
    text: found,
    line: lineAt(text, index),
  }));
}

/** Comments and strings of a script. Comments stand between tokens, so the scanner lists them. */
function spansOfScript(source: SourceFile): Span[] {
  const tree = parse(source);
  const spans: Span[] = [];
  const add = (from: number, to: number): void => {
    spans.push({ text: source.text.slice(from, to), line: lineAt(source.text, from) });
  };
  const seen = new Set<number>();
  const visit = (node: ts.Node): void => {
    const comments = ts.getLeadingCommentRanges(source.text, node.getFullStart()) ?? [];
    const [first, last] = [comments[0], comments.at(-1)];
    // Comment lines below each other are one text.
    if (first !== undefined && last !== undefined && !seen.has(first.pos)) {
      seen.add(first.pos);
      add(first.pos, last.end);
    }
    if (ts.isStringLiteralLike(node) || ts.isTemplateLiteralToken(node)) {
      add(node.getStart(tree), node.getEnd());
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return spans;
}

function spansOf(source: SourceFile): Span[] {
  if (CXX_FILE.test(source.path)) return spansOfCxx(source.text);
  if (SCRIPT_FILE.test(source.path)) return spansOfScript(source);
  return [{ text: source.text, line: 1 }];
}

/** One line, so that a phrase is found across a line end. */
function oneLine(text: string): string {
  return text.replace(/\n(?:\s*(?:\/\/\/?|\*))?/g, ' ').replace(/\s+/g, ' ');
}

function problemsOf(path: string, { text, line }: Span): Problem[] {
  const words = oneLine(text);
  return PHRASES.flatMap(({ pattern, instead }) =>
    [...words.matchAll(pattern)].flatMap(({ 0: phrase, index }) => {
      const around = words.slice(Math.max(0, index - 40), index + phrase.length + 40);
      if (EXCEPTIONS.some((one) => one.path === path && around.includes(one.text))) return [];
      // A phrase across a line end is reported where its comment begins.
      const at = Math.max(0, text.indexOf(phrase));
      const message = `says "${phrase}": write ${instead}`;
      return [{ path, line: line + lineAt(text, at) - 1, message }];
    }),
  );
}

/** No text has a phrase of the list. Parsing takes most of the time, so the whole file comes first. */
export const language: Check = (files) =>
  files
    .filter(({ path }) => SOURCE_FILE.test(path) || DOCUMENT.test(path))
    .filter(({ path, text }) => !LEFT_OUT.test(path) && ANY.test(oneLine(text)))
    .flatMap((source) => spansOf(source).flatMap((span) => problemsOf(source.path, span)));
