// Helpers for the tests of the packages: build, pack and install as a user does, and run a server
// from its installed folder.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { answers, type LogLine, root, type Test, until } from '../helpers.js';

/** Time limit to compile, download or unpack on a busy machine. */
const STEP_MS = 600_000;
/** Time limit under an emulator on a busy machine. */
const LISTEN_MS = 110_000;
const SETPRIV = '/usr/bin/setpriv';
/** No drain; the kernel chooses both ports. */
const SERVE = ['serve', '--port', '0', '--admin-port', '0', '--drain', '0', '--log-format', 'json'];

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface ServeOptions extends RunOptions {
  /** More arguments for `serve`. */
  readonly args?: readonly string[];
}

/** Runs a command that must succeed; returns its output. */
export function run(name: string, args: readonly string[], options: RunOptions = {}): string {
  return execFileSync(name, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 26,
    timeout: STEP_MS,
    killSignal: 'SIGKILL',
    ...options,
  });
}

export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-packages-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Files below a folder of the checkout, as relative paths. */
export function filesBelow(folder: string, pattern: RegExp): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => pattern.test(name)).sort();
}

const newestMs = (folder: string, pattern: RegExp): number =>
  Math.max(
    ...filesBelow(folder, pattern).map((name) => statSync(join(root, folder, name)).mtimeMs),
  );

/**
 * Runs an action while no other test builds or packs: all tests of packages share build-prebuild/,
 * build-deb/ and prebuilds/.
 */
export async function buildingAlone<T>(action: () => T): Promise<T> {
  // The lock lasts as long as the pipe to cat, so also a killed test gives it back.
  const lock = join(root, 'packaging');
  const holder = spawn('flock', [lock, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  try {
    return action();
  } finally {
    holder.stdin.end();
  }
}

/** Builds the addon that `npm pack` packs. */
export function prebuild(arch: string): void {
  run('npm', ['run', 'build:prebuilds', '--', '--arch', arch]);
}

function isPrebuilt(arch: string): boolean {
  const folder = `prebuilds/linux-${arch}`;
  const compiled = 'dist/lib/index.js';
  if (!existsSync(join(root, folder)) || !existsSync(join(root, compiled))) return false;
  const addonAtMs = newestMs(folder, /\.node$/);
  const compiledAtMs = statSync(join(root, compiled)).mtimeMs;
  const sourcesAtMs = Math.max(
    newestMs('native', /\.(h|cc)$/),
    newestMs('packaging', /\.(mjs|h)$/),
  );
  return addonAtMs > sourcesAtMs && compiledAtMs > newestMs('lib', /\.c?ts$/);
}

/** Builds the files that `npm pack` packs, unless they are newer than their sources. */
export async function ensurePrebuild(arch: string): Promise<void> {
  await buildingAlone(() => {
    if (!isPrebuilt(arch)) prebuild(arch);
  });
}

/** Packs the checkout with `npm pack`; returns the path of the tarball. */
export async function pack(t: Test): Promise<string> {
  const folder = temporaryFolder(t);
  await buildingAlone(() => run('npm', ['pack', '--pack-destination', folder]));
  return join(folder, readdirSync(folder)[0] ?? '');
}

/** Installs packages from the registry or from tarballs, as `npm install` does for a user. */
export function install(
  folder: string,
  packages: readonly string[],
  options: RunOptions = {},
): void {
  run('npm', ['install', '--prefix', folder, ...packages], { cwd: folder, ...options });
}

/** Installs a Node of another version, such as 22 or 20.6.0, from its npm package; returns its path. */
export function installNode(folder: string, version: number | string, arch: string): string {
  const name = `node-linux-${arch}`;
  // By force, because npm rejects a package for another architecture.
  const flags = ['--force', '--no-save', '--os=linux', `--cpu=${arch}`];
  run('npm', ['install', '--prefix', folder, ...flags, `${name}@${version}`]);
  return join(folder, 'node_modules', name, 'bin/node');
}

/** A server that any command line has started. */
export class InstalledServer {
  readonly child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #stdout = '';
  #stderr = '';

  private constructor(t: Test, command: readonly string[], options: ServeOptions) {
    const { args = [], ...others } = options;
    this.child = spawn(SETPRIV, ['--pdeathsig', 'KILL', ...command, ...SERVE, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...others,
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#ended = new Promise((resolve) => this.child.on('close', resolve));
    t.teardown(async () => {
      await this.end('SIGKILL');
    });
  }

  /** Starts `COMMAND serve` and waits until it listens. */
  static async start(
    t: Test,
    command: readonly string[],
    options: ServeOptions = {},
  ): Promise<InstalledServer> {
    const server = new InstalledServer(t, command, options);
    await until(
      `${command.join(' ')} to listen`,
      () => {
        const { exitCode, signalCode } = server.child;
        if (exitCode !== null || signalCode !== null) throw new Error(`it ended: ${server.output}`);
        return server.#listening;
      },
      LISTEN_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${server.output}`);
    });
    return server;
  }

  get output(): string {
    return this.#stdout + this.#stderr;
  }

  get #listening(): LogLine | undefined {
    const lines = this.#stdout.split('\n').slice(0, -1);
    const log = lines.filter((line) => line.startsWith('{'));
    return log
      .map((line) => JSON.parse(line) as LogLine)
      .find(({ msg }) => msg.startsWith('listening on'));
  }

  get workerPids(): number[] {
    return this.#listening?.['workerPids'] as number[];
  }

  /** Whether a client receives its echo. */
  async answers(): Promise<boolean> {
    const address = (this.#listening?.['listen'] as string[])[0] ?? '';
    return answers(Number(address.replace(/^.*:/, '')));
  }

  /** Signals a process, by default the started command; returns its exit code. */
  async end(signal: NodeJS.Signals, pid = this.child.pid ?? 0): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) process.kill(pid, signal);
    return this.#ended;
  }
}
