// Bodies of requests with one JSON text or a batch of lines: media type, limits, reading,
// rejection.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';

import { ByteBuffer } from '../base/byte-buffer.js';
import { codeOfStatus, type ApiErrorCode } from './error-codes.js';
import { RequestFault } from './publish-request.js';

/** Bytes of a rejected body that are read: most senders finish, and use their connection again. */
export const DISCARD_BYTES_MAX = 1024 * 1024;
/** Milliseconds for the sender of a longer one to read the answer before the reset. */
const LINGER_MS = 5000;
/** Milliseconds for a body with one text, from its head to its last byte. */
const TEXT_TIMEOUT_MS = 30_000;
const NEWLINE = 0x0a;

/** A response that reports an error. */
export class Rejection extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
    readonly code: ApiErrorCode = codeOfStatus(status),
  ) {
    super(message);
  }

  /** The JSON of the response. */
  get body(): string {
    return JSON.stringify({ error: this.message, code: this.code });
  }
}

export function tooLarge(what: string, bytesMax: number): Rejection {
  return new Rejection(413, `${what} has more than ${bytesMax} bytes`);
}

/** The media type of a request, in lower case; empty if it names another charset than UTF-8. */
export function mediaType(request: IncomingMessage): string {
  const [type = '', ...parameters] = (request.headers['content-type'] ?? '').split(';');
  const charset = /^charset="?utf-?8"?$/;
  const isUtf8Only = parameters.every((parameter) => {
    const plain = parameter.trim().toLowerCase();
    return !plain.startsWith('charset') || charset.test(plain);
  });
  return isUtf8Only ? type.trim().toLowerCase() : '';
}

/** Checks a request's head. @throws Rejection */
export function checkHead(request: IncomingMessage, what: string, bytesMax: number): void {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    throw new Rejection(415, 'a Content-Encoding is not supported');
  }
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge(what, bytesMax);
}

/** The chunks of a body. @throws Rejection beyond `bytesMax`. */
export async function* chunksOf(
  request: IncomingMessage,
  what: string,
  bytesMax: number,
): AsyncIterable<Buffer> {
  let bytes = 0;
  // The request is not destroyed when the reader stops early, because it is answered first.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > bytesMax) throw tooLarge(what, bytesMax);
    yield chunk as Buffer;
  }
}

async function readWhole(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const whole = new ByteBuffer();
  for await (const chunk of chunksOf(request, 'the body', bytesMax)) whole.add(chunk);
  return whole.take();
}

/** @throws Rejection after `timeoutMs`. A sender of one byte now and then would never be silent. */
async function inTime<Value>(value: Promise<Value>, timeoutMs: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const sentence = `the body is not complete after ${timeoutMs / 1000} s`;
      reject(new Rejection(408, sentence, { Connection: 'close' }));
    }, timeoutMs);
  });
  try {
    return await Promise.race([value, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A whole body as text. @throws Rejection, RequestFault */
export async function readText(
  request: IncomingMessage,
  bytesMax: number,
  timeoutMs = TEXT_TIMEOUT_MS,
): Promise<string> {
  checkHead(request, 'the body', bytesMax);
  const body = await inTime(readWhole(request, bytesMax), timeoutMs);
  if (!isUtf8(body)) throw new RequestFault('the body is not UTF-8');
  return body.toString();
}

const cutOff = new WeakSet<IncomingMessage>();
const discarded = new WeakSet<IncomingMessage>();

/** Whether a request was ended because its sender went on after the rejection. */
export function isCutOff(request: IncomingMessage): boolean {
  return cutOff.has(request);
}

/** Whether the rest of a request's body is ignored, because the request was rejected. */
export function isDiscarded(request: IncomingMessage): boolean {
  return discarded.has(request);
}

/** Whether the rest of a rejected body is short, so that the connection can serve the next request. */
export function isRestShort({ complete, headers }: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = headers;
  return complete || (coding === undefined && Number(length ?? 0) <= DISCARD_BYTES_MAX);
}

/**
 * Reads and ignores more of a rejected body: a close at once would reset the connection, and its
 * sender might miss the answer. A sender that goes on is not read any more, and cut off later.
 */
export function discard(request: IncomingMessage, bytesMax = DISCARD_BYTES_MAX): void {
  let bytes = 0;
  const cutOffSender = (): void => {
    cutOff.add(request);
    request.destroy();
  };
  const skip = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes <= bytesMax) return;
    request.off('data', skip).pause();
    const timer = setTimeout(cutOffSender, LINGER_MS);
    request.once('close', () => {
      clearTimeout(timer);
    });
  };
  discarded.add(request);
  request.on('error', () => undefined);
  request.on('data', skip).resume();
}

/** Cuts a body into lines. */
export class Lines {
  readonly #bytesMax: number;
  readonly #part = new ByteBuffer();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes of memory of an incomplete line. */
  get memoryBytes(): number {
    return this.#part.memoryBytes;
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

  /** The remaining lines. */
  end(): (string | null)[] {
    const bytes = this.#part.take();
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
    if (this.#part.length > this.#bytesMax) throw tooLarge('a line', this.#bytesMax);
    this.#part.add(part);
  }
}
