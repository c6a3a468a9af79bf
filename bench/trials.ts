// Runs trials as separate processes, and repeats one if other virtual machines took CPU time.
import { execFile, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { procReader } from '../lib/system/kernel.js';

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Ticks of all cores: in total, and those that the hypervisor gave to other machines. */
function coreTicks(): { total: number; stolen: number } {
  const line = (procReader('/proc/stat') ?? '').split('\n')[0] ?? '';
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { total: fields.reduce((sum, value) => sum + value, 0), stolen: fields[7] ?? 0 };
}

/** A trial that lost a larger share of its CPU time to other machines is repeated. */
const STOLEN_SHARE_MAX = 0.05;
const ATTEMPTS_MAX = 4;

function argumentsOf(file: string, request: unknown): string[] {
  return [fileURLToPath(new URL(file, import.meta.url)), JSON.stringify(request)];
}

/** Runs a module of this folder, which reads its request as JSON and prints its result as JSON. */
export async function runModule<Result>(file: string, request: unknown): Promise<Result> {
  const { stdout } = await promisify(execFile)(process.execPath, argumentsOf(file, request), {
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  return JSON.parse(stdout) as Result;
}

/**
 * Runs one trial, at most four times while too much CPU time was stolen.
 *
 * @param file - As in runModule().
 */
export async function runTrial<Result extends object>(
  file: string,
  label: string,
  request: unknown,
): Promise<Result & { stolenShare: number }> {
  for (let attempt = 1; ; attempt++) {
    process.stderr.write(`  ${label} …`);
    const before = coreTicks();
    const result = await runModule<Result>(file, request);
    const after = coreTicks();
    const stolen = (after.stolen - before.stolen) / (after.total - before.total);
    process.stderr.write(` ${(stolen * 100).toFixed(1)} % of the cores stolen\n`);
    if (stolen <= STOLEN_SHARE_MAX || attempt === ATTEMPTS_MAX) {
      return { ...result, stolenShare: stolen };
    }
  }
}

/** Alternates the subjects, so that a slow minute of a shared machine affects all. */
export async function alternate<Request, Result>(
  requests: readonly Request[],
  runs: number,
  run: (request: Request) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let index = 0; index < runs; index++) {
    for (const request of requests) results.push(await run(request));
  }
  return results;
}

/** As alternate(), with the results of each request apart. */
export async function alternateRows<Request, Result>(
  requests: readonly Request[],
  runs: number,
  run: (request: Request) => Promise<Result>,
): Promise<Result[][]> {
  const results = await alternate(requests, runs, run);
  return requests.map((_, index) => results.filter((__, at) => at % requests.length === index));
}

/** A process beside a trial, which works until its stdin ends and then prints its result. */
export interface Helper<Result> {
  finish(): Promise<Result>;
}

/** Starts a module like runModule(), and waits until it reports that it is ready. */
export async function startHelper<Result>(file: string, request: unknown): Promise<Helper<Result>> {
  const child = spawn(process.execPath, argumentsOf(file, request), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', () => reject(new Error(`${file} ended`)));
  });
  return {
    finish: async () => {
      child.stdin.end();
      return JSON.parse(await text(child.stdout)) as Result;
    },
  };
}
