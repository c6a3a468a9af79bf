// `megacomet-ts serve`: runs a server until a signal ends it. Level 6.
import { constants } from 'node:os';

import { readSettings, type Settings } from '../config.js';
import { createLogger } from '../logger.js';
import { keyOf, libraryOptions } from '../options.js';
import { Server, type ServerOptions } from '../server.js';

type CommandLogger = ReturnType<typeof createLogger>;

function serverOptions(settings: Settings, logger: CommandLogger): ServerOptions {
  const options: Settings = {};
  for (const key of libraryOptions().map((spec) => keyOf(spec.name))) {
    const value = settings[key];
    if (value !== undefined) options[key] = value;
  }
  return { ...options, logger };
}

/** Re-reads what may change while the server runs; a mistake keeps the old values. */
function reload(
  server: Server,
  flags: Record<string, unknown>,
  log: CommandLogger,
): Settings | null {
  try {
    const settings = readSettings('serve', { flags, env: process.env });
    const { acceptRate, idleTimeout, maxConnections } = settings as ServerOptions;
    server.adjust({
      ...(acceptRate === undefined ? {} : { acceptRate }),
      ...(idleTimeout === undefined ? {} : { idleTimeout }),
      ...(maxConnections === undefined ? {} : { maxConnections }),
    });
    log.level = settings['logLevel'] as string;
    log.info({ acceptRate, idleTimeout, maxConnections }, 'configuration read again');
    return settings;
  } catch (error) {
    log.error({ err: (error as Error).message }, 'configuration not changed');
    return null;
  }
}

/**
 * Runs the command. Resolves to the exit code after a drain.
 *
 * @throws MegacometError for every way in which a start can fail.
 */
export async function serve(flags: Record<string, unknown>): Promise<number> {
  let settings = readSettings('serve', { flags, env: process.env });
  const log = createLogger(settings['logLevel'] as string, settings['logFormat'] as string);
  const server = new Server(serverOptions(settings, log), true);
  let signals = 0;
  const ended = new Promise<number>((resolve, reject) => {
    const onSignal = (signal: NodeJS.Signals): void => {
      if (++signals > 1) {
        server.kill();
        process.exit(128 + constants.signals[signal]);
      }
      log.info({ signal, seconds: settings['drain'] }, 'draining');
      server.close({ drainMs: Number(settings['drain']) * 1000 }).then(({ killed }) => {
        log.info({ killed }, 'stopped');
        resolve(killed.length === 0 ? 0 : 1);
      }, reject);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    process.on('SIGHUP', () => {
      settings = reload(server, flags, log) ?? settings;
    });
  });
  try {
    const capacity = await server.listen();
    log.info(
      {
        listen: server.addresses,
        workers: capacity.workers,
        maxConnections: capacity.maxConnections,
        adminPort: server.adminPort,
        workerPids: server.stats().workers.map(({ pid }) => pid),
      },
      `listening on ${server.addresses.join(', ')} with ${capacity.workers} workers, for ` +
        `${capacity.maxConnections} connections; the limit that binds: ${capacity.binding}`,
    );
  } catch (error) {
    // A signal during the start ends it with an error of its own; the drain's result counts.
    if (signals === 0) throw error;
  }
  return ended;
}
