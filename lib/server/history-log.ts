// The log of the messages in a directory, from the options of the server.
import { randomUUID } from 'node:crypto';

import { invalidOption } from '../base/call-check.js';
import type { Logger } from '../base/logger.js';
import type { LogSetup } from '../broker/broker-log.js';
import { FileLog } from '../log/file-log.js';
import type { OpenReport } from '../log/log-folder.js';
import type { SyncMode } from '../log/log-segments.js';
import { addon, packageVersion } from '../system/native.js';
import type { Filled } from './server-options.js';

const SYNC_MS_MAX = 60_000;

/**
 * Bytes of the log for each byte of history: the log has messages that no history keeps as well,
 * such as those above `history-count`.
 */
const BYTES_FACTOR = 4;

/** Messages are found again by their idempotency keys for five minutes. */
const AGE_MS_MIN = 300_000;

/** Reads `history-sync`. @throws MegacometError `ERR_OPTION_INVALID`. */
export function historySyncOf(text: string): SyncMode {
  if (text === 'group' || text === 'always') return text;
  const ms = /^[1-9]\d*$/.test(text) ? Number(text) : 0;
  if (ms >= 1 && ms <= SYNC_MS_MAX) return ms;
  const rule = `is not group, always, or milliseconds from 1 to ${SYNC_MS_MAX}`;
  throw invalidOption(`history-sync: ${text} ${rule}`);
}

/** Bytes and milliseconds for which the log keeps entries. */
export function historyLimits(options: Filled): { keepBytes: number; keepAgeMs: number } {
  const namespaces = Object.values(options.namespaces ?? {});
  const all = [options, ...namespaces];
  const bytes = Math.max(...all.map(({ historyBytes }) => historyBytes ?? 0));
  const ageS = Math.max(...all.map(({ historyAge }) => historyAge ?? 0));
  return { keepBytes: bytes * BYTES_FACTOR, keepAgeMs: Math.max(ageS * 1000, AGE_MS_MIN) };
}

function report({ cutBytes, damagedEntries, setAside, newEpoch }: OpenReport, log: Logger): void {
  if (cutBytes > 0) log.info({ bytes: cutBytes }, 'the end of the history was incomplete: cut off');
  if (damagedEntries > 0 || setAside.length > 0) {
    log.warn({ entries: damagedEntries, files: setAside }, 'the history is damaged');
  }
  if (newEpoch !== null) log.warn({ reason: newEpoch }, 'the history begins a new epoch');
}

/**
 * The log of `historyDir`, not open yet.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function historyLog(directory: string, options: Filled, log: Logger): LogSetup {
  const { keepBytes, keepAgeMs } = historyLimits(options);
  return {
    log: new FileLog({
      directory,
      sync: historySyncOf(options.historySync),
      ...{ keepBytes, keepAgeMs },
      lock: (path) => addon.lockFolder(path),
      onOpen: (found) => {
        report(found, log);
      },
    }),
    isShared: false,
    node: randomUUID(),
    version: packageVersion,
    keeps: { bytes: keepBytes, ageMs: keepAgeMs },
  };
}
