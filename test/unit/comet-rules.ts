// What the comet protocol agrees on: names, patterns, labels, cursors.
import fc from 'fast-check';
import t from 'tap';

import {
  checkChannel,
  checkLabel,
  cursorStart,
  formatCursor,
  isChannel,
  isPattern,
  parseCursor,
} from '../../lib/ipc/comet.js';

const SEED = 20_261_119;

const NAMES = [
  'a',
  'news',
  'news/',
  '/',
  'a b',
  '../',
  '%00',
  '>',
  '.',
  '__proto__',
  'constructor',
  'Ä/ö',
  '日本語',
  '😀',
  'e\u0301',
  '\u2028',
  'x'.repeat(200),
  'ä'.repeat(100),
  '日'.repeat(66),
  '😀'.repeat(50),
];
const NO_NAMES = [
  '',
  ' ',
  ' a',
  'a ',
  '*',
  'news/*',
  'a*b',
  'ä*',
  'a\0b',
  'a\nb',
  'a\r',
  '\tb',
  'a\x1fb',
  'a\x7fb',
  'a\u0080b',
  'a\u009fb',
  'a\ud800',
  '\udc00a',
  'x'.repeat(201),
  'x'.repeat(10_000),
  'ä'.repeat(101),
  '日'.repeat(67),
  '😀'.repeat(51),
];

/** In ASCII: a line separator in a test's name would break the report. */
function shown(text: string): string {
  return Buffer.from(text.slice(0, 20))
    .toString('latin1')
    .replace(/[^ -~]/g, '?');
}

t.test('a channel has 1 to 200 bytes, no control character, star or space at an end', (t) => {
  for (const name of NAMES) {
    t.ok(isChannel(name), shown(name));
    t.doesNotThrow(() => {
      checkChannel(name);
    });
  }
  for (const name of NO_NAMES) {
    t.notOk(isChannel(name), shown(name));
    const check = (): void => {
      checkChannel(name);
    };
    t.throws(check, { code: 'ERR_CHANNEL' });
  }
  t.end();
});

t.test('the message about a channel is one short line, whatever the name', (t) => {
  for (const name of ['a\r\nb*', `${'x'.repeat(1e6)}*`, 'a\u0000*', '\u009b31m*']) {
    try {
      checkChannel(name);
      t.fail('refused');
    } catch (error) {
      const { message } = error as Error;
      t.ok(message.length < 300 && !/\p{Cc}/u.test(message), message);
    }
  }
  t.end();
});

t.test('a pattern is a prefix that ends in a slash, and a star', (t) => {
  for (const text of ['news/*', 'a/b/*', '/*', 'ä/*', `${'x'.repeat(198)}/*`]) {
    t.ok(isPattern(text), text);
    t.notOk(isChannel(text), 'and no channel');
  }
  const bad = ['*', 'news*', 'news/', '/a*', '*/*', 'a*/*', ' a/*', 'a/**', 'a\n/*', ''];
  for (const text of [...bad, `${'x'.repeat(199)}/*`]) t.notOk(isPattern(text), text);
  t.end();
});

t.test('a label has at most 128 bytes and no line end', (t) => {
  for (const label of ['', ' a ', 'ü'.repeat(64), 'x'.repeat(128), 'tab\there', '\u2028']) {
    t.doesNotThrow(() => {
      checkLabel('id', label);
    }, shown(label));
  }
  for (const label of ['a\nb', '\r', 'a\0', 'x'.repeat(129), 'ü'.repeat(65), '\ud800']) {
    const check = (): void => {
      checkLabel('id', label);
    };
    t.throws(check, { code: 'ERR_MESSAGE' }, shown(label));
  }
  t.end();
});

t.test('a cursor has one text, and every other text is none', (t) => {
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
  for (const text of bad) t.equal(parseCursor(text), null, shown(text));
  t.end();
});
