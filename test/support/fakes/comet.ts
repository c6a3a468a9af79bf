// Fakes for the tests of the broker's parts: Publish frames, a clock, and ports that keep their
// frames.
import type { WorkerPort } from '../../../lib/ipc/worker-port.js';
import { FrameDecoder } from '../../../lib/ipc/frame-codec.js';
import { WORKER_FRAMES } from '../../../lib/ipc/frame-codecs.js';
import { publishBytesMax, writePublish } from '../../../lib/ipc/frame-writers.js';
import type { Frame, Frames } from '../../../lib/ipc/frames.js';

/** A Publish frame. */
export function publishFrame(number: number, channel: string, data: Buffer | string): Buffer {
  const target = Buffer.alloc(publishBytesMax(channel, '', '', data));
  return target.subarray(0, writePublish(target, 0, number, 0, 0, channel, '', '', data));
}

/** The frames in some bytes, which must be complete frames. */
export function framesIn(bytes: Buffer): Frame[] {
  const decoder = new FrameDecoder(WORKER_FRAMES.readers);
  const frames = decoder.push(bytes);
  const whole = bytes.length === 0 ? 0 : lengthOf(bytes);
  if (whole !== bytes.length) throw new Error(`${bytes.length - whole} bytes left over`);
  return frames;
}

function lengthOf(bytes: Buffer): number {
  let at = 0;
  while (at + 4 <= bytes.length) at += 4 + bytes.readUInt32LE(at);
  return at;
}

/** The messages of a page. */
export function messagesIn(bytes: Buffer): Frames['Publish'][] {
  return framesIn(bytes).map((frame) => {
    if (frame.name !== 'Publish') throw new Error(`a ${frame.name} in a page`);
    return frame.fields;
  });
}

/** A fake control stream of a worker that keeps all its bytes. */
export class FakePort implements WorkerPort {
  queuedBytes = 0;
  hasHeartbeat = true;
  /** Whether the peer does not read, so that sent bytes are queued. */
  isHung = false;
  /** The number of bytes of each send call. */
  writes: number[] = [];
  readonly #decoder = new FrameDecoder(WORKER_FRAMES.readers);
  #frames: Frame[] = [];
  #given: { readonly bytes: Buffer; readonly copy: Buffer }[] = [];

  constructor(readonly slot: number) {}

  send(bytes: Buffer): void {
    this.writes.push(bytes.length);
    if (this.isHung) this.queuedBytes += bytes.length;
    this.#given.push({ bytes, copy: Buffer.from(bytes) });
    this.#frames.push(...this.#decoder.push(Buffer.from(bytes)));
  }

  /** The frames sent after the last call. */
  take(): Frame[] {
    const frames = this.#frames;
    this.#frames = [];
    return frames;
  }

  /** The buffers of the send calls, uncopied. */
  get sent(): Buffer[] {
    return this.#given.map(({ bytes }) => bytes);
  }

  /** Whether the sent buffers are unmodified. */
  get isIntact(): boolean {
    return this.#given.every(({ bytes, copy }) => bytes.equals(copy));
  }
}

/** Runs scheduled callbacks like the end of a loop iteration. */
export class FakeIterations {
  nowMs = 1000;
  #waiting: (() => void)[] = [];

  readonly now = (): number => this.nowMs;
  readonly schedule = (run: () => void): void => {
    this.#waiting.push(run);
  };

  get isScheduled(): boolean {
    return this.#waiting.length > 0;
  }

  /** Ends the iteration; callbacks that it schedules run in the next one. */
  end(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) run();
  }

  /** Ends iterations until no callback is scheduled. */
  endAll(): void {
    for (let iterations = 0; this.isScheduled; iterations++) {
      if (iterations > 10_000) throw new Error('callbacks are scheduled without end');
      this.end();
    }
  }
}
