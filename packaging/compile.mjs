// First half of `npm run build:prebuilds`: compiles the TypeScript, so that `npm pack` packs what lib/ says
// now, and nothing of a file that is gone.
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { main, ROOT, run } from './tools.mjs';

const COMPILED = join(ROOT, 'dist/lib');

/** Where a file comes from: cli.d.ts and cli.js.map from cli.ts, worker.cjs from worker.cts. */
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
