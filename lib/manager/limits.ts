// The limits of a server, and the part of them that each worker enforces. Pure.
import type { Frames } from '../ipc/frames.js';

/** Limits that can change while workers run. */
export interface Limits {
  readonly maxConnections: number;
  readonly workerConnectionsMax: number;
  /** Seconds; 0 disables the timeout. */
  readonly idleTimeout: number;
  /** Connections per second of the whole server; 0 for no limit. */
  readonly acceptRate: number;
}

/** One worker's part where `workers` share the accept rate. */
export function limitsFrame(limits: Limits, workers: number): Frames['Adjust'] {
  return {
    connectionsMax: limits.workerConnectionsMax,
    idleTimeoutS: limits.idleTimeout,
    acceptRateMilli: Math.ceil((limits.acceptRate * 1000) / Math.max(1, workers)),
  };
}
