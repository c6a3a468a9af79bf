// A real redis-server of a test, on a port of its own and without files outside its folder.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Redis } from 'ioredis';
import type { Test } from 'tap';

import { parseRedisUrl } from '../../lib/log/redis-address.js';
import { RedisLog, type RedisLogOptions } from '../../lib/log/redis-log.js';
import { freePort, suspend, until } from './helpers.js';
import { LogRecord, Node } from './log-record.js';

export interface RedisOptions {
  readonly port?: number;
  readonly args?: readonly string[];
  /** The configuration of a Sentinel, which it rewrites; without it this is a server. */
  readonly sentinel?: readonly string[];
  readonly password?: string;
}

/** Kept of the output of the server, for the error of a server that does not start. */
const OUTPUT_CHARACTERS = 2000;

export class RedisProcess {
  readonly folder = mkdtempSync(join(tmpdir(), 'megacomet-redis-'));
  readonly #options: RedisOptions;
  #child: ChildProcess | null = null;
  #ended: Promise<void> = Promise.resolve();
  #admin: Redis | null = null;

  private constructor(
    readonly port: number,
    options: RedisOptions,
  ) {
    this.#options = options;
  }

  /** Starts a server, which ends with the test. */
  static async start(t: Pick<Test, 'teardown'>, options: RedisOptions = {}): Promise<RedisProcess> {
    const server = new RedisProcess(options.port ?? (await freePort()), options);
    t.teardown(async () => {
      await server.kill();
      rmSync(server.folder, { recursive: true, force: true });
    });
    await server.run();
    return server;
  }

  /** A connection of its own, for a command that blocks the server. */
  static async attach(
    t: Pick<Test, 'teardown'>,
    { port }: RedisProcess,
  ): Promise<(name: string, ...args: (number | string)[]) => Promise<unknown>> {
    const client = new Redis({ port, lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => undefined);
    t.teardown(() => {
      client.disconnect();
    });
    await client.connect();
    return (name, ...args) => client.call(name, args);
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it again, after kill(). */
  async run(more: readonly string[] = []): Promise<void> {
    const [program, args] = this.#command(more);
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_CHARACTERS);
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('close', () => {
        resolve();
      });
    });
    await until('the server to answer', async () => {
      if (child.exitCode !== null) throw new Error(`${program} ended: ${output}`);
      return (await this.command('PING').catch(() => null)) === 'PONG';
    });
  }

  #command(more: readonly string[]): readonly [program: string, args: readonly string[]] {
    const { args = [], password, sentinel } = this.#options;
    if (sentinel !== undefined) {
      const file = join(this.folder, 'sentinel.conf');
      const lines = [`port ${this.port}`, 'bind 127.0.0.1', `dir ${this.folder}`, ...sentinel];
      writeFileSync(file, `${lines.join('\n')}\n`);
      return ['redis-sentinel', [file]];
    }
    const plain = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder];
    const server = ['--save', '', '--appendonly', 'no', '--enable-debug-command', 'yes'];
    const secret = password === undefined ? [] : ['--requirepass', password];
    return ['redis-server', [...plain, ...server, ...secret, ...args, ...more]];
  }

  /** Removes the file that SAVE has written, while the server is not running. */
  forget(): void {
    rmSync(join(this.folder, 'dump.rdb'), { force: true });
  }

  /** Stops it until signal('SIGCONT'). */
  async suspend(): Promise<void> {
    if (this.#child?.pid === undefined) throw new Error('the server does not run');
    await suspend(this.#child.pid);
  }

  signal(name: Exclude<NodeJS.Signals, 'SIGSTOP'>): void {
    this.#child?.kill(name);
  }

  /** As SIGKILL does: nothing is saved. */
  async kill(): Promise<void> {
    this.#admin?.disconnect();
    this.#admin = null;
    this.signal('SIGCONT');
    this.signal('SIGKILL');
    await this.#ended;
  }

  /** Sends a command on a connection of the test. */
  async command(name: string, ...args: (Buffer | number | string)[]): Promise<unknown> {
    if (this.#admin === null) {
      const { password } = this.#options;
      const secret = password === undefined ? {} : { password };
      const options = {
        port: this.port,
        lazyConnect: true,
        enableReadyCheck: false,
        ...secret,
        protocol: 2 as const,
      };
      this.#admin = new Redis({ ...options, retryStrategy: () => null, disableClientInfo: true });
      this.#admin.on('error', () => undefined);
    }
    const admin = this.#admin;
    try {
      return await admin.call(name, args);
    } catch (error) {
      if ((error as Error).name !== 'ReplyError') {
        admin.disconnect();
        this.#admin = null;
      }
      throw error;
    }
  }
}

/** A log on a server; it is closed with the test. */
export function redisLog(
  t: Pick<Test, 'teardown'>,
  url: string,
  options: Partial<RedisLogOptions> = {},
): RedisLog {
  const log = new RedisLog({
    address: parseRedisUrl('engine', url),
    prefix: 'test',
    keepBytes: 64 * 1024 * 1024,
    waitReplicas: 0,
    password: () => null,
    ca: null,
    ...options,
  });
  t.teardown(() => log.close());
  return log;
}

/** An open log with a node that appends, and a record of the entries that were read. */
export async function openRedisLog(
  t: Pick<Test, 'teardown'>,
  url: string,
  options: Partial<RedisLogOptions> = {},
): Promise<{ log: RedisLog; node: Node; record: LogRecord }> {
  const log = redisLog(t, url, options);
  const record = new LogRecord();
  const start = await log.open();
  record.lastSeq = start.first - 1;
  log.read(start.first - 1, record);
  return { log, record, node: new Node(log, start, record) };
}
