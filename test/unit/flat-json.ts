// Objects of requests, read by the flat reader and by JSON.parse.
import fc from 'fast-check';
import t from 'tap';

import { readFlatJson } from '../../lib/base/flat-json.js';
import { readPublish } from '../../lib/api/publish-request.js';

const SEED = 20_261_123;

t.test('an object is parsed as by JSON.parse, and raw values are kept as written', (t) => {
  const value = fc.jsonValue({ maxDepth: 4 });
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: 'grapheme' }), value),
      fc.constantFrom(undefined, 0, 1, '\t', ' \r\n'),
      (object, blanks) => {
        const text = JSON.stringify(object, null, blanks).replaceAll('/', '\\/');
        const { members, raw } = readFlatJson(text);
        const parsed = JSON.parse(text) as Record<string, unknown>;
        return (
          String([...members.keys()].sort()) === String(Object.keys(parsed).sort()) &&
          [...members].every(([name, found]) => {
            const wanted = JSON.stringify(parsed[name]);
            return (
              JSON.stringify(found) === wanted &&
              JSON.stringify(JSON.parse(raw(name))) === wanted &&
              text.includes(raw(name)) &&
              raw(name).trim() === raw(name)
            );
          })
        );
      },
    ),
    { seed: SEED, numRuns: 2000 },
  );
  const twice = [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":1}',
    '{"":1,"":2}',
    '{"\\\\":1,"b":1,"\\\\":2}',
  ];
  for (const text of twice) t.throws(() => readFlatJson(text), { name: 'FlatJsonError' }, text);
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '\\', ' ', 'a', '1'),
      }),
      (text) => {
        try {
          readFlatJson(text);
          return true;
        } catch (error) {
          return (error as Error).name === 'FlatJsonError';
        }
      },
    ),
    { seed: SEED, numRuns: 3000 },
  );
  t.same(readPublish('{"data":-1e-7,"channel":"a"}'), {
    channel: 'a',
    data: '-1e-7',
    options: {},
  });
  t.end();
});
