// The state of the log of the messages, and of the servers that share it, in the stats.

/** The state of the log of the messages, as this server sees it. */
export interface LogStatus {
  /** Where the log is, without secrets. */
  readonly name: string;
  /** The epoch of cursors, as their text has it. */
  readonly epoch: string;
  /** The position of the last entry that this server has applied. */
  readonly position: number;
  /** Whether the log cannot be read or written at present. */
  readonly isDown: boolean;
  /** Whether this server takes publishes and receives those of the others. */
  readonly isReady: boolean;
  /** Whether this server closes its clients and admits none: see `--engine-down close`. */
  readonly isCutOff: boolean;
  /** Milliseconds that an entry of this server needs through the log and back; null for a log that is not shared. */
  readonly lagMs: number | null;
  /** The servers that share the log; empty for a log that is not shared. */
  readonly nodes: readonly NodeStatus[];
}

/** A server that shares the log. */
export interface NodeStatus {
  /** The name of this life of the server. */
  readonly node: string;
  /** The version of its program. */
  readonly version: string;
  /** Milliseconds since its last tick, by the clock of the log. */
  readonly ageMs: number;
  /** Its open connections at that tick. */
  readonly connections: number;
  /** Whether it is the server that answers. */
  readonly isSelf: boolean;
}
