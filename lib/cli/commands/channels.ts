// `megacomet-ts channels`: lists the channels of a running comet server.
import { askJson } from '../../api/admin-client.js';
import { readSettings } from '../../options/config.js';
import type { ChannelPage } from '../../broker/publishing.js';
import { adminAccessOf } from '../admin-access.js';
import { counted, warn, type Output } from '../output.js';

const PAGE_LIMIT = 1000;

/** A page as the admin server writes it. */
type ChannelsAnswer = Omit<ChannelPage, 'isComplete'> & { readonly complete: boolean };

/**
 * Runs the command; resolves to the exit code.
 *
 * @throws MegacometError `ERR_UNREACHABLE`, `ERR_REJECTED`, `ERR_OPTION_INVALID`.
 */
export async function channels(flags: Record<string, unknown>, output: Output): Promise<number> {
  const settings = readSettings('channels', { flags, env: process.env });
  const access = adminAccessOf(settings);
  const prefix = (settings['prefix'] as string | undefined) ?? '';
  let isComplete = true;
  for (let from: number | null = 0; from !== null;) {
    const query = new URLSearchParams({ prefix, limit: String(PAGE_LIMIT), from: String(from) });
    const page = (await askJson({
      ...access,
      path: `/channels?${query.toString()}`,
    })) as ChannelsAnswer;
    const lines = page.channels.map((one) =>
      settings['json'] === true
        ? JSON.stringify(one)
        : `${one.channel}  ${counted(one.subscribers, 'subscriber')}, ` +
          `${counted(one.messages, 'message')} in the history`,
    );
    if (lines.length > 0 && !(await output.print(lines.join('\n')))) return 0;
    isComplete &&= page.complete;
    from = page.next;
  }
  if (!isComplete) warn('channels: a node did not answer: channels or subscribers are missing');
  return 0;
}
