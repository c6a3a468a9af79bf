// A page that a module of packaging/docs/ generates is the one in the tree.
import { spawnSync } from 'node:child_process';

import type { Test } from 'tap';

import { root } from './helpers.js';

/** Generates the page of packaging/docs/NAME.mjs and compares it with the file in the tree. */
export function checkPage(t: Test, name: string): void {
  const { status, stderr } = spawnSync(process.execPath, ['packaging/docs.mjs', '--check', name], {
    cwd: root,
    encoding: 'utf8',
  });
  t.equal(stderr, '', 'run npm run docs and commit the page');
  t.equal(status, 0);
}
