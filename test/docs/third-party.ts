// THIRD_PARTY.md lists each dependency of package.json, and the files that it names exist.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { root } from '../support/helpers.js';

const page = readFileSync(join(root, 'THIRD_PARTY.md'), 'utf8');

t.test('each dependency at run time is listed, and no other package', (t) => {
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  const { dependencies } = JSON.parse(text) as { dependencies: Record<string, string> };
  const [, table = ''] = page.split('## npm dependencies at run time');
  const [section = ''] = table.split('\n## ');
  const rows = [...section.matchAll(/^\| ([a-z][^|(]*)/gm)].map(([, names = '']) => names.trim());
  const listed = rows.flatMap((names) => names.split(', ')).filter((name) => name !== 'package');
  t.strictSame(listed.sort(), Object.keys(dependencies).sort());
  t.end();
});

t.test('each file that the page names exists', (t) => {
  const paths = [...page.matchAll(/`((?:native|lib|test)\/[^`]+)`/g)].map(([, path = '']) => path);
  t.ok(paths.length >= 7, 'the page names files');
  for (const path of paths) t.ok(existsSync(join(root, path)), path);
  t.end();
});
