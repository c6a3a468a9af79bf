// The reason of a child's death, out of its last error output.
import t from 'tap';

import { oneLine } from '../../lib/ipc/spawn.js';

t.test('the reason of an uncaught error is kept, its code and stack are not', (t) => {
  const missing =
    'node:internal/modules/cjs/loader:1661\n  return process.dlopen(module, path);\n' +
    '                 ^\n\nError: libev.so.4: cannot open shared object file: No such file or ' +
    "directory\n    at Module._extensions..node (node:internal/modules/cjs/loader:1661:18)\n  code: 'E'";
  const folder =
    'node:internal/modules/cjs/loader:1210\n  throw err;\n  ^\n\n' +
    "Error: EACCES: permission denied, lstat '/root/x'\n    at Object.realpathSync (node:fs:1:1)\n";
  const rows: [string, string][] = [
    [missing, 'Error: libev.so.4: cannot open shared object file: No such file or directory'],
    [folder, "Error: EACCES: permission denied, lstat '/root/x'"],
    [
      'x:1\n\nTypeError [ERR_X]: wrong\nin two lines\n    at y',
      'TypeError [ERR_X]: wrong in two lines',
    ],
    ['#\n# Fatal error in , line 0\n# Check failed', 'Fatal error in , line 0 Check failed'],
    ['control stream broken: frame of 9 bytes', 'control stream broken: frame of 9 bytes'],
    ['', ''],
  ];
  for (const [cause, wanted] of rows) t.equal(oneLine(cause), wanted);
  t.end();
});
