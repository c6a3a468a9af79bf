// The generated pages match the current output of their generators; `npm run docs` updates them.
// For docs/library.md TypeDoc compiles the whole library: library-docs.slow.ts checks that page.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { checkPage } from '../support/generated-pages.js';
import { root } from '../support/helpers.js';

t.setTimeout(120_000);

const names = readdirSync(join(root, 'packaging/docs'))
  .filter((name) => name.endsWith('.mjs'))
  .map((name) => name.replace(/\.mjs$/, ''))
  .filter((name) => name !== 'library');

for (const name of names) {
  t.test(`the page of packaging/docs/${name}.mjs is current`, (t) => {
    checkPage(t, name);
    t.end();
  });
}
