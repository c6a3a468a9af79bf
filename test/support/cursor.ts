// The text of a cursor, as clients receive it and send it back.
import { cursorStart, type Cursor } from '../../lib/broker/cursor.js';

export { parseCursor } from '../../lib/broker/cursor.js';

export function formatCursor({ epoch, number }: Cursor): string {
  return cursorStart(epoch) + number.toString();
}
