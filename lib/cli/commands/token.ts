// `megacomet-ts token`: issues a token for a client.
import { createToken } from '../../access/issue-token.js';
import { MegacometError } from '../../base/errors.js';
import { readSettings } from '../../options/config.js';
import type { Output } from '../output.js';

function readInfo(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new MegacometError('ERR_OPTION_INVALID', `info: ${text} is not JSON`);
  }
}

/**
 * Runs the command; resolves to the exit code.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export async function token(flags: Record<string, unknown>, output: Output): Promise<number> {
  const settings = readSettings('token', { flags, env: process.env });
  const { key, user, ttl, channel, info, issuer, audience } = settings;
  if (key === undefined) {
    throw new MegacometError('ERR_OPTION_INVALID', 'token: --key ALG=FILE is required');
  }
  const lists = Object.entries({
    subscribe: settings['subscribe'],
    publish: settings['publish'],
    presence: settings['presence'],
    history: settings['history'],
  }).filter(([, names]) => names !== undefined);
  const claims = {
    user,
    channels: settings['connectTo'],
    channel,
    issuer,
    audience,
    id: settings['id'],
    expiresInSeconds: ttl,
    ...(lists.length > 0 && { grants: Object.fromEntries(lists) as object }),
    ...(info !== undefined && { info: readInfo(info as string) }),
  };
  const given = Object.entries(claims).filter(([, value]) => value !== undefined);
  await output.print(await createToken(key as string, Object.fromEntries(given)));
  return 0;
}
