// `npm run deb`: a Debian package, in build-deb/. Run `npm run build:prebuilds` first.
//   npm run deb                   for a machine that has Node 20 or newer
//   npm run deb -- --with-node    includes Node, because that of Debian 12 is too old
//   npm run deb -- --arch arm64   for another architecture than this machine's
// Prepares a source tree with the program as npm packs it, and debhelper packs that tree by debian/.
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

import { readCommandLine, withFlagsOnly } from './command-line.mjs';
import { COMPLETIONS } from './completions.mjs';
import { manPage } from './man.mjs';
import { hasCommand, main, PACKAGE, PackagingError, ROOT, run, TARGETS } from './tools.mjs';

const NAME = PACKAGE.name;
const BUILD = join(ROOT, 'build-deb');
const SOURCE = join(BUILD, 'source');
const PROGRAM = join(SOURCE, 'program');
const UNITS = ['megacomet.service', 'megacomet.socket'];
/** Files that only compile the addon, which is compiled already. */
const BUILD_ONLY = ['native', 'binding.gyp', 'lib/check-system.js', 'node_modules/node-addon-api'];
/** Documents of the tarball, which the program does not read. */
const DOCUMENTS = [
  ...['README.md', 'docs', 'examples', 'ARCHITECTURE.md', 'CODE_OF_CONDUCT.md', 'CONTRIBUTING.md'],
  ...['SECURITY.md', 'THIRD_PARTY.md', 'LICENSE'],
];
/** Files of npm itself in node_modules. */
const NPM_ONLY = ['package-lock.json', 'node_modules/.package-lock.json', 'node_modules/.bin'];
/** From this major version on Node's binary needs one more library. */
const NODE_WITH_LIBATOMIC = 26;

