// Checks the source tree: every rule of this folder must find a planted violation and accept clean code,
// and then runs over every file that git tracks or would track.
import t from 'tap';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as documents from './documents.js';
import { language } from './language.js';
import * as rules from './rules.js';
import * as shape from './shape.js';
import { file, format, type Check, type SourceFile } from './source.js';

const ROOT = dirname(fileURLToPath(import.meta.resolve('#package.json')));
const LEFT_OUT = /^(node_modules|build(-[^/]*)?|dist|prebuilds|\.tap|\.git)\//;

interface Rule {
  sentence: string;
  check: Check;
  /** Files with violations, and every report that they must cause. */
  planted: SourceFile[];
  reports: string[];
  /** Files that look similar but are valid. */
  clean: SourceFile[];
}

const long = (lines: number, line: string): string => `${line}\n`.repeat(lines);

/** The two room tables of ARCHITECTURE.md, without some rooms. */
function architecturePage(...missing: string[]): string {
  const rows = (top: string): string =>
    Object.keys(rules.ROOMS)
      .filter((room) => room.startsWith(top) && !missing.includes(room))
      .map((room) => `| \`${room.slice(top.length)}/\` | Its purpose. | - |\n`)
      .join('');
  const head = (top: string): string => `| room in ${top} | purpose | uses |\n| - | - | - |\n`;
  return `${head('native/')}${rows('native/')}\n${head('lib/')}${rows('lib/')}`;
}

