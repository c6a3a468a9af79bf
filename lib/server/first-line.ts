// The first line of a server's log: its addresses, and how much they can hold.
import { formatAddress, formatAddresses } from '../base/address.js';
import type { Logger } from '../base/logger.js';
import type { Capacity } from '../capacity/capacity.js';
import type { Stats } from '../stats/stats.js';
import type { Parts } from './parts.js';

export function writeFirstLine(log: Logger, parts: Parts, capacity: Capacity, stats: Stats): void {
  const access = parts.messaging?.accessMode;
  const { workers, maxConnections, binding } = capacity;
  const { adminAddresses, adminPort, ingestPort } = parts;
  const { listen } = stats;
  log.info(
    {
      listen,
      protocol: stats.protocol,
      ...(access === undefined ? {} : { access }),
      workers,
      maxConnections,
      admin: adminAddresses.map(formatAddress),
      adminPort,
      ...(ingestPort === null ? {} : { ingestPort }),
      workerPids: stats.workers.map(({ pid }) => pid),
    },
    `listening on ${formatAddresses(listen)} with ${workers} workers, for ` +
      `${maxConnections} connections; protocol ${stats.protocol}; the limit that binds: ${binding}`,
  );
}
