// `megacomet-ts serve`: runs a server until a signal ends it.
import { constants } from 'node:os';
import { isDeepStrictEqual } from 'node:util';

import { optionsOf } from '../../options/commands.js';
import { readSettings, type Settings } from '../../options/config.js';
import { variableOf } from '../../options/environment.js';
import { MegacometError } from '../../base/errors.js';
import { createLogger } from '../../base/logger.js';
import { startDemo } from '../demo.js';
import { criticalFindings } from '../../doctor/doctor.js';
import type { OptionSpec } from '../../options/option-spec.js';
import { environmentNameOf, keyOf } from '../../options/options.js';
import { LIBRARY_OPTIONS } from '../../options/serve-options.js';
import { Server, type ServerOptions } from '../../server/server.js';
import { ServiceNotifier } from '../../systemd/service.js';
import { exposureOfFile, formatExposure } from '../../system/secret-file.js';
import { takeSystemd } from '../../systemd/systemd.js';

type CommandLogger = Awaited<ReturnType<typeof createLogger>>;

type Flags = Record<string, unknown>;

/**
 * Whether the user set an option: by flag, by environment, or in the config file to another value
 * than the default.
 */
function isWanted({ name, default: fallback }: OptionSpec, flags: Flags, value: unknown): boolean {
  const isGiven = flags[keyOf(name)] !== undefined;
  const variable = variableOf(process.env, environmentNameOf(name));
  return isGiven || variable !== undefined || value !== fallback;
}

/**
 * The server's options. Defaults are left out, because createServer() has the same: an option that
 * needs another one counts there only if the user gave it, and inherited sockets replace the
 * default address.
 */
function serverOptions(settings: Settings, flags: Flags, logger: CommandLogger): ServerOptions {
  const options: Settings = {};
  for (const spec of LIBRARY_OPTIONS as readonly OptionSpec[]) {
    const key = keyOf(spec.name);
    const value = settings[key];
    if (value !== undefined && isWanted(spec, flags, value)) options[key] = value;
  }
  return { ...options, logger };
}

/** Rejects a config file that holds the admin token, if other users can read or change it. */
function checkConfigFile({ config, adminToken }: Settings): void {
  const isInFile = process.env['MEGACOMET_ADMIN_TOKEN'] === undefined && adminToken !== undefined;
  if (!isInFile || typeof config !== 'string') return;
  const exposure = exposureOfFile(config);
  if (exposure === null) return;
  const reason = formatExposure(config, exposure);
  throw new MegacometError('ERR_OPTION_INVALID', `admin-token: ${reason}`);
}

/** The options whose new value a running server cannot take, by name. */
function changedForGood(started: Settings, now: Settings): string[] {
  return optionsOf('serve')
    .filter(({ isReloadable }) => isReloadable !== true)
    .map(({ name }) => name)
    .filter((name) => !isDeepStrictEqual(started[keyOf(name)], now[keyOf(name)]));
}

/** Reads again the options that may change while the server runs; after an error the old ones stay. */
function reload(
  server: Server,
  flags: Flags,
  log: CommandLogger,
  started: Settings,
): Settings | null {
  try {
    const settings = readSettings('serve', { flags, env: process.env });
    const { acceptRate, idleTimeout, maxConnections, namespaces = {} } = settings as ServerOptions;
    // First, because it can fail, and then nothing else has changed.
    server.reloadKeys();
    server.adjust({
      ...(acceptRate === undefined ? {} : { acceptRate }),
      ...(idleTimeout === undefined ? {} : { idleTimeout }),
      ...(maxConnections === undefined ? {} : { maxConnections }),
      ...(settings['protocol'] === 'comet' ? { namespaces } : {}),
    });
    log.level = settings['logLevel'] as string;
    log.info({ acceptRate, idleTimeout, maxConnections }, 'configuration read again');
    const options = changedForGood(started, settings);
    if (options.length > 0) {
      log.warn({ options }, `changed options need a restart: ${options.join(', ')}`);
    }
    return settings;
  } catch (error) {
    log.error({ err: (error as Error).message }, 'configuration not changed');
    return null;
  }
}

/**
 * Runs the command; resolves to the exit code after a drain.
 *
 * @throws MegacometError if the start fails.
 */
export async function serve(given: Flags): Promise<number> {
  const demo = given['demo'] === true ? await startDemo(given) : null;
  const flags = demo?.flags ?? given;
  const started = readSettings('serve', { flags, env: process.env });
  checkConfigFile(started);
  let settings = started;
  const log = await createLogger(settings['logLevel'] as string, settings['logFormat'] as string);
  const systemd = takeSystemd(process.env, process.pid);
  for (const sentence of systemd.ignored) log.debug({}, sentence);
  const service = new ServiceNotifier(systemd, log);
  const server = new Server(serverOptions(settings, flags, log), {
    dropsOwnIdentity: true,
    generatesToken: true,
    sockets: systemd.sockets,
    findLimits: criticalFindings,
  });
  let signals = 0;
  const ended = new Promise<number>((resolve, reject) => {
    const onSignal = (signal: NodeJS.Signals): void => {
      if (++signals > 1) {
        server.kill();
        process.exit(128 + constants.signals[signal]);
      }
      log.info({ signal, seconds: settings['drain'] }, 'draining');
      const drainS = Number(settings['drain']);
      const closed = server.close({ drainMs: Math.round(drainS * 1000) });
      service.stopping(server.health().connections, drainS);
      closed.then(({ killed }) => {
        log.info({ killed }, 'stopped');
        service.close();
        demo?.close();
        resolve(killed.length === 0 ? 0 : 1);
      }, reject);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    process.on('SIGHUP', () => {
      service.reload(() => {
        settings = reload(server, flags, log, started) ?? settings;
      });
    });
  });
  try {
    await server.listen();
    service.ready(() => server.health());
    if (demo !== null) {
      const [address = ''] = server.addresses;
      const url = demo.show(Number(address.split(':').at(-1)));
      log.info({ url }, `demo page at ${url}`);
    }
  } catch (error) {
    // A signal during the start makes listen() fail, but the result of the drain counts.
    if (signals === 0) throw error;
  }
  return ended;
}
