// Own memory of some processes, looked at from outside, until stdin ends. Its request is argv[2]; it
// prints a line when it has begun, and its result at the end.
import { procReader } from '../lib/kernel.js';
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
 * What no file is behind (RssAnon). The sums of smaps_rollup say the same of such processes, but the
 * kernel walks all page tables for them: a tenth of a core at a million connections.
 */
function ownBytes(): number {
  return pids.reduce((sum, pid) => {
    const kilobytes = /^RssAnon:\s+(\d+) kB/m.exec(procReader(`/proc/${pid}/status`) ?? '')?.[1];
    return sum + Number(kilobytes ?? 0) * 1024;
  }, 0);
}

const samples = [ownBytes()];
setInterval(() => samples.push(ownBytes()), SAMPLE_MS);
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => {
  const result = { medianBytes: median(samples), peakBytes: Math.max(...samples) };
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
});
