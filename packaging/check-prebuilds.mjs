// Rejects `npm pack` and `npm publish` of a tree without a prebuilt addon: that package would need
// a compiler on every machine.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from './tools.mjs';

const hasAddon = (folder) =>
  existsSync(folder) &&
  readdirSync(folder, { recursive: true }).some((name) => name.endsWith('.node'));

if (!hasAddon(path.join(ROOT, 'prebuilds'))) {
  process.stderr.write('pack: prebuilds/ has no addon; run: npm run build:prebuilds\n');
  process.exitCode = 1;
} else if (!existsSync(path.join(ROOT, 'dist/lib/index.js'))) {
  process.stderr.write('pack: dist/ is not built; run: npm run build:ts\n');
  process.exitCode = 1;
}
