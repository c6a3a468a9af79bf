// The addon parses untrusted input, so the linker and the compiler guard its memory.
import { join } from 'node:path';

import t from 'tap';

import { command, root } from '../support/helpers.js';

t.test('the addon is hardened', (t) => {
  const addon = join(root, 'build/Release/megacomet.node');
  const dynamic = command('readelf', '--wide', '--dynamic', addon);
  t.match(dynamic, /BIND_NOW|\bNOW\b/, 'all symbols are resolved at its load');
  t.notMatch(dynamic, /TEXTREL|RPATH/, 'no text relocation, no path of libraries');
  const segments = command('readelf', '--wide', '--segments', addon);
  t.match(segments, /GNU_RELRO/, 'its tables are read-only then');
  t.match(segments, /GNU_STACK +\S+ \S+ \S+ \S+ \S+ RW /, 'no code runs on the stack');
  t.notMatch(segments, /LOAD .* RWE /, 'no page is writable and executable');
  const symbols = command('readelf', '--wide', '--dyn-syms', addon);
  t.match(symbols, /__stack_chk_fail/, 'a canary guards return addresses');
  t.match(symbols, /__\w+_chk@/, 'calls of libc check the size of their buffer');
  t.end();
});
