// Probes: one new connection after the other, with a small request each, while a server broadcasts.
// They measure the latency of other clients.
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { CometServer } from './comet-subjects.js';

/** Time from the connect to the first byte of the response, microseconds. */
export interface Probes {
  readonly count: number;
  readonly failed: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

const PROBE_DEADLINE_MS = 10_000;
/** Interval of the probes, which must be few beside the broadcasts. */
const PAUSE_MS = 2;
const REQUEST = 'GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';

/** One probe, in microseconds; NaN without a response. */
function probe(port: number): Promise<number> {
  return new Promise((resolve) => {
    const beganAtMs = performance.now();
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const end = (us: number): void => {
      socket.destroy();
      resolve(us);
    };
    socket.setTimeout(PROBE_DEADLINE_MS, () => end(NaN));
    socket.once('connect', () => socket.write(REQUEST));
    socket.once('data', () => end((performance.now() - beganAtMs) * 1000));
    socket.once('error', () => end(NaN));
    socket.once('close', () => resolve(NaN));
  });
}

/** Probes for `seconds`, and starts a broadcast every `everyMs`. */
export async function measureWhileBusy(
  server: CometServer,
  seconds: number,
  everyMs: number,
): Promise<Probes> {
  const endsAtMs = performance.now() + seconds * 1000;
  const timer = setInterval(() => void server.broadcast(), everyMs);
  const answers: number[] = [];
  while (performance.now() < endsAtMs) {
    answers.push(await probe(server.port));
    await sleep(PAUSE_MS);
  }
  clearInterval(timer);
  const sorted = answers.filter((us) => !Number.isNaN(us)).sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
  return {
    count: answers.length,
    failed: answers.length - sorted.length,
    p50Us: at(0.5),
    p99Us: at(0.99),
    maxUs: at(1),
  };
}
