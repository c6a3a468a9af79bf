// Publishing over HTTP: POST /publish, one message or a batch of lines, GET /channels, POST /kick.
// Answers requests; the server that they come to, and who may reach it, are admin.ts.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { MESSAGE_BYTES_DEFAULT } from '../ipc/comet.js';
import { MegacometError, type ErrorCode } from '../base/errors.js';
import { readKick, readPublish, RequestFault } from './publish-request.js';
import type { ChannelPage, ChannelQuery, PublishOptions, Receipt } from '../broker/publishing.js';
import { Token } from './token.js';

/** What the handlers need of the broker. */
export interface PublishTarget {
  publish(channel: string, data: Uint8Array | string, options?: PublishOptions): Receipt;
  channels(query: ChannelQuery): ChannelPage;
  kick(channel: string, reason: string): number;
  kickAll(reason: string): void;
}

export interface PublishApiOptions {
  /** Whoever has it may publish; null: nobody may. */
  readonly token: string | null;
  readonly messageBytesMax?: number;
  /** Bytes of one batch. */
  readonly batchBytesMax?: number;
}

/** Totals since the start, for stats. */
export interface PublishApiCounters {
  readonly requestsTotal: number;
  /** Requests without the token. */
  readonly unauthorizedTotal: number;
  /** Messages taken from lines and single requests, and those refused. */
  readonly messagesTotal: number;
  readonly rejectedTotal: number;
}

const BATCH_BYTES_DEFAULT = 64 * 1024 * 1024;
/** JSON may write a byte with six characters; and the rest of a message's fields need some. */
const JSON_BYTES_PER_BYTE = 6;
const FIELDS_BYTES_MAX = 8192;
/** Bytes of a refused body that are read, so that its sender sees the answer and no reset. */
const DISCARD_BYTES_MAX = 1024 * 1024;
const NEWLINE = 0x0a;
const CHANNELS_MAX = 10_000;
const RETRY_AFTER_S = 1;

const ONE = ['application/json'];
const LINES = ['application/x-ndjson', 'application/jsonl'];

const STATUS: Partial<Record<ErrorCode, number>> = {
  ERR_CHANNEL: 400,
  ERR_MESSAGE: 400,
  ERR_MESSAGE_SIZE: 413,
  ERR_BUSY: 429,
  ERR_NOT_RUNNING: 503,
};

/** An answer that is no success. */
class Rejection extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

/** What an error says to whoever published; an unknown one is thrown on. */
function refusalOf(error: unknown): Rejection {
  if (error instanceof Rejection) return error;
  if (error instanceof RequestFault) return new Rejection(400, error.message);
  const status = error instanceof MegacometError ? STATUS[error.code] : undefined;
  if (status === undefined) throw error;
  const isTemporary = status === 429 || status === 503;
  const headers = isTemporary ? { 'Retry-After': String(RETRY_AFTER_S) } : {};
  return new Rejection(status, (error as Error).message, headers);
}

/** The media type of a request, in lower case; empty where another charset than UTF-8 is named. */
function mediaType(request: IncomingMessage): string {
  const [type = '', ...parameters] = (request.headers['content-type'] ?? '').split(';');
  const charset = /^charset="?utf-?8"?$/;
  const isUtf8Only = parameters.every((parameter) => {
    const plain = parameter.trim().toLowerCase();
    return !plain.startsWith('charset') || charset.test(plain);
  });
  return isUtf8Only ? type.trim().toLowerCase() : '';
}

