// Labels: the id and the event of a message.
import t from 'tap';

import { checkLabel } from '../../lib/broker/label.js';
import { inAscii } from '../support/in-ascii.js';

t.test('a label has at most 128 bytes and no line end', (t) => {
  for (const label of ['', ' a ', 'ü'.repeat(64), 'x'.repeat(128), 'tab\there', '\u2028']) {
    t.doesNotThrow(() => {
      checkLabel('id', label);
    }, inAscii(label));
  }
  for (const label of ['a\nb', '\r', 'a\0', 'x'.repeat(129), 'ü'.repeat(65), '\ud800']) {
    const check = (): void => {
      checkLabel('id', label);
    };
    t.throws(check, { code: 'ERR_MESSAGE' }, inAscii(label));
  }
  t.end();
});
