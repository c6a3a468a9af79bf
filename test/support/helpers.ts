// Helpers for whole-server tests: start the real command line in its own folder, talk to it, and assert
// afterwards that it left nothing behind.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { Stats } from '../../lib/stats/stats.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const bin = join(root, 'lib/bin.js');

/** The part of a tap test that the helpers use. */
export interface Test {
  teardown(action: () => Promise<void> | void): void;
  equal(found: unknown, wanted: unknown, message: string): boolean;
  same(found: unknown, wanted: unknown, message: string): boolean;
  comment(message: string): void;
  readonly passing: () => boolean;
}

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly worker?: number;
  readonly pid?: number;
  readonly [field: string]: unknown;
}

const WARN = 40;
/** Tests may run as root, and the server warns about it. */
const AS_ROOT = /^serving as root; /;
/** Tests listen on all addresses, as the default does. */
const OPEN_TO_ALL = /^every client of .* may subscribe to every channel: /;
/** Counters of the whole network namespace, which other tests and programs increment too. */
const OF_THE_KERNEL = /^(ListenOverflows|TCPMemoryPressures) moved: /;

/** Longer than anything takes on a machine that is busy with other work. */
const FACT_TIMEOUT_MS = 60_000;

/** Resolves when a connection is closed, also by a reset; events.once() rejects then. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.listenerCount('error') === 0) socket.on('error', () => undefined);
    socket.once('close', () => {
      resolve();
    });
  });
}

/** Polls until `look` returns a truthy value. */
export async function until<T>(
  what: string,
  look: () => Promise<T> | T,
  timeoutMs = FACT_TIMEOUT_MS,
): Promise<NonNullable<T>> {
  const endsAtMs = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > endsAtMs) throw new Error(`timed out waiting for ${what}`);
    await sleep(20);
  }
}

/** Whether a process has ended. A zombie counts: PID 1 of a container may reap orphans late. */
export function isGone(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

/**
 * Stops a process with SIGSTOP, and waits until all of its threads have stopped: the one that handles
 * the signal may wait for a core, and the others run until then.
 */
export async function suspend(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const folder = `/proc/${pid}/task`;
  await until('all threads to stop', () =>
    readdirSync(folder).every((task) =>
      /^State:\s+[TtZ]/m.test(readFileSync(join(folder, task, 'status'), 'utf8')),
    ),
  );
}

export interface StartOptions {
  /** The address of the server and of its admin server, as the test reaches them. */
  readonly host?: string;
  /** Arguments after `serve`. Port and admin port are 0 unless given. */
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** A command that the server is started through, such as `prlimit --nofile=64`. */
  readonly through?: readonly string[];
  /** Warnings and errors that this test provokes; any other warning or error fails it. */
  readonly expectLog?: readonly RegExp[];
  /** Starts the command in its own process group (for Ctrl-C). */
  readonly detached?: boolean;
}

/**
 * Under test/support/sanitize.mjs: preloads the sanitizer libraries, for node alone, before the
 * libraries that the test itself preloads.
 */
function sanitizers(env: NodeJS.ProcessEnv = {}): string[] {
  const libraries = process.env['TEST_SANITIZE_PRELOAD'];
  if (libraries === undefined) return [];
  return [`LD_PRELOAD=${[libraries, env['LD_PRELOAD'] ?? ''].join(' ').trim()}`];
}

/** A started command with its output. */
export class Command {
  readonly child: ChildProcess;
  readonly folder = mkdtempSync(join(tmpdir(), 'megacomet-test-'));
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stdout = '';
  stderr = '';

  /** Starts `node lib/bin.js ARGS`. */
  constructor(args: readonly string[], options: StartOptions = {}) {
    const command = [
      ...['setpriv', '--pdeathsig', 'KILL'],
      ...(options.through ?? []),
      ...['env', ...sanitizers(options.env), process.execPath, bin, ...args],
    ];
    this.child = spawn(command[0] ?? '', command.slice(1), {
      cwd: this.folder,
      // Generated tokens must not stay in the home of the tester.
      env: { ...process.env, XDG_STATE_HOME: this.folder, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: options.detached ?? false,
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        resolve({ code, signal });
      });
    });
  }

  /** The pid of the command itself, because setpriv and env exec it. */
  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** The living processes of the command: all have its folder as their working folder. */
  left(): number[] {
    const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
    return pids.filter((pid) => {
      try {
        // A zombie has no folder any more; the link of a removed folder has a suffix.
        return readlinkSync(`/proc/${pid}/cwd`).replace(/ \(deleted\)$/, '') === this.folder;
      } catch {
        return false;
      }
    });
  }

  async run(): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const { code } = await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
    return { code, stdout: this.stdout, stderr: this.stderr };
  }
}