const RULES: Rule[] = [
  {
    sentence: 'a file uses only its own room and the rooms that the table allows',
    check: rules.rooms,
    planted: [
      file('native/os/sys.h', '// One.\n#include "worker/worker.h"\n'),
      file('native/hub/hub.h', '#include "util.h"\n'),
      file('native/protocol/http.cc', '#include "pubsub/message.h"\n#include "hub/hub.h"\n'),
      file('lib/base/errors.ts', "import type { Options } from '../options/options.js';\n"),
      file('lib/stats/stats.ts', "\nexport { x } from '../manager/manager.js';\n"),
      file('lib/bench/run.ts', "import '../api/admin-client.js';\nimport '../api/admin.js';\n"),
      file('lib/doctor/checks/a.ts', "const y = await import('../../manager/registry.js');\n"),
      file(
        'lib/cli/cli.ts',
        "import z = require('../worker.cjs');\nimport '../check-system.js';\n",
      ),
      file('lib/worker.cts', "import native = require('./system/native.js');\n"),
      file('lib/server/server.ts', "import '../../bench/plan.js';\n"),
    ],
    reports: [
      'native/os/sys.h:2: uses native/worker/worker.h, and native/os may not use native/worker: move the shared part below both, or pass it in',
      'native/hub/hub.h:1: uses native/util.h, which is in no room of test/tidy/rules.ts',
      'native/protocol/http.cc:2: uses native/hub/hub.h, and native/protocol may not use native/hub: move the shared part below both, or pass it in',
      'lib/base/errors.ts:1: uses lib/options/options.ts, and lib/base may not use lib/options: move the shared part below both, or pass it in',
      'lib/stats/stats.ts:2: uses lib/manager/manager.ts, and lib/stats may not use lib/manager: move the shared part below both, or pass it in',
      'lib/bench/run.ts:2: uses lib/api/admin.ts, and lib/bench may not use lib/api: move the shared part below both, or pass it in',
      'lib/doctor/checks/a.ts:1: uses lib/manager/registry.ts, and lib/doctor may not use lib/manager: move the shared part below both, or pass it in',
      'lib/cli/cli.ts:1: uses lib/worker.cts, which is an entry point',
      'lib/cli/cli.ts:2: uses lib/check-system.js, which is an entry point',
      'lib/worker.cts:1: uses lib/system/native.ts: an entry point uses packages only',
      'lib/server/server.ts:1: uses bench/plan.ts, which is in no room of test/tidy/rules.ts',
    ],
    clean: [
      file(
        'native/worker/worker.cc',
        '#include "worker/worker.h"\n// #include "addon/binding.h"\n#include "hub/hub.h"\n#include <cstdio>\n',
      ),
      file(
        'lib/index.ts',
        "import './server/server.js';\nimport pino from 'pino';\n// './cli.js'\n",
      ),
      file('lib/doctor/checks/b.ts', "import '../sizing.js';\nimport './c.js';\n"),
      file('lib/bin.js', "import '../dist/lib/cli/cli.js';\n"),
    ],
  },
  {
    sentence: 'every file of native/ and lib/ is in a room',
    check: rules.everyFileHasARoom,
    planted: [file('native/util.h', ''), file('lib/helpers/a.ts', '')],
    reports: [
      'native/util.h:1: is in no room: move it, or add its room to ROOMS of test/tidy/rules.ts',
      'lib/helpers/a.ts:1: is in no room: move it, or add its room to ROOMS of test/tidy/rules.ts',
    ],
    clean: [file('native/os/sys.cc', ''), file('lib/cli/commands/serve.ts', ''), file('a.md', '')],
  },
  {
    sentence: 'no file uses itself through others',
    check: rules.fileCircles,
    planted: [
      file('native/os/a.h', '#include "os/b.h"\n'),
      file('native/os/b.cc', '#include "os/b.h"\n#include "os/a.h"\n'),
      file('lib/base/a.ts', "import './b.js';\n"),
      file('lib/base/b.ts', "import './c.js';\n"),
      file('lib/base/c.ts', "import type { A } from './a.js';\n"),
    ],
    reports: [
      'lib/base/a.ts:1: is part of a circle: lib/base/a.ts -> lib/base/b.ts -> lib/base/c.ts -> lib/base/a.ts',
      'native/os/a:1: is part of a circle: native/os/a -> native/os/b -> native/os/a',
    ],
    clean: [
      file('native/os/c.cc', '#include "os/c.h"\n#include "os/d.h"\n'),
      file('native/os/d.cc', '#include "os/d.h"\n'),
    ],
  },
  {
    sentence: 'only the file that owns a library includes its header',
    check: rules.confinedIncludes,
    planted: [
      file('native/worker/worker.cc', '#include <sys/socket.h>\n#include <netinet/tcp.h>\n'),
      file('native/connection/sweep.h', '#include <ev.h>\n'),
      file('native/ipc/control.cc', '#include <napi.h>\n'),
    ],
    reports: [
      'native/worker/worker.cc:1: includes sys/socket.h, which belongs to sys and address and listening: call a function of sys.h',
      'native/worker/worker.cc:2: includes netinet/tcp.h, which belongs to sys and address and listening: call a function of sys.h',
      'native/connection/sweep.h:1: includes ev.h, which belongs to libev: include "os/libev.h"',
      'native/ipc/control.cc:1: includes napi.h, which belongs to binding: let binding.cc convert',
    ],
    clean: [
      file('native/os/sys.cc', '#include <sys/socket.h>\n#include <sys/mman.h>\n'),
      file('native/os/libev.h', '#include <ev.h>\n'),
      file('native/addon/binding.cc', '#include <napi.h>\n/* #include <ev.h> */\n'),
    ],
  },
  {
    sentence: 'native code uses no call that has a better alternative',
    check: rules.bannedNative,
    planted: [
      file(
        'native/sys.cc',
        [
          'assert(x);',
          'strcpy(a, b); sprintf(a, "x");',
          'gets(a);',
          'std::printf("x");',
          'fprintf(stdout, "x");',
          'std::cerr << 1;',
          'if (fork() == 0) usleep(3);',
          'auto* a = new Thing;',
          'auto* b = new (std::nothrow) Thing; void* c = malloc(3);',
          'try { f(); } catch (...) { throw; }',
        ].join('\n'),
      ),
    ],
    reports: [
      'native/sys.cc:1: uses assert: use MC_CHECK, which is always on',
      'native/sys.cc:2: uses strcpy: use memcpy with a checked length',
      'native/sys.cc:2: uses sprintf: use snprintf',
      'native/sys.cc:3: uses gets: use read with a length',
      'native/sys.cc:4: uses printf: use a log frame to the manager, which owns stdout',
      'native/sys.cc:5: uses fprintf(stdout: use a log frame to the manager, which owns stdout',
      'native/sys.cc:6: uses std::cerr: use a log frame to the manager',
      'native/sys.cc:7: uses fork: use lib/ipc/spawn.ts: Node cannot go on after fork',
      'native/sys.cc:7: uses usleep: use an ev_timer: the loop never waits',
      'native/sys.cc:8: uses new: use memory of the slab, or a member of a standard container',
      'native/sys.cc:9: uses new: use memory of the slab, or a member of a standard container',
      'native/sys.cc:10: uses try: use a closed result for an expected error, MC_CHECK for a bug',
    ],
    clean: [
      file(
        'native/worker.cc',
        [
          '#include <new>',
          'static_assert(sizeof(int) == 4); // assert(x), a new peer',
          'std::fprintf(stderr, "new try fork(): %s", x); snprintf(a, 3, "x"); fgets(a, 3, f);',
          'ev_loop_fork(loop); new (place) Thing; env.ThrowAsJavaScriptException();',
          "const char quote = '\"'; const int big = 10'000; const char c = 'n';",
          'const char* raw = R"x(try new malloc(3) ")x"; /* throw',
          ' throw */ int ready = 3;',
        ].join('\n'),
      ),
      file('native/os/slab.h', 'auto* part = new Part; free(part); x = malloc(3);\n'),
    ],
  },
  {
    sentence: 'every source file starts with a comment of one to six lines',
    check: shape.headers,
    planted: [
      file('native/sys.h', '#pragma once\n// Late.\n'),
      file('lib/a.ts', '\n// After a blank line.\n'),
      file('test/b.ts', long(7, '// Long.')),
      file('bench/c.mjs', '/*\n */\n'),
    ],
    reports: [
      'native/sys.h:1: has no header: start with a comment that names the one thing of the file',
      'lib/a.ts:1: has no header: start with a comment that names the one thing of the file',
      'test/b.ts:1: has a header of 7 lines: shorten it to 6, or put a blank comment line after the summary',
      'bench/c.mjs:1: has no header: start with a comment that names the one thing of the file',
    ],
    clean: [
      file('lib/bin.js', '#!/usr/bin/env node\n// Runs the command.\nimport "x";\n'),
      file('native/os/libev.h', `// Rules.\n//\n${long(20, '// And more.')}`),
      file('test/c.ts', '/**\n * What it owns.\n *\n * More.\n */\n'),
      file('README.md', 'Text'),
    ],
  },
  {
    sentence: 'no open fix is left, and all open work has an issue',
    check: shape.openEnds,
    planted: [
      file('lib/a.ts', '// FIX' + 'ME: later\n// TO' + 'DO: soon\n// TO' + 'DO(me): soon\n'),
    ],
    reports: [
      'lib/a.ts:1: asks to be fixed: fix it, or open an issue and write its number',
      'lib/a.ts:2: names no issue: put its number behind the word, (#123):',
      'lib/a.ts:3: names no issue: put its number behind the word, (#123):',
    ],
    clean: [file('lib/a.ts', '// TO' + 'DO(#12): soon\nconst FIXMEUP = 1;\n')],
  },
  {
    sentence: 'no source file has more than 600 lines, and no file more than 400 KiB',
    check: shape.fileSize,
    planted: [
      file('lib/a.ts', long(601, 'x')),
      file('test/unit/a.ts', long(601, 'x')),
      file('bench/results/a.json', 'x'.repeat(400 * 1024 + 1)),
    ],
    reports: [
      'lib/a.ts:601: has 601 lines: split it by its nouns, 600 is the most',
      'test/unit/a.ts:601: has 601 lines: split it by its nouns, 600 is the most',
      'bench/results/a.json:1: has 401 KiB: keep it out of git, 400 KiB is the most',
    ],
    clean: [file('lib/a.ts', long(600, 'x')), file('package-lock.json', long(9000, 'x'))],
  },
  {
    sentence: 'ARCHITECTURE.md has a sentence for every room',
    check: documents.architecture,
    planted: [file('ARCHITECTURE.md', architecturePage('native/hub', 'lib/stats'))],
    reports: [
      'ARCHITECTURE.md:1: has no row for the room native/hub: describe its purpose in one sentence',
      'ARCHITECTURE.md:1: has no row for the room lib/stats: describe its purpose in one sentence',
    ],
    clean: [file('ARCHITECTURE.md', architecturePage())],
  },
  {
    sentence: 'comments, texts, names of tests and documents are plain English',
    check: language,
    planted: [
      file('native/os/a.h', '// Who\n// waits is asked.\nfail("this is no number");\n'),
      file(
        'lib/base/a.ts',
        '/** It is\n * told so many. */\nconst a = `comes back ${b} by chance`;\n',
      ),
      file('docs/a.md', 'One.\n\nIt mends itself, or loops for ever.\n'),
      file('docs/b.md', 'There is no page. It sends\nwhat arrives. Nobody waits.\n'),
    ],
    reports: [
      'native/os/a.h:1: says "Who waits": write name the actor: "a client that …"',
      'native/os/a.h:3: says "is no number": write "is not a …", "… is missing", or the exact verb',
      'lib/base/a.ts:2: says "so many": write "N", or name the number',
      'lib/base/a.ts:1: says "is told": write "receives", "logs" or "reports"',
      'lib/base/a.ts:3: says "comes back": write "reconnect", "retry" or "return"',
      'lib/base/a.ts:3: says "by chance": write "random"',
      'docs/a.md:3: says "mends": write "fix"',
      'docs/a.md:3: says "for ever": write "without end"',
      'docs/b.md:2: says "what arrives": write name the thing: "the messages that …"',
      'docs/b.md:2: says "Nobody": write name the actor: "no client …"',
      'docs/b.md:1: says "is no page": write "is not a …", "… is missing", or the exact verb',
    ],
    clean: [
      file('lib/base/a.ts', "const whoIs = 'noone'; // A client that waits; by the way, what?\n"),
      file('docs/c.md', 'Decide what to do. `--user nobody --port 80` names nobody:nogroup.\n'),
      file('CHANGELOG.md', 'It mends.'),
    ],
  },
  {
    sentence: 'every native counter is well named and has a help text',
    check: documents.counters,
    planted: [
      file(
        'native/ipc/segment.h',
        [
          '#define MC_COUNTERS(X) \\',
          '  X(kOpen, "open_total", kGauge, "Connections open at this moment.") \\',
          '  X(kShut, "shut", kTotal, "Connections shut since the start.") \\',
          '  X(kBad, "badName_total", kTotal, "Connections with a bad name.") \\',
          '  X(kShort, "short_total", kTotal, "Too " \\',
          '    "short.") \\',
          '  X(kNone, "none_total", kTotal) \\',
          '  X(kMore, "more_total", kTotal, "Things of which there are more.") \\',
          '  X(kMoreAgain, "more_total", kTotal, "Things of which there are more.")',
          '#define OTHER(X) X(1)',
        ].join('\n'),
      ),
    ],
    reports: [
      'native/ipc/segment.h:7: is not a row X(kName, "name", kKind, "help"): write it in this form, with a help text',
      'native/ipc/segment.h:2: open_total is a gauge: drop _total',
      'native/ipc/segment.h:3: shut only grows: end it in _total, or make it a gauge',
      'native/ipc/segment.h:4: badName_total: name it in snake_case',
      'native/ipc/segment.h:5: short_total has a help of 10 characters: explain it to the reader',
      'native/ipc/segment.h:9: more_total is listed twice',
    ],
    clean: [
      file(
        'native/ipc/segment.h',
        '#define MC_COUNTERS(X) \\\n  X(kA, "a_total", kTotal, \\\n    "Things, (many) \\"of\\" " \\\n    "them.") \\\n  X(kB, "b", CounterKind::kGauge, "Things that are here now.")\n\nint X(int);\n',
      ),
    ],
  },
];

