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

const CURSOR = /^([0-9a-f]{16})\.(0|[1-9]\d{0,19})$/;
const U64_MAX = 2n ** 64n - 1n;

/** Reads a cursor; null for anything but the one text that a cursor has. */
export function parseCursor(text: string): Cursor | null {
  const match = CURSOR.exec(text);
  if (match === null) return null;
  const number = BigInt(match[2] ?? '');
  return number > U64_MAX ? null : { epoch: BigInt(`0x${match[1] ?? ''}`), number };
}
