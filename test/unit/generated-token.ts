// The file of the generated token, in a folder where other files are in the way.
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { generatedToken } from '../../lib/api/generated-token.js';

const OWNERS = [process.geteuid?.() ?? 0];

t.test('a stale file of an earlier start is replaced, and no link is followed', (t) => {
  const home = t.testdir({ precious: 'precious' });
  const names = { 'half of a token': 'abc', 'a link': null };
  for (const [name, text] of Object.entries(names)) {
    const env = { XDG_STATE_HOME: join(home, name) };
    mkdirSync(join(home, name, 'megacomet'), { recursive: true });
    const at = join(home, name, 'megacomet', `admin.token.${process.pid}.new`);
    if (text === null) symlinkSync(join(home, 'precious'), at);
    else writeFileSync(at, text);
    const made = generatedToken(env, OWNERS);
    t.match(made, { token: /^[\w-]{43}$/, file: join(home, name, 'megacomet/admin.token') }, name);
    t.same(readdirSync(join(home, name, 'megacomet')), ['admin.token'], 'nothing else is left');
  }
  t.equal(readFileSync(join(home, 'precious'), 'utf8'), 'precious');
  t.end();
});

t.test('a folder that cannot be made is a reason, and no error', (t) => {
  const home = t.testdir({ file: '' });
  symlinkSync('loop', join(home, 'loop'));
  for (const [folder, reason] of [
    ['file', 'a part of the path is not a directory'],
    ['file/below', 'a part of the path is not a directory'],
    ['loop', 'too many symbolic links'],
    ['x'.repeat(300), 'the name is too long'],
  ] as const) {
    const made = generatedToken({ XDG_STATE_HOME: join(home, folder) }, OWNERS);
    t.match(made, { reason: new RegExp(`admin\\.token: ${reason}$`) }, folder.slice(0, 20));
  }
  t.end();
});
