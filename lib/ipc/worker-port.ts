// A worker's control stream, as the broker uses it and the manager offers it.

/** Unread bytes of a control stream, which drops no frame: beyond them the process is replaced. */
export const UNREAD_BYTES_MAX = 32 * 1024 * 1024;

export interface WorkerPort {
  readonly slot: number;
  /** Bytes given to send() that the kernel has not accepted. */
  readonly queuedBytes: number;
  /** Whether the worker's heartbeat is recent. A worker without one will be replaced. */
  readonly hasHeartbeat: boolean;
  /**
   * Writes behind all earlier bytes; may be called several times in one loop iteration. The bytes
   * never change afterwards, and other workers may receive the same buffer.
   */
  send(frames: Buffer): void;
}
