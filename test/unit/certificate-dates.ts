// Warnings of certificates that expire, with a clock of the test.
import t from 'tap';

import { DateWatch, daysLeft, warnOfDates } from '../../lib/tls/certificate-dates.js';
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

t.test('the dates are looked at once a day, and after the last second of a certificate', (t) => {
  const clock = new ManualClock();
  const looks: number[] = [];
  const dates = new DateWatch(
    clock,
    () => NOW_MS + clock.nowMs(),
    () => looks.push(clock.nowMs() / DAY_MS),
  );
  dates.watch([inDays(60), inDays(-1)]);
  clock.advance(DAY_MS - 1);
  t.same(looks, []);
  clock.advance(1);
  clock.advance(DAY_MS);
  t.same(looks, [1, 2]);
  const second = 1000 / DAY_MS;
  dates.watch([inDays(2.5), inDays(60)]);
  clock.advance(2 * DAY_MS);
  t.same(looks, [1, 2, 2.5 + second, 3.5 + second], 'the certificates of a reload count');
  dates.cancel();
  t.equal(clock.pending, 0);
  t.end();
});
