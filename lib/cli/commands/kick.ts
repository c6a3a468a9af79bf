// `megacomet-ts kick`: closes the subscribers of a channel, or all connections.
import { askJson } from '../../api/admin-client.js';
import { readSettings } from '../../options/config.js';
import { MegacometError } from '../../base/errors.js';
import { tokenOf } from '../../api/token.js';
import { counted, type Output } from '../output.js';

/**
 * Runs the command; resolves to the exit code.
 *
 * @throws MegacometError `ERR_UNREACHABLE`, `ERR_REJECTED`, `ERR_OPTION_INVALID`.
 */
export async function kick(
  [channel]: readonly string[],
  flags: Record<string, unknown>,
  output: Output,
): Promise<number> {
  const settings = readSettings('kick', { flags, env: process.env });
  const { all, reason } = settings;
  if ((all === true) === (channel !== undefined)) {
    throw new MegacometError('ERR_OPTION_INVALID', 'kick: give either a channel or --all');
  }
  const target = channel === undefined ? { all: true } : { channel };
  const text = JSON.stringify({ ...target, ...(reason === undefined ? {} : { reason }) });
  const answer = (await askJson({
    admin: settings['admin'] as string,
    path: '/kick',
    token: tokenOf(settings),
    body: { type: 'application/json', chunks: [text] },
  })) as { subscribers?: number };
  await output.print(
    answer.subscribers === undefined
      ? 'closing every connection'
      : `closing ${counted(answer.subscribers, 'subscriber')}`,
  );
  return 0;
}
