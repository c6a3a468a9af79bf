// A sample of established TLS clients that send a message at an even rate and measure its echo, in a
// separate process. Its request is argv[2]. It prints a line when all are connected, and its result
// when stdin ends.
import { once } from 'node:events';
import { setPriority } from 'node:os';
import { connect, type TLSSocket } from 'node:tls';

import { nowUs, pace } from './pace.js';

export interface EchoSampleRequest {
  readonly port: number;
  /** The authority of the server's certificate, as PEM. */
  readonly ca: string;
  readonly clients: number;
  /** Messages a second of all clients. */
  readonly rate: number;
}

/** Each message: when it was sent, in microseconds of CLOCK_MONOTONIC, and the time to its echo. */
export interface EchoSample {
  readonly sentUs: readonly number[];
  readonly tookUs: readonly number[];
  /** Messages without an echo. */
  readonly failed: number;
}

const MESSAGE = Buffer.alloc(32, 'x');
/** Before the dialers on the same cores, whose work must not count as latency of the server. */
const PRIORITY = -10;
/** Longer than any trial. */
const LONGEST_SECONDS = 3600;
/** At the end, for the last echoes. */
const LAST_ECHO_MS = 1000;
const TICK_MS = 1;

class EchoClient {
  readonly #socket: TLSSocket;
  readonly #sample: { sentUs: number[]; tookUs: number[] };
  /** When the messages without an echo were sent. */
  readonly waiting: number[] = [];
  #bytes = 0;

  constructor(socket: TLSSocket, sample: { sentUs: number[]; tookUs: number[] }) {
    this.#socket = socket;
    this.#sample = sample;
    // The messages of a lost connection have no echo.
    socket.on('error', () => undefined);
    socket.on('data', ({ length }: Buffer) => this.#take(length));
  }

  send(): void {
    this.waiting.push(nowUs());
    this.#socket.write(MESSAGE);
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(bytes: number): void {
    const now = nowUs();
    this.#bytes += bytes;
    for (; this.#bytes >= MESSAGE.length; this.#bytes -= MESSAGE.length) {
      const sentUs = this.waiting.shift() ?? NaN;
      this.#sample.sentUs.push(sentUs);
      this.#sample.tookUs.push(now - sentUs);
    }
  }
}

try {
  setPriority(PRIORITY);
} catch {
  process.stderr.write('the established clients have no priority over the dialers\n');
}
const { port, ca, clients, rate } = JSON.parse(process.argv[2] ?? '') as EchoSampleRequest;
const sample = { sentUs: [] as number[], tookUs: [] as number[] };
const all: EchoClient[] = [];
while (all.length < clients) {
  const socket = connect({ port, host: '127.0.0.1', ca }).setNoDelay();
  await once(socket, 'secureConnect');
  all.push(new EchoClient(socket, sample));
}
process.stdout.write('ready\n');
let isOver = false;
const whenOver = once(process.stdin.resume(), 'end').then(() => (isOver = true));
let next = 0;
const capacity = (): number => (isOver ? 0 : Infinity);
const send = (count: number): void => {
  for (let index = 0; index < count; index++) all[next++ % clients]?.send();
};
void pace({ rate, seconds: LONGEST_SECONDS }, capacity, send, TICK_MS);
await whenOver;
setTimeout(() => {
  for (const client of all) client.end();
  const failed = all.reduce((sum, { waiting }) => sum + waiting.length, 0);
  process.stdout.write(JSON.stringify({ ...sample, failed }), () => process.exit(0));
}, LAST_ECHO_MS);
