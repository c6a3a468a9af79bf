// The limits of the workers, from capacity and options, and their change while the server runs.
import { MegacometError } from '../base/errors.js';
import type { Capacity } from '../capacity/capacity.js';
import type { Limits } from '../manager/limits.js';
import type { Filled } from './server-options.js';

export function limitsOf(capacity: Capacity, options: Filled): Limits {
  return {
    maxConnections: capacity.maxConnections,
    workerConnectionsMax: capacity.workerConnectionsMax,
    idleTimeout: options.idleTimeout,
    acceptRate: options.acceptRate,
  };
}

/**
 * The capacity of running workers with another limit of connections.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` for more than the workers were started for.
 */
export function withMaxConnections(capacity: Capacity, maxConnections: number): Capacity {
  const most = capacity.workerConnectionsMax * capacity.workers;
  if (maxConnections <= most) return { ...capacity, maxConnections };
  throw new MegacometError(
    'ERR_OPTION_INVALID',
    `max-connections: ${maxConnections} is more than the ${most} connections that the workers ` +
      'were started for',
  );
}
