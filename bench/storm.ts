// Reconnect storm: all subscribers are reset and reconnect at once, while each channel receives a
// message every 10 s.
import { setPriority } from 'node:os';

import type { Held } from '../lib/bench/bench.js';
import { CHANNEL, type CometServer } from './comet-subjects.js';
import type { MemoryResult } from './memory.js';
import { waitFor } from './publishing.js';
import { startHelper } from './trials.js';

export interface StormPlan {
  readonly connections: number;
  readonly channels: number;
  readonly messageBytes: number;
}

export interface Storm {
  readonly channels: number;
  /**
   * Time from the reset until all have subscribed, and until all have every message; NaN: never.
   */
  readonly reconnectedSeconds: number;
  readonly caughtUpSeconds: number;
  /** Deliveries, from the first to the last message. */
  readonly published: number;
  readonly rejected: number;
  readonly expected: number;
  readonly received: number;
  /** CPU time of the manager, from the reset until all have subscribed. */
  readonly managerCpuSeconds: number;
  /** Private memory of workers and manager. */
  readonly steadyBytes: number;
  readonly peakBytes: number;
}

/** Pulses between two messages to a channel. */
const PULSES = 10;
const PULSE_MS = 1000;
/** Interval of the checks for a due pulse. */
const TICK_MS = 100;
const ROUND_MS = PULSES * PULSE_MS;
const SETTLE_MS = 2000;
const DEADLINE_MS = 120_000;

/**
 * Priority of this process, which manages and publishes. Without it the clients on the same machine
 * would leave it a hundredth of a core, and it would send the due messages after the storm.
 */
const PRIORITY = -10;

/** Requires root. */
function prioritize(priority: number): void {
  try {
    setPriority(priority);
  } catch {
    process.stderr.write('the manager has no priority over the clients\n');
  }
}

/** Publishes continuously, to a tenth of the channels each second. */
class Publishing {
  readonly #server: CometServer;
  readonly #plan: StormPlan;
  readonly #timer: NodeJS.Timeout;
  readonly #beganAtMs = performance.now();
  #pulses = 0;
  published = 0;
  rejected = 0;
  /** Published messages times their subscribers. */
  expected = 0;
  cursor = '';

  constructor(server: CometServer, plan: StormPlan) {
    this.#server = server;
    this.#plan = plan;
    this.#timer = setInterval(() => this.#pulse(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Publishes all due pulses, because the timer can fire late on a busy machine. */
  #pulse(): void {
    const { channels, messageBytes } = this.#plan;
    const data = 'x'.repeat(messageBytes);
    const due = (performance.now() - this.#beganAtMs) / PULSE_MS;
    for (; this.#pulses < due; this.#pulses++) {
      for (let at = this.#pulses % PULSES; at < channels; at += PULSES) this.#publish(at, data);
    }
  }

  #publish(number: number, data: string): void {
    const { connections, channels } = this.#plan;
    const subscribers = Math.floor((connections - 1 - number) / channels) + 1;
    this.#server.library?.publish(`${CHANNEL}/${number}`, data).then(
      ({ cursor }) => {
        this.published++;
        this.expected += subscribers;
        this.cursor = cursor;
      },
      () => this.rejected++,
    );
  }
}

export async function measureStorm(
  held: Held,
  server: CometServer,
  plan: StormPlan,
): Promise<Storm> {
  const watch = (): Promise<{ finish(): Promise<MemoryResult> }> =>
    startHelper<MemoryResult>('./memory.js', { pids: [...server.pids, process.pid] });
  const before = held.received();
  const received = (): number => held.received() - before;
  const publishing = new Publishing(server, plan);
  prioritize(PRIORITY);
  try {
    // Each subscriber needs a message, so that it has a cursor to resume from.
    await held.pass(ROUND_MS + SETTLE_MS);
    const steady = await watch();
    await held.pass(ROUND_MS);
    const { medianBytes } = await steady.finish();
    const during = await watch();
    const cutAtMs = performance.now();
    const cpuBefore = process.cpuUsage();
    const secondsUntil = async (isDone: () => boolean): Promise<number> =>
      (await waitFor(held, isDone, DEADLINE_MS)) ? (performance.now() - cutAtMs) / 1000 : NaN;
    held.reconnect(publishing.cursor);
    const reconnectedSeconds = await secondsUntil(() => held.isOpen());
    const { user, system } = process.cpuUsage(cpuBefore);
    const managerCpuSeconds = (user + system) / 1e6;
    // Only messages published so far count, because the publishing goes on.
    publishing.stop();
    const caughtUpSeconds = await secondsUntil(() => received() === publishing.expected);
    const { peakBytes } = await during.finish();
    const { published, rejected, expected } = publishing;
    const counts = { channels: plan.channels, published, rejected, expected, received: received() };
    const seconds = { reconnectedSeconds, caughtUpSeconds, managerCpuSeconds };
    return { ...counts, ...seconds, steadyBytes: medianBytes, peakBytes };
  } finally {
    publishing.stop();
    prioritize(0);
  }
}
