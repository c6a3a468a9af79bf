// Presence and history for WebSocket clients. The workers check grants, and pass requests on; each
// gets one answer. Requests wait in a queue, so that a crowd of them does not delay publishes.
import { MegacometError } from '../base/errors.js';
import { counter, gauge } from '../base/metric.js';
import { CLIENT_REQUESTS_MAX, FRAME_BYTES_MAX } from '../base/native-constants.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import { ClientRequestKind, type Frames } from '../ipc/frames.js';
import type { WorkerLines } from '../ipc/outgoing.js';
import type { ChannelHistoryPage, HistorySelection } from './history-reader.js';
import type { GatheredPresence } from './presence.js';
import { historyMembers, presenceMembers } from './query-answers.js';

/** Open requests of a worker. Workers open a quarter of that; more breaks the protocol. */
const OPEN_MAX = 4 * CLIENT_REQUESTS_MAX;
/** Requests that begin in one loop iteration: a few milliseconds. */
const REQUESTS_PER_ITERATION = 16;
/** Channels whose presence is gathered for clients at once; applications have more room. */
const GATHERING_MAX = 32;
/** Bytes of a Response besides its members. */
const HEAD_BYTES_MAX = 1024;

/** Sentences for clients: those of errors name the value that the client sent. */
const SENTENCES: Readonly<Record<string, string>> = { ERR_BUSY: 'server busy; retry later' };

/** The data that the requests read. */
export interface RequestSource {
  presence(channel: string): Promise<GatheredPresence>;
  history(selection: HistorySelection): ChannelHistoryPage;
  /** A request that waited can begin: schedules flush(). */
  onRoom(): void;
}

/** A worker's life; a later worker of its slot has another. */
interface Life {
  readonly slot: number;
  /** Requests without an answer. */
  open: number;
}

interface Waiting {
  readonly life: Life;
  readonly fields: Frames['ClientRequest'];
}

export class ClientRequests {
  static readonly METRICS = {
    clientRequestsTotal: counter(
      'client_requests_total',
      'Presence and history requests of WebSocket clients that the manager answered.',
      (requests: ClientRequests) => requests.#answered,
    ),
    clientRequestsFailedTotal: counter(
      'client_requests_failed_total',
      'Of these, those that were answered with an error: the manager or a worker is busy.',
      (requests: ClientRequests) => requests.#failed,
    ),
    clientRequestsWaiting: gauge(
      'client_requests_waiting',
      'Requests of clients without an answer. Above some hundred for long, the manager is overloaded.',
      (requests: ClientRequests) => requests.#open,
    ),
  };

  readonly #lines: WorkerLines;
  readonly #source: RequestSource;
  readonly #lives = new Map<number, Life>();
  readonly #gathering = new Map<string, Promise<GatheredPresence>>();
  #waiting: Waiting[] = [];
  #answered = 0;
  #failed = 0;

  constructor(lines: WorkerLines, source: RequestSource) {
    this.#lines = lines;
    this.#source = source;
  }

  get #open(): number {
    return [...this.#lives.values()].reduce((sum, { open }) => sum + open, 0);
  }

  /**
   * Takes a request. The caller schedules flush().
   *
   * @returns False if the worker has more requests open than its protocol allows.
   */
  onRequest(slot: number, fields: Frames['ClientRequest']): boolean {
    let life = this.#lives.get(slot);
    if (life === undefined) this.#lives.set(slot, (life = { slot, open: 0 }));
    if (life.open >= OPEN_MAX) return false;
    life.open++;
    this.#waiting.push({ life, fields });
    return true;
  }

  /** Forgets the requests of a worker. */
  workerGone(slot: number): void {
    const life = this.#lives.get(slot);
    this.#lives.delete(slot);
    this.#waiting = this.#waiting.filter((request) => request.life !== life);
  }

  /** Begins waiting requests at the end of a loop iteration. Returns whether more can begin. */
  flush(): boolean {
    const later: Waiting[] = [];
    let left = REQUESTS_PER_ITERATION;
    let at = 0;
    for (; at < this.#waiting.length && left > 0; at++) {
      const request = this.#waiting[at];
      if (request === undefined) break;
      if (this.#mustWait(request.fields)) later.push(request);
      else {
        left--;
        void this.#handle(request);
      }
    }
    const hasMore = at < this.#waiting.length;
    this.#waiting = [...later, ...this.#waiting.slice(at)];
    return hasMore;
  }

  /** Whether a presence would be one too many. Another request for the same channel shares it. */
  #mustWait({ kind, channel }: Frames['ClientRequest']): boolean {
    const isPresence = kind === ClientRequestKind.presence;
    return isPresence && this.#gathering.size >= GATHERING_MAX && !this.#gathering.has(channel);
  }

  async #handle({ life, fields }: Waiting): Promise<void> {
    try {
      this.#answer(life, fields, await this.#membersOf(fields), '');
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      this.#fail(life, fields, SENTENCES[error.code] ?? error.message);
    }
  }

  async #membersOf(fields: Frames['ClientRequest']): Promise<string> {
    const { kind, channel, limit, bytesMax } = fields;
    const bounds = { limit, bytesMax };
    if (kind === ClientRequestKind.presence) {
      return presenceMembers(await this.#presence(channel), bounds, false);
    }
    const since = fields.hasSince === 0 ? null : { epoch: fields.epoch, number: fields.number };
    return historyMembers(this.#source.history({ channel, since, limit, bytesMax }), bounds);
  }

  /** Requests for the same channel share one result. */
  #presence(channel: string): Promise<GatheredPresence> {
    let gathered = this.#gathering.get(channel);
    if (gathered === undefined) {
      gathered = this.#source.presence(channel).finally(() => {
        this.#gathering.delete(channel);
        this.#source.onRoom();
      });
      this.#gathering.set(channel, gathered);
    }
    return gathered;
  }

  #fail(life: Life, fields: Frames['ClientRequest'], error: string): void {
    this.#failed++;
    this.#answer(life, fields, `"channel":${JSON.stringify(fields.channel)}`, error);
  }

  #answer(life: Life, fields: Frames['ClientRequest'], members: string, error: string): void {
    const { slot } = life;
    // Another worker has the slot: the number may be that of one of its own requests.
    if (this.#lives.get(slot) !== life) return;
    const isTooLong = Buffer.byteLength(members) > FRAME_BYTES_MAX - HEAD_BYTES_MAX;
    if (isTooLong || (error === '' && !this.#lines.hasRoom(slot))) {
      const sentence = isTooLong
        ? 'the answer is too long: subscribe with since'
        : SENTENCES['ERR_BUSY'];
      this.#fail(life, fields, sentence ?? '');
      return;
    }
    life.open--;
    this.#answered++;
    const request = fields.request;
    const frame = encodeFrame('ClientResponse', { request, error, members: Buffer.from(members) });
    this.#lines.send(frame, [slot]);
  }
}