/** Lists what git tracks or would track; where git is missing, all but the ignored folders. */
function listFiles(): string[] {
  try {
    const args = ['ls-files', '-z', '-co', '--exclude-standard'];
    const output = execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
    return [...new Set(output.split('\0'))].filter((path) => path !== '');
  } catch {
    const all = readdirSync(ROOT, { recursive: true, encoding: 'utf8' });
    return all.filter((path) => !LEFT_OUT.test(`${path}/`));
  }
}

function readTree(): SourceFile[] {
  return listFiles()
    .sort()
    .flatMap((path) => {
      // A tracked file that was deleted, or a folder: nothing to read.
      const bytes = statSync(join(ROOT, path), { throwIfNoEntry: false });
      if (!bytes?.isFile()) return [];
      return [{ path, bytes: bytes.size, text: readFileSync(join(ROOT, path), 'utf8') }];
    });
}

const tree = readTree();

t.test('the tree was read', (t) => {
  const paths = tree.map(({ path }) => path);
  for (const path of ['package.json', 'test/tidy/tidy.ts', 'lib/check-system.js']) {
    t.ok(paths.includes(path), path);
  }
  t.notOk(
    paths.some((path) => LEFT_OUT.test(path)),
    'nothing that is built or installed',
  );
  t.end();
});

