// Frames that one loop iteration sends to the workers: encoded once, shared, in one order.
// With 56 workers, one write per frame and worker allows 4,000 publishes a second; one write per
// iteration and worker allows over 100,000.
import { copyRange, grown } from '../collections/typed-array.js';
import { UNREAD_BYTES_MAX, type WorkerPort } from './worker-port.js';

/** Sends single frames to workers, for the parts of the broker that do not publish. */
export interface WorkerLines {
  /**
   * Whether another message may be sent to a worker now.
   *
   * @param waitingBytes - Bytes that may be queued for it; the default leaves room for publish().
   */
  hasRoom(slot: number, waitingBytes?: number): boolean;
  /** Sends a whole frame at the end of the loop iteration, after all earlier frames. */
  send(frame: Buffer, slots: readonly number[]): void;
}

/** Bytes of a buffer. Loop iterations that write little share one. */
const CHUNK_BYTES = 256 * 1024;
/** Smallest range that workers share. Copying a smaller one is as fast. */
const SHARED_BYTES_MIN = 2048;
/** Queued bytes beyond which a worker gets copies, so that few bytes do not hold a whole chunk. */
const BEHIND_BYTES = 64 * 1024;
/** Queued bytes beyond which publish() is rejected with ERR_BUSY. */
export const BUSY_BYTES = 8 * 1024 * 1024;

/** The ranges of the chunk that one worker receives. */
class Lane {
  readonly port: WorkerPort;
  /** Start, end, start, end …; `count` numbers of it are in use. */
  ranges = new Uint32Array(8);
  count = 0;
  bytes = 0;
  isBusy = false;
  /** The worker is being replaced. It gets no more frames, because the kernel may hold it for long. */
  isGivenUp = false;

  constructor(port: WorkerPort) {
    this.port = port;
  }

  add(start: number, end: number): void {
    this.bytes += end - start;
    if (this.count > 0 && this.ranges[this.count - 1] === start) {
      this.ranges[this.count - 1] = end;
      return;
    }
    if (this.count === this.ranges.length) this.ranges = grown(this.ranges, 0);
    this.ranges[this.count++] = start;
    this.ranges[this.count++] = end;
  }
}

export class Outgoing {
  readonly #lanes: (Lane | undefined)[] = [];
  readonly #onOverflow: (slot: number) => void;
  /** Lanes with ranges. */
  #active: Lane[] = [];
  #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #at = 0;
  /** End of the bytes that workers share, which must not be overwritten. */
  #sharedEnd = 0;

  /** @param onOverflow - Called once for a worker that must be replaced. */
  constructor(onOverflow: (slot: number) => void) {
    this.#onOverflow = onOverflow;
  }

  attach(port: WorkerPort): void {
    this.detach(port.slot);
    this.#lanes[port.slot] = new Lane(port);
  }

  detach(slot: number): void {
    const lane = this.#lanes[slot];
    if (lane === undefined) return;
    this.#lanes[slot] = undefined;
    this.#active = this.#active.filter((other) => other !== lane);
  }

  slots(): number[] {
    return [...this.#lanes.keys()].filter((slot) => this.#lanes[slot] !== undefined);
  }

  /** The buffer for the next frame, at the offset that room() returns. */
  get chunk(): Buffer {
    return this.#chunk;
  }

  /** Makes room for a frame of at most `bytes` bytes. May flush the frames before it. */
  room(bytes: number): number {
    if (this.#at + bytes > this.#chunk.length) {
      this.flush();
      // The rest of a chunk is not worth a flush every few frames.
      if (this.#at + Math.max(bytes, CHUNK_BYTES / 2) > this.#chunk.length) {
        this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes));
        this.#at = 0;
        this.#sharedEnd = 0;
      }
    }
    return this.#at;
  }

  /** Keeps the frame that was written at the offset of room(), until it is sent. */
  keep(end: number): void {
    this.#at = end;
  }

  /** Sends a kept frame to a worker, after all earlier frames. */
  add(slot: number, start: number, end: number): void {
    const lane = this.#lanes[slot];
    if (lane === undefined) return;
    if (lane.count === 0) this.#active.push(lane);
    lane.add(start, end);
  }

  /** Bytes queued for a worker, including those of this loop iteration. */
  queuedBytes(slot: number): number {
    const lane = this.#lanes[slot];
    return lane === undefined ? 0 : lane.port.queuedBytes + lane.bytes;
  }

  /** Whether a live worker has too many queued bytes. */
  isBusy(slot: number): boolean {
    const lane = this.#lanes[slot];
    if (lane?.isBusy !== true) return false;
    // Read again, because the worker may have drained its queue. flush() sets it.
    lane.isBusy = lane.port.queuedBytes > BUSY_BYTES;
    return lane.isBusy && lane.port.hasHeartbeat;
  }

  /** Sends all kept frames. */
  flush(): void {
    const lanes = this.#active;
    this.#active = [];
    for (const lane of lanes) {
      if (!lane.isGivenUp) this.#send(lane);
      lane.count = 0;
      lane.bytes = 0;
    }
    // Bytes that no worker shares can be overwritten.
    this.#at = this.#sharedEnd;
    for (const lane of lanes) this.#checkQueue(lane);
  }

  #send(lane: Lane): void {
    const { port, ranges, count } = lane;
    const sharedMin = port.queuedBytes > BEHIND_BYTES ? Infinity : SHARED_BYTES_MIN;
    let first = 0;
    let bytes = 0;
    for (let index = 0; index < count; index += 2) {
      const start = ranges[index] ?? 0;
      const end = ranges[index + 1] ?? 0;
      if (end - start < sharedMin) {
        bytes += end - start;
        continue;
      }
      this.#sendCopy(lane, first, index, bytes);
      port.send(this.#chunk.subarray(start, end));
      this.#sharedEnd = Math.max(this.#sharedEnd, end);
      first = index + 2;
      bytes = 0;
    }
    this.#sendCopy(lane, first, count, bytes);
  }

  /** Sends a copy of some ranges of a lane in one write. */
  #sendCopy(lane: Lane, first: number, end: number, bytes: number): void {
    if (bytes === 0) return;
    const copy = Buffer.allocUnsafeSlow(bytes);
    let at = 0;
    for (let index = first; index < end; index += 2) {
      const start = lane.ranges[index] ?? 0;
      at += copyRange(this.#chunk, start, lane.ranges[index + 1] ?? 0, copy, at);
    }
    lane.port.send(copy);
  }

  #checkQueue(lane: Lane): void {
    const { queuedBytes, slot } = lane.port;
    lane.isBusy = queuedBytes > BUSY_BYTES;
    if (queuedBytes <= UNREAD_BYTES_MAX || lane.isGivenUp) return;
    lane.isGivenUp = true;
    this.#onOverflow(slot);
  }
}
