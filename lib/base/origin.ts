// Origins of web pages in the form in which browsers send them (RFC 6454, 6.2).
import { invalidValue } from './call-check.js';

/** Schemes of apps, such as capacitor://localhost: a URL has no origin for them. */
const APP_ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(:\d{1,5})?$/;

/** The origin of an http or https URL that has nothing but an origin; null for any other text. */
function webOrigin(text: string): string | null {
  // The parser of URLs drops tabs and line ends, and takes a backslash for a slash.
  if (!/^https?:\/\/[^\\@?#*\s"'<>,]+$/i.test(text) || !URL.canParse(text)) return null;
  const { origin, pathname } = new URL(text);
  return pathname === '/' ? origin : null;
}

/**
 * An origin as a browser sends it: lower case, punycode, without the default port and the slash at
 * the end. `*` and `null` stay as they are.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function parseOrigin(label: string, text: string): string {
  if (text === '*' || text === 'null') return text;
  const web = webOrigin(text);
  if (web !== null) return web;
  const app = text.toLowerCase().replace(/\/$/, '');
  if (APP_ORIGIN.test(app) && !/^(https?|file):/.test(app)) return app;
  const rule = 'SCHEME://HOST[:PORT] of one origin, such as https://app.example, or *, or null';
  throw invalidValue(label, text, rule);
}
