// Relative links of the documents: the target file exists, and an anchor is a heading or an `id` of
// the target. Links with a scheme are not checked, because this test must not need the network.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { root } from '../support/helpers.js';
import { anchorsOf, brokenLinks, brokenReason, linksOf } from '../support/page-links.js';

const PAGES = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'],
  ...pagesBelow('docs'),
  ...pagesBelow('examples'),
];

function pagesBelow(folder: string): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).sort();
  return names.filter((name) => name.endsWith('.md')).map((name) => `${folder}/${name}`);
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
    count += linksOf(readFileSync(join(root, page), 'utf8')).length;
    t.same(brokenLinks(root, page), [], page);
  }
  t.ok(count > 100, `the documents have links: ${count}`);
  t.end();
});
