// The README against the program: its commands exist, its example runs, its values are measured.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t from 'tap';

import { formatDiagnosis } from '../../lib/cli/diagnosis-text.js';
import { root } from '../support/helpers.js';
import { diagnosisOf, recordingOf } from '../support/machines/recorded.js';

const README_LINES_MAX = 200;

const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The fenced block after a mark. */
function blockAfter(mark: string): string {
  const at = readme.indexOf(mark);
  const match = /```\w*\n([\s\S]*?)```/.exec(readme.slice(at));
  return at < 0 ? '' : (match?.[1] ?? '');
}

t.test('CI finds both command lines of the README', (t) => {
  for (const [name, last] of [
    ['serve', 'npx megacomet-ts serve'],
    ['test', 'npm test'],
  ] as const) {
    const line = blockAfter(`<!-- command: ${name} -->`).trim();
    t.match(
      line,
      /^apt-get update && apt-get install -y libev-dev python3 make g\+\+ && npm ci && npm run build/,
    );
    t.ok(line.endsWith(last), `it ends with ${last}`);
    t.notMatch(line, /\n/, 'it is one line');
  }
  t.end();
});

t.test('the README is short, and its benchmark table comes from the results', (t) => {
  t.ok(readme.trimEnd().split('\n').length <= README_LINES_MAX, 'at most 200 lines');
  const section = readme.split('\n## Benchmarks\n')[1]?.split('\n## ')[0] ?? '';
  const rows = section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2);
  t.equal(rows.length, 6, 'six rows');
  const results = readFileSync(join(root, 'docs/benchmarks.md'), 'utf8');
  for (const row of rows) {
    const values =
      row
        .split('|')
        .slice(2)
        .join(' ')
        .match(/\d+(?:[,.]\d+)*/g) ?? [];
    const missing = values.filter((value) => !results.includes(value));
    t.same(missing, [], `values of ${row.split('|')[1]?.trim() ?? ''}`);
  }
  t.end();
});

t.test("the README shows the doctor's output for the recorded laptop", (t) => {
  const section = readme.slice(readme.indexOf('\n## Doctor and plan\n'));
  const block = section.split(/^```\w*$/m)[3] ?? '';
  const output = formatDiagnosis(diagnosisOf(recordingOf('laptop')), {
    columns: 80,
    isVerbose: false,
  });
  const parts = block.trim().split('\n…\n');
  t.equal(parts.length, 2, 'the block has a beginning and an end');
  t.ok(output.startsWith(`${parts[0] ?? ''}\n`), 'the beginning is current');
  t.ok(output.endsWith(`\n${parts[1] ?? ''}`), 'the end is current');
  t.end();
});

t.test('the library example of the README runs from a plain file', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-readme-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/megacomet-ts'));
  const example = blockAfter('## As a library');
  // Only the ports differ: fixed ones may be in use.
  const app = example.replace('port: 8000', 'port: 0').replace('adminPort: 9001', 'adminPort: 0');
  t.not(app, example, 'the example names its ports');
  writeFileSync(join(folder, 'app.mjs'), app);
  const end = spawnSync(process.execPath, ['app.mjs'], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.equal(end.status, 0, end.stderr);
  t.match(end.stdout, /^worker 0 \d+ started$/m);
  t.match(end.stdout, /with \d+ workers; the limit that binds: --max-connections/);
  t.match(end.stdout, /^0 connections$/m);
  t.end();
});
