// The registry of slots: states, failures and pauses before a start. Pure: times are arguments.
import t from 'tap';

import { backoffMs, Registry } from '../../lib/manager/registry.js';

t.test('the pause before a start doubles from 100 ms to half a minute', (t) => {
  const pauses = Array.from({ length: 12 }, (_, failures) => backoffMs(failures));
  t.same(pauses.slice(0, 6), [0, 100, 200, 400, 800, 1600]);
  t.equal(Math.max(...pauses), 30_000, 'the pause does not grow further');
  t.equal(backoffMs(2000), 30_000, 'the pause is the same after many failures');
  t.end();
});

t.test('all slots are due at first, and no more start than may be in flight', (t) => {
  const registry = new Registry(5);
  t.same(
    registry.due(0, 2).map(({ slot }) => slot),
    [0, 1],
  );
  registry.started(0, 100);
  t.same(
    registry.due(0, 2).map(({ slot }) => slot),
    [1],
    'one is in flight',
  );
  registry.started(1, 101);
  t.same(registry.due(0, 2), [], 'the limit of starts in flight is reached');
  t.same(registry.due(0, 1), [], 'nor with a lower limit');
  registry.ready(0, 5, 1000);
  t.same(
    registry.due(5, 2).map(({ slot }) => slot),
    [2],
    'a start may begin again',
  );
  t.end();
});

t.test('a slot goes through its states', (t) => {
  const registry = new Registry(1);
  const record = registry.at(0);
  t.match(record, { state: 'waiting', pid: null, generation: 0, hasServed: false });
  registry.started(0, 7);
  t.match(record, { state: 'starting', pid: 7, generation: 1, hasServed: false });
  registry.ready(0, 1000, 500);
  t.match(record, { state: 'serving', hasServed: true, connectionsMax: 500, readyAtMs: 1000 });
  t.equal(registry.count('serving'), 1);
  t.equal(registry.count('starting', 'waiting'), 0);
  registry.ended(0, 2000, false);
  t.match(record, { state: 'gone', pid: null, connectionsMax: 0, hasServed: true });
  t.same(
    registry.due(99_999, 10),
    [],
    'a slot that the server does not need any more is never due',
  );
  t.throws(() => registry.at(1), RangeError, 'a slot beyond the last does not exist');
  t.end();
});

t.test('a worker that served for long enough is always replaced at once', (t) => {
  const registry = new Registry(1);
  for (let nowMs = 0; nowMs < 100_000; nowMs += 10_000) {
    t.equal(registry.due(nowMs, 1).length, 1, 'due at once');
    registry.started(0, nowMs + 1);
    registry.ready(0, nowMs + 100, 10);
    registry.ended(0, nowMs + 10_000, true);
    t.equal(registry.at(0).failures, 0, 'it does not count as a failure');
  }
  t.equal(registry.at(0).generation, 10, 'the generations of the slot are counted');
  t.end();
});

t.test('a worker that dies soon after its start is replaced after a growing pause', (t) => {
  const registry = new Registry(1);
  const pauses = Array.from({ length: 6 }, (_, index) => {
    registry.started(0, index + 1);
    registry.ready(0, 1000, 10);
    registry.ended(0, 1500, true);
    return registry.at(0).startAtMs - 1500;
  });
  t.same(pauses, [0, 100, 200, 400, 800, 1600], 'the first time at once');
  t.same(registry.due(1500 + 1599, 1), [], 'the slot is not due before the end of the pause');
  t.equal(registry.due(1500 + 1600, 1).length, 1, 'the slot is due after the pause');
  t.end();
});

t.test(
  'a failed start is retried after a pause, and five seconds of service reset the failures',
  (t) => {
    const registry = new Registry(1);
    const pauses = Array.from({ length: 4 }, (_, index) => {
      registry.started(0, index + 1);
      registry.ended(0, 0, true);
      return registry.at(0).startAtMs;
    });
    t.same(pauses, [100, 200, 400, 800]);
    t.equal(registry.at(0).failures, 4);
    registry.started(0, 9);
    registry.ready(0, 0, 10);
    registry.ended(0, 5000, true);
    t.equal(registry.at(0).failures, 0, 'five seconds of service are enough');
    t.end();
  },
);

t.test('a start without a process is retried after a pause too', (t) => {
  const registry = new Registry(1);
  registry.ended(0, 0, true);
  registry.ended(0, 0, true);
  t.ok(registry.at(0).startAtMs >= 100, `after a pause: ${registry.at(0).startAtMs} ms`);
  t.equal(registry.at(0).generation, 0, 'the slot has no worker');
  t.end();
});
