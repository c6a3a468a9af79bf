// All subscribers are cut off and come back at once, while each channel gets a message every 10 s.
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
  /** From the cut until all have subscribed again, and until all have every message; NaN: never. */
  readonly backSeconds: number;
  readonly caughtUpSeconds: number;
  /** To subscribers, from the first to the last message. */
  readonly published: number;
  readonly refused: number;
  readonly owed: number;
  readonly received: number;
  /** Private memory of workers and manager. */
  readonly steadyBytes: number;
  readonly peakBytes: number;
}

/** Each channel gets a message once in so many pulses. */
const PULSES = 10;
const PULSE_MS = 1000;
/** How often it looks whether a pulse is due. */
const TICK_MS = 100;
const ROUND_MS = PULSES * PULSE_MS;
const SETTLE_MS = 2000;
const DEADLINE_MS = 120_000;

/**
 * Of this process, which manages and publishes. With the clients on the same machine it would get a
 * hundredth of it, and send the messages that are due in the storm when that is over.
 */
const PRIORITY = -10;

/** Only root may. */
function prioritize(priority: number): void {
  try {
    setPriority(priority);
  } catch {
    process.stderr.write('the manager has no priority over the clients\n');
  }
}

/** Publishes on, to a tenth of the channels each second. */
class Publishing {
  readonly #server: CometServer;
  readonly #plan: StormPlan;
  readonly #timer: NodeJS.Timeout;
  readonly #beganAtMs = performance.now();
  #pulses = 0;
  published = 0;
  refused = 0;
  /** Messages times their subscribers. */
  owed = 0;
  cursor = '';

  constructor(server: CometServer, plan: StormPlan) {
    this.#server = server;
    this.#plan = plan;
    this.#timer = setInterval(() => this.#pulse(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** All that are due: on a busy machine the timer may come late. */
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
        this.owed += subscribers;
        this.cursor = cursor;
      },
      () => this.refused++,
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
    // Whoever has had a message has a cursor to come back with.
    await held.pass(ROUND_MS + SETTLE_MS);
    const steady = await watch();
    await held.pass(ROUND_MS);
    const { medianBytes } = await steady.finish();
    const during = await watch();
    const cutAtMs = performance.now();
    const secondsUntil = async (isDone: () => boolean): Promise<number> =>
      (await waitFor(held, isDone, DEADLINE_MS)) ? (performance.now() - cutAtMs) / 1000 : NaN;
    held.reconnect(publishing.cursor);
    const backSeconds = await secondsUntil(() => held.isOpen());
    // Of messages that go on for ever nobody ever has every one: what counts was published till now.
    publishing.stop();
    const caughtUpSeconds = await secondsUntil(() => received() === publishing.owed);
    const { peakBytes } = await during.finish();
    const { published, refused, owed } = publishing;
    const counts = { channels: plan.channels, published, refused, owed, received: received() };
    return { ...counts, backSeconds, caughtUpSeconds, steadyBytes: medianBytes, peakBytes };
  } finally {
    publishing.stop();
    prioritize(0);
  }
}
