// Positions in the server's one sequence of messages.

export interface Cursor {
  /** Names one life of the manager. */
  readonly epoch: bigint;
  /** Number of the last message seen; 0 before the first. */
  readonly number: bigint;
}

/** The part before the number in the text of every cursor of an epoch. */
export function cursorStart(epoch: bigint): string {
  return `${epoch.toString(16).padStart(16, '0')}.`;
}
