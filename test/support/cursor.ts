// The text of a cursor, as clients receive it and send it back.
import { cursorStart, type Cursor } from '../../lib/broker/cursor.js';

const CURSOR = /^([0-9a-f]{16})\.(0|[1-9]\d{0,19})$/;
const U64_MAX = 2n ** 64n - 1n;

/** Reads a cursor; null for anything but the one text that formatCursor() writes for it. */
export function parseCursor(text: string): Cursor | null {
  const match = CURSOR.exec(text);
  if (match === null) return null;
  const number = BigInt(match[2] ?? '');
  return number > U64_MAX ? null : { epoch: BigInt(`0x${match[1] ?? ''}`), number };
}

export function formatCursor({ epoch, number }: Cursor): string {
  return cursorStart(epoch) + number.toString();
}
