// A real systemd in its own namespaces with only the project's units: no unit of the machine, no
// generator, and control groups that are removed afterwards. It is a manager of a user, or PID 1 of a
// system, because only that one can create dynamic users.
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { until, type Test } from '../helpers.js';
import { without } from '../requirements.js';

const SYSTEMD = '/lib/systemd/systemd';
const RUNTIME = '/run/megacomet';
/** Long enough for a machine with busy cores. */
const START_MS_MAX = 60_000;

export const noSystemd = without('a systemd of its own');

/**
 * Creates what PID 1 would have made: the nodes that sandboxes mount over hidden paths, and control
 * groups for the manager, because on a machine with systemd it may not divide those of the test.
 */
const SCRIPT = `
while IFS=: read -r id names path; do
  case "$names" in
    '') mount=/sys/fs/cgroup/unified; [ -d "$mount" ] || mount=/sys/fs/cgroup ;;
    name=*) mount=/sys/fs/cgroup/\${names#name=} ;;
    *) mount=/sys/fs/cgroup/$names ;;
  esac
  mkdir "$mount$path/$GROUP" && echo $$ >"$mount$path/$GROUP/cgroup.procs"
done 2>/dev/null </proc/self/cgroup
mount -t tmpfs tmpfs /run
# The credentials of a service are mounted from another namespace.
mount --make-shared /run
mkdir -p /run/user /run/systemd/system /run/systemd/inaccessible/dir "$XDG_RUNTIME_DIR"
touch /run/systemd/inaccessible/reg /run/systemd/inaccessible/chr /run/systemd/inaccessible/sock
`;

const AS_USER = `
${SYSTEMD} --user --unit=default.target --log-target=console &
until [ -S "$XDG_RUNTIME_DIR/systemd/notify" ]; do sleep 0.05; done
# The user of the service must reach it; the real one is open to all.
chmod 755 "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR/systemd"
chmod 777 "$XDG_RUNTIME_DIR/systemd/notify"
echo up
wait
`;

/** PID 1 would raise fs.file-max of the machine, name it, and keep the state of services. */
const AS_SYSTEM = `
mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys || exit
mount -t tmpfs tmpfs /var/lib && mount -t tmpfs tmpfs /var/tmp || exit
echo 0123456789abcdef0123456789abcdef >/run/id && mount --bind /run/id /etc/machine-id || exit
(until [ -S /run/systemd/private ]; do sleep 0.05; done; echo up) &
export container=test
exec ${SYSTEMD} --system --unit=default.target --log-target=console --show-status=no
`;

/** Targets that every unit depends on, empty. */
const TARGETS = ['basic', 'default', 'shutdown', 'sockets', 'sysinit'];

export class Systemd {
  readonly #child: ChildProcess;
  readonly #env: NodeJS.ProcessEnv;
  readonly #isSystem: boolean;
  /** The messages of the manager and of the services. */
  log = '';

  private constructor(child: ChildProcess, env: NodeJS.ProcessEnv, isSystem: boolean) {
    this.#child = child;
    this.#env = env;
    this.#isSystem = isSystem;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    }
  }

  /** @param units - Texts by file name. */
  static async start(
    test: Test,
    units: Readonly<Record<string, string>>,
    isSystem = false,
  ): Promise<Systemd> {
    const folder = mkdtempSync(join(tmpdir(), 'megacomet-systemd-'));
    // Services run as other users.
    chmodSync(folder, 0o755);
    const unitFolder = join(folder, 'units');
    mkdirSync(unitFolder);
    for (const name of TARGETS) writeFileSync(join(unitFolder, `${name}.target`), '[Unit]\n');
    for (const [name, text] of Object.entries(units)) writeFileSync(join(unitFolder, name), text);
    const env = {
      PATH: process.env['PATH'],
      HOME: folder,
      XDG_RUNTIME_DIR: RUNTIME,
      SYSTEMD_UNIT_PATH: unitFolder,
      SYSTEMD_GENERATOR_PATH: join(folder, 'no-generators'),
      GROUP: basename(folder),
    };
    const script = SCRIPT + (isSystem ? AS_SYSTEM : AS_USER);
    const namespaces = ['--mount', '--uts', '--pid', '--fork', '--mount-proc'];
    const args = ['--pdeathsig', 'KILL', 'unshare', ...namespaces, '--kill-child=KILL'];
    const child = spawn('setpriv', [...args, 'bash', '-c', script], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const manager = new Systemd(child, env, isSystem);
    test.teardown(async () => {
      if (!test.passing()) test.comment(`logs:\n${manager.log}${await manager.serviceLog()}`);
      await manager.#end();
      rmSync(folder, { recursive: true });
    });
    await until('systemd to be up', () => /^up$/m.test(manager.log), START_MS_MAX);
    return manager;
  }

  /** Runs a command inside; returns its output, or undefined if it fails. */
  async run(...command: string[]): Promise<string | undefined> {
    const child = spawn('nsenter', [...this.#enter(), ...command], {
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    const code = await new Promise((resolve) => child.on('close', resolve));
    return code === 0 ? output : undefined;
  }

  systemctl(...args: string[]): Promise<string | undefined> {
    return this.run('systemctl', ...(this.#isSystem ? [] : ['--user']), ...args);
  }

  /** One property of the service, such as `MainPID`. */
  async show(property: string): Promise<string> {
    const text = await this.systemctl('show', '--value', '-p', property, 'megacomet.service');
    return (text ?? '').trim();
  }

  /** The log of the services, `append:%t/log`. */
  async serviceLog(): Promise<string> {
    return (await this.run('cat', this.#isSystem ? '/run/log' : `${RUNTIME}/log`)) ?? '';
  }

  #enter(): string[] {
    const pid = String(this.#child.pid ?? 0);
    const inner = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return [`--target=${inner}`, '--mount', '--uts', '--pid', '--'];
  }

  async #end(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGKILL');
    await ended;
    const group = this.#env['GROUP'] ?? 'none';
    await until('the control groups to be removable', () => {
      const find = ['/sys/fs/cgroup', '-depth', '-type', 'd', '-path', `*/${group}*`];
      spawnSync('find', [...find, '-exec', 'rmdir', '{}', ';'], { stdio: 'ignore' });
      return execFileSync('find', find, { encoding: 'utf8' }) === '';
    });
  }
}
