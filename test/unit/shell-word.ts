// Words of the commands that a message tells a user to run: a shell reads each one as it was meant.
import { execFileSync } from 'node:child_process';

import t from 'tap';

import { shellWord } from '../../lib/base/shell-word.js';

t.test('a shell reads the word as one argument, with the same characters', (t) => {
  const folders = [
    '/my dir',
    "/o'brien",
    '/a$b',
    '/a(b)',
    '/#x',
    '/a&b',
    '/a"b',
    '/ü',
    '/a\\b',
    '/~',
    '',
  ];
  for (const folder of folders) {
    const script = `printf '%s\\n' ${shellWord(folder)}`;
    t.equal(execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8' }), `${folder}\n`, folder);
  }
  t.equal(
    shellWord('/usr/lib/megacomet-ts'),
    '/usr/lib/megacomet-ts',
    'a plain path is not quoted',
  );
  t.end();
});
