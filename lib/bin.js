#!/usr/bin/env node
// The command of this package. Plain JavaScript and committed, so that npx finds it before the
// first build; the program itself is compiled to dist/.
import { existsSync } from 'node:fs';

import { reasonAgainstNode } from './node-version.cjs';

function fail(reason) {
  process.stderr.write(`megacomet-ts: ${reason}\n`);
  process.exitCode = 1;
}

/** Node opens dozens of modules at the same time. */
function tooFewFiles() {
  // Not from /proc: no file can be opened now.
  const { userLimits } = process.report.getReport();
  return `a limit of ${userLimits.open_files.soft} open files is too low to load this program: raise the limit`;
}

const program = new URL('../dist/lib/cli/cli.js', import.meta.url);
const reason = reasonAgainstNode();
if (reason !== undefined) {
  fail(reason);
} else if (existsSync(program)) {
  try {
    const { main } = await import(program.href);
    await main(process.argv);
  } catch (error) {
    // Without its addon, or with few open files, the program does not even load; it reports all
    // other errors itself.
    if (error.code === 'ERR_ADDON_MISSING') fail(error.message);
    else if (error.code === 'EMFILE') fail(tooFewFiles());
    else throw error;
  }
} else {
  fail('not built yet; run: npm run build');
}