/** Runs a command to its end. */
export function run(args: readonly string[], options?: StartOptions): ReturnType<Command['run']> {
  return new Command(args, options).run();
}

/** A running `megacomet-ts serve`. */
export class TestServer extends Command {
  readonly #test: Test;
  readonly #expectLog: readonly RegExp[];
  readonly host: string;
  port = 0;
  adminPort = 0;
  #hasStopped = false;
  #statsText = '';

  private constructor(test: Test, options: StartOptions) {
    const args = options.args ?? [];
    const defaults = ['--port', '--listen'].some((name) => args.includes(name))
      ? []
      : ['--port', '0'];
    // No drain unless the test is about it: by default it takes five seconds.
    const drain = args.includes('--drain') ? [] : ['--drain', '0'];
    // A config file could not override a flag.
    const hasLevel = ['--log-level', '--config'].some((name) => args.includes(name));
    const level = hasLevel ? [] : ['--log-level', 'debug'];
    const { host } = options;
    const addresses = host === undefined ? [] : ['--host', host, '--admin-host', host];
    const fixed = ['--admin-port', '0', '--log-format', 'json', ...level, ...addresses];
    super(['serve', ...defaults, ...drain, ...fixed, ...args], options);
    this.host = host ?? '127.0.0.1';
    this.#test = test;
    this.#expectLog = options.expectLog ?? [];
    test.teardown(async () => {
      if (!this.#hasStopped) await this.#end();
      if (test.passing()) rmSync(this.folder, { recursive: true, force: true });
      else test.comment(`log of the server:\n${this.stdout}${this.stderr}`);
    });
  }

  /** Starts a server and waits until it listens. */
  static async start(test: Test, options: StartOptions = {}): Promise<TestServer> {
    const server = TestServer.launch(test, options);
    await server.ready();
    return server;
  }

  /** Starts a server without waiting for it. */
  static launch(test: Test, options: StartOptions = {}): TestServer {
    return new TestServer(test, options);
  }

  async ready(): Promise<void> {
    const line = await until('the server to listen', () => {
      if (this.child.exitCode !== null) throw new Error(`ended: ${this.stdout}${this.stderr}`);
      return this.log.find(({ msg }) => msg.startsWith('listening on'));
    });
    this.adminPort = line['adminPort'] as number;
    this.port = Number(/:(\d+)$/.exec((line['listen'] as string[])[0] ?? '')?.[1] ?? 0);
  }

  get log(): LogLine[] {
    const lines = this.stdout.split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine);
  }

  /** Waits for a line of the log; start warnings follow the line "listening on". */
  logged(pattern: RegExp): Promise<LogLine> {
    return until(`a line like ${pattern}`, () => this.log.find(({ msg }) => pattern.test(msg)));
  }

  /** Pids of all workers that were ever ready. */
  get workerPids(): number[] {
    return this.log.filter(({ msg }) => msg === 'worker ready').map(({ pid }) => pid ?? -1);
  }

