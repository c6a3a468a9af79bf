// Warnings of certificates that expire, with a clock of the test.
import t from 'tap';

import { daysLeft, warnOfDates, watchDates } from '../../lib/tls/certificate-dates.js';
import { ManualClock } from '../support/manual-clock.js';
import { recordedLog } from '../support/recorded-log.js';

const DAY_MS = 86_400_000;
const NOW_MS = 1_800_000_000_000;
const inDays = (days: number) => ({ label: 'site.pem', endsAtMs: NOW_MS + days * DAY_MS });

t.test('days are whole, and below 0 after the end', (t) => {
  for (const [days, whole] of [
    [30, 30],
    [13.99, 13],
    [0.5, 0],
    [-0.5, -1],
  ] as const) {
    t.same(daysLeft([inDays(days)], NOW_MS), { 'site.pem': whole });
  }
  t.same(daysLeft([inDays(1), { ...inDays(2), label: 'b.pem' }], NOW_MS), {
    'site.pem': 1,
    'b.pem': 2,
  });
  t.end();
});

t.test('a certificate is one warning below 14 days, and one error after its end', (t) => {
  for (const [days, level] of [
    [14, undefined],
    [13.9, 'warn'],
    [0, 'warn'],
    [-0.1, 'error'],
  ] as const) {
    const { lines, logger } = recordedLog();
    warnOfDates([inDays(days), { ...inDays(60), label: 'other.pem' }], NOW_MS, logger);
    t.same(
      lines.map((line) => line.level),
      level === undefined ? [] : [level],
      String(days),
    );
    if (level !== undefined) t.equal(lines[0]?.fields['certificate'], 'site.pem');
  }
  t.end();
});

t.test('the dates are looked at once a day', (t) => {
  const clock = new ManualClock();
  let looks = 0;
  const timer = watchDates(clock, () => looks++);
  clock.advance(DAY_MS - 1);
  t.equal(looks, 0);
  clock.advance(1);
  t.equal(looks, 1);
  clock.advance(3 * DAY_MS);
  t.equal(looks, 4);
  timer.cancel();
  t.equal(clock.pending, 0);
  t.end();
});
