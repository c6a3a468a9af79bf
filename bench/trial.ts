// One trial: start one server, load it, measure it, end it. Runs as a process of its own, so that no
// trial inherits the memory or the warm code of another. Its request is argv[2], its result stdout.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { BenchResult } from '../lib/bench/bench-result.js';
import { runBench } from '../lib/bench/bench.js';
import { procReader, readPrivateBytes } from '../lib/system/kernel.js';
import type { Baselines } from './build-baselines.js';
import { startSubject, type Subject } from './subjects.js';

export interface TrialRequest {
  readonly subject: Subject;
  readonly baselines: Baselines;
  readonly workers: number;
  readonly connections: number;
  /** Seconds. */
  readonly hold: number;
  readonly verify: boolean;
  readonly active: number;
  readonly messageSize: number;
  /** Seconds. */
  readonly duration: number;
  /** Whether the server gets one half of the cores and the load the other. */
  readonly isPinned: boolean;
}

export interface TrialResult {
  readonly subject: Subject;
  readonly workers: number;
  /** Private memory of all its processes before the first connection, and after the last. */
  readonly bareBytes: number;
  readonly afterBytes: number;
  /** Open descriptors of all its processes, before and after. */
  readonly bareDescriptors: number;
  readonly afterDescriptors: number;
  readonly bench: BenchResult;
  /** Share of the cores' time that other virtual machines took meanwhile; of the judging side. */
  readonly stolenShare?: number;
}

/** Until private memory no longer moves after the start, and after the end. */
const SETTLE_MS = 1500;
/** The kernel needs 5 to 6 µs per socket to close it, and our workers give pages back each second. */
const CLOSE_DEADLINE_MS = 60_000;

export function privateBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readPrivateBytes(procReader, pid) ?? 0), 0);
}

export function descriptors(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0);
}

export async function waitForClose(pids: readonly number[], bare: number): Promise<void> {
  const endsAtMs = performance.now() + CLOSE_DEADLINE_MS;
  while (descriptors(pids) > bare && performance.now() < endsAtMs) await sleep(100);
  await sleep(SETTLE_MS);
}

/**
 * Moves this process, and the dialers that it will start, to the second half of the cores.
 *
 * @returns The first half, for the server.
 */
export function takeSecondHalf(): string {
  const cores = availableParallelism();
  const half = Math.max(1, Math.floor(cores / 2));
  execFileSync('taskset', ['-cp', `${half}-${cores - 1}`, String(process.pid)]);
  return `0-${half - 1}`;
}

export async function runTrial(request: TrialRequest): Promise<TrialResult> {
  const { subject, baselines, workers, connections } = request;
  const cores = request.isPinned ? takeSecondHalf() : null;
  const server = await startSubject(subject, baselines, workers, connections, cores);
  try {
    await sleep(SETTLE_MS);
    const bareBytes = privateBytes(server.pids);
    const bareDescriptors = descriptors(server.pids);
    const bench = await runBench(
      {
        ...request,
        targets: [{ isUnix: false, host: '127.0.0.1', port: server.port }],
        rate: 0,
        processes: 'auto',
        sources: [],
        connectTimeout: 60,
        admin: '',
        serverPids: server.pids,
        command: `bench/trial ${subject}`,
      },
      () => undefined,
      new AbortController().signal,
    );
    await waitForClose(server.pids, bareDescriptors);
    return {
      subject,
      workers: server.pids.length,
      bareBytes,
      bareDescriptors,
      afterBytes: privateBytes(server.pids),
      afterDescriptors: descriptors(server.pids),
      bench,
    };
  } finally {
    await server.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] !== undefined) {
  const result = await runTrial(JSON.parse(process.argv[2]) as TrialRequest);
  process.stdout.write(JSON.stringify(result));
}
