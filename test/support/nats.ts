// A real nats-server with JetStream, for tests with `without('nats-server')`: in a folder of its own,
// on a port that stays the same when it is started again.
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { parseNatsUrl } from '../../lib/log/nats-address.js';
import { NatsLog, type NatsLogOptions } from '../../lib/log/nats-log.js';
import { freePort, suspend, until } from './helpers.js';

export interface NatsOptions {
  /** Lines of the configuration besides address and store. */
  readonly lines?: readonly string[];
  readonly hasJetStream?: boolean;
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
}

interface Ended {
  teardown(action: () => Promise<void> | void): void;
}

export class NatsServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'megacomet-nats-'));
  #child: ChildProcess | null = null;
  #output = '';

  private constructor(
    readonly port: number,
    readonly options: NatsOptions,
  ) {}

  /** Starts a server that ends with the test. */
  static async start(t: Ended, options: NatsOptions = {}): Promise<NatsServer> {
    const server = await NatsServer.create(t, options);
    await server.run();
    return server;
  }

  /** A server that is not started. */
  static async create(t: Ended, options: NatsOptions = {}): Promise<NatsServer> {
    const server = new NatsServer(options.port ?? (await freePort()), options);
    t.teardown(async () => {
      await server.kill();
      rmSync(server.folder, { recursive: true, force: true });
    });
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get #store(): string {
    return join(this.folder, 'store');
  }

  get #config(): string {
    return join(this.folder, 'nats.conf');
  }

  #writeConfig(lines: readonly string[]): void {
    const { hasJetStream = true, host = '127.0.0.1' } = this.options;
    const store = hasJetStream ? [`jetstream { store_dir: "${this.#store}" }`] : [];
    const all = [`listen: ${host}:${this.port}`, ...store, ...lines, ''];
    writeFileSync(this.#config, all.join('\n'));
  }

  /** Gives the running server other lines. */
  configure(lines: readonly string[]): void {
    this.#writeConfig(lines);
    this.signal('SIGHUP');
  }

  async run(): Promise<void> {
    this.#writeConfig(this.options.lines ?? []);
    this.#output = '';
    const args = ['--pdeathsig', 'KILL', 'nats-server', '-c', this.#config];
    const child = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    this.#child = child;
    await until('nats-server to be ready', () => {
      if (child.exitCode !== null) throw new Error(`nats-server ended: ${this.#output}`);
      return this.#output.includes('Server is ready');
    });
  }

  /** Stops it until signal('SIGCONT'). */
  async suspend(): Promise<void> {
    if (this.#child?.pid === undefined) throw new Error('the server does not run');
    await suspend(this.#child.pid);
  }

  signal(name: Exclude<NodeJS.Signals, 'SIGSTOP'>): void {
    this.#child?.kill(name);
  }

  /** Kills it; the store stays. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
  }

  /** Removes the store of a server that was killed. */
  empty(): void {
    rmSync(this.#store, { recursive: true, force: true });
  }

  /** Copies the store of a server that was killed; returns the function that restores the copy. */
  copy(): () => void {
    const copy = mkdtempSync(join(this.folder, 'copy-'));
    cpSync(this.#store, copy, { recursive: true });
    return () => {
      this.empty();
      cpSync(copy, this.#store, { recursive: true });
    };
  }
}

/** The options of a log on a server without users. */
export function natsOptions(url: string, options: Partial<NatsLogOptions> = {}): NatsLogOptions {
  return {
    ...{ address: parseNatsUrl('engine', url), name: 'megacomet', replicas: 1 },
    ...{ keepBytes: 67_108_864 },
    access: { login: () => ({ password: null, credentials: null }), ca: null },
    ...options,
  };
}

export function natsLog(url: string, options: Partial<NatsLogOptions> = {}): NatsLog {
  return new NatsLog(natsOptions(url, options));
}
