// Expiry: all clients have tokens that were issued together. Measures when their connections end,
// and how old messages to other subscribers are meanwhile.
import type { Held } from '../lib/bench/bench.js';
import { CHANNEL, type CometServer } from './comet-subjects.js';
import { stamped } from './pace.js';
import type { SampleRequest, SampleResult } from './sample.js';
import { startHelper } from './trials.js';

export interface Expiry {
  /** Seconds after `exp` of the tokens, below 0 before it: of the first and the last end. */
  readonly firstSeconds: number;
  readonly lastSeconds: number;
  /** Connections that were open 1 s after `exp`. */
  readonly late: number;
  /** Ages of messages before the first end, and from then on. */
  readonly before: SampleResult;
  readonly meanwhile: SampleResult;
}

const PREFIX = `${CHANNEL}/probe`;
/** Subscribers without a token, each of a channel of its own. */
const PROBES = 20;
const MESSAGE_BYTES = 100;
const INTERVAL_MS = 50;
const BEFORE_SECONDS = 10;
/** After `exp`: a server that ends nothing must not stop the run. */
const DEADLINE_SECONDS = 15;

/** Publishes to all probes until a time, and calls `look` before each round. */
async function publishUntil(
  held: Held,
  { library }: CometServer,
  isDone: () => boolean,
): Promise<void> {
  while (!isDone()) {
    const data = stamped(MESSAGE_BYTES);
    for (let at = 0; at < PROBES; at++) await library?.publish(`${PREFIX}/${at}`, data);
    await held.pass(INTERVAL_MS);
  }
}

/** @param expiresAtS - `exp` of every token. */
export async function measureExpiry(
  held: Held,
  server: CometServer,
  expiresAtS: number,
): Promise<Expiry> {
  const request: SampleRequest = { port: server.port, prefix: PREFIX, first: 0, count: PROBES };
  const sinceExpiry = (): number => Date.now() / 1000 - expiresAtS;
  const open = (): number => server.library?.health().connections ?? 0;
  const startSample = () => startHelper<SampleResult>('./sample.js', request);

  const quiet = await startSample();
  const total = open();
  const endsAtMs = performance.now() + BEFORE_SECONDS * 1000;
  await publishUntil(held, server, () => performance.now() > endsAtMs || open() < total);
  const before = await quiet.finish();

  const busy = await startSample();
  let [firstSeconds, lastSeconds, late] = [NaN, NaN, NaN];
  let last = open();
  await publishUntil(held, server, () => {
    const now = open();
    if (now < last) lastSeconds = sinceExpiry();
    if (now < last && Number.isNaN(firstSeconds)) firstSeconds = lastSeconds;
    last = now;
    if (sinceExpiry() > 1 && Number.isNaN(late)) late = Math.max(0, now - PROBES);
    return (now <= PROBES && !Number.isNaN(late)) || sinceExpiry() > DEADLINE_SECONDS;
  });
  return { firstSeconds, lastSeconds, late, before, meanwhile: await busy.finish() };
}
