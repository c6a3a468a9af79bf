// A warning before a run of the bench whose connections would be reset by the kernel's own probes.
import { availableParallelism } from 'node:os';

import type { BenchOptions } from '../bench/bench.js';
import { handshakeSeconds, KEEPALIVE_TICK_S, TLS_FULL_US } from '../capacity/sizing.js';
import { KEEPALIVE } from '../options/serve-options.js';
import { sysctl, type Reader } from '../system/kernel.js';

/** Connections that a core opens in a second without TLS, with both ends on one machine. */
const OPENS_PER_CORE = 15_000;

type Run = Pick<BenchOptions, 'connections' | 'duration' | 'hold' | 'rate' | 'targets' | 'tls'>;

/** Seconds until all connections of a run with both ends on this machine are open. */
function openSeconds({ connections, rate, tls }: Run, cores: number): number {
  const us = tls ? 2 * TLS_FULL_US : 1e6 / OPENS_PER_CORE;
  const fastest = handshakeSeconds(connections, us, cores);
  return rate > 0 ? Math.max(fastest, connections / rate) : fastest;
}

/**
 * The sentence for a run over loopback that lasts longer than the time of keep-alive probes, if the
 * queue of loopback is too short for those that are due together; else null.
 */
export function keepaliveWarning(
  run: Run,
  read: Reader,
  cores = availableParallelism(),
): string | null {
  const isLoopback = run.targets.every(({ isUnix, host }) => !isUnix && host.startsWith('127.'));
  const key = 'net.core.netdev_max_backlog';
  const backlog = sysctl(read, key);
  const opening = openSeconds(run, cores);
  if (!isLoopback || backlog === null || opening + run.hold < KEEPALIVE.default) return null;
  const together = run.connections / Math.max(1, opening / KEEPALIVE_TICK_S) / cores;
  if (together <= backlog) return null;
  return (
    `the run takes longer than the ${KEEPALIVE.default} s of --keepalive, and loopback drops probes ` +
    `beyond ${key} (${backlog}), after which the server resets connections: start the server with ` +
    '--keepalive 0'
  );
}
