// The README against the program: its commands exist, its example runs, its option table is true.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t from 'tap';

import { environmentNameOf, optionsOf } from '../../lib/options/options.js';
import { root } from '../support/helpers.js';

const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The fenced block after a mark. */
function blockAfter(mark: string): string {
  const at = readme.indexOf(mark);
  const match = /```\w*\n([\s\S]*?)```/.exec(readme.slice(at));
  return at < 0 ? '' : (match?.[1] ?? '');
}

void t.test('both command lines of the README stand in blocks that CI can find', (t) => {
  for (const [name, last] of [
    ['serve', 'npx megacomet-ts serve'],
    ['test', 'npm test'],
  ] as const) {
    const line = blockAfter(`<!-- command: ${name} -->`).trim();
    t.match(line, /^apt-get update && apt-get install -y libev-dev && npm ci && npm run build/);
    t.ok(line.endsWith(last), `it ends with ${last}`);
    t.notMatch(line, /\n/, 'it is one line');
  }
  t.end();
});

void t.test('the option table of the README is that of the program', (t) => {
  const rows = optionsOf('serve').map((spec) => {
    const star = spec.reloadable === true ? '*' : '';
    const value = spec.choices?.join('\\|') ?? spec.value ?? '';
    const fallback = spec.default === undefined ? '' : `\`${String(spec.default)}\``;
    const help = spec.help.replaceAll('|', '\\|');
    return `| \`--${spec.name} ${value}\`${star} | ${fallback} | ${help} |`;
  });
  const table = ['| option | default | |', '| --- | --- | --- |', ...rows].join('\n');
  const at = readme.indexOf('<!-- options: serve -->');
  const found = readme.slice(at).split('\n\n')[1] ?? '';
  const squeeze = (text: string): string => text.replace(/ +/g, ' ').replace(/-{3,}/g, '---');
  t.equal(squeeze(found), squeeze(table));
  t.equal(environmentNameOf('max-connections'), 'MEGACOMET_MAX_CONNECTIONS');
  t.end();
});

void t.test('the library example of the README runs from a plain file', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-readme-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/megacomet-ts'));
  const example = blockAfter('## As a library');
  // Only the ports differ: a test takes none that somebody may use.
  const app = example.replace('port: 8000', 'port: 0').replace('adminPort: 9001', 'adminPort: 0');
  t.not(app, example, 'the example names its ports');
  writeFileSync(join(folder, 'app.mjs'), app);
  const env = { ...process.env };
  delete env['NODE_OPTIONS'];
  const end = spawnSync(process.execPath, ['app.mjs'], {
    cwd: folder,
    env,
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.equal(end.status, 0, end.stderr);
  t.match(end.stdout, /^worker 0 \d+ started$/m);
  t.match(end.stdout, /with \d+ workers; the limit that binds: --max-connections/);
  t.match(end.stdout, /^0 connections$/m);
  t.end();
});
