// `megacomet-ts subscribe`: prints the messages of channels until a signal.
import { readSettings } from '../../options/config.js';
import { follow, type StreamMessage } from '../subscription.js';
import { warn, type Output } from '../output.js';

/** The line for a message: its data, or the message as JSON; binary data is base64. */
function format(message: StreamMessage, isJson: boolean): string {
  if (!isJson) return message.data;
  const { channel, cursor, id, event, encoding, data } = message;
  return JSON.stringify({ channel, cursor, id, event, encoding, data });
}

/**
 * Runs the command; resolves to the exit code after --count messages, and never without --count.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_REJECTED`.
 */
export async function subscribe(
  [url = '', ...channels]: readonly string[],
  flags: Record<string, unknown>,
  output: Output,
): Promise<number> {
  const settings = readSettings('subscribe', { flags, env: process.env });
  const count = settings['count'] as number;
  let seen = 0;
  const events = follow({
    url,
    channels,
    since: settings['since'] as string | undefined,
    silenceMs: Number(settings['silence']) * 1000,
  });
  for await (const event of events) {
    if (event.type === 'message') {
      if (!(await output.print(format(event.message, settings['json'] === true)))) return 0;
      if (++seen === count) return 0;
    } else if (event.type === 'disconnected') {
      const seconds = (event.retryMs / 1000).toFixed(1);
      warn(`${event.reason}; reconnecting in ${seconds} s`);
    } else if (!event.recovered) {
      warn(`messages before the cursor ${event.cursor} are gone; all later messages will follow`);
    }
  }
  return 1;
}
