// Invented results of bench runs, and helpers that read the report page of a run.
import type { BenchResult, Broadcast, Fanout, Latency } from '../../../lib/bench/bench-result.js';

export const HOSTILE = `</script><script>alert(1)</script><img src=x onerror='alert(2)'>"'&\u2028`;

/** A bell curve on a log scale, with eight buckets per octave. */
function latency(count: number, medianUs: number): Latency {
  const buckets = [];
  for (let octave = 0; octave < 20; octave += 1) {
    for (let part = 1; part <= 8; part += 1) {
      const upToUs = 2 ** octave * (1 + part / 8);
      const distance = Math.log(upToUs / medianUs) / 0.5;
      const share = (Math.exp(-(distance ** 2) / 2) * 2 ** octave) / upToUs;
      buckets.push({ upToUs, count: Math.round(count * share * 0.1) });
    }
  }
  return {
    count,
    minUs: medianUs * 0.1,
    p50Us: medianUs,
    p90Us: medianUs * 1.9,
    p99Us: medianUs * 3.2,
    p999Us: medianUs * 4.7,
    maxUs: medianUs * 9,
    buckets,
  };
}

/** A message that spread evenly; all of them begin to arrive at the same moment. */
export function broadcast(reached: number, seconds: number): Broadcast {
  const steps = Array.from({ length: 41 }, (_, index) => index / 40);
  const curve = steps.map((share) => ({
    seconds: share * seconds,
    reached: Math.round(share * (reached - 1)) + 1,
  }));
  return { reached, firstNs: 7e12, lastNs: 7e12 + seconds * 1e9, seconds, curve };
}

const FANOUT: Fanout = {
  transport: 'websocket',
  received: 1_999_721,
  gaps: 6,
  broadcasts: [broadcast(999_863, 0.81), broadcast(999_858, 1.27)],
};

const steps = Array.from({ length: 61 }, (_, index) => index);

const ramp = (): BenchResult['ramp'] => ({
  seconds: 15.3,
  connectionsPerSecond: 65_351,
  curve: steps.map((step) => ({
    seconds: step * 0.255,
    opened: Math.round((999_870 * step) / 60),
    failed: Math.round((130 * step) / 60),
  })),
});

/** A run with every phase and an error in each. No two numbers are the same. */
export function fullResult(): BenchResult &
  Required<Pick<BenchResult, 'verify' | 'active' | 'server' | 'fanout'>> {
  return {
    version: '0.1.7',
    startedAt: '2026-01-14T09:31:07.412Z',
    kernel: 'Linux 6.1.0-28-amd64',
    node: 'v20.20.2',
    cpus: 6,
    memoryBytes: 7.75 * 2 ** 30,
    command: 'megacomet-ts bench 127.0.0.1:8080 --connections 1000000',
    target: '127.0.0.1:8080',
    requested: 1_000_000,
    opened: 999_870,
    failed: 130,
    processes: 4,
    sourceAddresses: 18,
    failures: { EADDRNOTAVAIL: 29, ECONNRESET: 101 },
    lost: 10,
    losses: { EBADMSG: 2, ETIMEDOUT: 5, 'closed by server': 3 },
    notes: ['raised net.ipv4.ip_local_port_range from "32768 60999" to "1024 65535"'],
    ramp: ramp(),
    ...{ hold: { seconds: 32.1, lost: 3 }, fanout: { ...FANOUT } },
    verify: {
      asked: 999_867,
      answered: 999_860,
      wrong: 2,
      unanswered: 5,
      seconds: 9.4,
      latency: latency(999_862, 4210),
    },
    active: {
      connections: 1024,
      failed: 0,
      messageBytes: 64,
      seconds: 10.2,
      messages: 1_843_220,
      messagesPerSecond: 180_708,
      latency: latency(1_843_219, 312),
    },
    server: {
      version: '0.1.6',
      workers: 8,
      userBytesPerConnection: 72.4,
      kernelBytesPerConnection: 2312.3,
      cpuMicrosecondsPerAccept: 9.13,
      memoryCurve: steps.map((step) => ({
        seconds: step * 0.255,
        connections: Math.round((999_870 * step) / 60),
        userBytes: 1_200_000 * step,
        kernelBytes: 38_000_000 * step,
      })),
    },
  };
}

/** A run that only opened connections, all of them. */
export function bareResult(): BenchResult {
  const done = { seconds: 15.3, opened: 1_000_000, failed: 0 };
  const ramp = { seconds: 15.3, connectionsPerSecond: 65_359, curve: [done] };
  const filled = {
    ...fullResult(),
    opened: 1_000_000,
    failed: 0,
    failures: {},
    lost: 0,
    losses: {},
    notes: [],
    ramp,
  };
  const result: BenchResult = filled;
  delete result.hold;
  delete result.fanout;
  delete result.verify;
  delete result.active;
  delete result.server;
  return result;
}

/** The full run with `text` in every text field. */
export function withTexts(text: string): BenchResult {
  const result = fullResult();
  return {
    ...result,
    version: text,
    startedAt: text,
    kernel: text,
    node: text,
    command: text,
    target: text,
    failures: { [text]: 130 },
    notes: [text],
    server: { ...result.server, version: text },
    fanout: { ...result.fanout, transport: text },
  };
}

/** The text that a reader of the page sees, still with its entities. */
export function shownBy(html: string): string {
  return html
    .replace(/<(script|style)[^]*?<\/\1>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/&nbsp;|\s+/g, ' ');
}

export function embedded(html: string, id: string): unknown {
  const [, json] =
    new RegExp(`<script type="application/json" id="${id}">(.*?)</script>`).exec(html) ?? [];
  return JSON.parse(json ?? 'null');
}

export interface EmbeddedPlots {
  ramp: (number | null)[][];
  fanout: { columns: (number | null)[][]; names: string[] };
  latency: { columns: (number | null)[][] };
}
