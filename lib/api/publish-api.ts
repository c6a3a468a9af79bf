// The endpoints of a comet server: POST /publish with one message or a batch of lines, and the others
// of query-handlers.ts and order-handlers.ts. Answers requests that the gate of the admin server
// (admin-gate.ts) admitted.
import type { IncomingMessage, ServerResponse } from 'node:http';

import { MegacometError } from '../base/errors.js';
import { counter, valuesOf, type ValuesOf } from '../base/metric.js';
import { retryAfterS } from '../base/retry-after.js';
import type { PublishOptions, Receipt } from '../broker/publishing.js';
import { RevocationsFull } from '../broker/revocations.js';
import { TokenRates } from '../broker/token-rates.js';
import type { Target } from './admin-request.js';
import { bearerOf } from './admin-tokens.js';
import { readPublish, RequestFault } from './publish-request.js';
import { BatchAnswer } from './batch-answer.js';
import { isLinesType, LINES_TYPE, type CometPath } from './endpoints.js';
import { ERROR_STATUS, type ApiErrorCode } from './error-codes.js';
import * as orders from './order-handlers.js';
import type { Order, OrderTarget } from './order-handlers.js';
import * as queries from './query-handlers.js';
import type { QueryTarget } from './query-handlers.js';
import {
  checkHead,
  chunksOf,
  discard,
  Lines,
  mediaType,
  readText,
  Rejection,
} from './request-body.js';
import { reject, respond } from './response.js';

/** The calls of the broker that the handlers make. */
export interface PublishTarget extends OrderTarget, QueryTarget {
  publish(channel: string, data: Uint8Array | string, options?: PublishOptions): Promise<Receipt>;
}

export interface PublishApiOptions {
  /** Bytes of one message. */
  readonly messageBytesMax: number;
  /** Messages per second of each token; 0 for no limit. Default 0. */
  readonly publishesPerToken?: number;
  /** Bytes of one batch. */
  readonly batchBytesMax?: number;
  /** Bytes of answers to a batch that may wait until the client reads them. */
  readonly unreadBytesMax?: number;
}

/** The last answer to a client that did not read the others. */
const UNREAD = 'the answers are not read; this line and those after it are not published';

const BATCH_BYTES_DEFAULT = 64 * 1024 * 1024;
/** JSON may write a byte as six characters (\u0000), and a message has other fields. */
const JSON_BYTES_PER_BYTE = 6;
const FIELDS_BYTES_MAX = 8192;

/** A broadcast names its channels: a thousand of 200 characters of six bytes each. */
const BODY_BYTES_MAX = 2 * 1024 * 1024;

/** Handles a request to one path. Its method, media type and token are checked already. */
type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  query: string,
) => Promise<void> | void;

/** The response to an error of a publisher; any other error is thrown again. */
function rejectionOf(error: unknown): Rejection {
  if (error instanceof Rejection) return error;
  if (error instanceof RequestFault) return new Rejection(400, error.message);
  if (!(error instanceof MegacometError) || !Object.hasOwn(ERROR_STATUS, error.code)) throw error;
  const code = error.code as ApiErrorCode;
  const status = ERROR_STATUS[code];
  const isTemporary = (status === 429 || status === 503) && !(error instanceof RevocationsFull);
  const headers = isTemporary ? { 'Retry-After': String(retryAfterS()) } : {};
  return new Rejection(status, error.message, headers, code);
}

export class PublishApi {
  static readonly METRICS = {
    apiRequestsTotal: counter(
      'api_requests_total',
      'Requests to the endpoints of the admin server that only a comet server has.',
      (api: PublishApi) => api.#requests,
    ),
    apiMessagesTotal: counter(
      'api_messages_total',
      'Messages published over HTTP, one by one or in batches.',
      (api: PublishApi) => api.#messages,
    ),
    apiMessagesRejectedTotal: counter(
      'api_messages_rejected_total',
      'Messages over HTTP that were rejected. Each answer has the reason.',
      (api: PublishApi) => api.#rejected,
    ),
    apiMessagesLimitedTotal: counter(
      'api_messages_limited_total',
      'Of these, those above the rate of their token (--publishes-per-token).',
      (api: PublishApi) => api.#limited,
    ),
    apiTooLargeTotal: counter(
      'api_too_large_total',
      'Bodies, lines of a batch and messages that were rejected with 413. Send shorter ones.',
      (api: PublishApi) => api.#tooLarge,
    ),
  };

  readonly #target: PublishTarget;
  readonly #options: PublishApiOptions;
  readonly #lineBytesMax: number;
  readonly #batchBytesMax: number;
  #requests = 0;
  readonly #rates: TokenRates;
  #messages = 0;
  #rejected = 0;
  #limited = 0;
  #tooLarge = 0;

