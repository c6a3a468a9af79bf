// Both packages on a minimal Debian 12: no compiler, no libev, and in one test no Node. debootstrap
// makes the folder, which shares only the network with this machine.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

import t, { type Test as TapTest } from 'tap';

import { command, root } from '../support/helpers.js';
import { brokenLinks } from '../support/page-links.js';
import {
  buildingAlone,
  ensurePrebuild,
  InstalledServer,
  pack,
  run,
  temporaryFolder,
} from '../support/packages/make.js';
import { without } from '../support/requirements.js';

t.setTimeout(1_200_000);

const skip = without('root', 'debootstrap', 'dh');

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Mounts /proc in a new mount namespace and runs a command inside the folder. */
const ENTER = 'mount -t proc proc "$0/proc" && exec chroot "$0" env -i "$@"';

/** The npm settings of this machine as variables, with the certificate path inside the folder. */
function npmEnvironment(folder: string): string[] {
  const setting = (name: string): string => run('npm', ['config', 'get', name]).trim();
  const names = ['http_proxy', 'https_proxy', 'no_proxy'];
  const proxies = Object.entries(process.env)
    .filter(([name]) => names.includes(name.toLowerCase()))
    .map(([name, value]) => `${name}=${value ?? ''}`);
  const certificates = setting('cafile');
  if (!existsSync(certificates)) return [...proxies, `npm_config_registry=${setting('registry')}`];
  copyFileSync(certificates, join(folder, 'etc/registry.pem'));
  return [
    ...proxies,
    `npm_config_registry=${setting('registry')}`,
    'npm_config_cafile=/etc/registry.pem',
  ];
}

/** A folder with a minimal Debian. */
class Debian {
  readonly folder: string;

  constructor(t: TapTest) {
    this.folder = temporaryFolder(t);
    // The folder need not survive a crash, so dpkg may skip fsync.
    mkdirSync(join(this.folder, 'etc/dpkg/dpkg.cfg.d'), { recursive: true });
    writeFileSync(join(this.folder, 'etc/dpkg/dpkg.cfg.d/unsafe-io'), 'force-unsafe-io\n');
    // Every Debian server has systemd, and kill for the reload; systemd is not running here.
    const flags = ['--variant=minbase', '--include=systemd,procps'];
    run('debootstrap', [...flags, 'bookworm', this.folder]);
    for (const file of ['resolv.conf', 'hosts']) {
      copyFileSync(join('/etc', file), join(this.folder, 'etc', file));
    }
  }

  /** The command line that runs a program inside, in a PID namespace that ends with it. */
  entering(...args: string[]): string[] {
    const env = ['HOME=/root', `PATH=${PATH}`, 'LC_ALL=C.UTF-8'];
    const namespaces = ['--mount', '--pid', '--fork', '--kill-child'];
    return ['unshare', ...namespaces, 'sh', '-c', ENTER, this.folder, ...env, ...args];
  }

  run(...args: string[]): { status: number | null; output: string } {
    const [name = '', ...rest] = this.entering(...args);
    const options = { encoding: 'utf8', timeout: 300_000 } as const;
    const { status, stdout, stderr } = spawnSync(name, rest, options);
    return { status, output: stdout + stderr };
  }

  /** Installs Node and npm, and nothing else. */
  addNode(): void {
    const local = join(this.folder, 'usr/local');
    copyFileSync(process.execPath, join(local, 'bin/node'));
    const npm = join(run('npm', ['root', '--global']).trim(), 'npm');
    mkdirSync(join(local, 'lib/node_modules'), { recursive: true });
    cpSync(npm, join(local, 'lib/node_modules/npm'), { recursive: true });
    for (const name of ['npm', 'npx']) {
      symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(local, 'bin', name));
    }
  }

  /** Every file except logs and caches of the package tools. */
  files(): string[] {
    const own = ['var/lib/dpkg', 'var/log', 'var/cache', 'proc', 'run'];
    const without = own.flatMap((path) => ['-path', `./${path}`, '-prune', '-o']);
    const args = ['-c', 'cd "$0" && find . "$@" -print', this.folder, ...without];
    return command('sh', ...args)
      .trim()
      .split('\n')
      .sort();
  }
}

/** Makes a Debian package and copies it into the folder; returns its path there. */
async function addPackage(debian: Debian, ...args: string[]): Promise<string> {
  const file = await buildingAlone(() => {
    const made = run('npm', ['run', '--silent', 'deb', '--', ...args]).trim();
    copyFileSync(made, join(debian.folder, 'root', basename(made)));
    return made;
  });
  return join('/root', basename(file));
}

async function assertServes(t: TapTest, debian: Debian, ...start: string[]): Promise<void> {
  const server = await InstalledServer.start(t, debian.entering(...start));
  t.ok(await server.answers(), `${start.at(-1) ?? ''}: a client receives its echo`);
  await server.end('SIGKILL');
}

