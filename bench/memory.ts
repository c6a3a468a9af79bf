// Samples the anonymous memory of some processes until stdin ends. Its request is argv[2]. It
// prints a line when it starts, and its result at the end.
import { procReader, readAnonymousBytes } from '../lib/system/kernel.js';
import { median } from './table.js';

export interface MemoryRequest {
  readonly pids: readonly number[];
}

export interface MemoryResult {
  readonly medianBytes: number;
  readonly peakBytes: number;
}

const SAMPLE_MS = 500;

const { pids } = JSON.parse(process.argv[2] ?? '') as MemoryRequest;

/**
 * Not readPrivateBytes(), which takes a tenth of a core for 57 processes with a million
 * connections.
 */
function ownBytes(): number {
  return pids.reduce((sum, pid) => sum + (readAnonymousBytes(procReader, pid) ?? 0), 0);
}

const samples = [ownBytes()];
setInterval(() => samples.push(ownBytes()), SAMPLE_MS);
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => {
  const result = { medianBytes: median(samples), peakBytes: Math.max(...samples) };
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
});
