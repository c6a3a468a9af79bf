// Log frames of workers as lines of the manager's log. Pure.
import t from 'tap';

import { limitsFrame } from '../../lib/manager/limits.js';
import { logWorkerLine } from '../../lib/manager/worker-log.js';

t.test('a log frame becomes a line with the level, slot, pid and error name', (t) => {
  const lines: [string, object, string][] = [];
  const add =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push([level, fields, message]);
  const log = { debug: add('debug'), info: add('info'), warn: add('warn'), error: add('error') };
  const frame = { level: 0, message: 'a', error: 0, suppressed: 0 };
  logWorkerLine(log, 3, 77, frame);
  logWorkerLine(log, 3, 77, { ...frame, level: 1, message: 'b', error: 24 });
  logWorkerLine(log, 3, null, { ...frame, level: 2, message: 'c', suppressed: 9 });
  logWorkerLine(log, 3, null, { ...frame, level: 250, message: 'd' });
  t.strictSame(lines, [
    ['info', { worker: 3, pid: 77 }, 'a'],
    ['warn', { worker: 3, pid: 77, err: 'EMFILE' }, 'b'],
    ['error', { worker: 3, pid: null, suppressed: 9 }, 'c'],
    ['info', { worker: 3, pid: null }, 'd'],
  ]);
  t.end();
});

t.test('each worker enforces its part of the accept rate, rounded up', (t) => {
  const limits = { maxConnections: 100, workerConnectionsMax: 40, idleTimeout: 5, acceptRate: 10 };
  t.same(limitsFrame(limits, 3), {
    connectionsMax: 40,
    idleTimeoutS: 5,
    acceptRateMilli: 3334,
  });
  t.equal(limitsFrame(limits, 0).acceptRateMilli, 10_000, 'one worker at least');
  t.equal(limitsFrame({ ...limits, acceptRate: 0 }, 3).acceptRateMilli, 0, '0 stays unlimited');
  t.end();
});
