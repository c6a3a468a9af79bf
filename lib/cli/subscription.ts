// A subscription over /stream for `megacomet-ts subscribe`. When a stream ends it reconnects and
// resumes after the last cursor, as EventSource does in a browser.
import { get, type IncomingMessage } from 'node:http';
import { get as getSecurely } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

import { MegacometError } from '../base/errors.js';

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
  | { readonly type: 'message'; readonly message: StreamMessage }
  | { readonly type: 'subscribed'; readonly cursor: string; readonly recovered: boolean };

export interface SubscriptionOptions {
  /** Address of the server, such as `http://127.0.0.1:8000`; it may contain a path. */
  readonly url: string;
  readonly channels: readonly string[];
  /** Cursor to resume after; without it the subscription begins with the next message. */
  readonly since?: string | undefined;
  /** Milliseconds without a byte, after which the connection counts as dead. */
  readonly silenceMs: number;
}

/** Bounds of the delay between two tries; see {@link retryDelayMs}. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 30_000;
/** A line has one message of at most 1 MiB, and JSON escapes a byte with up to six characters. */
const LINE_LENGTH_MAX = 8 * 1024 * 1024;

class Rejected extends Error {}

function baseOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
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

/** Opens one stream. @throws Rejected if a later try would fail too, else Error. */
function open(url: URL, silenceMs: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'https:' ? getSecurely : get;
    const sent = request(url, { agent: false, timeout: silenceMs }, (response) => {
      const { statusCode: status = 0 } = response;
      if (status === 200) {
        response.setEncoding('utf8');
        resolve(response);
        return;
      }
      response.resume();
      const isFinal = status >= 400 && status < 500 && status !== 408 && status !== 429;
      const message = `the server answered ${status} ${response.statusMessage ?? ''}`.trim();
      reject(isFinal ? new Rejected(message) : new Error(message));
    });
    sent.on('timeout', () => {
      sent.destroy(new Error(`the server sent nothing for ${silenceMs / 1000} s`));
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

/**
 * Subscribes to channels without end. It reconnects when the connection ends, and resumes after the
 * last cursor, so that no message is missed or repeated. The server reports a gap with a `subscribed`
 * event whose `recovered` is false.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`, and `ERR_REJECTED` when no later try would help.
 */
export async function* follow(options: SubscriptionOptions): AsyncGenerator<SubscriptionEvent> {
  const base = baseOf(options.url);
  let cursor = options.since;
  for (let failures = 0; ; failures++) {
    const url = new URL(`${base.pathname.replace(/\/$/, '')}/stream`, base);
    for (const channel of options.channels) url.searchParams.append('channel', channel);
    if (cursor !== undefined) url.searchParams.set('since', cursor);
    let reason = 'the server closed the stream';
    try {
      const response = await open(url, options.silenceMs);
      for await (const line of linesOf(response)) {
        const event = JSON.parse(line) as { type: string; cursor: string };
        // Ignore events that a later version of the server may send.
        if (event.type !== 'message' && event.type !== 'subscribed') continue;
        ({ cursor } = event);
        failures = 0;
        if (event.type === 'message') {
          yield { type: 'message', message: event as unknown as StreamMessage };
        } else {
          yield event as SubscriptionEvent;
        }
      }
    } catch (error) {
      if (error instanceof Rejected) throw new MegacometError('ERR_REJECTED', error.message);
      reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    }
    const retryMs = retryDelayMs(failures);
    yield { type: 'disconnected', reason, retryMs };
    await sleep(retryMs);
  }
}