const UNIT = 'megacomet.service';
const COMPLETIONS = '/usr/share/bash-completion/completions/megacomet-ts';

/** The package's files with a path that Debian prescribes. */
const PATHS = [
  'usr/bin/megacomet-ts',
  'usr/lib/systemd/system/megacomet.service',
  'usr/lib/systemd/system/megacomet.socket',
  'usr/share/bash-completion/completions/megacomet-ts',
  'usr/share/doc/megacomet-ts/README.md',
  'usr/share/doc/megacomet-ts/copyright',
  'usr/share/doc/megacomet-ts/docs/alerts.yml',
  'usr/share/doc/megacomet-ts/docs/grafana.json',
  'usr/share/doc/megacomet-ts/examples/nginx/megacomet.conf',
  'usr/share/fish/vendor_completions.d/megacomet-ts.fish',
  'usr/share/man/man1/megacomet-ts.1.gz',
  'usr/share/zsh/vendor-completions/_megacomet-ts',
];

/** Asserts the state of an installed package. */
async function assertInstalled(t: TapTest, debian: Debian): Promise<void> {
  const files = debian.files();
  const missing = PATHS.filter((path) => !files.includes(`./${path}`));
  t.same(missing, [], 'every file is at its path');
  const documents = join(debian.folder, 'usr/share/doc/megacomet-ts');
  t.same(brokenLinks(documents, 'README.md'), [], 'every link of the README has its file');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  t.same(debian.run('megacomet-ts', '--version'), { status: 0, output: `${version}\n` }, version);
  t.equal(debian.run('bash', '-n', COMPLETIONS).status, 0, 'bash parses the completions');
  const unit = readFileSync(join(debian.folder, 'usr/lib/systemd/system', UNIT), 'utf8');
  t.match(unit, /^ExecStart=\/usr\/bin\/megacomet-ts serve\b/m, 'the unit starts the command');
  const verified = debian.run('systemd-analyze', 'verify', UNIT, 'megacomet.socket');
  t.same(verified, { status: 0, output: '' }, 'systemd accepts the units');
  await assertServes(t, debian, 'megacomet-ts');
}

async function withNode(t: TapTest, debian: Debian): Promise<void> {
  const file = await addPackage(debian, '--with-node');
  const before = debian.files();
  t.equal(debian.run('dpkg', '-i', file).status, 0, 'dpkg installs the package');
  await assertInstalled(t, debian);
  t.equal(debian.run('systemctl', 'enable', UNIT).status, 0, 'the unit can be enabled');
  const isEnabled = debian.files().some((path) => path.endsWith(`.wants/${UNIT}`));
  t.ok(isEnabled, 'enabling the unit creates a link');
  t.equal(debian.run('dpkg', '--purge', 'megacomet-ts').status, 0, 'dpkg removes the package');
  t.strictSame(debian.files(), before, 'no file, no folder and no link is left');
}

async function withoutNode(t: TapTest, debian: Debian): Promise<void> {
  const file = await addPackage(debian);
  const before = debian.files();
  const { status, output } = debian.run('dpkg', '-i', file);
  t.equal(status, 1, 'dpkg rejects the package');
  const wanted = /depends on nodejs \(>= 20\.6\); however:\s+Package nodejs is not installed/;
  t.match(output, wanted, 'the reason is that Node 20.6 is missing');
  t.equal(debian.run('dpkg', '--purge', 'megacomet-ts').status, 0, 'dpkg removes the package');
  t.strictSame(debian.files(), before, 'no file and no folder is left');
}

async function fromTarball(t: TapTest, debian: Debian): Promise<void> {
  debian.addNode();
  const tarball = await pack(t);
  copyFileSync(tarball, join(debian.folder, 'root', basename(tarball)));
  const app = ['env', '--chdir=/root', ...npmEnvironment(debian.folder)];
  const { status, output } = debian.run(...app, 'npm', 'install', `./${basename(tarball)}`);
  t.equal(status, 0, 'npm installs the package');
  if (status !== 0) t.comment(output);
  await assertServes(t, debian, ...app, 'npx', 'megacomet-ts');
}

t.test('packages on a minimal Debian 12', { skip }, async (t) => {
  await ensurePrebuild(process.arch);
  const debian = new Debian(t);
  for (const name of ['gcc', 'cc', 'make', 'python3', 'node']) {
    t.not(debian.run('sh', '-c', `command -v ${name}`).status, 0, `the machine has no ${name}`);
  }
  const hasLibev = debian.files().some((path) => path.includes('libev.so'));
  t.notOk(hasLibev, 'the machine has no libev');
  await t.test('the .deb with Node installs, serves and leaves no trace', (t) =>
    withNode(t, debian),
  );
  await t.test('the .deb without Node names the Node version it needs', (t) =>
    withoutNode(t, debian),
  );
  await t.test('npm installs the tarball, and npx serves', (t) => fromTarball(t, debian));
});
