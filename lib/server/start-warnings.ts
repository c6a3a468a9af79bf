// Warnings at the start: one line for each limit of this machine that stops the server below its
// target, and one for a file with a key that others can read.
import { formatAddress, isLoopback, type Address } from '../base/address.js';
import type { Logger } from '../base/logger.js';
import { shellWord } from '../base/shell-word.js';
import type { Capacity } from '../capacity/capacity.js';
import { exposureOfFile } from '../system/secret-file.js';

/** The demands of a starting server on its machine. */
export interface StartDemand {
  /** Connections that it must hold. */
  readonly target: number;
  readonly workers: number;
  readonly acceptRate: number;
  readonly ports: readonly number[];
  readonly backlog: number;
  readonly keepaliveS: number;
}

/** A limit that stops the server below its demand. */
export interface LimitFinding {
  /** Name of the limit, such as `net.core.somaxconn`. */
  readonly id: string;
  readonly current: string;
  readonly needed: string | null;
  /** One sentence. */
  readonly why: string;
  /** Connections that the limit allows; null if it bounds no number of connections. */
  readonly connections: number | null;
}

/** Finds the limits of this machine that stop a server below its demand. */
export type FindLimits = (demand: StartDemand) => readonly LimitFinding[];

export interface WarningFacts {
  readonly findings: readonly LimitFinding[];
  readonly capacity: Capacity;
  /** Whether the number of connections was given: else the limits decide it. */
  readonly hasTarget: boolean;
  readonly backlog: number;
  /** net.core.somaxconn; null if this network namespace does not show it. */
  readonly somaxconn: number | null;
}

/** The limit that a text names, without its value: `fs.file-max (12 left)` is `fs.file-max`. */
function subjectOf(text: string): string {
  return text.replace(/ [/(].*$/, '');
}

/** Warns if others than this process can read or change a file with a key of tokens. */
export function warnOfReaders(file: string, log: Logger): void {
  const exposure = exposureOfFile(file);
  if (exposure === null) return;
  const { mode, readers, can } = exposure;
  const fix = `chmod 600 ${shellWord(file)}`;
  log.warn({}, `${file} has mode ${mode}, so ${readers} can ${can} the secret: ${fix}`);
}

/** Warns if everybody who reaches an address may subscribe to every channel. */
export function warnOfOpenAccess(addresses: readonly Address[], log: Logger): void {
  const reachable = addresses.find((address) => !address.isUnix && !isLoopback(address.host));
  if (reachable === undefined) return;
  log.warn(
    {},
    `every client of ${formatAddress(reachable)} may subscribe to every channel: set ` +
      '--token-key, or --public for the channels that are public on purpose',
  );
}

/**
 * Warns where tokens for other services count: an identity provider signs them with the same key
 * (RFC 8725 3.9).
 */
export function warnOfAnyAudience(log: Logger): void {
  log.warn(
    {},
    '--token-audience is not set, so a token that the same issuer gave out for another service counts here',
  );
}

/** Writes one warning for each limit, even if several checks find it. */
export function warnOfLimits(facts: WarningFacts, log: Logger): void {
  const { capacity, backlog, somaxconn } = facts;
  const findings = facts.findings.filter(
    ({ connections }) => facts.hasTarget || connections === null,
  );
  for (const { id, current, needed, why } of findings) {
    log.warn({ limit: id, current, needed }, `${id}: ${why}`);
  }
  const isFound = (limit: string): boolean =>
    findings.some(({ id }) => subjectOf(id) === subjectOf(limit));
  if (capacity.warning !== null && !isFound(capacity.binding)) log.warn({}, capacity.warning);
  if (somaxconn !== null && somaxconn < backlog && !isFound('net.core.somaxconn')) {
    log.warn({ somaxconn, backlog }, 'net.core.somaxconn limits the backlog');
  }
}
