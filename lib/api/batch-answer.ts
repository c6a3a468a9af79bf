// The response to a batch: a line for each line. Some clients read it only after they have sent
// everything, so answers wait in memory; beyond a bound the batch waits until they are read.
import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';

/** Bytes of answers that wait for a client: those of 300,000 lines. */
const UNREAD_BYTES_MAX = 16 * 1024 * 1024;
/** Milliseconds of one slice of a batch: the wait that it adds to other requests. */
const SLICE_MS = 5;
/** Lines between two reads of the clock. */
const SLICE_LINES = 32;

export interface BatchAnswerOptions {
  readonly type: string;
  readonly unreadBytesMax?: number | undefined;
}

export class BatchAnswer {
  readonly #response: ServerResponse;
  readonly #type: string;
  readonly #unreadBytesMax: number;
  #sliceEndsMs = performance.now() + SLICE_MS;
  #isStalled = false;

  constructor(response: ServerResponse, { type, unreadBytesMax }: BatchAnswerOptions) {
    this.#response = response;
    this.#type = type;
    this.#unreadBytesMax = unreadBytesMax ?? UNREAD_BYTES_MAX;
  }

  /** Whether the client did not read its answers for the time limit of silence. */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  /**
   * Answers lines in slices. It stops when the client has left, or does not read. The lines of a
   * slice are under way together, and their answers keep their order.
   */
  async add<Line>(lines: readonly Line[], answer: (line: Line) => Promise<string>): Promise<void> {
    for (let start = 0; start < lines.length; start += SLICE_LINES) {
      await this.#yield();
      await this.#awaitRoom();
      if (this.#isStalled || this.#response.destroyed) return;
      this.write(await Promise.all(lines.slice(start, start + SLICE_LINES).map(answer)));
    }
  }

  /** Adds lines at once. */
  write(texts: readonly string[]): void {
    const response = this.#response;
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': this.#type });
    response.write(`${texts.join('\n')}\n`);
  }

  /** Lets other requests go first when the slice is over. */
  async #yield(): Promise<void> {
    if (performance.now() < this.#sliceEndsMs) return;
    await setImmediate();
    this.#sliceEndsMs = performance.now() + SLICE_MS;
  }

  /**
   * Waits until the client has read its answers. A client that sends without reading would wait for
   * the server, and the server for the client: after the time limit of silence the batch ends.
   */
  #awaitRoom(): Promise<void> {
    const response = this.#response;
    const isFull = response.writableNeedDrain && response.writableLength > this.#unreadBytesMax;
    if (!isFull || response.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        response.off('drain', done);
        response.off('close', done);
        response.off('timeout', stall);
        resolve();
      };
      const stall = (): void => {
        this.#isStalled = true;
        done();
      };
      response.on('drain', done);
      response.on('close', done);
      // With this listener Node does not end the connection.
      response.on('timeout', stall);
    });
  }
}
