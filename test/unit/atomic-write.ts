// Files that are written completely or not at all.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { writeWhole } from '../../lib/base/atomic-write.js';

t.test('everybody may read the files, at any umask', (t) => {
  const folder = join(t.testdir({}), 'etc');
  const before = process.umask(0o077);
  t.teardown(() => process.umask(before));
  t.same(writeWhole(folder, [{ name: 'sub/config.json', text: '{}' }]), [true]);
  const modeOf = (name: string): string => (statSync(join(folder, name)).mode & 0o777).toString(8);
  t.equal(modeOf('.'), '755', 'the folder');
  t.equal(modeOf('sub'), '755', 'a folder in it');
  t.equal(modeOf('sub/config.json'), '644', 'the file');
  t.end();
});
