// The generated pages match the current output of their generators; `npm run docs` updates them.
import { readdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import t from 'tap';

import { root } from '../support/helpers.js';

/** Checks one page; TypeDoc compiles the whole library. */
t.setTimeout(300_000);

const names = readdirSync(join(root, 'packaging/docs'))
  .filter((name) => name.endsWith('.mjs'))
  .map((name) => name.replace(/\.mjs$/, ''));

for (const name of names) {
  t.test(`the page of packaging/docs/${name}.mjs is current`, (t) => {
    const { status, stderr } = spawnSync(
      process.execPath,
      ['packaging/docs.mjs', '--check', name],
      { cwd: root, encoding: 'utf8' },
    );
    t.equal(stderr, '', 'run npm run docs and commit the page');
    t.equal(status, 0);
    t.end();
  });
}
