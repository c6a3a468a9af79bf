// `megacomet-ts history verify DIR`: checks a history in a directory.
import { MegacometError } from '../../base/errors.js';
import { quoted } from '../../base/quoted.js';
import { reasonOf } from '../../base/reason.js';
import { folderFault } from '../../log/log-folder.js';
import { verifyLog, type SegmentResult } from '../../log/verify-log.js';
import { readSettings } from '../../options/config.js';
import type { Output } from '../output.js';

const MIB = 1024 * 1024;

function timeOf(ms: number | null): string {
  return new Date(ms ?? 0).toISOString();
}

/** One line for a segment, and one for each fault. */
function linesOf(result: SegmentResult): string[] {
  const { segment, bytes, entries, first, last, firstMs, lastMs, faults, tornBytes } = result;
  const size = `${(bytes / MIB).toFixed(1)} MiB`;
  const range =
    entries === 0
      ? 'no entries'
      : `entries ${first} to ${last}, ${timeOf(firstMs)} to ${timeOf(lastMs)}`;
  const torn = tornBytes === 0 ? '' : `, ${tornBytes} bytes of an incomplete entry at the end`;
  const state = faults.length === 0 ? 'ok' : 'damaged';
  return [
    `${segment}: ${state}, ${size}, ${range}${torn}`,
    ...faults.map(({ offset, reason }) => `${segment}: at byte ${offset}: ${reason}`),
  ];
}

/**
 * Runs the command; resolves to the exit code: 1 if a segment is damaged.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_LOG`.
 */
export async function history(
  [action = '', directory = '']: readonly string[],
  flags: Record<string, unknown>,
  output: Output,
): Promise<number> {
  const settings = readSettings('history', { flags, env: process.env });
  if (action !== 'verify') {
    throw new MegacometError('ERR_OPTION_INVALID', `history: ${quoted(action)} is not verify`);
  }
  let isDamaged = false;
  try {
    for await (const result of verifyLog(directory)) {
      isDamaged ||= result.faults.length > 0;
      const lines = settings['json'] === true ? [JSON.stringify(result)] : linesOf(result);
      for (const line of lines) await output.print(line);
    }
  } catch (error) {
    if (error instanceof MegacometError) throw error;
    throw folderFault(directory, `cannot be read: ${reasonOf(error)}`);
  }
  return isDamaged ? 1 : 0;
}