for (const { sentence, check, planted, reports, clean } of RULES) {
  t.test(sentence, (t) => {
    t.strictSame(check(planted).map(format), reports, 'planted violations are found');
    t.strictSame(check(clean).map(format), [], 'clean code is accepted');
    t.strictSame(check(tree).map(format), [], 'the tree is clean');
    t.end();
  });
}

t.test('the table of rooms has no circle and no row without files', (t) => {
  t.strictSame(rules.roomCircles(), []);
  t.equal(rules.everyRoomHasAFile([]).length, Object.keys(rules.ROOMS).length, 'finds empty rooms');
  t.strictSame(rules.everyRoomHasAFile(tree).map(format), [], 'the tree is clean');
  t.end();
});

t.test('CI installs every optional tool of the tests', (t) => {
  const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
  const packages = JSON.parse(text('test/support/optional-tools.json')) as Record<string, string>;
  const installed = new Set(text('.ci/tools').split(/\s+/));
  for (const name of Object.values(packages).flatMap((names) => names.split(' and '))) {
    t.ok(installed.has(name), name);
  }
  t.end();
});

t.test('every option has a help text', async (t) => {
  const help = 'What this option does, and in which unit.';
  t.strictSame(documents.options([{ name: 'port', help }]), []);
  t.strictSame(documents.options([{ name: 'port', help: ' ' }, { help }, {}]).map(format), [
    'lib/options/commands.ts:1: port has a help of 0 characters: explain it to the reader',
    'lib/options/commands.ts:1: option 2 has a help of 0 characters: explain it to the reader',
  ]);
  t.equal(documents.options(undefined).length, 1, 'a missing table is found');
  // Imported through a variable, so that tsc accepts this file without the table.
  const path = '../../lib/options/commands.js';
  const module = (await import(path).catch((error: unknown) => {
    t.fail(`lib/options/commands.ts cannot be imported: ${String(error)}`);
    return {};
  })) as { COMMANDS?: readonly { readonly options: readonly unknown[] }[] };
  t.strictSame(
    documents.options(module.COMMANDS?.flatMap(({ options }) => options)).map(format),
    [],
    'the tree is clean',
  );
});
