// `npm run deb`: a Debian package, in build-deb/. Run `npm run build:prebuilds` first.
//   npm run deb                   for a machine that has Node 20 or newer
//   npm run deb -- --with-node    carries a Node of its own: that of Debian 12 is too old
//   npm run deb -- --arch arm64   for another architecture than this machine's
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

import { readCommandLine, withoutSecrets } from './command-line.mjs';
import { COMPLETIONS } from './completions.mjs';
import { manPage } from './man.mjs';
import { main, PACKAGE, PackagingError, ROOT, run, TARGETS } from './tools.mjs';

const NAME = PACKAGE.name;
const BUILD = join(ROOT, 'build-deb');
/** Where the program lies on the machine. */
const HOME = `usr/lib/${NAME}`;
const UNITS = ['megacomet.service', 'megacomet.socket'];
/** What only compiles the addon, which lies ready. */
const BUILD_ONLY = ['native', 'binding.gyp', 'lib/check-system.js', 'node_modules/node-addon-api'];
/** What npm leaves in node_modules for itself. */
const NPM_ONLY = ['package-lock.json', 'node_modules/.package-lock.json', 'node_modules/.bin'];
/** From this major on Node's binary needs one more library. */
const NODE_WITH_LIBATOMIC = 26;

const POSTINST = `#!/bin/sh
# Enables and starts nothing: that is the operator's.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
`;
const PRERM = `#!/bin/sh
# A removed service neither runs on nor starts at the next boot. An upgrade leaves it running, with
# its connections, until it is restarted.
set -e
if [ "$1" = remove ] && command -v systemctl >/dev/null; then
  if [ -d /run/systemd/system ]; then systemctl stop megacomet.socket megacomet.service; fi
  systemctl --quiet disable megacomet.socket megacomet.service
fi
`;
const POSTRM = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
`;

/** Writes a file below a folder, and the folders above it. */
function write(path, content, mode = 0o644) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
}

/** So that `systemctl reload` has a file to read again. */
const CONFIGURATION = {
  'etc/megacomet/environment': 'MEGACOMET_CONFIG=/etc/megacomet/config.json\n',
  'etc/megacomet/config.json': '{}\n',
};

const gzip = (text) => gzipSync(text, { level: 9 });

/** The program as `npm pack` packs it, with what it depends on at run time. */
function addProgram(stage, arch) {
  if (!existsSync(join(ROOT, 'prebuilds', `linux-${arch}`))) {
    throw new PackagingError(`there is no addon for ${arch}; run first: npm run build:prebuilds`);
  }
  const home = join(stage, HOME);
  mkdirSync(home, { recursive: true });
  run('npm', ['pack', '--pack-destination', BUILD], { cwd: ROOT });
  const tarball = join(BUILD, `${NAME}-${PACKAGE.version}.tgz`);
  run('tar', ['-xzf', tarball, '-C', home, '--strip-components=1', '--no-same-owner']);
  rmSync(tarball);
  copyFileSync(join(ROOT, 'package-lock.json'), join(home, 'package-lock.json'));
  run('npm', ['ci', '--omit=dev', '--ignore-scripts', `--cpu=${arch}`], { cwd: home });
  const foreign = readdirSync(join(home, 'prebuilds')).filter((name) => name !== `linux-${arch}`);
  for (const name of [...BUILD_ONLY, ...NPM_ONLY, ...foreign.map((name) => `prebuilds/${name}`)]) {
    rmSync(join(home, name), { recursive: true, force: true });
  }
  mkdirSync(join(stage, 'usr/bin'), { recursive: true });
}

/** Node's binary, from the npm registry, of the major version that runs this; answers its version. */
function addNode(stage, arch) {
  const name = `node-linux-${arch}`;
  const folder = join(BUILD, 'node');
  const major = process.versions.node.split('.')[0];
  run('npm', [
    ...['install', '--prefix', folder, '--no-save', '--ignore-scripts', '--force'],
    ...['--os=linux', `--cpu=${arch}`, `${name}@${major}`],
  ]);
  const source = join(folder, 'node_modules', name);
  write(join(stage, HOME, 'node/bin/node'), readFileSync(join(source, 'bin/node')), 0o755);
  write(join(stage, HOME, 'node/LICENSE'), readFileSync(join(source, 'LICENSE')));
  const launcher = `#!/bin/sh\nexec /${HOME}/node/bin/node /${HOME}/lib/bin.js "$@"\n`;
  write(join(stage, HOME, 'bin', NAME), launcher, 0o755);
  symlinkSync(`../lib/${NAME}/bin/${NAME}`, join(stage, 'usr/bin', NAME));
  return JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')).version;
}

