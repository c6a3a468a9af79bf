// The text of a cursor.
import fc from 'fast-check';
import t from 'tap';

import { cursorStart } from '../../lib/broker/cursor.js';
import { formatCursor, parseCursor } from '../support/cursor.js';
import { inAscii } from '../support/in-ascii.js';

const SEED = 20_261_119;

t.test('a cursor has one text, and any other text is invalid', (t) => {
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(u64, u64, (epoch, number) => {
      const text = formatCursor({ epoch, number });
      const found = parseCursor(text);
      return (
        text === cursorStart(epoch) + number.toString() &&
        text.length <= 37 &&
        found?.epoch === epoch &&
        found.number === number
      );
    }),
    { seed: SEED, numRuns: 1000 },
  );
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...Array.from('0123456789abcdefF.-+ x')) }),
      (text) => {
        const found = parseCursor(text);
        return found === null || formatCursor(found) === text;
      },
    ),
    { seed: SEED, numRuns: 2000 },
  );
  const epoch = '00000000000000ff';
  t.same(parseCursor(`${epoch}.0`), { epoch: 255n, number: 0n });
  const bad = [
    '',
    '.',
    epoch,
    `${epoch}.`,
    `${epoch}.-1`,
    `${epoch}.+1`,
    `${epoch}.01`,
    `${epoch}.1 `,
    ` ${epoch}.1`,
    `${epoch}.1\n`,
    `${epoch}.18446744073709551616`,
    `${epoch}.99999999999999999999`,
    `${epoch}.${'1'.repeat(10_000)}`,
    `${epoch}.1.1`,
    `${epoch}.٣`,
    `${epoch.toUpperCase()}.1`,
    'ff.1',
    `0${epoch}.1`,
    `${'0'.repeat(16)},1`,
  ];
  for (const text of bad) t.equal(parseCursor(text), null, inAscii(text));
  t.end();
});
