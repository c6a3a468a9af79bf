// The log of the command line: pino with fixed field names, as JSON or as readable text.
import { pino } from 'pino';

import { showsColours } from './terminal.js';

/** The methods of a logger that the server calls; a pino instance has them. */
export interface Logger {
  /** Details for debugging. In every method `fields` has the values by name. */
  debug(fields: object, message: string): void;
  /** Normal events: the start, workers that begin to serve, the end. */
  info(fields: object, message: string): void;
  /** Events that need attention: a limit is near, a worker died. */
  warn(fields: object, message: string): void;
  /** Errors that stop the server from working. */
  error(fields: object, message: string): void;
}

/** Drops all messages: the default of the library. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/**
 * Makes the command line's logger, on standard output.
 *
 * It writes synchronously, so that a line is written before the process can die.
 *
 * @param format - `pretty` for text, `json` for machines; by default pretty on a terminal.
 */
export async function createLogger(
  level: string,
  format: string | undefined,
): Promise<pino.Logger> {
  const isPretty = format === 'pretty' || (format === undefined && process.stdout.isTTY);
  const stream = isPretty
    ? (await import('pino-pretty')).default({
        sync: true,
        colorize: showsColours(process.stdout, process.env),
        ignore: 'pid,hostname',
      })
    : pino.destination({ fd: 1, sync: true });
  // A reader that closes the pipe (`serve | head -1`) must not end the server.
  stream.on('error', () => undefined);
  // A mixin, not `base`: a line about a worker has only the worker's pid, not two pids.
  return pino({ level, base: null, mixin: () => ({ pid: process.pid }) }, stream);
}
