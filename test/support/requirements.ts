// The requirements of tests besides Node, npm, python3, make, g++ and libev: optional tools, each
// with its Debian package, and abilities of the machine. A test without one of them is skipped, and
// the reason names the package. Where CI is set, a missing tool is not a reason to skip.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Each optional tool with the Debian package that contains it. */
const PACKAGES = JSON.parse(
  readFileSync(new URL('./optional-tools.json', import.meta.url), 'utf8'),
) as Readonly<Record<string, string>>;

interface Ability {
  /** Tools that the ability needs. */
  readonly tools?: readonly string[];
  /** Whether this machine and this user have it; called only when the tools are present. */
  readonly works: () => boolean;
  /** The reason of a skip. */
  readonly lack: string;
  /** A property of the kernel or the machine that no package provides: a reason to skip in CI too. */
  readonly isOfMachine?: true;
}

/** The module of nginx for TCP, in Debian's folder. */
export const NGINX_STREAMS = '/usr/lib/nginx/modules/ngx_stream_module.so';

const GROUPS = '/sys/fs/cgroup';

/** Whether a command exits with 0 here. */
function runs(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const hasFreezer = (name: string): boolean => existsSync(join(GROUPS, 'freezer', name));

const ABILITIES: Readonly<Record<string, Ability>> = {
  root: { works: () => process.getuid?.() === 0, lack: 'only root can become another user' },
  namespaces: {
    works: () => runs('unshare', '--net', '--mount', 'true'),
    lack: 'only root can make a network namespace',
  },
  tracing: {
    tools: ['strace'],
    works: () => runs('strace', '-qq', '-e', 'trace=none', 'true'),
    lack: 'strace cannot trace on this machine',
  },
  'nginx streams': {
    tools: ['nginx'],
    works: () => existsSync(NGINX_STREAMS),
    lack: 'install libnginx-mod-stream to run this test',
  },
  freezer: {
    works: () => hasFreezer('freezer.state') || hasFreezer('cgroup.procs'),
    lack: 'this kernel has no freezer of cgroups version 1',
    isOfMachine: true,
  },
  freezing: {
    works: () => canWrite(join(GROUPS, 'freezer')),
    lack: 'this user may not freeze a process',
  },
  'memory groups': {
    works: () => existsSync(join(GROUPS, 'memory/cgroup.procs')),
    lack: 'this kernel has no memory cgroups of version 1',
    isOfMachine: true,
  },
  tun: {
    works: () => existsSync('/dev/net/tun'),
    lack: 'this kernel has no /dev/net/tun',
    isOfMachine: true,
  },
  'a systemd of its own': {
    tools: ['systemctl'],
    works: () =>
      existsSync('/lib/systemd/systemd') && runs('unshare', '--mount', '--pid', '--fork', 'true'),
    lack: 'only root can start a systemd of its own',
  },
};

/** The path of a command in PATH; undefined if there is none. */
export function pathOf(command: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, command)).find((path) => existsSync(path));
}

/** Whether a command can be started. */
export function hasCommand(command: string): boolean {
  return pathOf(command) !== undefined;
}

const isCi = process.env['CI'] !== undefined;
const known = new Map<string, string | false>();

/**
 * The reason to skip a test, or false if the requirement is met. Where CI is set the test always runs,
 * and fails if it cannot.
 */
export function unless(isThere: boolean, reason: string): string | false {
  return !isThere && !isCi && reason;
}

function lackOf(name: string): string | false {
  const packages = PACKAGES[name];
  if (packages !== undefined) {
    return unless(hasCommand(name), `install ${packages} to run this test (${name})`);
  }
  const ability = ABILITIES[name];
  if (ability === undefined) throw new Error(`${name} is not in optional-tools.json`);
  const tool = (ability.tools ?? []).map(lackOf).find((reason) => reason !== false);
  if (tool !== undefined) return tool;
  if (ability.isOfMachine === true) return !ability.works() && ability.lack;
  // Tests the machine only when its tools are present.
  return !isCi && !ability.works() && ability.lack;
}

/**
 * The reason to skip a test without these requirements: for `{ skip: without('strace', 'nft') }`. False
 * if all are met. Where CI is set only properties of the machine are a reason: a test without its tool
 * runs there and fails.
 */
export function without(...names: readonly string[]): string | false {
  for (const name of names) {
    const reason = known.get(name) ?? lackOf(name);
    known.set(name, reason);
    if (reason !== false) return reason;
  }
  return false;
}
