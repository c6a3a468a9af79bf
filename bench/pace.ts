// Messages at an even rate: computes when messages are due, their channels and their data. The data
// starts with the time of CLOCK_MONOTONIC, which all processes of a machine share.
import { setTimeout as sleep } from 'node:timers/promises';

/** Messages to channels, round robin. */
export interface Load {
  /** Per second. */
  readonly rate: number;
  readonly seconds: number;
  /** Number of channels, with the names of private channels. */
  readonly channels: number;
  readonly messageBytes: number;
}

/** Interval of the sends. It is short, so that a due message waits only briefly. */
const TICK_MS = 5;

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Channel numbers, each once per round in a scattered order, so that any range is a fair sample. */
export class Rota {
  readonly #count: number;
  readonly #step: number;
  #at = 0;

  constructor(count: number) {
    this.#count = count;
    let step = Math.ceil(0.618 * count);
    while (divisor(step, count) !== 1) step++;
    this.#step = step;
  }

  next(): number {
    const at = this.#at;
    this.#at = (at + this.#step) % this.#count;
    return at;
  }
}

export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** A message of `bytes` that starts with the time. */
export function stamped(bytes: number): string {
  return `${nowUs()} `.padEnd(bytes, 'x');
}

/**
 * Calls `send` with the number of due messages, every few milliseconds, for the time of the load.
 *
 * @param capacity - Returns the number of messages that may be sent now. Excess messages are dropped
 *   and not sent later, so the rate falls to the rate that the server accepts.
 */
export async function pace(
  { rate, seconds }: Pick<Load, 'rate' | 'seconds'>,
  capacity: () => number,
  send: (count: number) => void,
  tickMs = TICK_MS,
): Promise<void> {
  const startedAtMs = performance.now();
  const endsAtMs = startedAtMs + seconds * 1000;
  let lastMs = startedAtMs;
  let due = 0;
  while (lastMs < endsAtMs) {
    await sleep(tickMs);
    const nowMs = Math.min(performance.now(), endsAtMs);
    due += ((nowMs - lastMs) * rate) / 1000;
    lastMs = nowMs;
    const wanted = Math.round(due);
    const count = Math.min(wanted, capacity());
    if (count > 0) send(count);
    due = count < wanted ? 0 : due - count;
  }
}
