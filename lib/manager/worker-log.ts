// Log frames of a worker as lines of the manager's log.
import { getSystemErrorName } from 'node:util';

import type { Logger } from '../base/logger.js';
import type { Frames } from '../ipc/frames.js';

/** Levels of a Log frame, by their number. */
const LEVELS = ['info', 'warn', 'error'] as const;

/** Writes the line of a worker, with its slot and pid, and the name of the error if it has one. */
export function logWorkerLine(
  log: Logger,
  slot: number,
  pid: number | null,
  line: Frames['Log'],
): void {
  const fields = {
    worker: slot,
    pid,
    ...(line.error === 0 ? {} : { err: getSystemErrorName(-line.error) }),
    ...(line.suppressed === 0 ? {} : { suppressed: line.suppressed }),
  };
  const level = LEVELS[line.level] ?? 'info';
  log[level](fields, line.message);
}
