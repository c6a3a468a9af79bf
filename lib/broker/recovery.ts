// Recovery of missed messages: takes the workers' replay requests, and answers with replay pages.
import { counter, gauge } from '../base/metric.js';
import { REPLAY_PAGE_HEAD_BYTES, writeReplayPageHead } from '../ipc/frame-writers.js';
import { ReplayPageFlag } from '../ipc/frames.js';
import type { Outgoing, WorkerLines } from '../ipc/outgoing.js';
import type { HistoryEngine, HistoryRange } from './history-engine.js';
import { ReplayRequests, type ReplayRequest } from './replay-requests.js';

/** Pages of one loop iteration: 1 to 3 ms, so that a reconnect storm does not delay publishes. */
const PAGES_PER_ITERATION = 1024;

export interface RecoveryParts {
  readonly engine: HistoryEngine;
  readonly outgoing: Outgoing;
  readonly lines: Pick<WorkerLines, 'hasRoom'>;
}

export class Recovery {
  static readonly METRICS = {
    replayPagesTotal: counter(
      'replay_pages_total',
      'Replay pages: answers to clients that resume with a cursor. A jump is a reconnect storm.',
      (recovery: Recovery) => recovery.#pages,
    ),
    replayPageBytesTotal: counter(
      'replay_page_bytes_total',
      'Bytes of missed messages in replay pages: the cost of reconnects.',
      (recovery: Recovery) => recovery.#pageBytes,
    ),
    replayGapsTotal: counter(
      'replay_gaps_total',
      'Replay pages that report a gap, because messages after the cursor are gone. Keep more: ' +
        'raise --history-age, --history-count and --history-bytes.',
      (recovery: Recovery) => recovery.#gaps,
    ),
    replayRequestsWaiting: gauge(
      'replay_requests_waiting',
      'Replay requests without an answer. Above some thousand for long, the manager is overloaded.',
      (recovery: Recovery) => recovery.#requests.length,
    ),
  };

  readonly #engine: HistoryEngine;
  readonly #outgoing: Outgoing;
  readonly #lines: Pick<WorkerLines, 'hasRoom'>;
  readonly #requests = new ReplayRequests();
  #pages = 0;
  #pageBytes = 0;
  #gaps = 0;

  constructor({ engine, outgoing, lines }: RecoveryParts) {
    this.#engine = engine;
    this.#outgoing = outgoing;
    this.#lines = lines;
  }

  /** Whether a request waits only because its worker has too many queued bytes. */
  get isBlocked(): boolean {
    return this.#requests.isBlocked;
  }

  /**
   * Takes a replay request. The caller schedules the flush.
   *
   * @returns False if the worker has more requests open than its protocol allows.
   */
  onRequest(slot: number, request: ReplayRequest): boolean {
    if (request.hasSince === 0 && this.#lines.hasRoom(slot)) {
      // A new subscriber starts at the present number, so the next publish of this very loop
      // iteration already counts for it.
      this.#sendPage(slot, request);
      return true;
    }
    return this.#requests.add(slot, request);
  }

  workerGone(slot: number): void {
    this.#requests.drop(slot);
  }

  /** Answers waiting requests at the end of a loop iteration. Returns whether more are ready. */
  flush(): boolean {
    this.#requests.unblock();
    return this.#requests.answer(
      PAGES_PER_ITERATION,
      (slot) => this.#lines.hasRoom(slot),
      (slot, request) => {
        this.#sendPage(slot, request);
      },
    );
  }

  #sendPage(slot: number, request: ReplayRequest): void {
    const range: HistoryRange = {
      channels: request.channels,
      since: request.hasSince === 0 ? null : { epoch: request.epoch, number: request.number },
      bytesMax: request.bytesMax,
    };
    const page = this.#engine.page(range);
    const flags = (page.isLast ? ReplayPageFlag.last : 0) | (page.hasGap ? ReplayPageFlag.lost : 0);
    const start = this.#outgoing.room(REPLAY_PAGE_HEAD_BYTES + page.size);
    const messagesAt = writeReplayPageHead(
      this.#outgoing.chunk,
      start,
      request.fd,
      request.generation,
      flags,
      page.lastNumber,
      page.size,
    );
    const end = messagesAt + page.size;
    page.copyTo(this.#outgoing.chunk, messagesAt);
    this.#outgoing.keep(end);
    this.#outgoing.add(slot, start, end);
    this.#pages++;
    this.#pageBytes += page.size;
    if (page.hasGap) this.#gaps++;
  }
}