  async get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`http://${this.host}:${this.adminPort}${path}`, {
      headers: { connection: 'close', ...headers },
    });
  }

  /** The stats of now: a reader that asks often receives the same text for up to a second. */
  async stats(): Promise<Stats> {
    const endsAtMs = performance.now() + 1000;
    for (;;) {
      const text = await (await this.get('/stats')).text();
      if (text !== this.#statsText || performance.now() > endsAtMs) {
        this.#statsText = text;
        return JSON.parse(text) as Stats;
      }
      await sleep(20);
    }
  }

  /** One of the summed counters, such as `acceptedTotal`. */
  async total(name: string): Promise<number> {
    return Number((await this.stats()).totals[name]);
  }

  /** Waits until a counter, summed over the workers, has this value. */
  async untilTotal(name: string, wanted: number, timeoutMs?: number): Promise<void> {
    let found = NaN;
    const isReached = async (): Promise<boolean> => (found = await this.total(name)) === wanted;
    await until(`${name} to be ${wanted}`, isReached, timeoutMs).catch((error: unknown) => {
      throw new Error(`${name} is ${found}, not ${wanted}`, { cause: error });
    });
  }

  /** The pid of a slot's worker now. */
  async pidOf(slot: number): Promise<number> {
    return until(`a worker in slot ${slot}`, async () => (await this.stats()).workers[slot]?.pid);
  }

  /**
   * Ends the server with a signal and asserts a clean end: the exit code, no process, no unexpected
   * line in the log, nothing on standard error (where sanitizers write).
   */
  async stop(signal: NodeJS.Signals = 'SIGTERM', wantedCode = 0): Promise<void> {
    this.child.kill(signal);
    await this.assertEnded(wantedCode);
  }

  /** The assertions of stop(), for a server that was ended in another way. */
  async assertEnded(wantedCode: number | null): Promise<void> {
    this.#hasStopped = true;
    const { code } = await this.ended;
    this.#test.equal(code, wantedCode, `the server exits with ${wantedCode}`);
    await until('all processes to be gone', () => this.left().length === 0, 5000);
    this.#test.same(this.unexpectedLog(), [], 'the log has no unexpected line');
    this.#test.equal(this.stderr, '', 'nothing on standard error');
  }

  unexpectedLog(): string[] {
    const rules = [AS_ROOT, OPEN_TO_ALL, OF_THE_KERNEL, ...this.#expectLog];
    return this.log
      .filter(({ level, msg }) => level >= WARN && !rules.some((rule) => rule.test(msg)))
      .map((line) => JSON.stringify(line));
  }

  /** Kills all processes of the command; for teardown. */
  async #end(): Promise<void> {
    this.child.kill('SIGCONT');
    this.child.kill('SIGKILL');
    await this.ended;
    await until('all processes to be gone', () => this.left().length === 0, 5000);
  }
}

/** Opens one connection: to a TCP port, or to the path of a unix socket. */
export function connect(target: number | string, host = '127.0.0.1'): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket =
      typeof target === 'string'
        ? createConnection({ path: target, allowHalfOpen: true })
        : createConnection({ port: target, host, noDelay: true, allowHalfOpen: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject).on('error', () => undefined);
      resolve(socket);
    });
  });
}

/** Listens on a port of every address, or on a unix socket; null if another program does. */
async function bound(target: number | string): Promise<Server | null> {
  const server = createServer().unref();
  try {
    await once(server.listen(target), 'listening');
    return server;
  } catch {
    return null;
  }
}

/** Whether a program can listen on a port of every address now. */
async function isFree(port: number): Promise<boolean> {
  const server = await bound(port);
  if (server === null) return false;
  await once(server.close(), 'close');
  return true;
}

/**
 * Reserves a port for this process among all tests: an abstract unix socket (unix(7)) has its number. A
 * test beside this one would probe the port at the moment when a program of this one binds it.
 */
async function isReserved(port: number): Promise<boolean> {
  return (await bound(`\0megacomet-test-port-${port}`)) !== null;
}

