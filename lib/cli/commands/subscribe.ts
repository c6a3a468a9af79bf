// `megacomet-ts subscribe`: prints the messages of channels until a signal.
import { readSettings } from '../../options/config.js';
import { follow, type StreamMessage } from '../subscription.js';

function complain(sentence: string): void {
  process.stderr.write(`megacomet-ts: ${sentence}\n`);
}

/** What a message prints: its data as they are; bytes as base64, as the stream has them. */
function format(message: StreamMessage, isJson: boolean): string {
  if (!isJson) return message.data;
  const { channel, cursor, id, event, encoding, data } = message;
  return JSON.stringify({ channel, cursor, id, event, encoding, data });
}

/**
 * Runs the command; resolves to the exit code after --count messages, and else never.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_REJECTED`.
 */
export async function subscribe(
  [url = '', ...channels]: readonly string[],
  flags: Record<string, unknown>,
  print: (text: string) => void,
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
      print(format(event.message, settings['json'] === true));
      if (++seen === count) return 0;
    } else if (event.type === 'disconnected') {
      const seconds = (event.retryMs / 1000).toFixed(1);
      complain(`${event.reason}; connecting again in ${seconds} s`);
    } else if (!event.recovered) {
      complain(`messages before ${event.cursor} are gone: what follows is complete from there`);
    }
  }
  return 1;
}
