// Runs whole-server tests against an addon built with AddressSanitizer (and its leak check) and
// UndefinedBehaviorSanitizer; `npm run test:sanitize` calls it. It works in a copy of the tree, so
// build/ stays unchanged. A test of the command loads the sanitizers only into the server and its
// workers; a test of the library runs under them as a whole.
//   node test/support/sanitize.mjs [TEST…]     test files, by default those of TESTS
// Run it through npm: node-gyp finds Node's headers by what npm puts into the environment.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
/** Ignored by git and kept, so that the next run compiles only changed files. */
const COPY = join(ROOT, 'build-sanitize');
const REPORTS = join(COPY, 'reports');
const SANITIZERS = 'address,undefined';

/** Tests that bound memory or time are left out: a sanitizer needs several times as much of both. */
const TESTS = [
  'test/server/scenario.ts',
  'test/server/serve.ts',
  'test/server/peers.ts',
  'test/server/tls.ts',
  'test/server/tls-hostile.ts',
  'test/server/tls12.ts',
  'test/server/tls-strangers.ts',
  'test/server/tls-rejections.ts',
  'test/comet/scenario.ts',
  'test/comet/comet.ts',
  'test/comet/http-vectors.ts',
  'test/comet/websocket-vectors.ts',
  'test/comet/websocket-handshake.ts',
  'test/comet/websocket-commands.ts',
  'test/comet/tokens.ts',
  'test/comet/revoke.ts',
  'test/comet/client-requests.ts',
  'test/comet/hooks.ts',
  'test/comet/namespaces.ts',
  'test/comet/presence.ts',
  'test/comet/proxy-protocol.ts',
  'test/comet/tls-transports.ts',
];
/** The imports of a test that has the server in its own process. */
const LIBRARY =
  /^import (?!type ).*\n?[^;]*from '(\.\.\/support\/comet-world|\.\.\/\.\.\/lib\/index)\.js';$/m;

function fail(message) {
  process.stderr.write(`sanitize: ${message}\n`);
  process.exit(1);
}

function runIn(folder, command, args, env = {}) {
  const { status } = spawnSync(command, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  });
  return status === 0;
}

/** Updates the copy; file times are kept, so that make detects changed files. */
function copyTree() {
  const output = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const wanted = new Set(output.split('\0').filter((path) => path && existsSync(join(ROOT, path))));
  for (const folder of ['native', 'lib', 'test', 'bench', 'dist']) {
    const below = join(COPY, folder);
    if (!existsSync(below)) continue;
    for (const name of readdirSync(below, { recursive: true })) {
      const path = `${folder}/${name}`;
      if (!wanted.has(path) && statSync(join(COPY, path)).isFile()) rmSync(join(COPY, path));
    }
  }
  for (const path of wanted) {
    const from = statSync(join(ROOT, path));
    const to = join(COPY, path);
    if (existsSync(to) && statSync(to).mtimeMs === from.mtimeMs) continue;
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(join(ROOT, path), to);
    utimesSync(to, from.atime, from.mtime);
  }
  if (!existsSync(join(COPY, 'node_modules')))
    symlinkSync('../node_modules', join(COPY, 'node_modules'));
}

function buildCopy() {
  const require = createRequire(import.meta.url);
  const nodeGyp = require.resolve('node-gyp/bin/node-gyp.js');
  const gyp = (...args) => runIn(COPY, process.execPath, [nodeGyp, ...args]);
  if (!gyp('configure', '--loglevel=warn', '--', `-Dsanitize=${SANITIZERS}`)) {
    fail('node-gyp configure failed; run this through npm: npm run test:sanitize');
  }
  if (!gyp('build', '--loglevel=warn', '--jobs=max'))
    fail('the addon does not compile with the sanitizers');
  const compiler = require.resolve('typescript/bin/tsc');
  if (!runIn(COPY, process.execPath, [compiler, '-p', 'tsconfig.json'])) fail('tsc failed');
}

/** The sanitizers' libraries, which the loader must see before all others. */
function libraries() {
  return ['libasan.so', 'libubsan.so'].map((name) => {
    const path = execFileSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
    if (!existsSync(path)) fail(`${name} is missing; install it with: apt-get install -y g++`);
    return path;
  });
}

/**
 * Whether the project allocated a leak: the first frame below the allocator is the project's, not Node's.
 * Allocations of V8 are always reported as leaks, because the check does not scan V8's heap.
 */
function isOurLeak(block) {
  for (const frame of block.split('\n').slice(2)) {
    if (/\/native\/|megacomet\.node/.test(frame)) return true;
    if (/\(<unknown module>\)|\/node\+0x/.test(frame)) return false;
  }
  return false;
}

/**
 * The reports of the sanitizers, without leaks of Node and V8.
 *
 * @param unchecked - Processes in which the check for leaks may fail: that of a test file has
 *   threads of the test runner that it cannot stop. Managers are checked by tests of the command.
 */
function findings(unchecked) {
  let left = unchecked;
  return readdirSync(REPORTS).flatMap((name) => {
    const text = readFileSync(join(REPORTS, name), 'utf8');
    if (/^==\d+==LeakSanitizer has encountered a fatal error/.test(text) && left-- > 0) return [];
    const blocks = text.split('\n\n');
    const leaks = blocks.filter((block) => /^(Direct|Indirect) leak of /.test(block));
    // A process that is killed while it writes its leaks leaves only the heading.
    const isLeakReport = /^==\d+==ERROR: LeakSanitizer: detected memory leaks$/m.test(text);
    if (leaks.length === 0 && !isLeakReport) return [text];
    return leaks.filter(isOurLeak);
  });
}

/** Runs test files; `preload` is the variable with the sanitizers' libraries. */
function runTests(tests, preload) {
  if (tests.length === 0) return true;
  const tap = join(COPY, 'node_modules/.bin/tap');
  // Reports go to files, because the standard error of a worker that exits cleanly is not read.
  return runIn(COPY, tap, ['--jobs=2', '--timeout=600', ...tests], {
    [preload]: libraries().join(' '),
    // A process ends several times faster with short stacks; our code is within a few frames of its
    // allocations.
    ASAN_OPTIONS: `detect_leaks=1:malloc_context_size=12:log_path=${join(REPORTS, 'asan')}`,
    // Leaks are checked here after the tests, because the tests assert exit codes.
    LSAN_OPTIONS: 'exitcode=0',
    UBSAN_OPTIONS: `print_stacktrace=1:log_path=${join(REPORTS, 'ubsan')}`,
  });
}

copyTree();
buildCopy();
rmSync(REPORTS, { recursive: true, force: true });
mkdirSync(REPORTS);
const tests = process.argv.length > 2 ? process.argv.slice(2) : TESTS;
const ofLibrary = tests.filter((test) => LIBRARY.test(readFileSync(join(COPY, test), 'utf8')));
// Runs both even if the first fails, because each has its own findings.
const arePassed = [
  runTests(
    tests.filter((test) => !ofLibrary.includes(test)),
    'TEST_SANITIZE_PRELOAD',
  ),
  runTests(ofLibrary, 'LD_PRELOAD'),
];
const isPassed = arePassed.every(Boolean);
const found = findings(ofLibrary.length);
for (const report of found) process.stdout.write(`${report}\n\n`);
if (found.length > 0) fail(`the sanitizers found ${found.length} faults, see above`);
if (!isPassed) fail('the tests above failed; no sanitizer complained');
// Each process leaves a report, at least of V8's leaks: no report means that no process was
// checked.
if (readdirSync(REPORTS).length === 0) fail('no process was checked: the preload did not work');
process.stdout.write('sanitize: no sanitizer complained\n');