export class PublishApi {
  readonly #target: PublishTarget;
  readonly #token: Token | null;
  readonly #lineBytesMax: number;
  readonly #batchBytesMax: number;
  readonly #counters = {
    requestsTotal: 0,
    unauthorizedTotal: 0,
    messagesTotal: 0,
    rejectedTotal: 0,
  };

  constructor(target: PublishTarget, options: PublishApiOptions) {
    this.#target = target;
    this.#token = options.token === null ? null : new Token(options.token);
    const bytesMax = options.messageBytesMax ?? MESSAGE_BYTES_DEFAULT;
    this.#lineBytesMax = JSON_BYTES_PER_BYTE * bytesMax + FIELDS_BYTES_MAX;
    this.#batchBytesMax = options.batchBytesMax ?? BATCH_BYTES_DEFAULT;
  }

  get counters(): PublishApiCounters {
    return { ...this.#counters };
  }

  /**
   * Answers a request, if its path is one of these.
   *
   * @returns False for another path: nothing was done.
   */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const answer = this.#routes.get(path);
    if (answer === undefined) return false;
    this.#counters.requestsTotal++;
    // A write after the client has left is told as an error; there is nothing to be done.
    response.on('error', () => undefined);
    try {
      this.#authorize(request);
      if (request.method !== answer.method) {
        throw new Rejection(405, `${path} takes ${answer.method}`, { Allow: answer.method });
      }
      await answer.run(request, response, query);
    } catch (error) {
      // The client is gone: nobody is left to be told.
      if (request.destroyed && !request.complete) response.destroy();
      else this.#refuse(request, response, refusalOf(error));
    }
    return true;
  }

  readonly #routes = new Map<
    string,
    {
      readonly method: string;
      run(request: IncomingMessage, response: ServerResponse, query: string): Promise<void> | void;
    }
  >([
    ['/publish', { method: 'POST', run: (request, response) => this.#publish(request, response) }],
    ['/kick', { method: 'POST', run: (request, response) => this.#kick(request, response) }],
    [
      '/channels',
      {
        method: 'GET',
        run: (_request, response, query) => {
          this.#channels(response, query);
        },
      },
    ],
  ]);

  #authorize(request: IncomingMessage): void {
    if (this.#token === null) {
      throw new Rejection(
        403,
        'this server has no admin token: see --admin-token-file, or MEGACOMET_ADMIN_TOKEN',
      );
    }
    const given = /^Bearer +([^\s]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (given !== undefined && this.#token.equals(given)) return;
    this.#counters.unauthorizedTotal++;
    throw new Rejection(401, 'the Authorization header has not the token of this server', {
      'WWW-Authenticate': 'Bearer',
    });
  }

  async #publish(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const type = mediaType(request);
    if (LINES.includes(type)) {
      await this.#publishLines(request, response);
      return;
    }
    const json = await this.#readOne(request, ONE, [...ONE, ...LINES]);
    answerJson(response, 200, this.#publishOne(json));
  }

  /** Publishes what one text says (null: bytes that are no text), and returns the answer to it. */
  #publishOne(json: string | null): string {
    try {
      if (json === null) throw new RequestFault('the line is not UTF-8');
      const { channel, data, options } = readPublish(json);
      const { cursor, delivered, duplicate } = this.#target.publish(channel, data, options);
      this.#counters.messagesTotal++;
      const tail = duplicate === true ? ',"duplicate":true' : '';
      return `{"cursor":"${cursor}","delivered":${delivered}${tail}}`;
    } catch (error) {
      this.#counters.rejectedTotal++;
      throw error;
    }
  }

  /** The same for a line of a batch, which goes on after a refusal. */
  #publishLine(json: string | null): string {
    try {
      return this.#publishOne(json);
    } catch (error) {
      const { status, message } = refusalOf(error);
      return JSON.stringify({ status, error: message });
    }
  }

  /** Publishes line by line while they come, and answers each in its place. */
  async #publishLines(request: IncomingMessage, response: ServerResponse): Promise<void> {
    checkEncoding(request);
    checkLength(request, this.#batchBytesMax);
    const lines = new Lines(this.#lineBytesMax);
    let bytes = 0;
    // The answer begins with the first lines, so that a long batch is no long silence.
    const answer = async (whole: readonly (string | null)[]): Promise<void> => {
      const texts = whole
        .filter((line) => line?.trim() !== '')
        .map((line) => this.#publishLine(line));
      if (texts.length === 0) return;
      if (!response.headersSent) response.writeHead(200, { 'Content-Type': LINES[0] });
      if (!response.write(`${texts.join('\n')}\n`)) await drained(response);
    };
    try {
      // Not destroyed on a refusal: it is answered first.
      for await (const chunk of request.iterator({ destroyOnReturn: false })) {
        bytes += (chunk as Buffer).length;
        if (bytes > this.#batchBytesMax) throw tooLarge('a batch', this.#batchBytesMax);
        await answer(lines.push(chunk as Buffer));
      }
      await answer(lines.end());
    } catch (error) {
      // After the head there is only the line's own place for it, and the end of the answer.
      if (!response.headersSent || request.destroyed) throw error;
      const { status, message } = refusalOf(error);
      discard(request);
      response.write(`${JSON.stringify({ status, error: message })}\n`);
    }
    if (!response.headersSent) throw new Rejection(400, 'the batch has no line');
    response.end();
  }

  async #kick(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { channel, reason } = readKick(await this.#readOne(request, ONE, ONE));
    if (channel !== null) {
      answerJson(response, 200, `{"subscribers":${this.#target.kick(channel, reason)}}`);
      return;
    }
    this.#target.kickAll(reason);
    answerJson(response, 200, '{"all":true}');
  }

  #channels(response: ServerResponse, query: string): void {
    const parameters = new URLSearchParams(query);
    const integer = (name: string, usual: number, max: number): number => {
      const value = parameters.get(name) ?? String(usual);
      if (/^\d{1,15}$/.test(value) && Number(value) <= max) return Number(value);
      throw new RequestFault(`${name} has to be a whole number up to ${max}`);
    };
    for (const name of parameters.keys()) {
      if (!['prefix', 'limit', 'from'].includes(name)) {
        throw new RequestFault('the query takes prefix, limit and from');
      }
    }
    const page = this.#target.channels({
      prefix: parameters.get('prefix') ?? '',
      limit: integer('limit', 1000, CHANNELS_MAX),
      from: integer('from', 0, Number.MAX_SAFE_INTEGER),
    });
    answerJson(response, 200, JSON.stringify(page));
  }

  /** The body of a request that holds one JSON object. */
  async #readOne(
    request: IncomingMessage,
    types: readonly string[],
    named: readonly string[],
  ): Promise<string> {
    if (!types.includes(mediaType(request))) {
      throw new Rejection(415, `the body has to be ${named.join(' or ')}, in UTF-8`);
    }
    checkEncoding(request);
    checkLength(request, this.#lineBytesMax);
    const chunks: Buffer[] = [];
    let bytes = 0;
    // Not destroyed on a refusal: it is answered first.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      bytes += (chunk as Buffer).length;
      if (bytes > this.#lineBytesMax) throw tooLarge('the body', this.#lineBytesMax);
      chunks.push(chunk as Buffer);
    }
    const body = Buffer.concat(chunks);
    if (!isUtf8(body)) throw new RequestFault('the body is not UTF-8');
    return body.toString();
  }

  #refuse(request: IncomingMessage, response: ServerResponse, refusal: Rejection): void {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    // Not closed at once: a reset would overtake the answer.
    if (!request.complete) discard(request);
    for (const [name, value] of Object.entries(refusal.headers)) response.setHeader(name, value);
    answerJson(response, refusal.status, JSON.stringify({ error: refusal.message }));
  }
}

