// One trial: starts one server, loads it, measures it, and ends it. Runs in a separate process, so
// that no trial inherits the memory or the compiled code of another. Its request is argv[2], its
// result stdout.
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
import { makeTls, withFiles } from './trial-tls.js';

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
  /** Whether connections begin with TLS; megacomet-ts only. */
  readonly hasTls: boolean;
  /** Whether the server has one half of the cores and the load the other half. */
  readonly isPinned: boolean;
}

export interface TrialResult {
  readonly subject: Subject;
  readonly hasTls: boolean;
  readonly workers: number;
  /** Private memory of all its processes, before the first connection and after the last. */
  readonly bareBytes: number;
  readonly afterBytes: number;
  /** Open descriptors of all its processes, before and after. */
  readonly bareDescriptors: number;
  readonly afterDescriptors: number;
  readonly bench: BenchResult;
  /** Share of CPU time that the hypervisor gave to other virtual machines during the trial. */
  readonly stolenShare?: number;
}

/** Waits until private memory is stable, after the start and after the end. */
const SETTLE_MS = 1500;
/** The kernel takes 5 to 6 µs to close a socket, and workers release pages each second. */
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
 * Moves this process, and the dialers that it starts later, to the second half of the cores.
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
  const { subject, hasTls, baselines, workers, connections } = request;
  const cores = request.isPinned ? takeSecondHalf() : null;
  const tls = hasTls ? makeTls() : null;
  const server = await withFiles(tls?.certificate ?? null, (args) =>
    startSubject(subject, baselines, workers, connections, cores, args),
  );
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
        tls: tls?.target ?? null,
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
      hasTls,
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
