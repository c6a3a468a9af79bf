// Files that an option names.
import { MegacometError } from './errors.js';
import { readSmallFile } from './small-file.js';

/** More than any key or token; a larger file is a mistake. */
const BYTES_MAX = 65_536;

/**
 * Reads a small file.
 *
 * @param bytesMax - Default 65,536.
 * @throws MegacometError `ERR_OPTION_INVALID` with the name of the option, the file and the reason.
 */
export function readOptionFile(option: string, path: string, bytesMax = BYTES_MAX): Buffer {
  let content: Buffer | null;
  try {
    content = readSmallFile(path, bytesMax);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new MegacometError('ERR_OPTION_INVALID', `${option}: ${path} cannot be read (${code})`);
  }
  if (content !== null) return content;
  const rule = `at most ${bytesMax} bytes are allowed`;
  throw new MegacometError('ERR_OPTION_INVALID', `${option}: ${path} is too large; ${rule}`);
}