  constructor(target: PublishTarget, options: PublishApiOptions) {
    this.#target = target;
    this.#options = options;
    this.#lineBytesMax = JSON_BYTES_PER_BYTE * options.messageBytesMax + FIELDS_BYTES_MAX;
    this.#batchBytesMax = options.batchBytesMax ?? BATCH_BYTES_DEFAULT;
    this.#rates = new TokenRates(options.publishesPerToken ?? 0);
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof PublishApi.METRICS> {
    return valuesOf(PublishApi.METRICS, this);
  }

  /**
   * Answers a request, if its path is one of the API.
   *
   * @returns False for another path, which was not answered.
   */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    { path, query }: Target,
  ): Promise<boolean> {
    const handler = this.#handlers[path as CometPath] as Handler | undefined;
    if (handler === undefined) return false;
    this.#requests++;
    // A write after the client disconnected fails; nothing remains to be done then.
    response.on('error', () => undefined);
    try {
      await handler(request, response, query);
    } catch (error) {
      const hasClientLeft = request.destroyed && !request.complete;
      if (hasClientLeft) response.destroy();
      else reject(request, response, this.#rejectionOf(error));
    }
    return true;
  }

  readonly #handlers: Readonly<Record<CometPath, Handler>> = {
    '/publish': (request, response) => this.#publish(request, response),
    '/broadcast': this.#order(orders.broadcast),
    '/subscribe': this.#order(orders.subscribe),
    '/unsubscribe': this.#order(orders.unsubscribe),
    '/disconnect': this.#order(orders.disconnect),
    '/kick': this.#order(orders.disconnect),
    '/revoke': this.#order(orders.revoke),
    '/channels': this.#query(queries.channels),
    '/presence': this.#query(queries.presence),
    '/history': this.#query(queries.history),
  };

  /** Counts a rejection with 413. @throws The error, if it is none of a publisher. */
  #rejectionOf(error: unknown): Rejection {
    const rejection = rejectionOf(error);
    if (rejection.status === 413) this.#tooLarge++;
    return rejection;
  }

  /** The handler of an endpoint that reads. */
  #query(answer: (target: QueryTarget, query: string) => Promise<string> | string): Handler {
    return async (_request, response, query) => {
      respond(response, 200, await answer(this.#target, query));
    };
  }

  /** The handler of an endpoint that takes JSON. */
  #order(answer: Order): Handler {
    return async (request, response) => {
      const json = await readText(request, this.#lineBytesMax + BODY_BYTES_MAX);
      respond(response, 200, await answer(this.#targetOf(request), json));
    };
  }

  /** The broker for the orders of one publisher, whose messages count. */
  #targetOf({ headers }: IncomingMessage): OrderTarget {
    const target = this.#target;
    return {
      broadcast: async (channels, data, options) => {
        this.#count(headers, channels.length);
        return target.broadcast(channels, data, options);
      },
      disconnect: (ended, reason) => target.disconnect(ended, reason),
      changeChannels: (user, channels, isOn) => target.changeChannels(user, channels, isOn),
      revoke: (revocation) => target.revoke(revocation),
    };
  }

  /** Counts messages of the token of a request. @throws TooFast */
  #count({ authorization }: IncomingMessage['headers'], count: number): void {
    try {
      this.#rates.take(bearerOf(authorization) ?? '', count);
    } catch (error) {
      this.#limited += count;
      throw error;
    }
  }

  async #publish(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (isLinesType(mediaType(request))) {
      await this.#publishLines(request, response);
      return;
    }
    const json = await readText(request, this.#lineBytesMax);
    respond(response, 200, await this.#publishOne(request, json));
  }

  /** Publishes the message of one JSON text (null: it was not UTF-8), and returns the answer. */
  async #publishOne({ headers }: IncomingMessage, json: string | null): Promise<string> {
    try {
      this.#count(headers, 1);
      if (json === null) throw new RequestFault('the line is not UTF-8');
      const { channel, data, options } = readPublish(json);
      const receipt = await this.#target.publish(channel, data, options);
      this.#messages++;
      return JSON.stringify(receipt);
    } catch (error) {
      this.#rejected++;
      throw error;
    }
  }

  /** The same for a line of a batch: a rejection is the answer to its line. */
  async #publishLine(request: IncomingMessage, json: string | null): Promise<string> {
    try {
      return await this.#publishOne(request, json);
    } catch (error) {
      return lineOf(this.#rejectionOf(error));
    }
  }

  /** Publishes the lines of a batch as they arrive, and answers each of them in order. */
  async #publishLines(request: IncomingMessage, response: ServerResponse): Promise<void> {
    checkHead(request, 'a batch', this.#batchBytesMax);
    const { unreadBytesMax } = this.#options;
    const answer = new BatchAnswer(response, { type: LINES_TYPE, unreadBytesMax });
    const lines = new Lines(this.#lineBytesMax);
    // The response begins with the first lines, so that the client of a long batch is not silent.
    const publish = async (whole: readonly (string | null)[]): Promise<void> => {
      const texts = whole.filter((line) => line?.trim() !== '');
      await answer.add(texts, (line) => this.#publishLine(request, line));
      if (answer.isStalled) throw new Rejection(408, UNREAD);
    };
    try {
      for await (const chunk of chunksOf(request, 'a batch', this.#batchBytesMax)) {
        await publish(lines.push(chunk));
      }
      await publish(lines.end());
    } catch (error) {
      // After the head was sent, a rejection can only be the last line of the response.
      if (!response.headersSent || request.destroyed) throw error;
      const rejection = this.#rejectionOf(error);
      discard(request, answer.isStalled ? this.#batchBytesMax : undefined);
      answer.write([lineOf(rejection)]);
    }
    if (!response.headersSent) throw new Rejection(400, 'the batch has no line');
    response.end();
  }
}

/** A rejection as the answer to one line of a batch. */
function lineOf({ status, message, code }: Rejection): string {
  return JSON.stringify({ status, error: message, code });
}
