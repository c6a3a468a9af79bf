#!/usr/bin/env node
// The command of this package. Plain JavaScript and committed, so that npx finds it before the
// first build; the program itself is compiled to dist/.
import { existsSync } from 'node:fs';

import { reasonAgainstNode } from './node-version.cjs';

function fail(reason) {
  process.stderr.write(`megacomet-ts: ${reason}\n`);
  process.exitCode = 1;
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
    // Without its addon the program does not even load; all other errors it tells itself.
    if (error.code !== 'ERR_ADDON_MISSING') throw error;
    fail(error.message);
  }
} else {
  fail('not built yet; run: npm run build');
}
