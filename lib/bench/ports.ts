// Source addresses and ports of a bench run: counts them, and plans their use.
import { isIPv4, isIPv6 } from 'node:net';

import { MegacometError } from '../base/errors.js';
import { procReader, type Reader } from '../system/kernel.js';
import type { Address } from '../base/address.js';
import { isWidened, RANGE, widenRange } from './port-range.js';

/** Other programs always use a few ports. */
const SPARE_SHARE = 0.98;

function rangeOf(text: string | undefined): { low: number; high: number } {
  const [low = 32_768, high = 60_999] = (text ?? '').trim().split(/\s+/).map(Number);
  return { low, high };
}

/** Usable ports of one source address for one destination. */
export function usablePorts(read: Reader): number {
  const { low, high } = rangeOf(read(RANGE));
  return Math.floor((high - low + 1) * SPARE_SHARE);
}

/** The `index`-th loopback source address: 127.1.0.1, 127.1.0.2, … without .0 and .255. */
export function loopbackSource(index: number): string {
  const last = 1 + (index % 254);
  const middle = Math.floor(index / 254);
  return `127.${1 + (Math.floor(middle / 256) % 254)}.${middle % 256}.${last}`;
}

export interface SourcePlan {
  /** Source addresses of each dialer process, as `HOST PORT`. */
  readonly sources: readonly (readonly string[])[];
  /** Settings that were changed on this machine, as sentences. */
  readonly notes: readonly string[];
  /** Restores the changed settings. */
  readonly restore: () => void;
}

function sourcesForLoopback(shares: readonly number[], perSource: number): string[][] {
  let next = 0;
  return shares.map((share) =>
    Array.from({ length: Math.ceil(share / perSource) }, () => `${loopbackSource(next++)} 0`),
  );
}

/**
 * Chooses the source addresses of each dialer.
 *
 * @param shares - Connections of each dialer.
 * @param given - Addresses from --source, empty for the default.
 * @throws MegacometError `ERR_CAPACITY` with the limit that is too low, or `ERR_OPTION_INVALID`.
 */
export function planSources(
  shares: readonly number[],
  targets: readonly Address[],
  given: readonly string[],
): SourcePlan {
  const restore = (): void => undefined;
  if (targets.every((target) => target.isUnix)) {
    return { sources: shares.map(() => ['unix ']), notes: [], restore };
  }
  for (const source of given) {
    if (!isIPv4(source) && !isIPv6(source)) {
      throw new MegacometError(
        'ERR_OPTION_INVALID',
        `--source: "${source}" is not a numeric address`,
      );
    }
  }
  const isLoopback = targets.every((target) => target.host.startsWith('127.'));
  if (given.length === 0 && isLoopback) {
    const sources = sourcesForLoopback(shares, usablePorts(procReader) * targets.length);
    return { sources, notes: [], restore };
  }
  const anywhere = targets.some((target) => isIPv6(target.host)) ? '::' : '0.0.0.0';
  const addresses = given.length > 0 ? given : [anywhere];
  const wanted = shares.reduce((sum, share) => sum + share, 0);
  const available = (): number => usablePorts(procReader) * addresses.length * targets.length;
  const ports = targets.map((target) => target.port).join(',');
  const widened = wanted > available() || isWidened() ? widenRange(ports) : null;
  if (wanted > available()) {
    widened?.restore();
    throw new MegacometError(
      'ERR_CAPACITY',
      `${wanted} connections need more ports than ${addresses.length} source addresses, ` +
        `${targets.length} targets and net.ipv4.ip_local_port_range have (${available()}): ` +
        'add --source or --target',
    );
  }
  return {
    sources: shares.map(() => addresses.map((source) => `${source} 0`)),
    notes: widened === null ? [] : [widened.note],
    restore: () => {
      widened?.restore();
    },
  };
}
