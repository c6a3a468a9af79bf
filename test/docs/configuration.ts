// docs/configuration.md against the option tables. test/docs/generated.ts checks that it is current.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { EXIT } from '../../lib/cli/process-interface.js';
import { COMMANDS } from '../../lib/options/commands.js';
import type { OptionSpec } from '../../lib/options/option-spec.js';
import { environmentNameOf, hasFlag } from '../../lib/options/options.js';
import { root } from '../support/helpers.js';

const page = readFileSync(join(root, 'docs/configuration.md'), 'utf8');

/** The text below a heading of the second level. */
function sectionOf(heading: string): string {
  return page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
}

/** An option as the page calls it, by the first of its sources. */
function nameOf(spec: OptionSpec): string {
  if (hasFlag(spec)) return `--${spec.name}`;
  return spec.isSecret === true ? environmentNameOf(spec.name) : spec.name;
}

t.test('the page has each option of each command, with its range and default', (t) => {
  for (const { name: command, options } of COMMANDS) {
    const lines = sectionOf(command).split('\n');
    for (const spec of options as readonly OptionSpec[]) {
      const name = nameOf(spec);
      const line = lines.find((each) => new RegExp(`^\\| \`${name}[ \`]`).test(each)) ?? '';
      t.ok(line.includes(spec.help.replaceAll('|', '\\|')), `${command} ${name}: help`);
      if (spec.default !== undefined) {
        t.ok(line.includes(`\`${String(spec.default)}\``), `${command} ${name}: default`);
      }
      if (spec.max !== undefined)
        t.ok(line.includes(` to ${spec.max}`), `${command} ${name}: range`);
    }
  }
  t.end();
});

t.test('the page has every exit code', (t) => {
  const codes = sectionOf('Exit codes');
  for (const code of Object.values(EXIT))
    t.match(codes, new RegExp(`^\\| (?:\\d+, )*${code}\\b`, 'm'));
  t.end();
});
