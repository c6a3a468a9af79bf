// Publishes to channels with one subscriber each, through the library or over HTTP, and measures
// deliveries, latency and cost.
import type { Held } from '../lib/bench/bench.js';
import { procReader, readCpuUs } from '../lib/system/kernel.js';
import { ADMIN_TOKEN, CHANNEL, type CometServer } from './comet-subjects.js';
import { pace, Rota, stamped, type Load } from './pace.js';
import type { PublisherRequest, PublisherResult } from './publisher.js';
import type { SampleRequest, SampleResult } from './sample.js';
import { runModule, startHelper } from './trials.js';

export const PUBLISHERS = ['library', 'lines', 'single'] as const;
export type Publisher = (typeof PUBLISHERS)[number];

export interface Publishes extends SampleResult {
  readonly published: number;
  readonly rejected: number;
  readonly delivered: number;
  readonly publishedPerSecond: number;
  readonly deliveredPerSecond: number;
  /** Per published message. */
  readonly workerCpuUs: number;
  readonly managerCpuUs: number;
  /** Null if the process of the manager publishes. */
  readonly clientCpuUs: number | null;
}

/** Subscribers in the sample, of `connections`. */
export function sampleOf(connections: number): number {
  return Math.min(500, Math.floor(connections / 10));
}

const DEADLINE_MS = 60_000;
/** Dialers report five times a second. */
const QUIET_MS = 500;

/** Waits for a condition, at most a minute by default. @returns Whether it became true. */
export async function waitFor(
  held: Held,
  isDone: () => boolean,
  deadlineMs = DEADLINE_MS,
): Promise<boolean> {
  const endsAtMs = performance.now() + deadlineMs;
  while (!isDone()) {
    if (performance.now() >= endsAtMs) return false;
    await held.pass(10);
  }
  return true;
}

/** Waits for `wanted` messages, and until no more arrive. Returns the time of the last one. */
async function whenQuiet(held: Held, wanted: number): Promise<number> {
  let lastAtMs = performance.now();
  let last = held.received();
  await waitFor(held, () => {
    if (held.received() !== last) lastAtMs = performance.now();
    last = held.received();
    return last >= wanted && performance.now() - lastAtMs > QUIET_MS;
  });
  return lastAtMs;
}

function cpuUs(pids: readonly number[]): { workers: number; own: number } {
  const { user, system } = process.cpuUsage();
  const workers = pids.map((pid) => readCpuUs(procReader, pid) ?? 0);
  return { workers: workers.reduce((sum, us) => sum + us, 0), own: user + system };
}

/** Publishes in this process, the manager. Limits the undelivered messages to those of a second. */
async function throughLibrary(
  { library }: CometServer,
  load: Load,
  received: () => number,
): Promise<Omit<PublisherResult, 'cpuUs'>> {
  const rota = new Rota(load.channels);
  const before = received();
  const startedAtMs = performance.now();
  let sent = 0;
  let rejected = 0;
  const room = (): number => load.rate - (sent - rejected - (received() - before));
  await pace(load, room, (count) => {
    const data = stamped(load.messageBytes);
    for (let index = 0; index < count; index++) {
      library?.publish(`${CHANNEL}/${rota.next()}`, data).catch(() => rejected++);
    }
    sent += count;
  });
  const seconds = (performance.now() - startedAtMs) / 1000;
  return { published: sent - rejected, rejected, seconds };
}

/** Every channel outside the sample has its subscriber when this is called. */
export async function measurePublishes(
  held: Held,
  server: CometServer,
  publisher: Publisher,
  load: Load,
): Promise<Publishes> {
  const count = sampleOf(load.channels);
  const first = load.channels - count;
  const request: SampleRequest = { port: server.port, prefix: CHANNEL, first, count };
  const sample = await startHelper<SampleResult>('./sample.js', request);
  const before = held.received();
  const cpuBefore = cpuUs(server.pids);
  const over = (kind: PublisherRequest['kind']): PublisherRequest => ({
    ...{ ...load, kind, port: server.library?.adminPort ?? 0, token: ADMIN_TOKEN },
  });
  const done =
    publisher === 'library'
      ? { ...(await throughLibrary(server, load, () => held.received())), cpuUs: null }
      : await runModule<PublisherResult>('./publisher.js', over(publisher));
  const beganAtMs = performance.now() - done.seconds * 1000;
  // The sample reports only at the end, so this counts the messages of the other subscribers.
  const most = count * Math.ceil((done.published + done.rejected) / load.channels);
  const lastAtMs = await whenQuiet(held, before + done.published - most);
  const cpu = cpuUs(server.pids);
  const found = await sample.finish();
  const delivered = held.received() - before + found.received;
  const each = (us: number): number => us / Math.max(1, done.published);
  return {
    ...found,
    published: done.published,
    rejected: done.rejected,
    delivered,
    publishedPerSecond: done.published / done.seconds,
    deliveredPerSecond: (delivered * 1000) / (lastAtMs - beganAtMs),
    workerCpuUs: each(cpu.workers - cpuBefore.workers),
    managerCpuUs: each(cpu.own - cpuBefore.own),
    clientCpuUs: done.cpuUs === null ? null : each(done.cpuUs),
  };
}
