// Servers of the comparison that do not report when they are ready: nginx and HAProxy.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { procReader, readDescriptorLimit } from '../lib/system/kernel.js';
import { freePort, type RunningServer } from './subjects.js';

const START_DEADLINE_MS = 60_000;

export async function whenListening(port: number): Promise<void> {
  const endsAtMs = performance.now() + START_DEADLINE_MS;
  while (performance.now() < endsAtMs) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (isOpen) return;
    await sleep(50);
  }
  throw new Error(`the server at port ${port} was not ready in time`);
}

/**
 * Starts a server and waits until it listens.
 *
 * @param commandOf - Writes the files of the server into the folder and returns its command line.
 * @param cores - Cores that it may use, in the format of taskset; null for all.
 */
export async function startSilent(
  commandOf: (folder: string, port: number) => readonly string[],
  cores: string | null,
): Promise<RunningServer> {
  const folder = mkdtempSync(path.join(tmpdir(), 'megacomet-bench-'));
  const port = await freePort();
  const pin = cores === null ? [] : ['taskset', '-c', cores];
  const [file = '', ...args] = [...pin, ...commandOf(folder, port)];
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await whenListening(port);
  } catch (error) {
    await stop();
    throw error;
  }
  const pid = child.pid ?? 0;
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  const pids = list === '' ? [pid] : list.split(' ').map(Number);
  return { port, pids, parentPid: pid, stop };
}

/** The parts of a configuration of nginx that every server here has. */
export interface NginxShape {
  readonly workers: number;
  readonly connections: number;
  /** Lines of the main section, such as load_module. */
  readonly main?: string;
  /** Lines of the http section. */
  readonly http?: string;
  /** Parameters of the listen directive. */
  readonly listen?: string;
  /** Lines of the server section. */
  readonly server: string;
}

/** nginx uses some connections for itself; without a surplus it resets clients. */
const SPARE_CONNECTIONS = 500;
const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

/** Writes a configuration of nginx into the folder. Returns the command line for it. */
export function nginxCommand(
  nginx: string,
  { workers, connections, main = '', http = '', listen = '', server }: NginxShape,
  folder: string,
  port: number,
): string[] {
  const perWorker = 2 * Math.ceil(connections / workers) + SPARE_CONNECTIONS;
  const config = path.join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes ${workers};
worker_rlimit_nofile ${Math.min(perWorker, readDescriptorLimit(procReader))};
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
${main}
events { worker_connections ${perWorker}; }
http {
  access_log off;
  ${http}
  ${TEMPORARY.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  server {
    listen 127.0.0.1:${port} backlog=4096${workers > 1 ? ' reuseport' : ''}${listen};
    ${server}
  }
}
`,
  );
  return [nginx, '-p', folder, '-c', config, '-e', path.join(folder, 'error.log')];
}
