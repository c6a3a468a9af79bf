// Signing URLs, in a back end whose pages have no token.
import { createHmac } from 'node:crypto';

import { checkInteger, checkString, invalidValue, membersOf } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { readSecretFile } from '../base/shared-secret.js';
import { checkKeyArgument } from './token-keys.js';

/** How a URL is signed. */
export interface SignUrlOptions {
  /** Seconds until the URL expires; default 3600. */
  readonly expiresInSeconds?: number;
}

const EXPIRES_IN_SECONDS = 3600;
/** Servers count the seconds of the epoch in 32 bits. */
const EXPIRY_END = 0xffff_ffff;
const PATHS = ['/events', '/stream', '/poll', '/ws'];
/** Names of cursors without their separators, and the longest with them. */
const CURSORS = ['since', 'cursor', 'lasteventid'];
const CURSOR_BYTES_MAX = 13;

function fail(url: string, rule: string): never {
  throw invalidValue('signUrl: url', url, rule);
}

/** Decodes a part of a URL into bytes, each as one character. */
function decode(part: string): string {
  if (/%(?![\da-f]{2})/i.test(part)) throw new RangeError('percent');
  return part.replace(/%([\da-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
}

/** Whether a client may change the parameter without a new signature. */
function isFree(name: string): boolean {
  const letters = name.replace(/[-_]/g, '').toLowerCase();
  return name === '_' || (name.length <= CURSOR_BYTES_MAX && CURSORS.includes(letters));
}

function checkParameter(url: string, name: string, text: string): void {
  if (name === 'expires' || name === 'signature') fail(url, 'a URL without expires and signature');
  // eslint-disable-next-line no-control-regex
  if (name.includes('=') || /[\x00-\x1f\x7f]/.test(text)) {
    fail(url, 'a URL without control characters, and without = in the name of a parameter');
  }
}

/** The covered parameters in their order, decoded. */
function parametersOf(url: string, search: string): readonly (readonly [string, string])[] {
  const pairs = search.replace(/^\?/, '').split('&');
  return pairs
    .filter((pair) => pair !== '')
    .map((pair): [string, string] => {
      const [name = '', ...rest] = pair.replaceAll('+', ' ').split('=');
      return [decode(name), decode(rest.join('='))];
    })
    .filter(([name, value]) => {
      checkParameter(url, name, name + value);
      return !isFree(name);
    });
}

/** The signed text without its expiry: the path, and each covered parameter on a line. */
function signedText(url: string, { pathname, search }: URL): string {
  let path: string;
  let parameters;
  try {
    path = decode(pathname);
    parameters = parametersOf(url, search);
  } catch (error) {
    if (error instanceof MegacometError) throw error;
    return fail(url, 'a URL with valid percent-encoding');
  }
  checkParameter(url, '', path);
  const isMailbox = /^\/.+\.js$/s.test(path);
  const hasChannel = parameters.some(([name]) => name === 'channel');
  if (!isMailbox && !(PATHS.includes(path) && hasChannel)) {
    fail(url, `a URL of ${PATHS.join(', ')} with a channel, or of /ID.js`);
  }
  return [path, ...parameters.map(([name, value]) => `${name}=${value}`)].join('\n');
}

function parse(url: string): URL {
  const isPath = /^\/(?!\/)/.test(url);
  const isUrl = /^(?:https?|wss?):\/\//i.test(url) && URL.canParse(url);
  if ((isPath || isUrl) && !url.includes('#')) return new URL(url, 'http://localhost');
  return fail(url, 'an http or ws URL, or its path and query');
}

/**
 * Signs a URL: its client subscribes to exactly the channels that it names, until it expires, and
 * needs no token. Any change but a cursor makes it invalid.
 *
 * @param key - File with the secret, as for the option `signKey`.
 * @param url - `/events?channel=NAME`, also of `/stream`, `/poll` and `/ws`, or a mailbox `/ID.js`;
 *   with scheme and host, or the path alone.
 * @returns The URL with the parameters `expires` and `signature`.
 * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`; no message shows the key.
 */
export function signUrl(key: string, url: string, options: SignUrlOptions = {}): string {
  membersOf('signUrl', options, ['expiresInSeconds']);
  const { expiresInSeconds = EXPIRES_IN_SECONDS } = options;
  const nowS = Math.floor(Date.now() / 1000);
  checkInteger('signUrl: expiresInSeconds', expiresInSeconds, 1, EXPIRY_END - 1 - nowS);
  checkKeyArgument('signUrl', key);
  checkString('signUrl: url', url);
  const parsed = parse(url);
  const expires = `expires=${nowS + expiresInSeconds}`;
  const text = `${signedText(url, parsed)}\n${expires}`;
  const secret = readSecretFile('key', key);
  const signature = createHmac('sha256', secret).update(text, 'latin1').digest('base64url');
  const { pathname, search } = parsed;
  const query = `${search === '' ? '?' : `${search}&`}${expires}&signature=${signature}`;
  return (url.startsWith('/') ? '' : parsed.origin) + pathname + query;
}
