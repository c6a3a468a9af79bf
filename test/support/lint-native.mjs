// Formats and lints the C and C++ sources; `npm run format` and `npm run lint` call it.
//   --format    rewrites native/ and the C files of bench/ and C++ files of test/ with clang-format
//   (nothing)   checks their format, then runs clang-tidy over the .cc files of native/
// Run it through npm: node-gyp finds Node's headers by what npm puts into the environment.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const FORMATTER = 'clang-format-14';
const LINTER = 'clang-tidy-14';
const LINTERS_AT_ONCE = 2;
const DATABASE = 'build/Release/compile_commands.json';

/** Ends the run with one sentence. */
class LintError extends Error {}

/** Lists the files below a folder whose names fit, as paths from the root, sorted. */
function filesBelow(folder, pattern) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true })
    .filter((name) => pattern.test(name))
    .map((name) => `${folder}/${name}`)
    .sort();
}

/** Throws unless the tool starts; on Debian its package has the tool's name. */
function requireTool(tool) {
  if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).error) {
    throw new LintError(`${tool} is missing; install it with: apt-get install -y ${tool}`);
  }
}

function nativeAndBenchFiles() {
  requireTool(FORMATTER);
  return [
    ...filesBelow('native', /\.(h|cc)$/),
    ...filesBelow('bench', /\.(c|h)$/),
    ...filesBelow('test', /\.(h|cc)$/),
  ];
}

function format() {
  const files = nativeAndBenchFiles();
  if (files.length > 0) spawnSync(FORMATTER, ['-i', ...files], { cwd: ROOT, stdio: 'inherit' });
}

/** Lists the first line that clang-format would change in each file; its own report is too long. */
function checkFormat() {
  const wrong = nativeAndBenchFiles().flatMap((file) => {
    const args = ['--dry-run', '-Werror', '--ferror-limit=1', file];
    const { status, stderr } = spawnSync(FORMATTER, args, { cwd: ROOT, encoding: 'utf8' });
    return status === 0 ? [] : [stderr.split(' ')[0].replace(/:$/, '')];
  });
  if (wrong.length === 0) return;
  process.stderr.write(wrong.map((location) => `${location}\n`).join(''));
  throw new LintError(`${FORMATTER} would change the files above; run: npm run format`);
}

function configure(args) {
  const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  const { status, stderr } = spawnSync(process.execPath, [nodeGyp, 'configure', ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (status !== 0) {
    process.stderr.write(stderr);
    throw new LintError('node-gyp configure failed; run this through npm: npm run lint');
  }
}

/** Writes the compile database next to the Makefiles, which stay unchanged. */
function writeDatabase() {
  // On a clean tree, node-gyp with only the database leaves a build folder without a Makefile,
  // and the next `node-gyp build` fails. So there is always a Makefile first.
  if (!existsSync(join(ROOT, 'build/Makefile'))) configure([]);
  configure(['--', '-f', 'compile_commands_json']);
  if (!existsSync(join(ROOT, DATABASE))) throw new LintError(`node-gyp wrote no ${DATABASE}`);
}

/** Lints one file; resolves to true if it is clean. */
function lintFile(file) {
  return new Promise((resolve) => {
    // The Makefile's path of this header is relative to build/.
    const header = `--extra-arg=-isystem${join(ROOT, 'node_modules/node-addon-api')}`;
    const child = spawn(LINTER, ['--quiet', '-p', 'build/Release', header, file], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
    }
    child.on('close', (code) => {
      // stderr counts suppressed warnings; it is needed only when the tool itself fails.
      if (code !== 0) process.stdout.write(output.stdout || output.stderr);
      resolve(code === 0);
    });
  });
}

async function lint() {
  requireTool(LINTER);
  const files = filesBelow('native', /\.cc$/);
  if (files.length === 0) return;
  writeDatabase();
  const queue = [...files];
  const failed = [];
  const drainQueue = async () => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      if (!(await lintFile(file))) failed.push(file);
    }
  };
  await Promise.all(Array.from({ length: LINTERS_AT_ONCE }, drainQueue));
  if (failed.length > 0) throw new LintError(`clang-tidy-14 rejects ${failed.sort().join(', ')}`);
}

try {
  if (process.argv.includes('--format')) {
    format();
  } else {
    checkFormat();
    await lint();
  }
} catch (error) {
  if (!(error instanceof LintError)) throw error;
  process.stderr.write(`lint-native: ${error.message}\n`);
  process.exitCode = 1;
}
