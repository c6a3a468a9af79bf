// Compiles the baselines of the comparison, as far as this machine has the compilers. The suites
// decide which of them to start, and how.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/** Paths of nginx and its module. */
export interface Nchan {
  readonly nginx: string;
  readonly module: string;
}

/** Paths of the program of Socket.IO and of the folder with its packages. */
export interface SocketIo {
  readonly script: string;
  readonly modules: string;
}

const NGINX = '/usr/sbin/nginx';
const HAPROXY = '/usr/sbin/haproxy';
const NCHAN_MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so';

/** Absolute paths of the baselines; undefined if the machine lacks the tool for one. */
export interface Baselines {
  /** Executable: `--port P --workers W`. */
  readonly epollEcho: string;
  /** Executable: `--port P --workers W`. */
  readonly libevEcho: string;
  /** Script for `node`: `--port P --workers W`. */
  readonly nodeEcho: string;
  /** Executable: `-port P`, always one process. Undefined without Go. */
  readonly goEcho: string | undefined;
  /** Executable: `--port P --workers W --transport T --message-bytes B`; SIGUSR2 broadcasts. */
  readonly cometFloor: string;
  /** Scripts for `node`: `--port P --workers W --message-bytes B`; SIGUSR2 broadcasts. */
  readonly nodeSse: string;
  readonly ws: string;
  /** nginx with nchan; undefined without the packages nginx-core and libnginx-mod-nchan. */
  readonly nchan: Nchan | undefined;
  /** Socket.IO with its Redis adapter; see installSocketIo(). */
  readonly socketIo: SocketIo | undefined;
  /** Executables; undefined without the packages nginx-core and haproxy. */
  readonly nginx: string | undefined;
  readonly haproxy: string | undefined;
  /** Script for `node` with the path of an addon; it loads it and waits for the end of stdin. */
  readonly emptyWorker: string;
  /** The addon for `emptyWorker`. Undefined without Node's headers. */
  readonly emptyAddon: string | undefined;
}

// The compiled module is one folder deeper than its source, so the path starts at package.json.
const packageRoot = path.dirname(createRequire(import.meta.url).resolve('#package.json'));
const sourceDir = path.join(packageRoot, 'bench', 'baselines');

const cFlags = ['-std=c11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror'];

/**
 * Compiles every baseline into `outDir`, and returns their paths.
 *
 * It takes about a second, but longer the first time, when Go compiles its standard library.
 *
 * @param outDir - Created if missing. It also has Go's build cache.
 * @throws Error with the package to install if the C compiler or libev is missing; with the
 *   compiler's message if a source does not compile.
 */
export function buildBaselines(outDir: string): Baselines {
  const out = path.resolve(outDir);
  mkdirSync(out, { recursive: true });
  const compiler = findCompiler();
  const epollEcho = compileC(compiler, 'epoll_echo.c', path.join(out, 'epoll_echo'), []);
  // After the compiler has worked once, a failure here can only be about libev.
  requireLibev(compiler);
  return {
    epollEcho,
    libevEcho: compileC(compiler, 'libev_echo.c', path.join(out, 'libev_echo'), ['-lev']),
    nodeEcho: path.join(sourceDir, 'net_echo.mjs'),
    goEcho: compileGo(out),
    cometFloor: compileC(compiler, 'comet_floor.c', path.join(out, 'comet_floor'), []),
    nodeSse: path.join(sourceDir, 'sse_http.mjs'),
    ws: path.join(sourceDir, 'websocket_ws.mjs'),
    nchan: existsSync(NCHAN_MODULE) ? { nginx: NGINX, module: NCHAN_MODULE } : undefined,
    socketIo: findSocketIo(out),
    nginx: existsSync(NGINX) ? NGINX : undefined,
    haproxy: existsSync(HAPROXY) ? HAPROXY : undefined,
    emptyWorker: path.join(sourceDir, 'empty_worker.cjs'),
    emptyAddon: compileEmptyAddon(compiler, path.join(out, 'empty_addon.node')),
  };
}

function socketIoFolder(outDir: string): string {
  return path.join(path.resolve(outDir), 'socket-io');
}

function findSocketIo(outDir: string): SocketIo | undefined {
  const folder = socketIoFolder(outDir);
  if (!existsSync(path.join(folder, 'node_modules', 'socket.io'))) return undefined;
  return {
    script: path.join(sourceDir, 'socket_io.mjs'),
    modules: path.join(folder, 'package.json'),
  };
}

/**
 * Installs the packages of Socket.IO, which only the cluster suite needs, into a folder of their own.
 * They stay there.
 *
 * @param outDir - As for buildBaselines().
 * @returns Undefined without a registry.
 */
export function installSocketIo(outDir: string): SocketIo | undefined {
  const folder = socketIoFolder(outDir);
  if (findSocketIo(outDir) === undefined) {
    mkdirSync(folder, { recursive: true });
    copyFileSync(
      path.join(sourceDir, 'socket-io', 'package.json'),
      path.join(folder, 'package.json'),
    );
    const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', folder];
    spawnSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  return findSocketIo(outDir);
}

function findCompiler(): string {
  const compiler = ['gcc', 'cc'].find((name) => isOnPath(name, '--version'));
  if (compiler === undefined) {
    throw new Error('The baselines need a C compiler: install gcc (and libc6-dev on Debian).');
  }
  return compiler;
}

function requireLibev(compiler: string): void {
  const program = '#include <ev.h>\nint main(void) { return ev_version_major(); }\n';
  const args = ['-x', 'c', '-', '-lev', '-o', '/dev/null'];
  if (spawnSync(compiler, args, { input: program }).status !== 0) {
    throw new Error('The baselines need libev: install libev-dev (libev-devel on Fedora).');
  }
}

function compileC(compiler: string, source: string, target: string, flags: string[]): string {
  // Libraries come last, because the linker resolves only symbols of earlier files from them.
  run(compiler, [...cFlags, '-o', target, path.join(sourceDir, source), ...flags]);
  return target;
}

function compileEmptyAddon(compiler: string, target: string): string | undefined {
  const nodeDir = process.env['npm_config_nodedir'] ?? path.dirname(path.dirname(process.execPath));
  const headers = path.join(nodeDir, 'include', 'node');
  if (!existsSync(path.join(headers, 'node_api.h'))) return undefined;
  return compileC(compiler, 'empty_addon.c', target, ['-shared', '-fPIC', `-I${headers}`]);
}

function compileGo(out: string): string | undefined {
  if (!isOnPath('go', 'version')) return undefined;
  const target = path.join(out, 'net_echo');
  run('go', ['build', '-o', target, path.join(sourceDir, 'net_echo.go')], {
    ...process.env,
    // The program needs the standard library only. Without modules Go does not look for a go.mod or
    // ask a proxy. GOFLAGS replaces flags that the user may have set for other work.
    GO111MODULE: 'off',
    GOFLAGS: '-mod=mod',
    GOCACHE: path.join(out, 'go-cache'),
  });
  return target;
}

function isOnPath(command: string, argument: string): boolean {
  return spawnSync(command, [argument], { stdio: 'ignore' }).status === 0;
}

function run(command: string, args: string[], env: NodeJS.ProcessEnv = process.env): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8', env });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stderr.trim()}`);
}
