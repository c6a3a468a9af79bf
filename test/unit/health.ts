// When a worker is late or hung, and when the supervision itself was paused. Pure.
import t from 'tap';

import { HealthCheck, LATE_MS, SUPERVISION_MS } from '../../lib/manager/health.js';

const LIMIT_MS = 10_000;

t.test('the age of the heartbeat decides between serving, late and hung', (t) => {
  const health = new HealthCheck(LIMIT_MS, 0);
  const rows: [number, string][] = [
    [0, 'serving'],
    [LATE_MS - 1, 'serving'],
    [LATE_MS, 'late'],
    [LIMIT_MS - 1, 'late'],
    [LIMIT_MS, 'hung'],
    [1e9, 'hung'],
  ];
  for (const [ageMs, state] of rows) t.equal(health.stateOf(ageMs, 500), state, `${ageMs} ms`);
  t.end();
});

t.test('after a pause of the manager no worker is hung for one heartbeat limit', (t) => {
  const health = new HealthCheck(LIMIT_MS, 0);
  health.begin(SUPERVISION_MS);
  t.equal(health.stateOf(60_000, SUPERVISION_MS), 'hung', 'without a pause');
  const wokenMs = 61_000;
  health.begin(wokenMs);
  t.equal(
    health.stateOf(60_000, wokenMs),
    'late',
    'the worker may have been paused too, so its heartbeat may be old',
  );
  health.begin(wokenMs + SUPERVISION_MS);
  t.equal(health.stateOf(60_000, wokenMs + LIMIT_MS - 1), 'late', 'for the whole limit');
  t.equal(health.stateOf(500, wokenMs + 500), 'serving', 'a new heartbeat counts at once');
  t.equal(
    health.stateOf(60_000, wokenMs + LIMIT_MS),
    'hung',
    'a worker without a heartbeat after the limit is hung',
  );
  t.end();
});

t.test('a delay of the supervision below the late limit gives no grace', (t) => {
  const health = new HealthCheck(LIMIT_MS, 0);
  health.begin(LATE_MS);
  t.equal(health.stateOf(LIMIT_MS, LATE_MS), 'hung');
  health.begin(2 * LATE_MS + 1);
  t.equal(
    health.stateOf(LIMIT_MS, 2 * LATE_MS + 1),
    'late',
    'a delay of one millisecond more gives it',
  );
  t.end();
});

t.test('the periods without supervision are counted from the last round', (t) => {
  const health = new HealthCheck(LIMIT_MS, 100);
  t.equal(health.periodsUnsupervised(100), 0);
  t.equal(health.periodsUnsupervised(100 + 2.5 * SUPERVISION_MS), 2.5);
  health.begin(4000);
  t.equal(health.periodsUnsupervised(4000), 0);
  t.end();
});

t.test('the worker that has been hung for longest counts', (t) => {
  const health = new HealthCheck(LIMIT_MS, 0);
  t.equal(health.limitsHung([], 99_999), 0);
  t.equal(health.limitsHung([15_000, 5000], 25_000), 2);
  t.end();
});
