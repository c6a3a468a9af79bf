// What systemd gives a service and wants to hear from it: inherited sockets, the watchdog's period,
// messages. Reads an environment that it is given; knows nothing of servers.
import { getSystemErrorName } from 'node:util';

import { MegacometError } from '../base/errors.js';
import { addon } from '../system/native.js';

/** A socket that systemd bound, by the name that its socket unit gives it. */
export interface InheritedSocket {
  readonly fd: number;
  readonly name: string;
}

/** What the environment holds for this process. */
export interface Systemd {
  readonly sockets: readonly InheritedSocket[];
  /** Where messages go: a path, or `@` and an abstract name; null where nobody listens. */
  readonly notifySocket: string | null;
  /** Silence after which systemd kills this process; null without a watchdog. */
  readonly watchdogMs: number | null;
  /** Why something that was there is not for us, as sentences for the log. */
  readonly ignored: readonly string[];
}

/** Everything that systemd sets for us and that no child of ours must take for its own. */
const VARIABLES = [
  'LISTEN_PID',
  'LISTEN_FDS',
  'LISTEN_FDNAMES',
  'NOTIFY_SOCKET',
  'WATCHDOG_PID',
  'WATCHDOG_USEC',
];

/** After standard input, output and error: SD_LISTEN_FDS_START. */
const FIRST_DESCRIPTOR = 3;

function refuse(name: string, value: string, rule: string): MegacometError {
  return new MegacometError('ERR_LISTEN', `${name}: "${value}" is not ${rule}`);
}

/** A whole number above 0, or undefined. */
function positive(text: string): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

/** Whether `name`, which holds a process id, speaks of another process; false without it. */
function isForAnother(env: NodeJS.ProcessEnv, name: string, pid: number): boolean {
  const value = env[name];
  return value !== undefined && Number(value) !== pid;
}

function namesOf(text: string | undefined, count: number): readonly string[] {
  // What sd_listen_fds_with_names(3) calls a socket without a name.
  if (text === undefined) return Array.from({ length: count }, () => 'unknown');
  const names = text.split(':');
  if (names.length === count) return names;
  throw refuse('LISTEN_FDNAMES', text, `a name for each of LISTEN_FDS=${count} sockets`);
}

function socketsOf(env: NodeJS.ProcessEnv): readonly InheritedSocket[] {
  const { LISTEN_PID: pid, LISTEN_FDS: text } = env;
  if (pid === undefined || text === undefined) return [];
  const count = positive(text);
  const most = addon.bounds.listenersMax;
  if (count === undefined || count > most) {
    throw refuse('LISTEN_FDS', text, `a whole number of sockets from 1 to ${most}`);
  }
  return namesOf(env['LISTEN_FDNAMES'], count).map((name, index) => ({
    fd: FIRST_DESCRIPTOR + index,
    name,
  }));
}

/**
 * Reads the environment of a service, and leaves it as it is.
 *
 * @throws MegacometError `ERR_LISTEN` when sockets are announced to this process in a way that
 *   sd_listen_fds(3) does not know: better no start than one without its sockets.
 */
export function readSystemd(env: NodeJS.ProcessEnv, pid: number): Systemd {
  const ignored: string[] = [];
  if (env['LISTEN_PID'] !== undefined && positive(env['LISTEN_PID']) === undefined) {
    throw refuse('LISTEN_PID', env['LISTEN_PID'], 'a process id');
  }
  const isListening = !isForAnother(env, 'LISTEN_PID', pid);
  if (!isListening) {
    // A wrapper that forks instead of replacing itself (npx, a shell script) ends here.
    ignored.push(`LISTEN_PID names process ${env['LISTEN_PID'] ?? ''}, not this one`);
  }
  const socket = env['NOTIFY_SOCKET'] ?? '';
  const canNotify = /^[/@]./.test(socket);
  if (socket !== '' && !canNotify)
    ignored.push(`NOTIFY_SOCKET "${socket}" is no path and no @name`);
  const periodUs = positive(env['WATCHDOG_USEC'] ?? '');
  if (env['WATCHDOG_USEC'] !== undefined && periodUs === undefined) {
    ignored.push(`WATCHDOG_USEC "${env['WATCHDOG_USEC']}" is no time`);
  }
  const isWatched = periodUs !== undefined && !isForAnother(env, 'WATCHDOG_PID', pid);
  return {
    sockets: isListening ? socketsOf(env) : [],
    notifySocket: canNotify ? socket : null,
    watchdogMs: isWatched ? periodUs / 1000 : null,
    ignored,
  };
}

/**
 * Reads the environment and takes out of it what was meant for this process alone.
 *
 * @throws MegacometError `ERR_LISTEN`, see {@link readSystemd}.
 */
export function takeSystemd(env: NodeJS.ProcessEnv, pid: number): Systemd {
  const systemd = readSystemd(env, pid);
  for (const name of VARIABLES) Reflect.deleteProperty(env, name);
  return systemd;
}

/**
 * Sends one message, as sd_notify(3) does, without ever waiting.
 *
 * @returns The name of the error, such as `EAGAIN`, or null.
 */
export function notify(socket: string, lines: readonly string[]): string | null {
  const error = addon.notify(socket, lines.join('\n'));
  return error === 0 ? null : getSystemErrorName(-error);
}
