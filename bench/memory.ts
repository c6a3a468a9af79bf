// Private memory of some processes, looked at from outside, until stdin ends. Its request is argv[2]; it
// prints a line when it has begun, and its result at the end.
import { median } from './table.js';
import { privateBytes } from './trial.js';

export interface MemoryRequest {
  readonly pids: readonly number[];
}

export interface MemoryResult {
  readonly medianBytes: number;
  readonly peakBytes: number;
}

/** Each look walks the page tables. */
const SAMPLE_MS = 500;

const { pids } = JSON.parse(process.argv[2] ?? '') as MemoryRequest;
const samples = [privateBytes(pids)];
setInterval(() => samples.push(privateBytes(pids)), SAMPLE_MS);
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => {
  const result = { medianBytes: median(samples), peakBytes: Math.max(...samples) };
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
});
