// A subscription over /stream for `megacomet-ts subscribe`. When a stream ends it reconnects and
// resumes after the last cursor, as EventSource does in a browser.
import { get, type IncomingMessage } from 'node:http';
import { get as getSecurely } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

import { errorIn, type Trust } from '../api/admin-client.js';
import { MegacometError } from '../base/errors.js';
import { readOptionFile } from '../base/option-file.js';
import { reasonOf } from '../base/reason.js';

export interface StreamMessage {
  readonly channel: string;
  readonly cursor: string;
  readonly data: string;
  readonly id?: string;
  readonly event?: string;
  readonly encoding?: 'base64';
}

export type SubscriptionEvent =
  | { readonly type: 'disconnected'; readonly reason: string; readonly retryMs: number }
  | { readonly type: 'lost'; readonly cursor: string }
  | { readonly type: 'message'; readonly message: StreamMessage }
  | { readonly type: 'subscribed'; readonly cursor: string; readonly recovered: boolean };

export interface SubscriptionOptions {
  /** Address of the server, such as `http://127.0.0.1:8000`; it may contain a path. */
  readonly url: string;
  readonly channels: readonly string[];
  /** Cursor to resume after; without it the subscription begins with the next message. */
  readonly since?: string | undefined;
  /** File with a token, read for each connection: another program may renew it. */
  readonly tokenFile?: string | undefined;
  /** Milliseconds without a byte, after which the connection counts as dead. */
  readonly silenceMs: number;
  /** Which certificates are accepted of a server with TLS. */
  readonly trust?: Trust;
}

/** Bounds of the delay between two tries; see {@link retryDelayMs}. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 30_000;
/** Longest wait that a server may ask for. */
const RETRY_AFTER_MAX_MS = 3_600_000;
/** Time for the head of an answer, which a server sends at once. */
const HEAD_TIMEOUT_MS = 5000;
/** Characters of an error page that are read for its sentence. */
const ERROR_LENGTH_MAX = 65_536;
/** A line has one message of at most 1 MiB, and JSON escapes a byte with up to six characters. */
const LINE_LENGTH_MAX = 8 * 1024 * 1024;

/** The URL of a server; that of a WebSocket names the same server. @throws MegacometError */
export function baseOf(text: string): URL {
  const address = text.replace(/^ws(?=s?:)/i, 'http');
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new MegacometError(
    'ERR_OPTION_INVALID',
    `URL: "${text}" is not an address such as http://127.0.0.1:8000`,
  );
}

/**
 * The delay before the next try: random between half of a bound and the bound, so that the clients
 * of a failed server do not reconnect together. The bound doubles with each failure, up to 30 s.
 */
export function retryDelayMs(failures: number, random: () => number = Math.random): number {
  const bound = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(failures, 16));
  return Math.round((bound / 2) * (1 + random()));
}

/** Types of lines with a cursor. A later version of the server may send others, which are ignored. */
const POSITIONS: ReadonlySet<string> = new Set(['lost', 'message', 'subscribed']);

/** How to continue after a stream or a try has ended. */
class StreamEnd extends Error {
  constructor(
    message: string,
    /** Whether a later try would fail too. */
    readonly isFinal: boolean,
    /** Milliseconds after which the server wants the next try. */
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }
}

/** Codes of errors that a later try meets too, unless the server was reached before. */
const HOPELESS = /^(HPE_|EPROTO$|ERR_SSL_|ERR_TLS_|ENOTFOUND$|EAI_|.*CERT|UNABLE_TO_)/;

/** Statuses of servers, and of the proxies before them, that are overloaded or restarting. */
const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504]);

const OTHER_SERVER = 'this is not a comet server';

/** The sentence for a failed try. */
function sentenceFor(error: NodeJS.ErrnoException, url: URL): string {
  const { code = '' } = error;
  const reason = reasonOf(error);
  if (code.startsWith('HPE_')) return `${reason}: ${OTHER_SERVER} (serve --protocol comet)`;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
    return `${reason}: use http:// for a server without TLS`;
  }
  return code === 'ENOTFOUND' || code.startsWith('EAI_') ? `${url.hostname}: ${reason}` : reason;
}

/** Milliseconds of a Retry-After header, which has seconds or a date (RFC 9110 10.2.3). */
export function retryAfterMs(value: string | undefined, nowMs = Date.now()): number {
  if (value === undefined) return 0;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - nowMs) / 1000;
  return Number.isFinite(seconds) ? Math.min(RETRY_AFTER_MAX_MS, Math.max(0, seconds * 1000)) : 0;
}

async function startOf(response: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > ERROR_LENGTH_MAX) break;
    }
  } catch {
    // The status says enough.
  }
  return text;
}

