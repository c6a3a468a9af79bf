// `npm run build:prebuilds`: compiles the addon for machines without a compiler, into
// prebuilds/linux-ARCH/, with libev's shared library and its licence beside it.
//   npm run build:prebuilds                      this machine's architecture, and each with an installed compiler
//   npm run build:prebuilds -- --arch x64|arm64  one architecture
// Works in build-prebuild/ and leaves build/ alone. Run it through npm, whose environment tells node-gyp
// the headers of Node.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { hasCommand, main, PackagingError, ROOT, run, TARGETS } from './tools.mjs';

const BUILD = join(ROOT, 'build-prebuild');
const LIBEV = 'libev.so.4';
/** The inputs of node-gyp. */
const SOURCES = ['native', 'binding.gyp', 'package.json'];
/**
 * The versions that the binary of Node 20 itself needs, so that the addon runs wherever Node does. A
 * compiler of a newer distribution binds to newer versions without a warning.
 */
const SYMBOLS_MAX = { GLIBC: '2.28', GLIBCXX: '3.4.21', CXXABI: '1.3.9' };
const SYMBOL = / UND (\S+)@(GLIBC|GLIBCXX|CXXABI)_([\d.]+)/g;
/** Binds functions to their oldest version. */
const OLD_VERSIONS = `-include ${join(ROOT, 'packaging/glibc.h')}`;

/** Debian's libev for another architecture, unpacked and not installed; returns its folder. */
function unpackLibev({ debian, gnu }) {
  const folder = join(BUILD, `libev-${debian}`);
  if (existsSync(join(folder, 'usr/lib', gnu, LIBEV))) return folder;
  const apt = join(BUILD, `apt-${debian}`);
  for (const name of ['lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(apt, name), { recursive: true });
  }
  // Separate folders, so that the apt of this machine does not change.
  const settings = [
    `APT::Architecture=${debian}`,
    `APT::Architectures::=${debian}`,
    `Dir::State::Lists=${apt}/lists`,
    'Dir::State::status=/dev/null',
    `Dir::Cache=${apt}/cache`,
    // apt's user for downloads cannot write here.
    ...(process.getuid() === 0 ? ['APT::Sandbox::User=root'] : []),
  ].flatMap((setting) => ['-o', setting]);
  run('apt-get', [...settings, 'update']);
  run('apt-get', [...settings, 'download', `libev4:${debian}`, `libev-dev:${debian}`], {
    cwd: apt,
  });
  const packages = readdirSync(apt).filter((name) => name.endsWith('.deb'));
  const unpacked = `${folder}.new`;
  for (const name of packages) run('dpkg-deb', ['-x', join(apt, name), unpacked]);
  renameSync(unpacked, folder);
  rmSync(apt, { recursive: true });
  return folder;
}

/** The toolchain of an architecture: prefix of the tools, environment, path of libev. */
function toolchainFor(arch) {
  const target = TARGETS[arch];
  if (arch === process.arch) {
    const library = run('g++', [`-print-file-name=${LIBEV}`]).trim();
    // g++ prints the bare name if it does not find the file.
    if (library === LIBEV) {
      throw new PackagingError('libev is missing; install it with: apt-get install -y libev-dev');
    }
    const env = { CXXFLAGS: OLD_VERSIONS };
    return { prefix: '', env, library, licence: '/usr/share/doc/libev4/copyright' };
  }
  const prefix = `${target.gnu}-`;
  if (!hasCommand(`${prefix}g++`)) throw new PackagingError(missingCompiler(target));
  const libev = unpackLibev(target);
  const libraries = join(libev, 'usr/lib', target.gnu);
  return {
    prefix,
    env: {
      CC: `${prefix}gcc`,
      CXX: `${prefix}g++`,
      CXXFLAGS: `${OLD_VERSIONS} -isystem ${join(libev, 'usr/include')}`,
      LDFLAGS: `-L${libraries}`,
    },
    library: join(libraries, LIBEV),
    licence: join(libev, 'usr/share/doc/libev4/copyright'),
  };
}

function missingCompiler({ gnu, compilerPackage }) {
  return `${gnu}-g++ is missing; install it with: apt-get install -y ${compilerPackage}`;
}

/** Makes a folder in which node-gyp builds from the checkout's sources; returns its path. */
function prepare(arch) {
  const folder = join(BUILD, arch);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of SOURCES) symlinkSync(join(ROOT, name), join(folder, name));
  return folder;
}

