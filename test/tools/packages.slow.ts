// The npm package: its contents, that it installs and serves without a compiler under every version of
// Node, and its errors when no addon fits.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import t, { type Test as TapTest } from 'tap';

import { COMMANDS } from '../../lib/options/commands.js';
import type { OptionSpec } from '../../lib/options/option-spec.js';
import { environmentNameOf, hasFlag, helpOf } from '../../lib/options/options.js';
import { command, root } from '../support/helpers.js';
import {
  buildingAlone,
  ensurePrebuild,
  filesBelow,
  install,
  installNode,
  InstalledServer,
  pack,
  prebuild,
  run,
  temporaryFolder,
} from '../support/packages/make.js';
import { brokenLinks } from '../support/page-links.js';
import { without } from '../support/requirements.js';

/** The test compiles twice and downloads 600 MB of Node releases. */
t.setTimeout(1_200_000);

const { arch } = process;
const NODE_VERSIONS = ['20.6.0', '20', '22', '24', '26'];
const ARCHITECTURES = 2;
/** How far the size in docs/packaging.md may differ from that of the tarball. */
const SIZE_TOLERANCE = 0.3;
const PREBUILT = ['libev-LICENSE.txt', 'libev.so.4', 'megacomet-ts.glibc.node'];

/** The package is installed here once; a test that changes it uses a copy. */
const installed = temporaryFolder(t);

/** PATH of a machine with Node and no other tool that this package could use. */
function barePath(folder: string): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  for (const name of ['npm', 'sh', 'env']) {
    symlinkSync(command('sh', '-c', `command -v ${name}`).trim(), join(bin, name));
  }
  return bin;
}

const program = (folder: string): string => join(folder, 'node_modules/.bin/megacomet-ts');
const packageIn = (folder: string): string => join(folder, 'node_modules/megacomet-ts');

/** A copy in a folder whose name a shell and make would split without care. */
function copyOfInstalled(t: TapTest): string {
  const folder = join(temporaryFolder(t), "it's my (dir)");
  cpSync(installed, folder, { recursive: true, verbatimSymlinks: true });
  return folder;
}

