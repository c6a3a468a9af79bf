// Errors that strace injects into the system calls of a process.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { until, type Test } from './helpers.js';
import { without } from './requirements.js';

/** Why a test that injects errors is skipped. */
export const noTracing = without('tracing');

/** strace attached to one process, failing some of its system calls. */
export class Injection {
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(child: ChildProcess, log: string) {
    this.#child = child;
    this.#log = log;
  }

  /**
   * Attaches, and waits until every thread is traced.
   *
   * @param rules - As strace takes them: `accept4:error=EMFILE:when=1..5`, counted per thread.
   */
  static async attach(test: Test, pid: number, ...rules: string[]): Promise<Injection> {
    const folder = mkdtempSync(join(tmpdir(), 'megacomet-strace-'));
    const log = join(folder, 'log');
    const calls = rules.map((rule) => rule.split(':')[0]).join();
    const args = ['--pdeathsig', 'KILL', 'strace', '-f', '-qq', '-o', log, '-p', String(pid)];
    args.push('-e', `trace=${calls}`, '-e', 'signal=none');
    for (const rule of rules) args.push('-e', `inject=${rule}`);
    const child = spawn('setpriv', args, { stdio: 'ignore' });
    const injection = new Injection(child, log);
    test.teardown(async () => {
      await injection.detach();
      rmSync(folder, { recursive: true, force: true });
    });
    await until('strace to attach', () => injection.#isAttached(pid));
    return injection;
  }

  /** How many calls were made to fail so far. strace writes a line after the call returned. */
  get injected(): number {
    return readFileSync(this.#log, 'utf8').split('(INJECTED)').length - 1;
  }

  async detach(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGINT');
    await ended;
  }

  #isAttached(pid: number): boolean {
    if (this.#child.exitCode !== null) throw new Error(`strace cannot attach to ${pid}`);
    const traced = readdirSync(`/proc/${pid}/task`).every((task) =>
      /^TracerPid:\s+[1-9]/m.test(readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')),
    );
    // strace waits for events only after it has resumed every thread from its first stop.
    const strace = this.#child.pid ?? 0;
    return traced && readFileSync(`/proc/${strace}/wchan`, 'utf8') === 'do_wait';
  }
}