/** Cuts a body into lines. */
class Lines {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The lines that a chunk completes; null for one that is not UTF-8. @throws Rejection */
  push(chunk: Buffer): (string | null)[] {
    const end = chunk.lastIndexOf(NEWLINE);
    if (end === -1) {
      this.#keep(chunk);
      return [];
    }
    this.#keep(chunk.subarray(0, end));
    const lines = this.end();
    this.#keep(chunk.subarray(end + 1));
    return lines;
  }

  /** The lines that are left. */
  end(): (string | null)[] {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    if (bytes.length === 0) return [];
    if (isUtf8(bytes)) return bytes.toString().split('\n');
    const lines: (string | null)[] = [];
    for (let start = 0, end = 0; end !== -1; start = end + 1) {
      end = bytes.indexOf(NEWLINE, start);
      const line = bytes.subarray(start, end === -1 ? bytes.length : end);
      lines.push(isUtf8(line) ? line.toString() : null);
    }
    return lines;
  }

  #keep(part: Buffer): void {
    if (this.#bytes > this.#bytesMax) throw tooLarge('a line', this.#bytesMax);
    this.#bytes += part.length;
    this.#parts.push(part);
  }
}

function tooLarge(what: string, bytesMax: number): Rejection {
  return new Rejection(413, `${what} of more than ${bytesMax} bytes is too large`);
}

function checkEncoding(request: IncomingMessage): void {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    throw new Rejection(415, 'the body has to come without a Content-Encoding');
  }
}

function checkLength(request: IncomingMessage, bytesMax: number): void {
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge('a body', bytesMax);
}

/** Reads on for a while, so that the answer is not lost in a reset. */
function discard(request: IncomingMessage): void {
  let bytes = 0;
  request.on('error', () => undefined);
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DISCARD_BYTES_MAX) request.destroy();
  });
  request.resume();
}

/** Waits until a response takes more, or never will. */
function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

function answerJson(response: ServerResponse, status: number, json: string): void {
  const bytes = Buffer.from(`${json}\n`);
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': bytes.length,
  });
  response.end(bytes);
}
