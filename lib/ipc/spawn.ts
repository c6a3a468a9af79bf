// One process that runs the addon, with its descriptors, environment and error listeners. The manager
// starts workers with it, and the load generator starts dialers.
import { spawn, type ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import type { Duplex, Readable } from 'node:stream';

import { MegacometError } from '../base/errors.js';
import { KILL_GRACE_MS } from '../base/stop-times.js';
import { FrameDecoder, type FrameFields, type FrameList, type FrameOf } from './frame-codec.js';
import { checkRuntime } from './runtime.js';
import { UNREAD_BYTES_MAX } from './worker-port.js';

/**
 * The only variables that a child inherits. NODE_OPTIONS is not among them: an --inspect or an
 * APM agent's --require would run in every worker.
 */
const ENVIRONMENT = [
  'PATH',
  'HOME',
  'TZ',
  'LANG',
  'TMPDIR',
  // The addon needs libev, which may be in a folder of the user.
  'LD_LIBRARY_PATH',
  'LD_PRELOAD',
  'ASAN_OPTIONS',
  'LSAN_OPTIONS',
  'UBSAN_OPTIONS',
];

/** Last characters of a child's standard error, kept for the report of its death. */
const STDERR_CHARACTERS_MAX = 2000;

// Not import.meta.resolve(): Node before 20.6, and Jest's modules, have no such function.
const require = createRequire(import.meta.url);
const workerFile = require.resolve('#worker');

export interface ChildHandlers<Fields extends FrameFields> {
  onFrame(frame: FrameOf<Fields>): void;
  /** The child sent bytes that are not a frame, and is killed. */
  onBroken?: () => void;
  /** The child has read all queued bytes. */
  onDrain?: () => void;
  /** The process ended, and all its frames were passed to onFrame(). */
  onEnd(end: ChildEnd): void;
}

export interface ChildEnd {
  /** Exit code, null after a signal. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of its standard error, and the fault of its control stream if there was one. */
  readonly cause: string;
}

/** The machine as a child needs it, implemented in system/child-system.ts. */
export interface ChildSystem {
  /** The addon's file. */
  readonly addonPath: string;
  /** Whether the kernel holds a process (state D): no signal ends it before it is released. */
  isHeld(pid: number): boolean;
  /** Whether a process is stopped (state T): SIGKILL alone ends it. */
  isStopped(pid: number): boolean;
  /** Starts a child that inherits no descriptor that it is not given, and no capability. */
  guarded<T>(spawn: () => T): T;
}

export interface ChildOptions {
  readonly system: ChildSystem;
  readonly role: 'dial' | 'serve';
  /** Descriptors that the child inherits, from 4 on. */
  readonly descriptors: readonly number[];
  readonly uid?: number;
  readonly gid?: number;
}

/** A running child and its control stream, with the frames of both directions. */
export class AddonProcess<Fields extends FrameFields, Encoded extends keyof Fields = keyof Fields> {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #control: Duplex;
  readonly #frames: FrameList<Fields, Encoded>;
  readonly #system: ChildSystem;
  #stderr = '';
  #isKilled = false;

  private constructor(
    frames: FrameList<Fields, Encoded>,
    system: ChildSystem,
    child: ChildProcess,
    pid: number,
    handlers: ChildHandlers<Fields>,
  ) {
    this.#frames = frames;
    this.#system = system;
    this.pid = pid;
    this.#child = child;
    this.#control = child.stdio[3] as Duplex;
    this.#listen(handlers);
  }

  /**
   * Starts a child.
   *
   * @throws MegacometError `ERR_WORKER_START` if the process cannot be started; `ERR_RUNTIME`.
   */
  static start<Fields extends FrameFields, Encoded extends keyof Fields>(
    frames: FrameList<Fields, Encoded>,
    options: ChildOptions,
    handlers: ChildHandlers<Fields>,
  ): AddonProcess<Fields, Encoded> {
    checkRuntime();
    const { system } = options;
    const env: NodeJS.ProcessEnv = {};
    for (const name of ENVIRONMENT) {
      if (process.env[name] !== undefined) env[name] = process.env[name];
    }
    let child: ChildProcess;
    try {
      // /proc/self/exe also works after an upgrade has removed the binary; process.execPath does not.
      // Without the helper threads of V8's pool a worker has 4 threads instead of 7.
      // The program that started this one may have left descriptors open, such as that of a secret.
      child = system.guarded(() =>
        spawn('/proc/self/exe', ['--v8-pool-size=0', workerFile, options.role, system.addonPath], {
          argv0: 'megacomet-worker',
          env,
          stdio: ['ignore', 'ignore', 'pipe', 'pipe', ...options.descriptors],
          ...(options.uid === undefined ? {} : { uid: options.uid }),
          ...(options.gid === undefined ? {} : { gid: options.gid }),
        }),
      );
    } catch (error) {
      // ENOMEM and EPERM are thrown; EAGAIN, EMFILE and ENFILE are emitted as an event.
      throw cannotStart((error as Error).message);
    }
    if (child.pid === undefined) {
      // The event follows in the next loop iteration; without a listener it ends this process.
      child.on('error', () => undefined);
      throw cannotStart('too many processes or open files');
    }
    return new AddonProcess(frames, system, child, child.pid, handlers);
  }

  send<N extends Encoded>(name: N, fields: Fields[N]): void {
    if (this.#control.destroyed) return;
    this.#control.write(this.#frames.encode(name, fields));
    if (this.#control.writableLength > UNREAD_BYTES_MAX) this.kill('SIGKILL');
  }

  /** Writes encoded frames. The caller checks queuedBytes. */
  write(frames: Buffer): void {
    if (!this.#control.destroyed) this.#control.write(frames);
  }

  /** Bytes that the child has not read. */
  get queuedBytes(): number {
    return this.#control.writableLength;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Whether the kernel holds the child: no signal ends it until the kernel releases it. */
  get isHeld(): boolean {
    const { exitCode, signalCode } = this.#child;
    return exitCode === null && signalCode === null && this.#system.isHeld(this.pid);
  }

  /** Whether the child is stopped: it sees no signal except SIGKILL. */
  get isStopped(): boolean {
    return this.#system.isStopped(this.pid);
  }

  /** Sends SIGKILL. Calls `onHeld` once if the child still runs because the kernel holds it. */
  end(onHeld: () => void): void {
    this.kill('SIGKILL');
    if (this.#isKilled) return;
    this.#isKilled = true;
    setTimeout(() => {
      if (this.isHeld) onHeld();
    }, KILL_GRACE_MS).unref();
  }

  /** Ends a child without connections: it exits when its control stream ends. */
  hangUp(): void {
    this.#control.destroy();
  }

  /** Stops waiting for a child that does not end, and removes its listeners. */
  abandon(): void {
    this.#child.removeAllListeners('close');
    this.#control.destroy();
    this.#child.stderr?.destroy();
    this.#child.unref();
  }

  #listen(handlers: ChildHandlers<Fields>): void {
    const decoder = new FrameDecoder(this.#frames.readers);
    this.#control.on('error', () => undefined);
    if (handlers.onDrain !== undefined) this.#control.on('drain', handlers.onDrain);
    this.#control.on('data', (chunk: Buffer) => {
      let frames: readonly FrameOf<Fields>[] = [];
      try {
        frames = decoder.push(chunk);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        this.#stderr += `control stream broken: ${error.message}`;
        this.kill('SIGKILL');
        handlers.onBroken?.();
      }
      for (const frame of frames) deal(frame, handlers);
    });
    const stderr = this.#child.stderr as Readable;
    stderr.on('error', () => undefined);
    stderr.setEncoding('utf8');
    stderr.on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARACTERS_MAX);
    });
    this.#child.on('error', () => undefined);
    // 'close' follows 'exit' and the ends of the streams.
    this.#child.on('close', (code, signal) => {
      handlers.onEnd({ code, signal, cause: this.#stderr.trim() });
    });
  }
}

/**
 * A child's last error output as one line, without a stack. An uncaught error has the line of code
 * that threw it first, and its reason in a later paragraph.
 */
export function oneLine(cause: string): string {
  const reason = /^(?:\w*Error\b.*: |Error: )[^]*?(?=\n {4}at |\n\n|$(?![^]))/m.exec(cause)?.[0];
  return (reason ?? cause.split('\n\n')[0] ?? '').replace(/[\s#]+/g, ' ').trim();
}

/**
 * Handles a frame. An error of an application's listener is thrown in the next tick, so that the
 * frames behind this one are handled.
 */
function deal<Fields extends FrameFields>(
  frame: FrameOf<Fields>,
  handlers: ChildHandlers<Fields>,
): void {
  try {
    handlers.onFrame(frame);
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

function cannotStart(reason: string): MegacometError {
  return new MegacometError('ERR_WORKER_START', `a process cannot be started: ${reason}`);
}
