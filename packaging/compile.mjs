// First half of `npm run build:prebuilds`: compiles the TypeScript, so that `npm pack` packs the current
// lib/, and removes the output of deleted files.
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { main, ROOT, run } from './tools.mjs';

const COMPILED = join(ROOT, 'dist/lib');

/** The source of a compiled file: cli.ts for cli.d.ts and cli.js.map, worker.cts for worker.cjs. */
function sourceOf(path) {
  return path
    .replace(/\.map$/, '')
    .replace(/(\.d)?\.c[jt]s$/, '.cts')
    .replace(/(\.d\.ts|\.js)$/, '.ts');
}

function removeOrphans() {
  if (!existsSync(COMPILED)) return;
  for (const path of readdirSync(COMPILED, { recursive: true })) {
    const file = join(COMPILED, path);
    if (statSync(file).isDirectory()) continue;
    if (!existsSync(join(ROOT, 'lib', sourceOf(path)))) rmSync(file);
  }
}

await main(() => {
  removeOrphans();
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  run(process.execPath, [compiler, '-p', 'tsconfig.json'], { cwd: ROOT });
});
