// A network namespace with its own sysctls for one test. A limit that the test exhausts there does
// not disturb other programs. The namespace ends with the test.
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

import { command, root, run, until, type StartOptions, type Test } from '../helpers.js';
import { without } from '../requirements.js';
import { pathOf } from './recorded.js';

export const noNamespace = without('namespaces', 'ip');

export class Namespace {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  /** Makes a namespace with a loopback device and sets its sysctls. */
  static async make(
    test: Pick<Test, 'teardown'>,
    sysctls: Readonly<Record<string, number | string>> = {},
  ): Promise<Namespace> {
    // The holder ends with its standard input, at the latest with this process.
    const words = ['--pdeathsig', 'KILL', 'unshare', '--net', 'cat'];
    const holder = spawn('setpriv', words, { stdio: ['pipe', 'ignore', 'ignore'] });
    test.teardown(() => {
      holder.kill('SIGKILL');
    });
    const own = readlinkSync('/proc/self/ns/net');
    await until('a namespace', () => {
      const name = readlinkSync(`/proc/${holder.pid ?? 0}/ns/net`);
      return name !== own && readFileSync(`/proc/${holder.pid ?? 0}/comm`, 'utf8') === 'cat\n';
    });
    const namespace = new Namespace(holder);
    namespace.command('ip', 'link', 'set', 'lo', 'up');
    for (const [key, value] of Object.entries(sysctls)) namespace.set(key, value);
    return namespace;
  }

  /** Of a process in the namespace, for `ip link set DEVICE netns PID`. */
  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** The command that starts another one in the namespace: for StartOptions.through. */
  get through(): string[] {
    return ['nsenter', `--net=/proc/${this.#holder.pid ?? 0}/ns/net`];
  }

  /** Runs a small command that must succeed. */
  command(...words: string[]): string {
    const [name = '', ...args] = [...this.through, ...words];
    return command(name, ...args);
  }

  set(key: string, value: number | string): void {
    this.command('sh', '-c', 'printf %s "$1" > "$0"', pathOf(key), String(value));
  }

  get(key: string): string {
    return this.command('cat', pathOf(key)).trim().replace(/\s+/g, ' ');
  }

  /** One of the TcpExt counters. */
  counter(name: string): number {
    const lines = this.command('cat', '/proc/net/netstat').split('\n');
    const index = (lines[0] ?? '').split(' ').indexOf(name);
    return Number((lines[1] ?? '').split(' ')[index]);
  }

  /** Runs the project's command line in the namespace. */
  run(args: readonly string[], options: StartOptions = {}): ReturnType<typeof run> {
    const through = [...this.through, ...(options.through ?? [])];
    return run(args, { ...options, through });
  }

  /** Opens connections one after the other until one fails, or hangs for five seconds. */
  dial(test: Pick<Test, 'teardown'>, port: number, most: number): Promise<DialEnd> {
    return dialThrough(test, this.through, port, most);
  }
}

export interface DialEnd {
  readonly opened: number;
  /** Name of the error that ended it, `HANGS`, or null if all were opened. */
  readonly error: string | null;
}

/** Runs test/support/machines/dial.mjs; its connections stay open until the test ends. */
export async function dialThrough(
  test: Pick<Test, 'teardown'>,
  through: readonly string[],
  port: number,
  most: number,
): Promise<DialEnd> {
  const script = join(root, 'test/support/machines/dial.mjs');
  const words = ['setpriv', '--pdeathsig', 'KILL', ...through, process.execPath, script];
  const child = spawn(words[0] ?? '', [...words.slice(1), String(port), String(most)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  test.teardown(() => {
    child.kill('SIGKILL');
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  await until('the dialer to end', () => text.endsWith('\n') || child.exitCode !== null, 60_000);
  return JSON.parse(text) as DialEnd;
}
