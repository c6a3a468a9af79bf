// A sample of subscribers that measure the age of each message, in a separate process. Its request
// is argv[2]. It prints a line when all are subscribed, and its result when stdin ends.
import { get } from 'node:http';

import { nowUs } from './pace.js';

export interface SampleRequest {
  readonly port: number;
  /** The name of the channels before their numbers. */
  readonly prefix: string;
  /** The number of the first private channel, and how many. */
  readonly first: number;
  readonly count: number;
}

/** Time from publish to delivery, microseconds. */
export interface SampleResult {
  readonly received: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

const DEADLINE_MS = 60_000;

const { port, prefix, first, count } = JSON.parse(process.argv[2] ?? '') as SampleRequest;
const ages: number[] = [];

/** Resolves at the first bytes of the stream, which confirm the subscription. */
function subscribe(channel: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const url = `http://127.0.0.1:${port}/events?channel=${encodeURIComponent(channel)}`;
    const request = get(
      url,
      { agent: false, headers: { accept: 'text/event-stream' } },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          request.setTimeout(0);
          resolve();
          const now = nowUs();
          const lines = (text + chunk).split('\n');
          text = lines.pop() ?? '';
          for (const line of lines) {
            if (line.startsWith('data: ')) ages.push(now - parseInt(line.slice(6), 10));
          }
        });
        response.on('error', () => undefined);
      },
    );
    request.on('error', reject);
    request.setTimeout(DEADLINE_MS, () => request.destroy(new Error(`no answer for ${channel}`)));
  });
}

for (let index = 0; index < count; index++) await subscribe(`${prefix}/${first + index}`);
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => {
  const sorted = ages.sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
  const times = { p50Us: at(0.5), p99Us: at(0.99), maxUs: at(1) };
  process.stdout.write(JSON.stringify({ received: ages.length, ...times }), () => process.exit(0));
});
