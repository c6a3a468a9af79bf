// Links between the pages of a folder: the checkout, or an installed package. A link is good if its
// file exists, and an anchor is a heading or an `id` of the target.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** A document without its code, where brackets are not links and `#` is not a heading. */
function proseOf(text: string): string {
  return text.replace(/^( *)(```+|~~~+)[^\n]*\n[\s\S]*?^\1\2 *$/gm, '');
}

/** The text that GitHub makes the anchor from: without marks, and links as their label. */
function plainText(heading: string): string {
  return heading
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/<[^>]*>/g, '')
    .replace(/\\(?=[^\w\s])/g, '')
    .replace(/[`*]/g, '');
}

/** GitHub's anchor of a heading: lower case, hyphens for spaces, and no punctuation. */
function slugOf(heading: string): string {
  return plainText(heading)
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
    .replaceAll(' ', '-');
}

/** All anchors of a document. GitHub appends -1, -2, … to the anchor of an equal heading. */
export function anchorsOf(text: string): ReadonlySet<string> {
  const prose = proseOf(text);
  const anchors = new Set(
    [...prose.matchAll(/<\w+[^>]*\s(?:id|name)="([^"]+)"/g)].map(([, id = '']) => id),
  );
  const counts = new Map<string, number>();
  for (const [, heading = ''] of prose.matchAll(/^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$/gm)) {
    const slug = slugOf(heading);
    const count = counts.get(slug) ?? 0;
    counts.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}

/** Targets of `[label](target)`, `[label]: target`, `href="target"` and `src="target"`. */
export function linksOf(text: string): string[] {
  const prose = proseOf(text).replace(/(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g, (code) =>
    /\n\n/.test(code) ? code : '`',
  );
  const patterns = [
    /\]\(\s*<?([^\s)>]+)>?(?:\s+"[^"]*")?\s*\)/g,
    /^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?/gm,
    /\b(?:href|src)="([^"]+)"/g,
  ];
  return patterns.flatMap((pattern) =>
    [...prose.matchAll(pattern)].map(([, target = '']) => target),
  );
}

/** The reason why a link of a page is broken, or undefined. */
export function brokenReason(
  page: string,
  link: string,
  read: (path: string) => string | undefined,
): string | undefined {
  if (/^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(link)) return undefined;
  const [target = '', anchor] = link.split('#');
  const path = target === '' ? page : normalize(join(dirname(page), decodeURIComponent(target)));
  if (path.startsWith('..')) return `${path} is outside of the repository`;
  const text = read(path);
  if (text === undefined) return `${path} does not exist`;
  if (anchor === undefined || !path.endsWith('.md')) return undefined;
  return anchorsOf(text).has(decodeURIComponent(anchor))
    ? undefined
    : `${path} has no anchor #${anchor}`;
}

/** Text of a file in a folder; empty for a folder, undefined if it does not exist. */
export function readTarget(folder: string, path: string): string | undefined {
  const file = join(folder, path);
  if (!existsSync(file)) return undefined;
  return path.endsWith('.md') ? readFileSync(file, 'utf8') : '';
}

/** The broken links of a page in a folder, each with its reason. */
export function brokenLinks(folder: string, page: string): string[] {
  const links = linksOf(readFileSync(join(folder, page), 'utf8'));
  return links.flatMap((link) => {
    const reason = brokenReason(page, link, (path) => readTarget(folder, path));
    return reason === undefined ? [] : [`${link}: ${reason}`];
  });
}
