// The generated pages: `npm run docs` writes them, test/docs/generated.ts checks that they are current.
//   node packaging/docs.mjs                  writes every page
//   node packaging/docs.mjs --check          writes nothing; lists stale pages and exits with 1
//   node packaging/docs.mjs [--check] NAME…  only packaging/docs/NAME.mjs
// Each module of packaging/docs/ is one page. It exports `page`, the path from the root, and
// `content()`, which returns or resolves to the text. Prettier formats Markdown afterwards.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { format, resolveConfig } from 'prettier';

import { main, PackagingError, ROOT } from './tools.mjs';

const FOLDER = join(ROOT, 'packaging/docs');

async function textOf({ page, content }) {
  const text = await content();
  if (!page.endsWith('.md')) return text;
  return format(text, { ...(await resolveConfig(join(ROOT, page))), parser: 'markdown' });
}

function chooseModules(names) {
  const all = readdirSync(FOLDER).sort();
  if (names.length === 0) return all;
  const unknown = names.find((name) => !all.includes(`${name}.mjs`));
  if (unknown !== undefined) throw new PackagingError(`${unknown} is not in packaging/docs/`);
  return names.map((name) => `${name}.mjs`);
}

await main(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { check: { type: 'boolean', default: false } },
  });
  const stale = [];
  for (const name of chooseModules(positionals)) {
    const module = await import(join(FOLDER, name));
    const path = join(ROOT, module.page);
    const text = await textOf(module);
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    if (values.check) stale.push(module.page);
    else writeFileSync(path, text);
  }
  if (stale.length > 0) {
    throw new PackagingError(`${stale.join(', ')}: not current; run: npm run docs`);
  }
});
