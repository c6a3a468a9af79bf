// The checks of a request to the admin server, before anything handles it: its target, and whether a
// web page may have sent it. Node's parser lets through what RFC 9112 rejects.
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

import { Rejection } from './request-body.js';

/** The target of a request, without its authority. */
export interface Target {
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
}

/** Fields of a head. Node counts only names and values, so 8 KiB could be 4,000 short ones. */
export const FIELDS_MAX = 100;

/** Headers of a browser. Scripts of pages can change some of them, but not remove all. */
const BROWSER_HEADERS = ['origin', 'referer', 'cookie', 'accept-language', 'sec-ch-ua'];

/** The host name in a Host header or an origin, without port; null if it is invalid. */
function hostNameOf(value: string): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(value);
  return (match?.[1] ?? match?.[2])?.toLowerCase() ?? null;
}

/** How many lines of a header a request has. */
function countOf(request: IncomingMessage, name: string): number {
  let count = 0;
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    if (request.rawHeaders[index]?.toLowerCase() === name) count++;
  }
  return count;
}

/** RFC 9112, 3.2 and 6.1. @throws Rejection */
function checkFraming(request: IncomingMessage): void {
  if (request.rawHeaders.length > 2 * FIELDS_MAX) {
    throw new Rejection(431, `more than ${FIELDS_MAX} header fields`, { Connection: 'close' });
  }
  if (countOf(request, 'host') > 1) throw new Rejection(400, 'more than one Host');
  const { host } = request.headers;
  if (host !== undefined && hostNameOf(host) === null) throw new Rejection(400, 'invalid Host');
  if (request.headers['transfer-encoding'] === '') {
    throw new Rejection(400, 'an empty Transfer-Encoding');
  }
}

/** Whether a request shows that a browser sent it. */
function isOfBrowser(request: IncomingMessage): boolean {
  const { headers } = request;
  return (
    BROWSER_HEADERS.some((name) => headers[name] !== undefined) ||
    Object.keys(headers).some((name) => name.startsWith('sec-fetch-')) ||
    /^mozilla\//i.test(headers['user-agent'] ?? '')
  );
}

/**
 * Whether a page of another origin sent a request. Over plain HTTP browsers send no Sec-Fetch-Site,
 * and no Origin with a GET.
 */
function isForeign(request: IncomingMessage, host: string | undefined): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers;
  if (origin !== undefined && origin.replace(/^https?:\/\//, '') !== host) return true;
  return site !== undefined && site !== 'same-origin' && site !== 'none';
}

/**
 * Whether a host is an address, localhost, or one of the names. A page whose name was rebound to our
 * address (DNS rebinding) sends its own name, so no other name is accepted without a token.
 */
export function isOwnName(host: string | undefined, names: readonly string[]): boolean {
  if (host === undefined) return true;
  const name = (hostNameOf(host) ?? '').replace(/\.$/, '');
  return name === 'localhost' || isIP(name) !== 0 || names.includes(name);
}

/** The parts of a target: in absolute-form it has an authority. */
function partsOf({ url = '' }: IncomingMessage): { authority: string | undefined; text: string } {
  const [, authority, rest] = /^https?:\/\/([^/?#]*)(.*)$/i.exec(url) ?? [];
  return { authority, text: rest === '' ? '/' : (rest ?? url) };
}

function targetOf(text: string): Target {
  const [path = '', query = ''] = text.split('?');
  return { path: path === '' ? '/' : path, query };
}

/** The path of a request, which need not be well formed. */
export function pathOf(request: IncomingMessage): string {
  return targetOf(partsOf(request).text).path;
}

/** A request that is well formed and not of a foreign page. */
export interface CheckedRequest {
  readonly target: Target;
  /** The host that the request names, with its port; undefined with HTTP/1.0. */
  readonly host: string | undefined;
  /** Whether the request shows that a browser sent it. */
  readonly isOfBrowser: boolean;
}

/**
 * Checks a request, and reads its target. In absolute-form the target names the host, and the Host
 * header does not count (RFC 9112, 3.2.2).
 *
 * @throws Rejection
 */
export function checkRequest(request: IncomingMessage): CheckedRequest {
  checkFraming(request);
  const { authority, text } = partsOf(request);
  if (authority !== undefined && hostNameOf(authority) === null) {
    throw new Rejection(400, 'malformed target');
  }
  const host = authority ?? request.headers.host;
  if (isForeign(request, host)) throw new Rejection(403, 'foreign Origin');
  if (!/^[/?]/.test(text)) throw new Rejection(400, 'malformed target');
  return { target: targetOf(text), host, isOfBrowser: isOfBrowser(request) };
}
