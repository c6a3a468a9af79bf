// `megacomet-ts sign`: signs a URL for pages without a token.
import { signUrl } from '../../access/sign-url.js';
import { MegacometError } from '../../base/errors.js';
import { readSettings } from '../../options/config.js';
import type { Output } from '../output.js';

/**
 * Runs the command; resolves to the exit code.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export async function sign(
  url: string,
  flags: Record<string, unknown>,
  output: Output,
): Promise<number> {
  const { key, ttl } = readSettings('sign', { flags, env: process.env });
  if (key === undefined) {
    throw new MegacometError('ERR_OPTION_INVALID', 'sign: --key FILE is required');
  }
  await output.print(signUrl(key as string, url, { expiresInSeconds: ttl as number }));
  return 0;
}
