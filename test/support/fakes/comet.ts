// What the tests of the broker's parts share: Publish frames, a clock, ports that keep what they get.
import type { WorkerPort } from '../../../lib/ipc/worker-port.js';
import { FrameDecoder } from '../../../lib/ipc/frame-codec.js';
import { WORKER_FRAMES } from '../../../lib/ipc/frame-codecs.js';
import { publishBytesMax, writePublish } from '../../../lib/ipc/frame-writers.js';
import type { Frame, Frames } from '../../../lib/ipc/frames.js';

/** A Publish frame of its own. */
export function publishFrame(number: number, channel: string, data: Buffer | string): Buffer {
  const target = Buffer.alloc(publishBytesMax(channel, '', '', data));
  return target.subarray(0, writePublish(target, 0, number, 0, 0, channel, '', '', data));
}

/** The frames in some bytes, which must be whole frames. */
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

/** A worker's control stream that keeps all that it is given. */
export class FakePort implements WorkerPort {
  queuedBytes = 0;
  beats = true;
  /** Whether what is sent waits: its end does not read. */
  isHung = false;
  /** Sizes of what was sent, by call. */
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

  /** The frames since the last call. */
  take(): Frame[] {
    const frames = this.#frames;
    this.#frames = [];
    return frames;
  }

  /** What was sent, as it was given. */
  get sent(): Buffer[] {
    return this.#given.map(({ bytes }) => bytes);
  }

  /** Whether nobody has written over what was sent. */
  get isIntact(): boolean {
    return this.#given.every(({ bytes, copy }) => bytes.equals(copy));
  }
}

/** Runs what was scheduled, as the end of a turn does. */
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

  /** Ends the turn; what that schedules is for the next. */
  end(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) run();
  }

  /** Ends turns until nothing is scheduled. */
  endAll(): void {
    for (let turns = 0; this.isScheduled; turns++) {
      if (turns > 10_000) throw new Error('there is always one more turn');
      this.end();
    }
  }
}
