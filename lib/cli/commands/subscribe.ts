// `megacomet-ts subscribe`: prints the messages of channels until a signal.
import { readSettings } from '../../options/config.js';
import { baseOf, follow, type StreamMessage } from '../subscription.js';
import { warn, type Output } from '../output.js';
import { trustOf } from '../trust.js';

/** Escapes characters that move the cursor or colour a terminal; line feeds and tabs stay. */
function escapeControls(text: string): string {
  return text.replace(/(?![\n\t])\p{Cc}/gu, (found) => {
    return `\\x${(found.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`;
  });
}

interface Form {
  readonly isJson: boolean;
  readonly isVerbose: boolean;
  /** A client chose these bytes, and a terminal obeys them. */
  readonly isTerminal: boolean;
}

/** The line for a message: its data, or the message as JSON; binary data is base64. */
export function formatMessage(message: StreamMessage, form: Form): string {
  const { channel, cursor, id, event, encoding, data } = message;
  if (form.isJson) return JSON.stringify({ channel, cursor, id, event, encoding, data });
  const names = [
    channel,
    ...(event === undefined ? [] : [`event=${event}`]),
    ...(id === undefined ? [] : [`id=${id}`]),
    ...(encoding === undefined ? [] : [encoding]),
  ];
  const text = form.isVerbose ? `${names.join(' ')}: ${data}` : data;
  return form.isTerminal ? escapeControls(text) : text;
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
  const form = {
    isJson: settings['json'] === true,
    isVerbose: settings['verbose'] === true,
    isTerminal: output.isTerminal,
  };
  let seen = 0;
  const events = follow({
    url,
    channels,
    since: settings['since'] as string | undefined,
    tokenFile: settings['tokenFile'] as string | undefined,
    silenceMs: Number(settings['silence']) * 1000,
    trust: trustOf(settings, baseOf(url).protocol === 'https:'),
  });
  for await (const event of events) {
    if (event.type === 'message') {
      if (!(await output.print(formatMessage(event.message, form)))) return 0;
      if (++seen === count) return 0;
    } else if (event.type === 'disconnected') {
      const seconds = (event.retryMs / 1000).toFixed(1);
      warn(`${escapeControls(event.reason)}; reconnecting in ${seconds} s`);
    } else if (event.type === 'lost' || !event.recovered) {
      warn(`messages before the cursor ${event.cursor} are gone; all later messages will follow`);
    }
  }
  return 1;
}
