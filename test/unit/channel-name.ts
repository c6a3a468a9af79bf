// Names of channels, and patterns: the rules by the vectors that the native side is tested with too.
import t from 'tap';

import { checkChannel, isChannel, isPattern } from '../../lib/base/channel-name.js';
import { channelVectors } from '../support/channel-vectors.js';
import { inAscii } from '../support/in-ascii.js';

t.test('each vector is a channel, a pattern or neither', (t) => {
  const vectors = channelVectors();
  t.ok(vectors.length > 80, 'the file was read');
  for (const { line, verdict, text } of vectors) {
    const found = isChannel(text) ? 'channel' : isPattern(text) ? 'pattern' : 'neither';
    t.equal(found, verdict, `line ${line}: ${inAscii(text)}`);
  }
  t.end();
});

t.test('only channels pass the check', (t) => {
  for (const { line, verdict, text } of channelVectors()) {
    const check = (): void => {
      checkChannel(text);
    };
    if (verdict === 'channel') t.doesNotThrow(check, `line ${line}`);
    else t.throws(check, { code: 'ERR_CHANNEL' }, `line ${line}`);
  }
  t.end();
});

t.test('the error for any channel name is one short line', (t) => {
  for (const name of ['a\r\nb*', `${'x'.repeat(1e6)}*`, 'a\u0000*', '\u009b31m*']) {
    try {
      checkChannel(name);
      t.fail('rejected');
    } catch (error) {
      const { message } = error as Error;
      t.ok(message.length < 300 && !/\p{Cc}/u.test(message), message);
    }
  }
  t.end();
});
