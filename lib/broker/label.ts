// Labels of a message: its id and its event, each of them a field of one line in a stream.
import { checkString } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { LABEL_BYTES_MAX } from '../base/native-constants.js';
import { quoted } from '../base/quoted.js';

/** @throws MegacometError `ERR_MESSAGE`, for a label that would break a line or a terminal. */
export function checkLabel(what: string, label: unknown): asserts label is string {
  checkString(what, label, 'ERR_MESSAGE');
  // UTF-8 takes at most three bytes for each UTF-16 code unit.
  const isShort =
    label.length * 3 <= LABEL_BYTES_MAX || Buffer.byteLength(label) <= LABEL_BYTES_MAX;
  if (isShort && !/[\p{Control}\p{Surrogate}]/u.test(label)) return;
  throw new MegacometError(
    'ERR_MESSAGE',
    `${what} ${quoted(label)} cannot be sent: that takes at most ${LABEL_BYTES_MAX} bytes ` +
      'without control characters',
  );
}

/**
 * Names that a page already listens for: those of the server's own events, and two that an
 * EventSource fires itself. `message` is the name of an event without one, so it is allowed.
 */
const RESERVED = /^(?:megacomet\..*|error|open)$/su;

/** @throws MegacometError `ERR_MESSAGE`, for an event name that a publisher may not use. */
export function checkEvent(event: unknown): asserts event is string {
  checkLabel('event', event);
  if (!RESERVED.test(event)) return;
  throw new MegacometError(
    'ERR_MESSAGE',
    `event ${quoted(event)} cannot be sent: "error", "open" and names that begin with "megacomet." ` +
      'are reserved',
  );
}