/** Writes a file below the source tree, and the folders above it. */
function write(path, content, mode = 0o644) {
  const file = join(SOURCE, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
}

/** The program as `npm pack` packs it, with its dependencies at run time. */
function addProgram(arch) {
  if (!existsSync(join(ROOT, 'prebuilds', `linux-${arch}`))) {
    throw new PackagingError(
      `the addon for ${arch} is missing; run first: npm run build:prebuilds`,
    );
  }
  mkdirSync(PROGRAM, { recursive: true });
  run('npm', ['pack', '--pack-destination', BUILD], { cwd: ROOT });
  const tarball = join(BUILD, `${NAME}-${PACKAGE.version}.tgz`);
  run('tar', ['-xzf', tarball, '-C', PROGRAM, '--strip-components=1', '--no-same-owner']);
  rmSync(tarball);
  copyFileSync(join(ROOT, 'package-lock.json'), join(PROGRAM, 'package-lock.json'));
  run('npm', ['ci', '--omit=dev', '--ignore-scripts', `--cpu=${arch}`], { cwd: PROGRAM });
  const foreign = readdirSync(join(PROGRAM, 'prebuilds')).filter(
    (name) => name !== `linux-${arch}`,
  );
  for (const name of [...BUILD_ONLY, ...NPM_ONLY, ...foreign.map((name) => `prebuilds/${name}`)]) {
    rmSync(join(PROGRAM, name), { recursive: true, force: true });
  }
}

/** Moves the documents that the README links to: debhelper installs them below /usr/share/doc. */
function moveDocuments() {
  mkdirSync(join(SOURCE, 'documents'));
  copyFileSync(join(PROGRAM, 'CHANGELOG.md'), join(SOURCE, 'documents/CHANGELOG.md'));
  for (const name of DOCUMENTS) renameSync(join(PROGRAM, name), join(SOURCE, 'documents', name));
}

/** Node's binary of the major version that runs this script, from npm; returns its version. */
function addNode(arch) {
  const name = `node-linux-${arch}`;
  const folder = join(BUILD, 'node');
  const major = process.versions.node.split('.')[0];
  run('npm', [
    ...['install', '--prefix', folder, '--no-save', '--ignore-scripts', '--force'],
    ...['--os=linux', `--cpu=${arch}`, `${name}@${major}`],
  ]);
  const source = join(folder, 'node_modules', name);
  write('program/node/bin/node', readFileSync(join(source, 'bin/node')), 0o755);
  write('program/node/LICENSE', readFileSync(join(source, 'LICENSE')));
  const home = `/usr/lib/${NAME}`;
  const launcher = `#!/bin/sh\nexec ${home}/node/bin/node ${home}/lib/bin.js "$@"\n`;
  write(`program/bin/${NAME}`, launcher, 0o755);
  return JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')).version;
}

/** The manual and the completions, from the option tables. */
async function addDocuments() {
  const commandLine = await readCommandLine();
  const typed = withFlagsOnly(commandLine);
  write(`${NAME}.1`, manPage(commandLine));
  write(`completions/${NAME}`, COMPLETIONS.bash(typed));
  write(`completions/_${NAME}`, COMPLETIONS.zsh(typed));
  write(`completions/${NAME}.fish`, COMPLETIONS.fish(typed));
}

/** Copies debian/, and adds the files that depend on this build. */
function addDebian(version, nodeDepends) {
  cpSync(join(ROOT, 'debian'), join(SOURCE, 'debian'), { recursive: true });
  for (const name of UNITS) {
    const text = readFileSync(join(ROOT, 'packaging/systemd', name), 'utf8');
    const unit = text.replace(/^ExecStart=.*?(?= serve\b)/m, `ExecStart=/usr/bin/${NAME}`);
    write(`debian/${NAME}.${name}`, unit);
  }
  write('debian/node-depends', nodeDepends);
  const control = readFileSync(join(ROOT, 'debian/control'), 'utf8');
  const maintainer = /^Maintainer: (.*)$/m.exec(control)?.[1];
  const date = run('date', ['--utc', '--rfc-email']).trim();
  write(
    'debian/changelog',
    `${NAME} (${version}) unstable; urgency=medium\n\n` +
      `  * See /usr/share/doc/${NAME}/changelog.gz.\n\n -- ${maintainer}  ${date}\n`,
  );
}

function build(arch) {
  const { debian } = TARGETS[arch];
  // Nothing is compiled, so that the compilers among the build dependencies are not needed.
  const flags = ['--build=binary', '--unsigned-changes', '--no-check-builddeps'];
  run('dpkg-buildpackage', [...flags, `--host-arch=${debian}`], { cwd: SOURCE });
  return debian;
}

await main(async () => {
  const { values } = parseArgs({
    options: { arch: { type: 'string', default: process.arch }, 'with-node': { type: 'boolean' } },
  });
  const { arch } = values;
  if (!Object.hasOwn(TARGETS, arch)) {
    throw new PackagingError(`--arch: "${arch}" is not one of ${Object.keys(TARGETS).join(', ')}`);
  }
  if (!hasCommand('dh')) {
    throw new PackagingError('debhelper is missing; install it with: apt-get install -y debhelper');
  }
  // Files get the modes that they have in any Debian package.
  process.umask(0o022);
  const clean = () => {
    for (const name of ['source', 'node']) {
      rmSync(join(BUILD, name), { recursive: true, force: true });
    }
  };
  clean();
  addProgram(arch);
  moveDocuments();
  const node = values['with-node'] ? addNode(arch) : undefined;
  const version = node === undefined ? PACKAGE.version : `${PACKAGE.version}+node${node}`;
  let nodeDepends = `nodejs (${PACKAGE.engines.node.replace('>=', '>= ')})`;
  if (node !== undefined) {
    nodeDepends = Number.parseInt(node, 10) >= NODE_WITH_LIBATOMIC ? 'libatomic1' : '';
  }
  await addDocuments();
  addDebian(version, nodeDepends);
  const debian = build(arch);
  clean();
  process.stdout.write(`${join(BUILD, `${NAME}_${version}_${debian}.deb`)}\n`);
});
