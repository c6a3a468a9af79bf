// `megacomet-ts kick`: closes the subscribers of a channel, the connections of a user, or all.
import { askJson } from '../../api/admin-client.js';
import { readSettings } from '../../options/config.js';
import { wordOf } from '../../options/options.js';
import { MegacometError } from '../../base/errors.js';
import { adminAccessOf } from '../admin-access.js';
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
  const { all, reason, user } = settings;
  const target = { channel, user, all: all === true ? true : undefined };
  if (Object.values(target).filter((value) => value !== undefined).length !== 1) {
    throw new MegacometError('ERR_OPTION_INVALID', 'kick: give either a channel, --user or --all');
  }
  const text = JSON.stringify({ ...target, reason });
  const answer = (await askJson({
    ...adminAccessOf(settings),
    path: '/kick',
    body: { type: 'application/json', chunks: [text] },
  })) as { subscribers?: number };
  const closed = user === undefined ? 'every connection' : `the connections of ${wordOf(user)}`;
  const { subscribers } = answer;
  await output.print(
    `closing ${subscribers === undefined ? closed : counted(subscribers, 'subscriber')}`,
  );
  return 0;
}