/** Runs the installed command without a loadable addon; returns its error message. */
function errorOf(t: TapTest, folder: string, env: NodeJS.ProcessEnv = {}): string {
  const end = spawnSync(program(folder), ['--version'], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  t.equal(end.status, 1, 'the command exits with 1');
  t.equal(end.stdout, '', 'nothing on standard output');
  t.match(end.stderr, /^megacomet-ts: [^\n]+; build it with: npm --prefix [^\n]+\n$/, 'one line');
  return end.stderr;
}

t.test('npm run build:prebuilds makes an addon with its own libev', async (t) => {
  const own = statSync(join(root, 'build/Release/megacomet.node')).mtimeMs;
  await buildingAlone(() => {
    prebuild(arch);
  });
  t.equal(
    statSync(join(root, 'build/Release/megacomet.node')).mtimeMs,
    own,
    'build/ is not changed',
  );
  const folder = join(root, `prebuilds/linux-${arch}`);
  t.same(readdirSync(folder).sort(), PREBUILT, 'three files');
  const addon = join(folder, 'megacomet-ts.glibc.node');
  const dynamic = command('readelf', '-d', addon);
  t.match(dynamic, /NEEDED.*\[libev\.so\.4\]/, 'the addon needs libev');
  t.match(dynamic, /RUNPATH.*\[\$ORIGIN\]/, 'the addon looks for libev in its own folder');
  t.match(
    command('ldd', addon),
    `libev.so.4 => ${folder}/libev.so.4`,
    'the loader finds libev there',
  );
  t.notMatch(
    command('readelf', '-S', '--wide', addon),
    /\.symtab|\.debug/,
    'the addon is stripped',
  );
  const licence = readFileSync(join(folder, 'libev-LICENSE.txt'), 'utf8');
  t.match(licence, /Marc Alexander Lehmann[\s\S]*Redistribution and use/, "libev's licence");
});

t.test('a tree without an addon, or without dist/, cannot be packed', (t) => {
  const folder = temporaryFolder(t);
  for (const name of ['check-prebuilds.mjs', 'tools.mjs']) {
    cpSync(join(root, 'packaging', name), join(folder, 'packaging', name));
  }
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  const sentenceOf = (): string => {
    const end = spawnSync('npm', ['pack'], { cwd: folder, encoding: 'utf8' });
    t.equal(end.status, 1);
    t.notOk(
      readdirSync(folder).some((name) => name.endsWith('.tgz')),
      'the tarball is missing',
    );
    return end.stderr;
  };
  t.match(sentenceOf(), /^pack: prebuilds\/ has no addon; run: npm run build:prebuilds$/m);
  mkdirSync(join(folder, 'prebuilds/linux-x64'), { recursive: true });
  writeFileSync(join(folder, 'prebuilds/linux-x64/megacomet-ts.glibc.node'), '');
  t.match(sentenceOf(), /^pack: dist\/ is not built; run: npm run build:ts$/m);
  t.end();
});

t.test('the tarball holds only the files that are needed to run', async (t) => {
  await ensurePrebuild(arch);
  const tarball = await pack(t);
  const found = command('tar', '-tzf', tarball).trim().split('\n');
  // Another test may add the addon of its architecture at any time.
  const folders = [
    ...new Set(found.flatMap((name) => /\/prebuilds\/([^/]+)/.exec(name)?.[1] ?? [])),
  ];
  t.ok(folders.includes(`linux-${arch}`), 'it has the addon of this machine');
  const compiled = filesBelow('lib', /\.ts$/).map((name) => `dist/lib/${name.slice(0, -3)}`);
  const wanted = [
    ...['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'THIRD_PARTY.md'],
    ...filesBelow('docs', /\.\w+$/).map((name) => `docs/${name}`),
    ...filesBelow('examples', /\.\w+$/).map((name) => `examples/${name}`),
    ...['ARCHITECTURE.md', 'CODE_OF_CONDUCT.md', 'CONTRIBUTING.md', 'SECURITY.md'],
    // The program, and the types for TypeScript programs.
    ...['lib/bin.js', 'dist/lib/worker.cjs'],
    ...filesBelow('lib/bench/browser', /\.(js|css)$/).map((name) => `lib/bench/browser/${name}`),
    ...compiled.flatMap((name) => [`${name}.js`, `${name}.d.ts`]),
    ...folders.flatMap((folder) => PREBUILT.map((name) => `prebuilds/${folder}/${name}`)),
    // The sources of the addon, for machines without a fitting prebuild.
    ...['binding.gyp', 'lib/check-system.js', 'lib/node-version.cjs'],
    ...filesBelow('native', /\.(h|cc)$/).map((name) => `native/${name}`),
  ];
  t.strictSame(
    found.sort(),
    wanted.map((name) => `package/${name}`).sort(),
    'the tarball has exactly these files',
  );
  const unpacked = temporaryFolder(t);
  command('tar', '-xzf', tarball, '-C', unpacked);
  t.same(brokenLinks(join(unpacked, 'package'), 'README.md'), [], 'its README has no dead link');
  const [, stated] =
    /files that run: ([\d.]+) MB/.exec(readFileSync(join(root, 'docs/packaging.md'), 'utf8')) ?? [];
  const ratio = statSync(tarball).size / 1e6 / Number(stated);
  // The documented size is for all architectures.
  const isWhole = folders.length === ARCHITECTURES;
  const isTrue = Math.abs(ratio - 1) < SIZE_TOLERANCE || (!isWhole && ratio < 1);
  t.ok(isTrue, `${ratio} of the size in docs/packaging.md`);
});

t.test('the package installs and serves on a machine that has only Node', async (t) => {
  await ensurePrebuild(arch);
  const env = { ...process.env, PATH: barePath(temporaryFolder(t)) };
  install(installed, [await pack(t)], { env });
  const lock = readFileSync(join(installed, 'package-lock.json'), 'utf8');
  t.notMatch(lock, /hasInstallScript/, 'no package in it has an install script');
  const server = await InstalledServer.start(t, [program(installed)], { cwd: installed, env });
  t.ok(await server.answers(), 'a client receives its echo');
  const maps = readFileSync(`/proc/${server.workerPids[0] ?? 0}/maps`, 'utf8');
  const libraries = new Set(maps.match(/\/\S*libev\S*/g));
  t.same(
    [...libraries],
    [join(packageIn(installed), `prebuilds/linux-${arch}/libev.so.4`)],
    'the worker has loaded the libev of the package',
  );
  t.equal(await server.end('SIGTERM'), 0, 'the server ends cleanly');
});

t.test('the same addon serves under every version of Node', async (t) => {
  for (const version of NODE_VERSIONS) {
    const folder = temporaryFolder(t);
    const node = installNode(folder, version, arch);
    t.match(command(node, '--version'), `v${version}`, `this is Node ${version}`);
    const server = await InstalledServer.start(t, [node, join(packageIn(installed), 'lib/bin.js')]);
    t.ok(await server.answers(), `Node ${version} answers`);
    t.equal(await server.end('SIGTERM'), 0, `Node ${version} ends cleanly`);
    // A release takes up to 211 MB.
    rmSync(folder, { recursive: true });
  }
});

t.test('an older Node gets one sentence, from the command and from the library', (t) => {
  const folder = temporaryFolder(t);
  const node = installNode(folder, '20.5.1', arch);
  // The test runner adds its loader to each environment, and this Node cannot load it.
  const sentence = 'Node.js 20.6 or newer is needed, and this is 20.5.1';
  for (const args of [['--version'], ['serve', '--port', '0']]) {
    const end = spawnSync(node, [program(installed), ...args], {
      encoding: 'utf8',
    });
    t.match(end, { status: 1, stdout: '', stderr: `megacomet-ts: ${sentence}\n` }, args.join(' '));
  }
  const text =
    "import { createServer } from 'megacomet-ts';\n" +
    'await createServer({ port: 0 }).listen().catch(({ code, message }) => console.log(code, message));';
  writeFileSync(join(installed, 'old.mjs'), text);
  t.equal(run(node, [join(installed, 'old.mjs')]), `ERR_RUNTIME ${sentence}\n`);
  t.end();
});

t.test('a TypeScript program finds all types', (t) => {
  const folder = copyOfInstalled(t);
  const text =
    "import { createServer, type ServerOptions, type Stats } from 'megacomet-ts';\n" +
    'const options: ServerOptions = { port: 0, maxConnections: 10 };\n' +
    'const stats: Stats = createServer(options).stats();\n' +
    "export const wrong: string = stats.uptimeSeconds;\nimport none from 'megacomet-ts/none';\nexport { none };\n";
  writeFileSync(join(folder, 'app.mts'), text);
  const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
  const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', ...types];
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout } = spawnSync(process.execPath, [compiler, ...flags, 'app.mts'], {
    cwd: folder,
    encoding: 'utf8',
  });
  // Only the two planted mistakes; a missing type would be another error.
  t.same(
    stdout.match(/^\S+: error TS\d+/gm),
    ['app.mts(4,14): error TS2322', 'app.mts(5,18): error TS2307'],
    'no errors except the planted ones',
  );
  t.end();
});

t.test('when no addon fits, the error names the command that builds one', async (t) => {
  const folder = copyOfInstalled(t);
  t.match(errorOf(t, folder, { LIBC: 'musl' }), `no addon for linux-${arch}`, 'with musl');
  const own = join(packageIn(folder), 'prebuilds');
  writeFileSync(join(own, `linux-${arch}/libev.so.4`), 'no library');
  t.match(
    errorOf(t, folder),
    /cannot be loaded: .*libev\.so\.4/,
    'the error names a broken library',
  );
  rmSync(own, { recursive: true });
  const sentence = errorOf(t, folder);
  t.match(sentence, `no addon for linux-${arch} in ${packageIn(folder)};`, 'without prebuilds');
  const fix = sentence.replace(/^.*build it with: /s, '');
  run('sh', ['-c', fix], { cwd: '/' });
  const server = await InstalledServer.start(t, [program(folder)], { cwd: folder });
  t.ok(await server.answers(), 'the built addon serves');
  t.equal(await server.end('SIGTERM'), 0, 'the server ends cleanly');
});

/** The completions that bash offers for the last word of a line. */
function completed(file: string, ...words: string[]): string[] {
  const script =
    'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _megacomet_ts 2>/dev/null; ' +
    'printf "%s\\n" "${COMPREPLY[@]}"';
  const args = ['--norc', '-c', script, file, 'megacomet-ts', ...words];
  return command('bash', ...args)
    .trim()
    .split('\n');
}

/** Writes the completions of one shell into a file. */
function writeCompletions(t: TapTest, shell: 'bash' | 'fish' | 'zsh'): string {
  const file = join(temporaryFolder(t), shell);
  writeFileSync(file, run('node', ['packaging/completions.mjs', shell]));
  return file;
}

t.test('completions offer the commands, options and values of the program', (t) => {
  const bash = writeCompletions(t, 'bash');
  const missing = COMMANDS.flatMap(({ name: command, options }) =>
    (options as readonly OptionSpec[])
      .filter(hasFlag)
      .map(({ name }) => `--${name}`)
      .filter((flag) => !completed(bash, command, flag).includes(flag)),
  );
  t.same(missing, [], 'every option of every command');
  t.same(completed(bash, 'ser'), ['serve'], 'a command');
  t.same(completed(bash, 'serve', '--log-level', 'w'), ['warn'], 'a value of a choice');
  t.same(
    completed(bash, 'serve', '--log-level', '=', 'w'),
    ['warn'],
    'a value after an equals sign',
  );
  t.same(completed(bash, 'serve', '--port', ''), [''], 'no completion for a free value');
  command('bash', '-n', bash);
  t.end();
});

t.test('zsh parses the completions', { skip: without('zsh') }, (t) => {
  command('zsh', '-n', writeCompletions(t, 'zsh'));
  t.end();
});

t.test('fish completes the commands and the values of options', { skip: without('fish') }, (t) => {
  const fish = writeCompletions(t, 'fish');
  const complete = (text: string): string =>
    command('fish', '--no-config', '-c', `source ${fish}; complete -C '${text}'`);
  t.match(complete('megacomet-ts ser'), /^serve\t.*\n$/, 'the commands');
  t.match(complete('megacomet-ts serve --log-level w'), /^warn\b/, 'the values');
  t.end();
});

function writeManual(t: TapTest): string {
  const file = join(temporaryFolder(t), 'megacomet-ts.1');
  writeFileSync(file, run('node', ['packaging/man.mjs']));
  return file;
}

t.test('the manual has every option', (t) => {
  const text = readFileSync(writeManual(t), 'utf8').replaceAll('\\-', '-');
  const termOf = (spec: OptionSpec): string => {
    if (spec.isSecret === true) return environmentNameOf(spec.name);
    return hasFlag(spec) ? `--${spec.name}` : spec.name;
  };
  const isDocumented = (spec: OptionSpec): boolean => text.includes(`\\fB${termOf(spec)}\\fR`);
  const options = COMMANDS.flatMap((command): readonly OptionSpec[] => command.options);
  const missing = options.filter((spec) => !isDocumented(spec));
  t.same(missing, [], 'no option is missing');
  t.same(
    options.filter((spec) => !text.includes(helpOf(spec))),
    [],
    'no help text is missing',
  );
  t.end();
});

t.test('man formats the manual without a warning', { skip: without('man') }, (t) => {
  const file = writeManual(t);
  const env = { ...process.env, MANROFFSEQ: '', MANWIDTH: '80', LC_ALL: 'C.UTF-8' };
  const args = ['--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', file];
  t.equal(spawnSync('man', args, { env, encoding: 'utf8' }).stderr, '');
  t.end();
});