/** Copies the files that belong beside the addon. */
function gatherLibev(folder, { library, licence }) {
  if (!existsSync(licence)) {
    throw new PackagingError(`libev's licence is missing: ${licence}`);
  }
  const artifacts = join(folder, 'artifacts');
  mkdirSync(artifacts);
  // The name with one number is a link: copy the file that it links to.
  copyFileSync(realpathSync(library), join(artifacts, LIBEV));
  copyFileSync(licence, join(artifacts, 'libev-LICENSE.txt'));
  return artifacts;
}

function isNewer(version, limit) {
  const [a, b] = [version, limit].map((text) => text.split('.').map(Number));
  const at = a.findIndex((part, index) => part !== (b[index] ?? 0));
  return at >= 0 && a[at] > (b[at] ?? 0);
}

/** Throws if a file needs a newer system than Node itself. */
function assertRunsWhereNodeDoes(file, prefix) {
  const symbols = run(`${prefix}readelf`, ['--dyn-syms', '--wide', file]);
  for (const [, name, library, version] of symbols.matchAll(SYMBOL)) {
    if (isNewer(version, SYMBOLS_MAX[library])) {
      throw new PackagingError(
        `${file} needs ${name} of ${library} ${version}, and Node runs on ` +
          `${SYMBOLS_MAX[library]}: do not use it, or see packaging/glibc.h`,
      );
    }
  }
}

function prebuild(arch) {
  const toolchain = toolchainFor(arch);
  const folder = prepare(arch);
  const output = join(ROOT, 'prebuilds', `linux-${arch}`);
  rmSync(output, { recursive: true, force: true });
  const prebuildify = createRequire(import.meta.url).resolve('prebuildify/bin.js');
  run(
    process.execPath,
    [
      prebuildify,
      ...['--cwd', folder, '--out', ROOT, '--arch', arch],
      // The headers of this Node; any version fits, because N-API is the same in all.
      ...['--napi', '--target', process.versions.node],
      // Without the name of the libc, a system with musl would load the file.
      '--tag-libc',
      ...['--strip', '--strip-bin', `${toolchain.prefix}strip`],
      ...['--artifacts', gatherLibev(folder, toolchain)],
      // The folder for downloaded headers, if the machine has none.
      ...['--cache', join(BUILD, 'cache')],
    ],
    // node-gyp reads JOBS; prebuildify has no option for it.
    { cwd: folder, env: { ...process.env, JOBS: 'max', ...toolchain.env } },
  );
  for (const name of readdirSync(output).filter((name) => /\.(node|so\.\d+)$/.test(name))) {
    assertRunsWhereNodeDoes(join(output, name), toolchain.prefix);
  }
  process.stdout.write(`prebuilds/linux-${arch}: ${readdirSync(output).join(', ')}\n`);
}

/** The requested architecture, or all that this machine can build. */
function chooseArchitectures(asked) {
  if (asked !== undefined) {
    if (!Object.hasOwn(TARGETS, asked)) {
      throw new PackagingError(
        `--arch: "${asked}" is not one of ${Object.keys(TARGETS).join(', ')}`,
      );
    }
    return [asked];
  }
  return Object.keys(TARGETS).filter((arch) => {
    if (arch === process.arch || hasCommand(`${TARGETS[arch].gnu}-g++`)) return true;
    process.stdout.write(`linux-${arch} is left out: ${missingCompiler(TARGETS[arch])}\n`);
    return false;
  });
}

await main(() => {
  const { values } = parseArgs({ options: { arch: { type: 'string' } } });
  for (const arch of chooseArchitectures(values.arch)) prebuild(arch);
});
