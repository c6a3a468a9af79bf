// The log of the command line: pino with fixed field names, as JSON or as readable text.
import { constants, openSync } from 'node:fs';

import { pino } from 'pino';

import { LogSink } from './log-sink.js';

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
 * A descriptor of standard output that does not block. Node sets O_NONBLOCK on pipes and sockets when
 * `process.stdout` is first used. A terminal is opened again, because Node makes it block and other
 * programs share its description; a stopped terminal (Ctrl-S) is a reader that stands still.
 */
function nonBlockingStdout(): number {
  if (!process.stdout.isTTY) return 1;
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return openSync('/proc/self/fd/1', O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    // The terminal belongs to another user.
    return 1;
  }
}

/**
 * Makes the command line's logger, on standard output.
 *
 * A line is written before the call returns, unless its reader stands still; see log-sink.ts.
 *
 * @param format - `pretty` for text, `json` for machines; by default pretty on a terminal.
 */
export async function createLogger(
  level: string,
  format: string | undefined,
): Promise<pino.Logger> {
  const isPretty = format === 'pretty' || (format === undefined && process.stdout.isTTY);
  const colorize = showsColours(process.stdout, process.env);
  const render = isPretty
    ? (await import('pino-pretty')).prettyFactory({ colorize, ignore: 'pid,hostname' })
    : (line: string): string => line;
  const sink = new LogSink({
    fd: nonBlockingStdout(),
    onDropped: (lines) => {
      log.warn(
        { lines },
        'log lines dropped: the reader of the log was too slow, or its disk full',
      );
    },
  });
  process.on('exit', () => {
    sink.flushSync();
  });
  const stream = {
    write: (line: string): void => {
      sink.write(render(line));
    },
  };
  // A mixin, not `base`: a line about a worker has only the worker's pid, not two pids.
  const log = pino({ level, base: null, mixin: () => ({ pid: process.pid }) }, stream);
  return log;
}
