// The echo servers of the comparison: starts each one and returns its pids.
import { spawn, type ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import path from 'node:path';

import { packageRoot } from '../lib/system/native.js';
import type { Baselines } from './build-baselines.js';

export const SUBJECTS = ['megacomet', 'epoll', 'libev', 'node', 'go'] as const;
export type Subject = (typeof SUBJECTS)[number];

/** Names in the table. */
export const SUBJECT_NAMES: Readonly<Record<Subject, string>> = {
  megacomet: 'megacomet-ts',
  epoll: 'epoll in C (the floor)',
  libev: 'libev in C',
  node: 'Node net',
  go: 'Go net',
};

export interface ServingProcesses {
  readonly port: number;
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

/** A server that was started by its command line. */
export interface RunningServer extends ServingProcesses {
  /** The process of that command: for megacomet-ts the manager. */
  readonly parentPid: number;
}

const START_DEADLINE_MS = 60_000;

/**
 * Below the range of the dialers' own ports (32768 by default): one of their ports in TIME_WAIT
 * would make bind() fail.
 */
const PORT_FIRST = 12_000;
const PORT_COUNT = 16_000;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, () => probe.close(() => resolve(true)));
  });
}

/** A port without a listener. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORT_FIRST + Math.floor(Math.random() * PORT_COUNT);
    if (await isFree(port)) return port;
  }
}

function commandOf(
  subject: Subject,
  baselines: Baselines,
  port: number,
  workers: number,
  connections: number,
  certificateArgs: readonly string[],
): string[] {
  const shape = ['--port', String(port), '--workers', String(workers)];
  switch (subject) {
    case 'megacomet':
      return [
        process.execPath,
        path.join(packageRoot, 'lib/bin.js'),
        'serve',
        ...shape,
        ...['--max-connections', String(connections), '--admin-port', '0'],
        ...['--log-format', 'json', '--drain', '0'],
        ...certificateArgs,
      ];
    case 'epoll':
      return [baselines.epollEcho, ...shape];
    case 'libev':
      return [baselines.libevEcho, ...shape];
    case 'node':
      return [process.execPath, baselines.nodeEcho, ...shape];
    case 'go':
      if (baselines.goEcho === undefined) throw new Error('go is not installed');
      return [baselines.goEcho, '-port', String(port)];
  }
}

/** The pids in the server's output when it is ready, else null. */
function readyPids(subject: Subject, output: string): number[] | null {
  if (subject !== 'megacomet') return baselinePids(output);
  const line = output.split('\n').find((text) => text.includes('"msg":"listening on'));
  return line === undefined ? null : (JSON.parse(line) as { workerPids: number[] }).workerPids;
}

function whenReady(
  name: string,
  child: ChildProcess,
  readPids: (output: string) => number[] | null,
): Promise<number[]> {
  return new Promise((resolve, reject) => {
    let output = '';
    const timer = setTimeout(() => {
      reject(new Error(`${name} was not ready in time: ${output.slice(-500)}`));
    }, START_DEADLINE_MS);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      const pids = readPids(output);
      if (pids === null) return;
      clearTimeout(timer);
      resolve(pids);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`${name} ended with ${String(code)}: ${output.slice(-500)}`));
    });
  });
}

/**
 * Starts one server and waits until it listens.
 *
 * @param cores - Cores that it may use, in the format of taskset; null for all.
 * @param certificateArgs - The options for a certificate; megacomet-ts only.
 */
export async function startSubject(
  subject: Subject,
  baselines: Baselines,
  workers: number,
  connections: number,
  cores: string | null,
  certificateArgs: readonly string[] = [],
): Promise<RunningServer> {
  const port = await freePort();
  const command = commandOf(subject, baselines, port, workers, connections, certificateArgs);
  return startCommand(subject, port, command, cores, (output) => readyPids(subject, output));
}

/** Pids in the line with which each baseline reports that it is ready. */
export function baselinePids(output: string): number[] | null {
  const match = /^ready ([\d ]+)$/m.exec(output);
  return match === null ? null : (match[1] ?? '').trim().split(' ').map(Number);
}

/** Starts a server by its command line, and waits until `readPids` finds pids in its output. */
export async function startCommand(
  name: string,
  port: number,
  command: readonly string[],
  cores: string | null,
  readPids: (output: string) => number[] | null,
): Promise<RunningServer> {
  // taskset replaces itself, so the pid stays that of the server.
  const pin = cores === null ? [] : ['taskset', '-c', cores];
  const [file = '', ...args] = [...pin, ...command];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  try {
    const pids = await whenReady(name, child, readPids);
    return {
      port,
      pids,
      parentPid: child.pid ?? 0,
      stop: async () => {
        child.kill('SIGTERM');
        await ended;
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}
