// The engines of the cluster suite: a redis-server or a nats-server that keeps its port when it is
// restarted.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { whenListening } from './silent-servers.js';
import { freePort } from './subjects.js';

export type EngineKind = 'nats' | 'redis';

const PROGRAMS: Readonly<Record<EngineKind, string>> = {
  redis: 'redis-server',
  nats: 'nats-server',
};

export function hasEngine(kind: EngineKind): boolean {
  return spawnSync(PROGRAMS[kind], ['--version'], { stdio: 'ignore' }).status === 0;
}

export class Engine {
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'megacomet-bench-'));
  #child: ChildProcess | null = null;
  #ended: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly kind: EngineKind,
    readonly port: number,
  ) {}

  static async start(kind: EngineKind): Promise<Engine> {
    const engine = new Engine(kind, await freePort());
    await engine.run();
    return engine;
  }

  get url(): string {
    return `${this.kind}://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async run(): Promise<void> {
    const child = spawn(PROGRAMS[this.kind], this.#arguments(), { stdio: 'ignore' });
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once('close', resolve));
    await whenListening(this.port);
  }

  /** Redis loses its messages: it does not write them to the disk. */
  async end(): Promise<void> {
    this.#child?.kill('SIGTERM');
    await this.#ended;
    this.#child = null;
  }

  async stop(): Promise<void> {
    await this.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #arguments(): string[] {
    const port = String(this.port);
    return this.kind === 'redis'
      ? [
          ...['--port', port, '--bind', '127.0.0.1', '--dir', this.#folder],
          ...['--save', '', '--appendonly', 'no'],
        ]
      : ['-a', '127.0.0.1', '-p', port, '-js', '-sd', this.#folder];
  }
}
