// A text that is costly to render: fresh for a few readers, shared by many.
import t from 'tap';

import { Rendered } from '../../lib/api/rendered.js';

t.test('a few readers get a fresh text each, a flood shares one', async (t) => {
  let nowMs = 0;
  let renders = 0;
  const rendered = new Rendered(
    () => {
      nowMs += 50;
      return Promise.resolve(String(++renders));
    },
    () => nowMs,
  );
  t.equal(await rendered.get(), '1');
  nowMs += 1000;
  t.equal(await rendered.get(), '2', 'a text of a second ago is not reused');
  for (let count = 0; count < 1000; count++) await rendered.get();
  t.ok(renders <= 8, `1000 readers in no time cause ${renders} renderings`);
  const before = renders;
  for (let second = 0; second < 10; second++) {
    nowMs += 999;
    for (let count = 0; count < 100; count++) await rendered.get();
  }
  t.ok(renders - before <= 30, `a tenth of the time, and once a second: ${renders - before}`);
  t.ok(renders - before >= 9, 'but a text is at most a second old');
});

t.test('readers that ask meanwhile share one rendering, and an error is not kept', async (t) => {
  let renders = 0;
  const rendered = new Rendered(async () => {
    await new Promise(setImmediate);
    if (++renders === 1) throw new Error('once');
    return 'text';
  });
  const failed = await Promise.allSettled([rendered.get(), rendered.get()]);
  t.same(
    failed.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  t.equal(renders, 1);
  t.same(await Promise.all([rendered.get(), rendered.get()]), ['text', 'text']);
  t.equal(renders, 2);
});