/** Manual, completions, licences and changes, where Debian has them. */
async function addDocuments(stage, arch) {
  const share = join(stage, 'usr/share');
  const commandLine = await readCommandLine();
  const typed = withoutSecrets(commandLine);
  write(join(share, `man/man1/${NAME}.1.gz`), gzip(manPage(commandLine)));
  write(join(share, `bash-completion/completions/${NAME}`), COMPLETIONS.bash(typed));
  write(join(share, `zsh/vendor-completions/_${NAME}`), COMPLETIONS.zsh(typed));
  write(join(share, `fish/vendor_completions.d/${NAME}.fish`), COMPLETIONS.fish(typed));
  const changes = readFileSync(join(ROOT, 'CHANGELOG.md'));
  write(join(share, `doc/${NAME}/changelog.gz`), gzip(changes));
  const licence =
    `${readFileSync(join(ROOT, 'LICENSE'), 'utf8')}\n` +
    `The licence of libev is in /${HOME}/prebuilds/linux-${arch}, those of npm packages in their\n` +
    `folders below /${HOME}/node_modules, that of Node.js, where it is part of this package, in\n` +
    `/${HOME}/node.\n`;
  write(join(share, `doc/${NAME}/copyright`), licence);
}

/** systemd's units, with the path of the command as it is here. */
function addUnits(stage) {
  for (const name of UNITS) {
    const source = join(ROOT, 'packaging/systemd', name);
    if (!existsSync(source)) throw new PackagingError(`there is no ${source}`);
    const text = readFileSync(source, 'utf8');
    const unit = text.replace(/^ExecStart=.*?(?= serve\b)/m, `ExecStart=/usr/bin/${NAME}`);
    // Not /lib, which is a link to it since Debian 12.
    write(join(stage, 'usr/lib/systemd/system', name), unit);
  }
}

/** Options of the service; dpkg keeps what an operator changed in them. */
function addConfiguration(stage) {
  for (const [path, text] of Object.entries(CONFIGURATION)) write(join(stage, path), text);
  const names = Object.keys(CONFIGURATION).map((path) => `/${path}\n`);
  write(join(stage, 'DEBIAN/conffiles'), names.join(''));
}

function addControl(stage, arch, node) {
  const kilobytes = run('du', ['-sk', '--apparent-size', stage]).split('\t')[0];
  const depends = ['libc6 (>= 2.28)', 'libstdc++6 (>= 5)'];
  if (node === undefined) depends.push('nodejs (>= 20)');
  else if (Number.parseInt(node, 10) >= NODE_WITH_LIBATOMIC) depends.push('libatomic1');
  const version = node === undefined ? PACKAGE.version : `${PACKAGE.version}+node${node}`;
  const control = `Package: ${NAME}
Version: ${version}
Architecture: ${TARGETS[arch].debian}
Maintainer: megacomet-ts <megacomet-ts@localhost>
Installed-Size: ${kilobytes}
Depends: ${depends.join(', ')}
Recommends: procps
Section: net
Priority: optional
Description: server that holds a million idle TCP connections
 Worker processes in C++ on libev under a thin manager on Node.js: an idle
 connection costs one cache line. Comes with a unit for systemd, which is
 neither enabled nor started by the installation.
`;
  write(join(stage, 'DEBIAN/control'), control);
  const scripts = { postinst: POSTINST, prerm: PRERM, postrm: POSTRM };
  for (const [name, text] of Object.entries(scripts)) {
    write(join(stage, 'DEBIAN', name), text, 0o755);
  }
  return `${NAME}_${version}_${TARGETS[arch].debian}.deb`;
}

await main(async () => {
  const { values } = parseArgs({
    options: { arch: { type: 'string', default: process.arch }, 'with-node': { type: 'boolean' } },
  });
  const { arch } = values;
  if (!Object.hasOwn(TARGETS, arch)) {
    throw new PackagingError(`--arch: "${arch}" is not one of ${Object.keys(TARGETS).join(', ')}`);
  }
  // Files get the modes that they have in any Debian package.
  process.umask(0o022);
  const stage = join(BUILD, 'stage');
  const clean = () => {
    for (const name of ['stage', 'node'])
      rmSync(join(BUILD, name), { recursive: true, force: true });
  };
  clean();
  mkdirSync(stage, { recursive: true });
  addProgram(stage, arch);
  let node;
  if (values['with-node']) node = addNode(stage, arch);
  else symlinkSync(`../lib/${NAME}/lib/bin.js`, join(stage, 'usr/bin', NAME));
  await addDocuments(stage, arch);
  addUnits(stage);
  addConfiguration(stage);
  const file = join(BUILD, addControl(stage, arch, node));
  // xz, which every dpkg reads; a higher level takes three times as long to save a tenth.
  run('dpkg-deb', ['-Zxz', '-z2', '--root-owner-group', '--build', stage, file]);
  clean();
  process.stdout.write(`${file}\n`);
});
