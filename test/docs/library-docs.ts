// docs/library.md against the source: not stale, nothing public without a docstring, and defaults
// that are those of the option table.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t from 'tap';

import { keyOf, libraryOptions } from '../../lib/options/options.js';
import { root } from '../support/helpers.js';

const page = readFileSync(join(root, 'docs/library.md'), 'utf8');

function print(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ['packaging/library-docs.mjs', '--print', ...args], {
    cwd: root,
    encoding: 'utf8',
    timeout: 120_000,
  });
}

/** Lines of the fields of one name: what stands before the docstring, and the docstring. */
function fieldsOf(name: string): Map<string, string> {
  const section = page.split(`\n### ${name}\n`)[1]?.split('\n#')[0] ?? '';
  const lines = [...section.matchAll(/^- `(\w+)\?: [^\n]*?` — (.*)$/gm)];
  return new Map(lines.map(([, key = '', text = '']) => [key, text]));
}

/** How people write a number of the table. */
function written(value: unknown): string[] {
  if (typeof value !== 'number') return [String(value)];
  return [String(value), value.toLocaleString('en'), `${value / 2 ** 20} MiB`];
}

void t.test('docs/library.md is what npm run docs writes', (t) => {
  const { status, stdout, stderr } = print();
  t.equal(status, 0, stderr);
  t.equal(stdout, page, 'run npm run docs, and commit docs/library.md');
  t.end();
});

void t.test('a public name without a docstring is found, wherever it stands', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-docs-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const entry = join(folder, 'entry.ts');
  writeFileSync(
    entry,
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
/** Said. */
export type Word = 'a' | /** Said. */ 'b' | /** Said. */ 'c' | /** Said. */ 'd';
export function call(): void {}
`,
  );
  const { status, stderr } = print(entry);
  t.equal(status, 1);
  const named = stderr.trim().split('\n').slice(1);
  t.same(named.map((line) => line.trim()).sort(), [
    'Nested.inner: {…}.unsaid: string',
    'Plain',
    'Plain.size?: number',
    'Told.method(): void',
    "Word.'a'",
    'call',
  ]);
  t.end();
});

void t.test('whatever may be left out says its default', (t) => {
  for (const name of ['ServerOptions', 'CloseOptions', 'PublishOptions', 'ChannelQuery']) {
    const fields = fieldsOf(name);
    t.ok(fields.size > 0, `${name} has fields that may be left out`);
    for (const [key, text] of fields) t.match(text, /default/i, `${name}.${key}`);
  }
  t.end();
});

void t.test('the defaults of the options are those of the program', (t) => {
  const fields = fieldsOf('ServerOptions');
  const isOurs = (key: string): boolean => key !== 'logger';
  const keys = libraryOptions().map(({ name }) => keyOf(name));
  t.same([...fields.keys()].filter(isOurs).sort(), keys.sort());
  // Without a port the library has no admin server.
  const specs = libraryOptions().filter(({ name }) => name !== 'admin-port');
  for (const spec of specs) {
    if (spec.default === undefined) continue;
    const [, said = ''] = /default:? (.*)$/i.exec(fields.get(keyOf(spec.name)) ?? '') ?? [];
    const value = said.replaceAll('`', '');
    const isSaid = written(spec.default).some(
      (text) => value.startsWith(text) && !/^[\d,]*\d/.test(value.slice(text.length)),
    );
    t.ok(isSaid, `${spec.name}: ${String(spec.default)} in "${said}"`);
  }
  t.end();
});
