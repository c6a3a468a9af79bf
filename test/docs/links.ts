// Relative links of the documents: the target file exists, and an anchor is a heading or an `id` of
// the target. Links with a scheme are not checked, because this test must not need the network.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

import t from 'tap';

import { root } from '../support/helpers.js';

const PAGES = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'],
  ...pagesBelow('docs'),
  ...pagesBelow('examples'),
];

function pagesBelow(folder: string): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).sort();
  return names.filter((name) => name.endsWith('.md')).map((name) => `${folder}/${name}`);
}

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
function anchorsOf(text: string): ReadonlySet<string> {
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
function linksOf(text: string): string[] {
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
function brokenReason(
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

/** Text of a file in the repository; empty for a folder, undefined if it does not exist. */
function readTarget(path: string): string | undefined {
  const file = join(root, path);
  if (!existsSync(file)) return undefined;
  return path.endsWith('.md') ? readFileSync(file, 'utf8') : '';
}

t.test('links and anchors of a page are found', (t) => {
  const page = [
    '# Options: `--port` and [more](other.md)!',
    '## Ähnlich & gleich',
    '## Ähnlich & gleich',
    '<a id="own"></a>',
    'A [link](a/b.md#c "title"), an ![image](i.png), `[code](no.md)` and a [self](#own).',
    '[ref]: docs/x.md',
    '```sh',
    '# not a heading, [not a link](no.md)',
    '```',
  ].join('\n');
  const wanted = ['options---port-and-more', 'ähnlich--gleich', 'ähnlich--gleich-1', 'own'];
  t.same([...anchorsOf(page)].sort(), wanted.sort());
  t.same(linksOf(page), ['other.md', 'a/b.md#c', 'i.png', '#own', 'docs/x.md']);
  t.end();
});

t.test('a broken link is reported with its reason', (t) => {
  const files: Record<string, string> = { 'docs/a.md': '## One\n', 'README.md': '# Two\n' };
  const reasonOf = (link: string): string | undefined =>
    brokenReason('docs/a.md', link, (path) => files[path]);
  for (const link of ['#one', '../README.md#two', 'a.md', 'https://example.org/#x', 'mailto:a@b']) {
    t.equal(reasonOf(link), undefined, link);
  }
  t.equal(reasonOf('#two'), 'docs/a.md has no anchor #two');
  t.equal(reasonOf('../README.md#one'), 'README.md has no anchor #one');
  t.equal(reasonOf('README.md'), 'docs/README.md does not exist');
  t.equal(reasonOf('../../a.md'), '../a.md is outside of the repository');
  t.end();
});

t.test('every relative link of the documents resolves', (t) => {
  let count = 0;
  for (const page of PAGES) {
    const links = linksOf(readFileSync(join(root, page), 'utf8'));
    count += links.length;
    const broken = links.flatMap((link) => {
      const reason = brokenReason(page, link, readTarget);
      return reason === undefined ? [] : [`${link}: ${reason}`];
    });
    t.same(broken, [], page);
  }
  t.ok(count > 100, `the documents have links: ${count}`);
  t.end();
});