/** The error for an answer that is not a stream of messages. */
async function rejectionOf(response: IncomingMessage): Promise<StreamEnd> {
  const { statusCode: status = 0, statusMessage = '', headers } = response;
  const answered = `the server answered ${status} ${statusMessage}`.trim();
  if (status >= 300 && status < 400) {
    const { location = 'another address' } = headers;
    response.destroy();
    return new StreamEnd(`${answered}: subscribe to ${location}`, true);
  }
  if (status >= 200 && status < 300) {
    response.destroy();
    const type = headers['content-type'] ?? 'no content type';
    return new StreamEnd(`${answered} with ${type}: ${OTHER_SERVER}`, true);
  }
  const sentence = errorIn(await startOf(response));
  const message = sentence === null ? answered : `${answered}: ${sentence}`;
  return new StreamEnd(message, !TEMPORARY.has(status), retryAfterMs(headers['retry-after']));
}

function isStream({ statusCode, headers }: IncomingMessage): boolean {
  return statusCode === 200 && /^application\/x-ndjson\b/i.test(headers['content-type'] ?? '');
}

/** An open stream, and why it ends if this side ends it. */
interface Opened {
  readonly response: IncomingMessage;
  readonly cause: () => Error | undefined;
}

/** @throws StreamEnd: an error of the file stays until the user fixes it. */
function readToken(path: string): string {
  try {
    return readOptionFile('--token-file', path).toString('latin1').trim();
  } catch (error) {
    throw new StreamEnd((error as Error).message, true);
  }
}

/** Opens one stream. @throws StreamEnd, or an error of Node.js. */
function open(url: URL, { silenceMs, tokenFile, trust }: SubscriptionOptions): Promise<Opened> {
  return new Promise((resolve, reject) => {
    let cause: Error | undefined;
    const request = url.protocol === 'https:' ? getSecurely : get;
    const headMs = Math.min(HEAD_TIMEOUT_MS, silenceMs);
    const headers =
      tokenFile === undefined ? {} : { Authorization: `Bearer ${readToken(tokenFile)}` };
    const how = { agent: false, timeout: headMs, headers, ...trust };
    const sent = request(url, how, (response) => {
      response.setEncoding('utf8');
      if (isStream(response)) {
        sent.setTimeout(silenceMs);
        resolve({ response, cause: () => cause });
      } else {
        rejectionOf(response).then(reject, reject);
      }
    });
    let limitMs = headMs;
    sent.on('response', () => (limitMs = silenceMs));
    sent.on('timeout', () => {
      cause ??= new Error(`nothing was heard for ${limitMs / 1000} s`);
      sent.destroy(cause);
    });
    sent.on('error', reject);
  });
}

async function* linesOf(response: AsyncIterable<unknown>): AsyncIterable<string> {
  let rest = '';
  for await (const chunk of response) {
    const parts = (rest + String(chunk)).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > LINE_LENGTH_MAX) throw new Error('a line of the stream is too long');
    // An empty line is a heartbeat.
    for (const part of parts) if (part !== '') yield part;
  }
}

function eventOf(line: string): { type: string; cursor: string } {
  try {
    return JSON.parse(line) as { type: string; cursor: string };
  } catch {
    throw new StreamEnd(`the server sent a line that is not JSON: ${OTHER_SERVER}`, true);
  }
}

/** Why a stream or a try has ended, and whether a later try can help. */
function endOf(error: NodeJS.ErrnoException, url: URL, wasConnected: boolean): StreamEnd {
  if (error instanceof StreamEnd) return error;
  const isFinal = !wasConnected && HOPELESS.test(error.code ?? '');
  return new StreamEnd(sentenceFor(error, url), isFinal);
}

function streamUrl(base: URL, options: SubscriptionOptions, cursor: string | undefined): URL {
  const url = new URL(`${base.pathname.replace(/\/$/, '')}/stream`, base);
  for (const channel of options.channels) url.searchParams.append('channel', channel);
  if (cursor !== undefined) url.searchParams.set('since', cursor);
  return url;
}

/**
 * Subscribes to channels without end. It reconnects when the connection ends, and resumes after the
 * last cursor, so that no message is missed or repeated. The server reports a gap with a `subscribed`
 * event whose `recovered` is false, and while connected with a `lost` event.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`, and `ERR_REJECTED` when no later try would help.
 */
export async function* follow(options: SubscriptionOptions): AsyncGenerator<SubscriptionEvent> {
  const base = baseOf(options.url);
  let cursor = options.since;
  let wasConnected = false;
  for (let failures = 0; ; failures++) {
    const url = streamUrl(base, options, cursor);
    let end = new StreamEnd('the server closed the stream', false);
    let cause: () => Error | undefined = () => undefined;
    try {
      const opened = await open(url, options);
      ({ cause } = opened);
      wasConnected = true;
      for await (const line of linesOf(opened.response)) {
        const event = eventOf(line);
        if (!POSITIONS.has(event.type)) continue;
        ({ cursor } = event);
        failures = 0;
        if (event.type === 'message') {
          yield { type: 'message', message: event as unknown as StreamMessage };
        } else {
          yield event as SubscriptionEvent;
        }
      }
    } catch (error) {
      end = endOf(cause() ?? (error as Error), url, wasConnected);
      if (end.isFinal) throw new MegacometError('ERR_REJECTED', end.message);
    }
    const retryMs = Math.max(retryDelayMs(failures), end.retryAfterMs);
    yield { type: 'disconnected', reason: end.message, retryMs };
    await sleep(retryMs);
  }
}
