// One request for the keys of --token-jwks-url: bounded in time and bytes, without redirects.
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';

import { isLoopback } from '../base/address.js';
import { invalidUrl } from '../base/call-check.js';
import { reasonOf } from '../base/reason.js';
import { boundedBody } from './bounded-body.js';

/** For name, connection, TLS, head and body together. */
const TIMEOUT_MS = 5000;
/** Ten times the largest set of a well-known provider, with its certificates. */
const BYTES_MAX = 262_144;

export interface KeyAnswer {
  readonly text: string;
  /** For how long the answer is fresh (RFC 9111 4.2); null if it does not say. */
  readonly freshS: number | null;
}

/** `status`: another answer than 200. `content`: one that is too large, cut off or not keys. */
export type KeyFetchCause = 'content' | 'status' | 'timeout' | 'unreachable';

export class KeyFetchError extends Error {
  readonly reason: KeyFetchCause;

  constructor(reason: KeyFetchCause, message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * The URL of an option. A changed answer lets an attacker sign tokens, so the URL needs TLS, or
 * must not leave this machine.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function parseKeyUrl(option: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? '';
  const isLocal =
    url?.protocol === 'http:' && (host === 'localhost' || (isIP(host) !== 0 && isLoopback(host)));
  const isSafe = url !== null && (url.protocol === 'https:' || isLocal);
  if (isSafe && url.username === '' && url.password === '' && !text.includes('#')) return url;
  const rule = 'an https URL, or an http URL of a loopback address, without user and fragment';
  throw invalidUrl(option, text, rule);
}

/** The seconds of `max-age`, less those in caches; 0 if the answer must not be kept. */
export function freshSeconds({ headers }: Pick<IncomingMessage, 'headers'>): number | null {
  const control = headers['cache-control'] ?? '';
  if (/(?:^|[\s,])no-(?:cache|store)\b/i.test(control)) return 0;
  const [, digits] = /(?:^|[\s,])max-age\s*=\s*"?(\d{1,10})\b/i.exec(control) ?? [];
  if (digits === undefined) return null;
  const age = /^\d{1,10}$/.exec(headers.age ?? '')?.[0] ?? '0';
  return Math.max(0, Number(digits) - Number(age));
}

function checkHead({ statusCode = 0, headers }: IncomingMessage): void {
  if (statusCode !== 200) {
    const isRedirect = statusCode >= 300 && statusCode < 400;
    const hint = isRedirect ? '; a redirect is not followed' : '';
    throw new KeyFetchError('status', `the server answers with status ${statusCode}${hint}`);
  }
  const coding = headers['content-encoding'] ?? 'identity';
  if (coding !== 'identity') throw new KeyFetchError('content', 'the answer is compressed');
}

function send(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const headers = {
      accept: 'application/jwk-set+json, application/json',
      'user-agent': 'megacomet-ts',
    };
    // Without an agent no idle connection stays open.
    request(url, { agent: false, signal, headers }, resolve).on('error', reject).end();
  });
}

/**
 * Fetches the text.
 *
 * @throws KeyFetchError
 */
export async function requestKeys(url: URL, closing: AbortSignal): Promise<KeyAnswer> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let answer: IncomingMessage | undefined;
  try {
    answer = await send(url, AbortSignal.any([timeout, closing]));
    checkHead(answer);
    const tooLarge = (message: string): Error => new KeyFetchError('content', message);
    return {
      text: await boundedBody(answer, BYTES_MAX, tooLarge),
      freshS: freshSeconds(answer),
    };
  } catch (error) {
    if (error instanceof KeyFetchError) throw error;
    const isLate = timeout.aborted;
    const reason = isLate ? `no complete answer in ${TIMEOUT_MS / 1000} s` : reasonOf(error);
    throw new KeyFetchError(isLate ? 'timeout' : 'unreachable', reason);
  } finally {
    answer?.destroy();
  }
}
