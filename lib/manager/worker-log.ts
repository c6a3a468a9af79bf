// Log frames of a worker as lines of the manager's log.
import { getSystemErrorName } from 'node:util';

import type { Logger } from '../base/logger.js';
import { LogLevel, type Frames } from '../ipc/frames.js';

/** The methods of a logger by the number of a level in Log frames. */
const LEVELS = Object.keys(LogLevel) as readonly (keyof typeof LogLevel)[];

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
