// docs/library.md is current, and its generator fails for a public name without a docstring.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t from 'tap';

import { keyOf } from '../../lib/options/options.js';
import { LIBRARY_OPTIONS } from '../../lib/options/serve-options.js';
import { checkPage } from '../support/generated-pages.js';
import { root } from '../support/helpers.js';

t.setTimeout(300_000);

const page = readFileSync(join(root, 'docs/library.md'), 'utf8');

/** Names and descriptions of the optional properties in the table of an interface. */
function optionalFields(name: string): Map<string, string> {
  const section = page.split(`\n### ${name}\n`)[1]?.split('\n### ')[0] ?? '';
  const rows = [...section.matchAll(/^\|[^|]*`(\w+)\?` *\|(?:[^|]|\\\|)*\|(.*)\|$/gm)];
  return new Map(rows.map(([, key = '', text = '']) => [key, text]));
}

/** What TypeDoc reports about an entry file. */
function report(text: string, folder: string): { status: number | null; stderr: string } {
  const entry = join(folder, 'entry.ts');
  writeFileSync(entry, text);
  const compilerOptions = { strict: true, target: 'es2023', module: 'nodenext', types: [] };
  const tsconfig = join(folder, 'tsconfig.json');
  writeFileSync(tsconfig, JSON.stringify({ compilerOptions, files: ['entry.ts'] }));
  const script =
    `import { content } from '${root}/packaging/docs/library.mjs';` +
    `await content({ entry: '${entry}', tsconfig: '${tsconfig}' }).catch((e) => { console.error(e.message); process.exitCode = 1; });`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: root,
    encoding: 'utf8',
  });
}

const WORDS = `/** Said. */
export type Word =
  /** Said. */
  | 'a'
  | 'b';
`;

t.test('docs/library.md is current', (t) => {
  checkPage(t, 'library');
  t.end();
});

t.test('a public name without a docstring is an error', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-docs-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const { status, stderr } = report(
    `/** Said. */
export class Told {
  readonly #hidden = 1;
  /** Said. */
  get seen(): number { return this.#hidden; }
  method(): void {}
  private own(): void {}
}
export interface Plain { readonly size?: number }
/** Said. */
export interface Nested {
  /** Said. */
  readonly inner: {
    /** Said. */
    readonly said: string;
    readonly unsaid: string;
  };
}
export function call(): void {}
`,
    folder,
  );
  t.equal(status, 1);
  const named = [...stderr.matchAll(/(\S+) \(\w+\), defined in \S+, does not have any docu/g)];
  t.same(named.map(([, name]) => name).sort(), [
    'Nested.inner.__type.unsaid',
    'Plain',
    'Plain.size',
    'Told.method',
    'call',
  ]);
  const word = report(WORDS, folder);
  t.equal(word.status, 1);
  t.match(word.stderr, 'Word: b has no docstring');
  t.end();
});

t.test('each optional property states its default', (t) => {
  for (const name of ['ServerOptions', 'CloseOptions', 'PublishOptions', 'ChannelQuery']) {
    const fields = optionalFields(name);
    t.ok(fields.size > 0, `${name} has optional properties`);
    for (const [key, text] of fields) t.match(text, /default/i, `${name}.${key}`);
  }
  t.end();
});

t.test('the page lists the options of the program', (t) => {
  const keys = LIBRARY_OPTIONS.map(({ name }) => keyOf(name));
  const listed = [...optionalFields('ServerOptions').keys()].filter(
    (key) => !['authorize', 'logger'].includes(key),
  );
  t.same(listed.sort(), keys.sort());
  t.end();
});
