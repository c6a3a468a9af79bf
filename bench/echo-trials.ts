// The trials of the echo suites.
import { median } from './table.js';
import type { TrialRequest, TrialResult } from './trial.js';
import { runTrial } from './trials.js';

/** Connections that exchange messages beside the idle ones, and the bytes of a message. */
export const ACTIVE = 64;
export const MESSAGE_BYTES = 32;

/** Runs one trial. @throws Error if a connection failed. */
export async function echoTrial(request: TrialRequest): Promise<TrialResult> {
  const tls = request.hasTls ? ', TLS' : '';
  const label = `${request.subject}, ${request.connections} connections${tls}`;
  const result = await runTrial<TrialResult>('./trial.js', label, request);
  const { opened, failed, requested, failures } = result.bench;
  if (opened === requested && failed === 0) return result;
  throw new Error(
    `${label}: ${opened} of ${requested} opened, ${failed} failed; ${JSON.stringify(failures)}`,
  );
}

export const userBytes = (result: TrialResult): number | null =>
  result.bench.server?.userBytesPerConnection ?? null;
export const echoRate = (result: TrialResult): number =>
  result.bench.active?.messagesPerSecond ?? NaN;
export const cpuPerMessage = (result: TrialResult): number =>
  result.bench.active?.serverCpuMicrosecondsPerMessage ?? NaN;

/** The median of a value over trials. */
export function middleOf<Result>(
  row: readonly Result[],
  pick: (result: Result) => number | null | undefined,
): number {
  return median(row.map((result) => pick(result) ?? NaN));
}
