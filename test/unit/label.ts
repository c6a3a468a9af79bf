// Labels: the id and the event of a message.
import t from 'tap';

import { checkEvent, checkLabel } from '../../lib/broker/label.js';
import { inAscii } from '../support/in-ascii.js';

t.test('a label has at most 128 bytes and no control character', (t) => {
  for (const label of ['', ' a ', 'ü'.repeat(64), 'x'.repeat(128), '\u2028']) {
    t.doesNotThrow(() => {
      checkLabel('id', label);
    }, inAscii(label));
  }
  for (const label of [
    'a\nb',
    '\r',
    'a\0',
    'tab\there',
    'a\x0b',
    '\x1b[2J',
    '\x7f',
    '\x85',
    'x'.repeat(129),
    'ü'.repeat(65),
    '\ud800',
  ]) {
    const check = (): void => {
      checkLabel('id', label);
    };
    t.throws(check, { code: 'ERR_MESSAGE' }, inAscii(label));
  }
  t.end();
});

t.test('an event cannot have a name that pages listen for already', (t) => {
  for (const event of ['message', 'Error', 'opened', 'megacomet', 'my.megacomet.gap', 'errors']) {
    t.doesNotThrow(() => {
      checkEvent(event);
    }, event);
  }
  for (const event of [
    'error',
    'open',
    'megacomet.gap',
    'megacomet.',
    'megacomet.new\u2028',
    'a\n',
  ]) {
    const check = (): void => {
      checkEvent(event);
    };
    t.throws(check, { code: 'ERR_MESSAGE' }, inAscii(event));
  }
  t.end();
});
