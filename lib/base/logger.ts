// The log: pino with fixed field names, as JSON or for people.
import { pino } from 'pino';
import pretty from 'pino-pretty';

/** What the server needs of a logger; a pino instance fits. */
export interface Logger {
  /** What only a search for a fault needs; `fields` are facts by name, in every method. */
  debug(fields: object, message: string): void;
  /** What happens in a server that is well: its start, workers that serve, its end. */
  info(fields: object, message: string): void;
  /** What somebody should look at: a limit that is near, a worker that died. */
  warn(fields: object, message: string): void;
  /** What keeps the server from its work. */
  error(fields: object, message: string): void;
}

/** Drops everything: the default inside somebody else's program. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/**
 * Makes the command line's logger, on standard output.
 *
 * Written synchronously: a line that was logged is out before the process can die.
 *
 * @param format - `pretty` for people, `json` for machines; by default pretty on a terminal.
 */
export function createLogger(level: string, format: string | undefined): pino.Logger {
  const isPretty = format === 'pretty' || (format === undefined && process.stdout.isTTY);
  const stream = isPretty
    ? pretty({ sync: true, colorize: process.stdout.isTTY, ignore: 'pid,hostname' })
    : pino.destination({ fd: 1, sync: true });
  // A reader that went away (`serve | head -1`) must not end the server.
  stream.on('error', () => undefined);
  // As a mixin and not in `base`: a line about a worker has the worker's pid, and only that one.
  return pino({ level, base: null, mixin: () => ({ pid: process.pid }) }, stream);
}
