// Names of channels, and patterns that stand for many. native/pubsub/channel_name.h has the same rules for
// requests of clients; test/vectors/channel-names.txt tests both.
import { checkString } from './call-check.js';
import { MegacometError } from './errors.js';
import { CHANNEL_BYTES_MAX } from './native-constants.js';
import { quoted } from './quoted.js';

/** For names beyond ASCII: control characters, also those from U+0080 on, and halves of pairs. */
const FORBIDDEN = /[\p{Cc}\p{Surrogate}*]/u;

function isWideName(name: string): boolean {
  return !FORBIDDEN.test(name) && Buffer.byteLength(name) <= CHANNEL_BYTES_MAX;
}

/**
 * Whether a text can name a channel: 1 to 200 bytes of UTF-8, no control character, no `*`, no
 * space at either end. Names are compared as they are: no case folding, no normalisation.
 */
export function isChannel(name: string): boolean {
  const { length } = name;
  if (length === 0 || length > CHANNEL_BYTES_MAX) return false;
  if (name.charCodeAt(0) === 0x20 || name.charCodeAt(length - 1) === 0x20) return false;
  for (let at = 0; at < length; at++) {
    const code = name.charCodeAt(at);
    if (code > 0x7e) return isWideName(name);
    if (code < 0x20 || code === 0x2a) return false;
  }
  return true;
}

/**
 * Whether a text is a pattern: a prefix that ends in `/`, and a `*`. It stands for every channel
 * that starts with the prefix. With its star it obeys the length limit of a name.
 */
export function isPattern(text: string): boolean {
  return text.endsWith('/*') && isChannel(`${text.slice(0, -1)}+`);
}

/** @throws MegacometError `ERR_CHANNEL`; a program may pass any value. */
export function checkChannel(name: unknown): asserts name is string {
  checkString('channel', name, 'ERR_CHANNEL');
  if (isChannel(name)) return;
  throw new MegacometError(
    'ERR_CHANNEL',
    `${quoted(name)} cannot name a channel: that takes 1 to ${CHANNEL_BYTES_MAX} bytes without ` +
      'control characters, without *, and without a space at either end',
  );
}
