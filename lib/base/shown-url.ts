// Shows a URL of an option in errors, logs and answers. User info, query and fragment may hold a
// secret, so they are left out.
import { shown } from './shown.js';

/** A URL without user info, query and fragment. */
export function plainUrl({ protocol, host, pathname }: URL): string {
  return `${protocol}//${host}${pathname}`;
}

function plainText(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  // In a URL without a host, such as `https:` of a typing mistake, the rest could be anything.
  if (url !== null && url.host !== '') return plainUrl(url);
  const [scheme] = /^[a-z]+:\/\//i.exec(text) ?? [];
  if (scheme !== undefined) return `${scheme}…`;
  return /[@?#:]/.test(text) ? '…' : text;
}

/** The value of an option that should be a URL, for an error message; see {@link shown}. */
export function shownUrl(value: unknown): string {
  if (typeof value === 'string') return shown(plainText(value));
  return typeof value === 'object' && value !== null ? 'an object' : shown(value);
}
