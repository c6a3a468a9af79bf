// Names of channels, and patterns.
import t from 'tap';

import { checkChannel, isChannel, isPattern } from '../../lib/broker/channel-name.js';
import { inAscii } from '../support/in-ascii.js';

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

t.test('a channel has 1 to 200 bytes, no control character, star or space at an end', (t) => {
  for (const name of NAMES) {
    t.ok(isChannel(name), inAscii(name));
    t.doesNotThrow(() => {
      checkChannel(name);
    });
  }
  for (const name of NO_NAMES) {
    t.notOk(isChannel(name), inAscii(name));
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
