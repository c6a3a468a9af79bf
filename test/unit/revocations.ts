// The table of revocations: its frames, its limit and its end.
import t from 'tap';

import { valuesOf } from '../../lib/base/metric.js';
import { Revocations } from '../../lib/broker/revocations.js';

t.test('a revocation is kept until its end, one for each user and token', (t) => {
  let nowS = 1000;
  const revocations = new Revocations(0, () => nowS);
  revocations.add({ user: 'ada', keepSeconds: 10 });
  revocations.add({ id: 'ada', keepSeconds: 20 });
  revocations.add({ user: 'ada', keepSeconds: 30 });
  t.equal(revocations.size, 2);
  t.equal(revocations.frames().length, 2);
  nowS = 1020;
  t.equal(revocations.frames().length, 1);
  nowS = 1030;
  t.equal(revocations.frames().length, 0);
  t.equal(revocations.size, 0);
  t.end();
});

t.test('100,000 are kept; ended ones make room, and no other one is forgotten', (t) => {
  let nowS = 1000;
  const revocations = new Revocations(0, () => nowS);
  for (let n = 0; n < 100_000; n++) revocations.add({ user: `user ${n}`, keepSeconds: 60 });
  t.throws(() => revocations.add({ user: 'ada' }), {
    code: 'ERR_BUSY',
    message: /100000 revocations/,
  });
  const values = (): object => valuesOf(Revocations.METRICS, revocations);
  t.match(values(), { revocations: 100_000, revocationsRejectedTotal: 1 });
  revocations.add({ user: 'user 7', keepSeconds: 600 });
  nowS = 1060;
  t.match(values(), { revocations: 1, revocationsRejectedTotal: 1 });
  revocations.add({ user: 'ada' });
  t.equal(revocations.size, 2);
  t.end();
});
