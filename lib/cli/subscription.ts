// A subscription of a client in Node: one stream after the other, each beginning where the last one
// ended. Of `megacomet-ts subscribe`; a browser has EventSource for it.
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
  /** Address of the server, such as `http://127.0.0.1:8000`; a path in it is kept. */
  readonly url: string;
  readonly channels: readonly string[];
  /** Cursor to begin after; now without it. */
  readonly since?: string | undefined;
  /** Milliseconds without a byte, after which the connection counts as dead. */
  readonly silenceMs: number;
}

/** Waits between two tries: each drawn anew up to a bound that doubles, so that no crowd forms. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 30_000;
/** A line has a message of at most 1 MiB, of which JSON may write each byte with six characters. */
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
 * What a crowd of clients that lost their server should wait, each: a time drawn evenly from half
 * to all of a bound that doubles with every failure, up to 30 s.
 */
export function retryDelayMs(failures: number, random: () => number = Math.random): number {
  const bound = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(failures, 16));
  return Math.round((bound / 2) * (1 + random()));
}

/** Opens one stream. @throws Rejected for what a later try would get too, Error for all else. */
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
      const message = `the server answers ${status} ${response.statusMessage ?? ''}`.trim();
      reject(isFinal ? new Rejected(message) : new Error(message));
    });
    sent.on('timeout', () => sent.destroy(new Error('nothing was heard for too long')));
    sent.on('error', reject);
  });
}

async function* linesOf(response: AsyncIterable<unknown>): AsyncIterable<string> {
  let rest = '';
  for await (const chunk of response) {
    const parts = (rest + String(chunk)).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > LINE_LENGTH_MAX) throw new Error('a line of the stream is too long');
    // What is empty is a heartbeat.
    for (const part of parts) if (part !== '') yield part;
  }
}

/**
 * Follows channels without end. It reconnects when the connection ends, and resumes after the last
 * cursor, so that no message is missed or repeated. The server reports a gap with a `subscribed` that
 * is not recovered.
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
        // Answers of later versions are passed over.
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