async function isUsable(port: number): Promise<boolean> {
  return (await isReserved(port)) && (await isFree(port));
}

/**
 * The first of `count` ports in a row that are free at this moment on every address. They are below
 * the ephemeral ports, so that no outgoing connection takes one before the test does.
 */
export async function freePort(count = 1): Promise<number> {
  const ephemeral = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const end = Math.max(Number.parseInt(ephemeral, 10), 12_000);
  for (;;) {
    const first = 10_000 + Math.floor(Math.random() * (end - 10_000 - count));
    const ports = Array.from({ length: count }, (_, offset) => first + offset);
    const usable = await Promise.all(ports.map(isUsable));
    if (usable.every(Boolean)) return first;
  }
}

/** Opens many connections, a hundred at a time; counts errors instead of throwing them. */
export class Clients {
  readonly sockets: Socket[] = [];
  /** Sockets that ended or failed before close(). */
  lost = 0;
  #isClosing = false;

  static async open(test: Test, target: number | string, count: number): Promise<Clients> {
    const clients = new Clients();
    test.teardown(() => {
      clients.destroy();
    });
    while (clients.sockets.length < count) {
      const batch = Math.min(100, count - clients.sockets.length);
      await Promise.all(Array.from({ length: batch }, () => clients.add(target)));
    }
    return clients;
  }

  async add(target: number | string): Promise<Socket> {
    const socket = await connect(target);
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      if (!this.#isClosing) this.lost++;
    });
    this.sockets.push(socket);
    return socket;
  }

  /** The number of connections that echo one byte. */
  async answering(): Promise<number> {
    const open = this.sockets.filter((socket) => !socket.destroyed);
    const answers = await Promise.all(open.map((socket) => echoes(socket, Buffer.from('x'))));
    return answers.filter(Boolean).length;
  }

  destroy(): void {
    this.#isClosing = true;
    for (const socket of this.sockets) socket.destroy();
  }
}

/** Sends bytes and waits until as many are received; true if they are the same. */
export function echoes(socket: Socket, bytes: Buffer, timeoutMs = 10_000): Promise<boolean> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let size = 0;
    const finish = (isSame: boolean): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('end', onClose).off('close', onClose);
      resolve(isSame);
    };
    const onClose = (): void => {
      finish(false);
    };
    const onData = (part: Buffer): void => {
      parts.push(part);
      size += part.length;
      if (size >= bytes.length) finish(Buffer.concat(parts).equals(bytes));
    };
    const timer = setTimeout(onClose, timeoutMs);
    socket.on('data', onData).on('end', onClose).on('close', onClose);
    socket.write(bytes);
  });
}

/** Whether a new client is answered. */
export async function answers(port: number): Promise<boolean> {
  const socket = await connect(port);
  const isAnswered = await echoes(socket, Buffer.from('new'));
  socket.destroy();
  return isAnswered;
}

/** CPU time of a process and its threads, in milliseconds. */
export function cpuMs(pid: number): number {
  // After the command name, which may hold spaces: utime and stime are fields 14 and 15.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Runs a small command that must succeed. */
export function command(name: string, ...args: string[]): string {
  return execFileSync(name, args, { encoding: 'utf8' });
}

/** Sets the soft limit of open files of a running process; the hard one stays. */
export function limitDescriptors(pid: number, soft: number): void {
  command('prlimit', '--pid', String(pid), `--nofile=${soft}:`);
}

/** The open descriptors of a process. */
export function descriptorsOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/fd`).map(Number);
}

/** Compiles one C file of this folder; returns the path of the output. */
export function compile(test: Test, name: string, ...flags: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-c-'));
  test.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const output = join(folder, name.replace(/\.c$/, ''));
  const warnings = ['-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror'];
  command(
    'gcc',
    '-O2',
    ...warnings,
    ...flags,
    '-o',
    output,
    join(root, 'test/support', name),
    '-ldl',
  );
  return output;
}
