// The interface of systemd to a service: inherited sockets, the watchdog's period, notifications.
// The environment is an argument.
import { getSystemErrorName } from 'node:util';

import { invalidValue } from '../base/call-check.js';
import type { MegacometError } from '../base/errors.js';
import { LISTENERS_MAX } from '../base/native-constants.js';
import { addon } from '../system/native.js';

/** A socket that systemd bound, with its FileDescriptorName=. */
export interface InheritedSocket {
  readonly fd: number;
  readonly name: string;
}

/** The meaning of systemd's environment variables for this process. */
export interface Systemd {
  readonly sockets: readonly InheritedSocket[];
  /** The socket for notifications: a path, or `@` and an abstract name; null without one. */
  readonly notifySocket: string | null;
  /** systemd kills a process that is silent for this time; null without a watchdog. */
  readonly watchdogMs: number | null;
  /** Variables that were ignored, each with the reason, as sentences for the log. */
  readonly ignored: readonly string[];
}

/** The variables of systemd for this process, which no child process may inherit. */
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

function invalid(name: string, value: string, rule: string): MegacometError {
  return invalidValue(name, value, rule, 'ERR_LISTEN');
}

/** A whole number above 0, or undefined. */
function positive(text: string): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

/** Whether the variable `name` holds the id of another process; false without the variable. */
function isForAnother(env: NodeJS.ProcessEnv, name: string, pid: number): boolean {
  const value = env[name];
  return value !== undefined && Number(value) !== pid;
}

function namesOf(text: string | undefined, count: number): readonly string[] {
  // The name that sd_listen_fds_with_names(3) gives a socket without a name.
  if (text === undefined) return Array.from({ length: count }, () => 'unknown');
  const names = text.split(':');
  if (names.length === count) return names;
  throw invalid('LISTEN_FDNAMES', text, `a name for each of LISTEN_FDS=${count} sockets`);
}

function socketsOf(env: NodeJS.ProcessEnv): readonly InheritedSocket[] {
  const { LISTEN_PID: pid, LISTEN_FDS: text } = env;
  if (pid === undefined || text === undefined) return [];
  const count = positive(text);
  const most = LISTENERS_MAX;
  if (count === undefined || count > most) {
    throw invalid('LISTEN_FDS', text, `a whole number of sockets from 1 to ${most}`);
  }
  return namesOf(env['LISTEN_FDNAMES'], count).map((name, index) => ({
    fd: FIRST_DESCRIPTOR + index,
    name,
  }));
}

/**
 * Reads the environment of a service without changing it.
 *
 * @throws MegacometError `ERR_LISTEN` for sockets that are announced in a way that sd_listen_fds(3)
 *   does not define: a start without its sockets would be worse than none.
 */
export function readSystemd(env: NodeJS.ProcessEnv, pid: number): Systemd {
  const ignored: string[] = [];
  if (env['LISTEN_PID'] !== undefined && positive(env['LISTEN_PID']) === undefined) {
    throw invalid('LISTEN_PID', env['LISTEN_PID'], 'a process id');
  }
  const isListening = !isForAnother(env, 'LISTEN_PID', pid);
  if (!isListening) {
    // The cause is a wrapper that forks instead of exec: npx, or a shell script.
    ignored.push(`LISTEN_PID names process ${env['LISTEN_PID'] ?? ''}, not this one`);
  }
  const socket = env['NOTIFY_SOCKET'] ?? '';
  const canNotify = /^[/@]./.test(socket);
  if (socket !== '' && !canNotify)
    ignored.push(`NOTIFY_SOCKET "${socket}" is not a path or an @name`);
  const periodUs = positive(env['WATCHDOG_USEC'] ?? '');
  if (env['WATCHDOG_USEC'] !== undefined && periodUs === undefined) {
    ignored.push(`WATCHDOG_USEC "${env['WATCHDOG_USEC']}" is not a number of microseconds`);
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
 * Reads the environment, and removes the variables that are meant for this process alone.
 *
 * @throws MegacometError `ERR_LISTEN`, see {@link readSystemd}.
 */
export function takeSystemd(env: NodeJS.ProcessEnv, pid: number): Systemd {
  const systemd = readSystemd(env, pid);
  for (const name of VARIABLES) Reflect.deleteProperty(env, name);
  return systemd;
}

/**
 * Sends one message, as sd_notify(3) does, without blocking.
 *
 * @returns The name of the error, such as `EAGAIN`, or null.
 */
export function notify(socket: string, lines: readonly string[]): string | null {
  const error = addon.notify(socket, lines.join('\n'));
  return error === 0 ? null : getSystemErrorName(-error);
}
