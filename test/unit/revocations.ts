// The table of revocations: its frames, its limit and its end.
import t from 'tap';

import { valuesOf } from '../../lib/base/metric.js';
import { Revocations, type Revocation } from '../../lib/broker/revocations.js';

const add = (revocations: Revocations, revocation: Revocation): void => {
  revocations.put(revocations.rowOf(revocation));
};

t.test('a revocation is kept until its end, one for each user and token', (t) => {
  let nowS = 1000;
  const revocations = new Revocations(0, () => nowS);
  add(revocations, { user: 'ada', keepSeconds: 10 });
  add(revocations, { id: 'ada', keepSeconds: 20 });
  add(revocations, { user: 'ada', keepSeconds: 30 });
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
  for (let n = 0; n < 100_000; n++) add(revocations, { user: `user ${n}`, keepSeconds: 60 });
  const another = (): void => {
    add(revocations, { user: 'ada' });
  };
  t.throws(another, {
    code: 'ERR_BUSY',
    message: /100000 revocations/,
  });
  const values = (): object => valuesOf(Revocations.METRICS, revocations);
  t.match(values(), { revocations: 100_000, revocationsRejectedTotal: 1 });
  add(revocations, { user: 'user 7', keepSeconds: 600 });
  nowS = 1060;
  t.match(values(), { revocations: 1, revocationsRejectedTotal: 1 });
  add(revocations, { user: 'ada' });
  t.equal(revocations.size, 2);
  t.end();
});

t.test('a revocation that adds nothing to a known one has no frame', (t) => {
  let nowS = 1000;
  const revocations = new Revocations(0, () => nowS);
  const row = { user: 'ada', id: '', beforeS: 900, endsAtS: 1100 };
  t.not(revocations.put(row), null);
  t.equal(revocations.put(row), null);
  t.equal(revocations.put({ ...row, beforeS: 800 }), null);
  t.not(revocations.put({ ...row, beforeS: 901 }), null);
  t.not(revocations.put({ ...row, endsAtS: 1200 }), null);
  t.match(revocations.find('user ada'), { beforeS: 901, endsAtS: 1200 });
  t.equal(revocations.find('id ada'), undefined);
  nowS = 1200;
  t.equal(revocations.find('user ada'), undefined, 'ended');
  t.not(revocations.put({ ...row, endsAtS: 1300 }), null);
  t.end();
});
