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
 * Whether a page of another site may have sent a request. A page whose name was rebound to our
 * address (DNS rebinding) sends its own name as host, and no Origin with a GET; over plain HTTP
 * browsers send no Sec-Fetch-Site either. So a browser must name an address or localhost, and only
 * other clients, such as Prometheus, may use a host name.
 */
function isForeign(request: IncomingMessage, host: string | undefined): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers;
  if (origin !== undefined && origin.replace(/^https?:\/\//, '') !== host) return true;
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  if (host === undefined) return false;
  const name = hostNameOf(host) ?? '';
  return name !== 'localhost' && isIP(name) === 0 && isOfBrowser(request);
}

/**
 * Checks a request, and reads its target. In absolute-form the target names the host, and the Host
 * header does not count (RFC 9112, 3.2.2).
 *
 * @throws Rejection
 */
export function checkRequest(request: IncomingMessage): Target {
  checkFraming(request);
  const { url = '' } = request;
  const [, authority, rest] = /^https?:\/\/([^/?#]*)(.*)$/i.exec(url) ?? [];
  if (authority !== undefined && hostNameOf(authority) === null) {
    throw new Rejection(400, 'malformed target');
  }
  if (isForeign(request, authority ?? request.headers.host)) {
    throw new Rejection(403, 'foreign Host or Origin');
  }
  const target = rest === '' ? '/' : (rest ?? url);
  if (!/^[/?]/.test(target)) throw new Rejection(400, 'malformed target');
  const [path = '', query = ''] = target.split('?');
  return { path: path === '' ? '/' : path, query };
}
