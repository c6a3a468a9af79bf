// Messages at an even rate: when they are due, for which channel, and what they say. The time in
// each is of CLOCK_MONOTONIC, which is the same in all processes of a machine.
import { setTimeout as sleep } from 'node:timers/promises';

/** Messages to channels in turn. */
export interface Load {
  /** Per second. */
  readonly rate: number;
  readonly seconds: number;
  /** Their names are those of private channels. */
  readonly channels: number;
  readonly messageBytes: number;
}

/** Short, so that a message that is due waits little. */
const TURN_MS = 5;

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Numbers of channels: all in turn, neighbours far apart, so that a few of them are a fair sample. */
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

/** A message of so many bytes that begins with the time. */
export function stamped(bytes: number): string {
  return `${nowUs()} `.padEnd(bytes, 'x');
}

/**
 * Has as many messages sent as are due, each few milliseconds, for the time of the load.
 *
 * @param room - How many may be sent now. What exceeds it is dropped from the plan and not made up
 *   for: the rate falls to what is taken.
 */
export async function pace(
  { rate, seconds }: Load,
  room: () => number,
  send: (count: number) => void,
): Promise<void> {
  const startedAtMs = performance.now();
  const endsAtMs = startedAtMs + seconds * 1000;
  let lastMs = startedAtMs;
  let due = 0;
  while (lastMs < endsAtMs) {
    await sleep(TURN_MS);
    const nowMs = Math.min(performance.now(), endsAtMs);
    due += ((nowMs - lastMs) * rate) / 1000;
    lastMs = nowMs;
    const wanted = Math.round(due);
    const count = Math.min(wanted, room());
    if (count > 0) send(count);
    due = count < wanted ? 0 : due - count;
  }
}
