#!/usr/bin/env node
// The command of this package. Plain JavaScript and committed, so that npx finds it before the
// first build; the program itself is compiled to dist/.
import { existsSync } from 'node:fs';

const program = new URL('../dist/lib/cli/cli.js', import.meta.url);
if (existsSync(program)) {
  try {
    const { main } = await import(program.href);
    await main(process.argv);
  } catch (error) {
    // Without its addon the program does not even load; all other errors it tells itself.
    if (error.code !== 'ERR_ADDON_MISSING') throw error;
    process.stderr.write(`megacomet-ts: ${error.message}\n`);
    process.exitCode = 1;
  }
} else {
  process.stderr.write('megacomet-ts: not built yet; run: npm run build\n');
  process.exitCode = 1;
}
